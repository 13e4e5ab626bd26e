"""A slow, literal AGCN for tests: subset after subset, a convolution for each weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orvpe.models.encoders.agcn import AGCN, GraphConv


class ReferenceGraphConv(nn.Module):
    def __init__(self, fixed: Tensor, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fixed = fixed
        self.inner = outputs // 4
        self.learned = nn.ParameterList([nn.Parameter(torch.zeros_like(a)) for a in fixed])
        self.theta = nn.ModuleList([nn.Conv2d(inputs, self.inner, 1) for _ in fixed])
        self.phi = nn.ModuleList([nn.Conv2d(inputs, self.inner, 1) for _ in fixed])
        self.w = nn.ModuleList([nn.Conv2d(inputs, outputs, 1) for _ in fixed])
        self.norm = nn.BatchNorm2d(outputs)
        self.down = (
            None if inputs == outputs else nn.ModuleList([nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)])
        )

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[2]
        total = 0
        for k in range(3):
            theta, phi = self.theta[k](x), self.phi[k](x)
            scores = torch.einsum("ncti,nctj->nij", theta, phi) / (self.inner * frames)
            attention = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
            adjacency = self.fixed[k] + self.learned[k] + attention
            total = total + self.w[k](torch.einsum("ncti,nij->nctj", x, adjacency))
        y = self.norm(total)
        y = y + (x if self.down is None else self.down[1](self.down[0](x)))
        return y.clamp(min=0)


class ReferenceBlock(nn.Module):
    def __init__(self, fixed: Tensor, inputs: int, outputs: int, stride: int, first: bool) -> None:
        super().__init__()
        self.gcn = ReferenceGraphConv(fixed, inputs, outputs)
        self.conv = nn.Conv2d(outputs, outputs, (9, 1), stride=(stride, 1), padding=(4, 0))
        self.norm = nn.BatchNorm2d(outputs)
        self.first, self.plain = first, inputs == outputs and stride == 1
        if not first and not self.plain:
            self.down = nn.Conv2d(inputs, outputs, 1, stride=(stride, 1))
            self.down_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(self.gcn(x)))
        if not self.first:
            y = y + (x if self.plain else self.down_norm(self.down(x)))
        return y.clamp(min=0)


class ReferenceAGCN(nn.Module):
    """Ten blocks; ``channels`` counts the mask channel when there is one."""

    def __init__(self, fixed: Tensor, channels: int = 3) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(fixed.shape[-1] * channels)
        widths = [64, 64, 64, 64, 128, 128, 128, 256, 256, 256]
        inputs = [channels, *widths[:-1]]
        self.blocks = nn.ModuleList(
            ReferenceBlock(fixed, inputs[i], widths[i], 2 if i + 1 in (5, 8) else 1, i == 0) for i in range(10)
        )

    def forward(self, x: Tensor) -> Tensor:
        c, v = x.shape[1], x.shape[3]
        series = torch.stack([x[:, j, :, i] for i in range(v) for j in range(c)], dim=1)  # (N, V*C, T)
        series = self.norm(series)
        x = torch.stack([series[:, [i * c + j for i in range(v)]] for j in range(c)], dim=1).transpose(2, 3)
        for block in self.blocks:
            x = block(x)
        return x.mean(dim=3).mean(dim=2)


def _pairs(model: AGCN, reference: ReferenceAGCN) -> list[tuple[nn.Module, nn.Module]]:
    """Modules of the two that hold the same parameters in the same form."""
    pairs: list[tuple[nn.Module, nn.Module]] = [(model.input_norm, reference.norm)]
    for fast, slow in zip(model.blocks, reference.blocks, strict=True):
        pairs += [
            (fast.spatial.norm, slow.gcn.norm),
            (fast.temporal[0], slow.conv),
            (fast.temporal[1], slow.norm),
        ]
        if slow.gcn.down is not None:
            pairs += list(zip(fast.spatial.residual, slow.gcn.down, strict=True))
        if hasattr(slow, "down"):
            pairs += [(fast.residual[0], slow.down), (fast.residual[1], slow.down_norm)]
    return pairs


def _graph_pairs(fast: GraphConv, slow: ReferenceGraphConv, grad: bool) -> list[tuple[Tensor, Tensor]]:
    """(slice of the fused parameter, separate parameter) of a graph convolution, or of their gradients."""

    def get(p: Tensor) -> Tensor:
        if not grad:
            return p.data
        assert p.grad is not None
        return p.grad

    pairs = []
    inner, inputs = slow.inner, slow.w[0].in_channels
    for k in range(3):
        t, p = slice(2 * k * inner, (2 * k + 1) * inner), slice((2 * k + 1) * inner, (2 * k + 2) * inner)
        pairs += [
            (get(fast.learned)[k], get(slow.learned[k])),
            (get(fast.attend.weight)[t], get(slow.theta[k].weight)),
            (get(fast.attend.bias)[t], get(slow.theta[k].bias)),
            (get(fast.attend.weight)[p], get(slow.phi[k].weight)),
            (get(fast.attend.bias)[p], get(slow.phi[k].bias)),
            (get(fast.mix.weight)[:, k * inputs : (k + 1) * inputs], get(slow.w[k].weight)),
            (get(fast.mix_bias)[k], get(slow.w[k].bias)),
        ]
    return pairs


def all_pairs(model: AGCN, reference: ReferenceAGCN, grad: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Every parameter (or its gradient) of the fast model next to the reference's."""
    pairs = []
    for fast, slow in zip(model.blocks, reference.blocks, strict=True):
        pairs += _graph_pairs(fast.spatial, slow.gcn, grad)
    for fast, slow in _pairs(model, reference):
        for name, p in fast.named_parameters():
            q = slow.get_parameter(name)
            pairs.append((p.grad, q.grad) if grad else (p.data, q.data))
    return pairs


def buffer_pairs(model: AGCN, reference: ReferenceAGCN) -> list[tuple[Tensor, Tensor]]:
    """Running statistics of the two."""
    return [(b, slow.get_buffer(name)) for fast, slow in _pairs(model, reference) for name, b in fast.named_buffers()]


def reference_of(model: AGCN) -> ReferenceAGCN:
    """The reference with the weights and statistics of a fast model."""
    fixed = model.blocks[0].spatial.fixed
    reference = ReferenceAGCN(fixed, model.in_channels + model.mask_channel).to(fixed.dtype)
    for a, b in (*all_pairs(model, reference), *buffer_pairs(model, reference)):
        b.copy_(a)
    return reference.train(model.training)

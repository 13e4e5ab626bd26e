"""AGCN, the paper's video pose encoder (section III-B): the backbone of 2s-AGCN (Shi et al., CVPR 2019).

Eq. 2 multiplies one adjacency with a mask.  The cited backbone, and the 3.45M parameters of Table I, are
additive, with three directed subsets k: a fixed adjacency A_k, a learned B_k and an attention C_k per sample.
This encoder follows the backbone, and has 3.45M parameters at 17 joints together with any head of Table I.

Shapes: N clips with persons folded in, C channels, T frames, V joints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.models.encoders.parts import (
    TEN_STRIDES,
    TEN_WIDTHS,
    JointEncoder,
    check_blocks,
    check_dropout,
    check_kernel,
    conv_norm,
    shortcut,
    stack,
)
from orvpe.poses.skeleton import Layout, graph_subsets, unified


class _JointProduct(torch.autograd.Function):
    """(N, V, S) @ (N, T, S, C) -> (N, T, V, C): one matrix a clip for all its frames, without copies of it.

    ``torch.matmul`` would write the matrix out once a frame.  On a GPU that costs less than a launch a clip does.
    """

    @staticmethod
    def forward(ctx: Any, graph: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(graph, x)
        return _per_clip(graph, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        graph, x = ctx.saved_tensors
        grad = grads[0].contiguous()
        for_graph = torch.matmul(grad, x.transpose(2, 3)).sum(dim=1) if ctx.needs_input_grad[0] else None  # (N, V, S)
        for_x = _per_clip(graph.transpose(1, 2), grad) if ctx.needs_input_grad[1] else None
        return for_graph, for_x


class _Embedding(torch.autograd.Function):
    """W x + b with channels before frames and joints: rows (N, TV, C), weight (O, C), bias (O,) -> (N, O, TV).

    Autograd would hand back the gradient by the rows as (N, C, TV), which adding to their others would then transpose.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        n = rows.shape[0]  # not len(), which in an exported graph would be the number it was traced with
        return torch.baddbmm(bias[:, None], weight.expand(n, -1, -1), rows.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        grad = grads[0]
        back = grad.transpose(1, 2)  # (N, TV, O)
        for_rows = torch.bmm(back, weight.expand(rows.shape[0], -1, -1)) if ctx.needs_input_grad[0] else None
        return for_rows, torch.bmm(grad, rows).sum(dim=0), grad.sum(dim=(0, 2))


def _per_clip(matrix: Tensor, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """matrix (N, A, B) times each frame of x (N, T, B, C) -> (N, T, A, C); added to ``onto``, in place, if given."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        product = torch.matmul(matrix[:, None], x)
        return product if onto is None else onto.add_(product)
    out = x.new_empty(*x.shape[:2], matrix.shape[1], x.shape[3]) if onto is None else onto
    for m, frames, target in zip(matrix, x, out, strict=True):
        every = m.expand(len(frames), -1, -1)
        if onto is None:
            torch.bmm(every, frames, out=target)
        else:
            torch.baddbmm(target, every, frames, out=target)
    return out


def _rows(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, T, V, C), contiguous; of a channels-last tensor a view."""
    return x.permute(0, 2, 3, 1).contiguous()


class GraphConv(nn.Module):
    """y = ReLU(BN(sum_k W_k x (A_k + B_k + C_k)) + residual), with C_k a softmax attention between joints.

    The channels are mixed before the joints, so that the sum over k belongs to the product with the joints, and
    everything is a matrix product of rows (T, V) by channels, which is how a channels-last tensor lies in memory.

    Args:
        inputs, outputs: channels; outputs is a multiple of 4, the attention works on outputs / 4.
        subsets: (K, V, V) the fixed A_k; K is 3 in AGCN.
    """

    fixed: Tensor

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.inner, self.subsets = outputs // 4, len(subsets)
        self.register_buffer("fixed", subsets, persistent=False)  # follows from the layout
        self.learned = nn.Parameter(torch.full_like(subsets, 1e-6))
        # channels of `attend`: for each subset theta, then phi; so both are views a batched product takes
        self.attend = nn.Conv2d(inputs, self.subsets * 2 * self.inner, 1)
        self.mix = nn.Conv2d(self.subsets * inputs, outputs, 1, bias=False)  # all W_k side by side
        # one a W_k as in the backbone; only the sum acts
        self.mix_bias = nn.Parameter(torch.zeros(self.subsets, outputs))
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = nn.Identity() if inputs == outputs else conv_norm(inputs, outputs)
        # initialised as the separate convolutions would be
        nn.init.normal_(self.attend.weight, std=math.sqrt(2.0 / self.inner))
        nn.init.normal_(self.mix.weight, std=math.sqrt(2.0 / (outputs * inputs * self.subsets)))
        nn.init.zeros_(self.attend.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.norm.weight, 1e-6)

    def graph(self, x: Tensor) -> Tensor:
        """A_k + B_k + C_k of each clip: (N, C, T, V) -> (N, K, V, V); [i, j] carries joint i into joint j."""
        return self.attention(x) + (self.fixed + self.learned)

    def attention(self, x: Tensor) -> Tensor:
        """C_k of each clip: (N, C, T, V) -> (N, K, V, V); each column sums to 1."""
        n, c, t, v = x.shape
        rows = _rows(x).view(n, t * v, c)
        # channels before frames and joints, so that theta and phi need no transposing
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        weight, bias = self.attend.weight.view(-1, c).to(dtype), self.attend.bias.to(dtype)  # type: ignore[union-attr]
        embedded = _Embedding.apply(rows.to(dtype), weight, bias)  # (N, 2K*inner, T*V)
        theta, phi = embedded.view(n * self.subsets, 2, self.inner * t, v).unbind(1)  # 2 x (KN, inner*T, V)
        # The mean is taken inside the product: in half precision the sum over inner*T would overflow.
        scores = torch.baddbmm(
            theta.new_zeros(1), theta.transpose(1, 2), phi, beta=0, alpha=1.0 / (self.inner * t)
        )  # (KN, V, V)
        scores = scores.to(self.learned.dtype)  # softmax in full precision
        return scores.softmax(dim=-2).view(n, self.subsets, v, v)

    def factors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """sum_k W_k x (A_k + B_k + C_k) as a product with the joints, yet to be taken.

        Args:
            x: (N, C, T, V).

        Returns:
            the adjacencies side by side (N, V, KV), and all W_k x (N, T, KV, outputs).
        """
        n, c, t, v = x.shape
        weight = self.mix.weight.view(-1, self.subsets, c).transpose(0, 1).reshape(-1, c)  # (K * outputs, C)
        z = F.linear(_rows(x), weight).view(n, t, v * self.subsets, -1)  # row v * K + k holds W_k x of joint v
        graph = self.graph(x).permute(0, 3, 2, 1).reshape(n, v, v * self.subsets)  # [j, K * i + k]
        return graph.to(z.dtype), z

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, outputs, T, V), both channels-last in memory."""
        graph, z = self.factors(x)
        bias = self.mix_bias.sum(dim=0)
        if isinstance(self.norm, nn.Identity):  # folded, for inference: the product is added to what it is added to
            y = _per_clip(graph, z, onto=(_rows(self.residual(x)) + bias).to(z.dtype))
            return y.relu_().permute(0, 3, 1, 2)
        y = self.norm((_JointProduct.apply(graph, z) + bias).permute(0, 3, 1, 2))
        return y.add_(self.residual(x)).relu_()  # in place: a fresh tensor costs a CPU as much as filling it

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Multiply the batch-norm, as it evaluates, into the weights W_k; for inference only."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d):
            return
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (outputs,)
        bias = (self.mix_bias.sum(dim=0) - norm.running_mean) * scale + norm.bias
        self.mix.weight.mul_(scale[:, None, None, None])
        self.mix_bias.zero_()[0].copy_(bias)
        self.norm = nn.Identity()  # type: ignore[assignment]


class Block(nn.Module):
    """Graph convolution, then a temporal convolution over ``kernel`` frames, a residual, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        residual: bool,
        *,
        subsets: Tensor,
        kernel: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.spatial = GraphConv(inputs, outputs, subsets)
        self.temporal = conv_norm(outputs, outputs, kernel, stride)
        self.dropout = nn.Dropout(dropout)
        self.residual = shortcut(inputs, outputs, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""
        y = self.dropout(self.temporal(self.spatial(x)))
        if self.residual is not None:
            y = y.add_(self.residual(x))
        return y.relu_()


class AGCN(JointEncoder):
    """Adaptive graph convolutional encoder: joints of one person over time -> a feature.

    Ten blocks after a batch-norm of the input.  The backbone normalises persons x joints x channels; here
    persons are folded into N, so the V x C series of a person are normalised, the same for every person.

    Args:
        in_channels: coordinates a joint, 2 or 3.
        layout: the joints; a `Layout` or its `to_dict()`.
        width: output channels of each block, multiples of 4.
        strides: temporal stride of each block.
        kernel: frames of the temporal convolution, odd.
        dropout: after each temporal convolution; the backbone has none.
        mask_channel: give the visibility mask as one more input channel (off in the paper's recipe).
        graph_norm: "column" or "symmetric", see `orvpe.poses.skeleton.graph_subsets`.

    Attributes:
        feature_dim: width of the feature (256), the mean over frames and joints.
        layout, in_channels: as given.

    Raises:
        InputError: a value out of its range.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = TEN_WIDTHS,
        strides: Sequence[int] = TEN_STRIDES,
        kernel: int = 9,
        dropout: float = 0.0,
        mask_channel: bool = False,
        graph_norm: str = "column",
    ) -> None:
        check_blocks(width, strides, multiple=4)
        check_kernel(kernel)
        check_dropout(dropout)
        options = {
            "width": list(width), "strides": list(strides), "kernel": kernel, "dropout": dropout,
            "graph_norm": graph_norm,
        }  # fmt: skip
        super().__init__(in_channels, layout, mask_channel, width[-1], options)
        subsets = torch.from_numpy(graph_subsets(self.layout, graph_norm))
        block = partial(Block, subsets=subsets, kernel=kernel, dropout=dropout)
        self.blocks = stack(block, self.channels, width, strides)

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

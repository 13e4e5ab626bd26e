"""AGCN, the paper's video pose encoder (section III-B): the backbone of 2s-AGCN (Shi et al., CVPR 2019).

Three directed subsets k of the skeleton's graph, each the sum of a fixed adjacency A_k, a learned B_k and an attention
C_k per sample (docs/concepts/method.md, 2).  At 17 joints it has the 3.45M parameters of Table I.

Shapes: N clips with persons folded in, C channels, T frames, V joints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from orvpe.models.encoders import kernels
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


class GraphConv(nn.Module):
    """Eq. 2: y = ReLU(BN(sum_k W_k x (A_k + B_k + C_k)) + residual).

    A_k is fixed by the skeleton, B_k learned, C_k a softmax attention between the joints of each clip.

    Args:
        inputs, outputs: channels; outputs is a multiple of 4, the attention works on outputs / 4.
        subsets: (K, V, V) the A_k; K is 3 in AGCN.
    """

    fixed: Tensor

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.inner, self.subsets = outputs // 4, len(subsets)
        self.register_buffer("fixed", subsets, persistent=False)  # A_k; follows from the layout
        self.learned = nn.Parameter(torch.full_like(subsets, 1e-6))  # B_k
        # theta_k and phi_k of C_k: theta, then phi for each subset, so that both are views a batched product takes
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
        """C_k = softmax(theta_k^T phi_k) of each clip: (N, C, T, V) -> (N, K, V, V); each column sums to 1."""
        n, _, t, v = x.shape
        embedded = kernels.embed(x, self.attend.weight, self.attend.bias)  # type: ignore[arg-type]
        theta, phi = embedded.view(n * self.subsets, 2, self.inner * t, v).unbind(1)  # 2 x (NK, inner T, V)
        scores = kernels.mean_products(theta, phi).to(self.learned.dtype)  # softmax in full precision
        return scores.softmax(dim=-2).view(n, self.subsets, v, v)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, V) -> (N, outputs, T, V), both channels-last in memory."""
        wx = kernels.mix_channels(x, self.mix.weight, self.subsets)  # W_k x: (N, T, VK, outputs)
        graph = kernels.side_by_side(self.graph(x)).to(wx.dtype)  # A_k + B_k + C_k: (N, V, VK)
        bias = self.mix_bias.sum(dim=0)
        if isinstance(self.norm, nn.Identity):  # folded, for inference: the product is added to what it is added to
            y = kernels.per_clip(graph, wx, onto=(kernels.rows(self.residual(x)) + bias).to(wx.dtype))
            return y.relu_().permute(0, 3, 1, 2)
        y = self.norm((kernels.joint_product(graph, wx) + bias).permute(0, 3, 1, 2))
        return y.add_(self.residual(x)).relu_()  # in place: a fresh tensor costs a CPU as much as filling it

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Merge the batch-norm, as in evaluation, into the weights W_k; for inference only."""
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
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each block, multiples of 4.
        strides: temporal stride of each block.
        kernel: frames of the temporal convolution, odd.
        dropout: after each temporal convolution; the backbone has none.
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
    ) -> None:
        check_blocks(width, strides, multiple=4)
        check_kernel(kernel)
        check_dropout(dropout)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        subsets = torch.from_numpy(graph_subsets(self.layout))
        block = partial(Block, subsets=subsets, kernel=kernel, dropout=dropout)
        self.blocks = stack(block, self.channels, width, strides)

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

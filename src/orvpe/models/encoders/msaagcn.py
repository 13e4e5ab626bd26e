"""AAGCN, a stream of MS-AAGCN: Shi et al., *Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph
Convolutional Networks*, IEEE TIP 2020.

Two things differ from 2s-AGCN (`agcn.py`): the graph is B_k + alpha C_k, where B_k starts from the skeleton
and is learned, and one gate alpha a layer, which starts at 0, lets the attention C_k in; and after each graph
convolution a module of three attentions (spatial, temporal, channel) scales joints, frames and channels in turn.

The four streams of the name (joints, bones, their motions) are four runs of this encoder whose scores are summed:
``--view.stream`` and ``orvpe fuse``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.models.encoders.agcn import GraphConv
from orvpe.models.encoders.parts import (
    TEN_STRIDES,
    TEN_WIDTHS,
    JointEncoder,
    check_blocks,
    check_count,
    check_kernel,
    conv_norm,
    stack_blocks,
)
from orvpe.poses.skeleton import Layout, graph_subsets, unified


class GatedGraphConv(GraphConv):
    """y = ReLU(BN(sum_k W_k x (B_k + alpha C_k)) + residual), with C_k the attention of `GraphConv`."""

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__(inputs, outputs, torch.zeros_like(subsets))
        self.learned.data.copy_(subsets)  # B_k
        self.gate = nn.Parameter(torch.zeros(1))  # alpha

    def graph(self, x: Tensor) -> Tensor:
        """B_k + alpha C_k of each clip: (N, C, T, V) -> (N, 3, V, V)."""
        return self.gate * self.attention(x) + self.learned


class STCAttention(nn.Module):
    """Attention to joints, then to frames, then to channels, each as x (1 + M): (N, C, T, V) -> the same.

    Args:
        channels: C.
        joints: V; the spatial kernel spans all of them, or all but one to be odd.
        kernel: frames of the temporal attention, odd.
        reduction: the channel attention works on C / reduction.
    """

    def __init__(self, channels: int, joints: int, kernel: int = 9, reduction: int = 2) -> None:
        super().__init__()
        span = joints if joints % 2 else max(1, joints - 1)
        self.joints = nn.Conv1d(channels, 1, span, padding=span // 2)
        self.frames = nn.Conv1d(channels, 1, kernel, padding=kernel // 2)
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)
        nn.init.xavier_normal_(self.joints.weight)
        nn.init.kaiming_normal_(self.squeeze.weight)
        for weight in (self.frames.weight, self.excite.weight):  # these start as the same scale for all
            nn.init.zeros_(weight)
        for layer in (self.joints, self.frames, self.squeeze, self.excite):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = x * (1 + self.joints(x.mean(dim=2)).sigmoid()[:, :, None])  # M_s (N, 1, 1, V)
        x = x * (1 + self.frames(x.mean(dim=3)).sigmoid()[..., None])  # M_t (N, 1, T, 1)
        m = self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))).sigmoid()
        return x * (1 + m[:, :, None, None])  # M_c (N, C, 1, 1)


class AAGCN(JointEncoder):
    """Attention-enhanced adaptive graph convolutional encoder: joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each block, multiples of 4.
        strides: temporal stride of each block.
        kernel: frames of the temporal convolution and of the temporal attention, odd.
        reduction: of the channel attention.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = TEN_WIDTHS,
        strides: Sequence[int] = TEN_STRIDES,
        kernel: int = 9,
        reduction: int = 2,
        mask_channel: bool = False,
    ) -> None:
        check_blocks(width, strides, multiple=4)
        check_kernel(kernel)
        check_count("reduction", reduction)
        check_blocks(width, strides, multiple=reduction)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        subsets, joints = torch.from_numpy(graph_subsets(self.layout)), len(self.layout)

        def spatial(inputs: int, outputs: int) -> nn.Module:
            graph = GatedGraphConv(inputs, outputs, subsets)
            return nn.Sequential(graph, STCAttention(outputs, joints, kernel, reduction))

        self.blocks = stack_blocks(
            spatial, lambda outputs, stride: conv_norm(outputs, outputs, kernel, stride), self.channels, width, strides
        )

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

"""CTR-GCN: Chen et al., *Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition*,
ICCV 2021.

Every output channel has a graph of its own in every sample: a shared learned A, which starts from the skeleton, plus
alpha times a refinement that a 1x1 convolution makes of tanh(psi(x_i) - phi(x_j)), the correlation of joints i and j.
Three of these (`TopologyRefinement`) are summed in a block, each with an A of its own; alpha is shared and starts at 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.models.encoders.multi_scale import TemporalBranches, check_dilations
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

_LEAST = 8  # channels of the correlations where the input has only coordinates


class TopologyRefinement(nn.Module):
    """CTR-GC: z_ci = sum_j (A + alpha xi(tanh(psi(x_i) - phi(x_j))))_cij (W x)_cj, with x pooled over time in psi, phi.

    Args:
        inputs, outputs: channels.
        reduction: correlations have inputs / reduction channels, 8 at least.
    """

    def __init__(self, inputs: int, outputs: int, reduction: int) -> None:
        super().__init__()
        inner = max(_LEAST, inputs // reduction)
        self.psi, self.phi = nn.Conv2d(inputs, inner, 1), nn.Conv2d(inputs, inner, 1)
        self.xi = nn.Conv2d(inner, outputs, 1)
        self.transform = nn.Conv2d(inputs, outputs, 1)
        for conv in (self.psi, self.phi, self.xi, self.transform):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def topology(self, x: Tensor, adjacency: Tensor, gate: Tensor) -> Tensor:
        """(N, inputs, T, V), (V, V), (1,) -> (N, outputs, V, V); [i, j] carries joint j into joint i."""
        pooled = x.mean(dim=2, keepdim=True)  # the convolutions are linear, so they may follow the mean
        psi, phi = self.psi(pooled).squeeze(2), self.phi(pooled).squeeze(2)  # (N, inner, V)
        return adjacency + gate * self.xi(torch.tanh(psi[..., :, None] - phi[..., None, :]))

    def forward(self, x: Tensor, adjacency: Tensor, gate: Tensor) -> Tensor:
        """-> (N, outputs, T, V)."""
        return self.transform(x) @ self.topology(x, adjacency, gate).transpose(2, 3)


class RefinedGraphConv(nn.Module):
    """ReLU(BN(sum_k CTR-GC_k(x)) + residual): (N, inputs, T, V) -> (N, outputs, T, V).

    Args:
        inputs, outputs: channels.
        subsets: (K, V, V) where the A_k start, [i, j] carrying joint j into joint i.
        reduction: of `TopologyRefinement`.
    """

    def __init__(self, inputs: int, outputs: int, subsets: Tensor, reduction: int) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(subsets.clone())
        self.gate = nn.Parameter(torch.zeros(1))  # alpha
        self.refine = nn.ModuleList(TopologyRefinement(inputs, outputs, reduction) for _ in subsets)
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.residual = nn.Identity() if inputs == outputs else conv_norm(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        parts = [refine(x, a, self.gate) for refine, a in zip(self.refine, self.adjacency, strict=True)]
        return F.relu(self.norm(torch.stack(parts).sum(dim=0)) + self.residual(x))


class CTRGCN(JointEncoder):
    """Channel-wise topology refinement encoder: joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each block.
        strides: temporal stride of each block.
        kernel: frames of the temporal convolutions, odd.
        dilations: of the temporal convolutions, one branch each.
        reduction: r, the correlations have a block's inputs / r channels.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = TEN_WIDTHS,
        strides: Sequence[int] = TEN_STRIDES,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2),
        reduction: int = 8,
        mask_channel: bool = False,
    ) -> None:
        check_blocks(width, strides)
        check_kernel(kernel)
        check_dilations(width, dilations)
        check_count("reduction", reduction)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        subsets = torch.from_numpy(graph_subsets(self.layout)).transpose(1, 2)
        self.blocks = stack_blocks(
            lambda inputs, outputs: RefinedGraphConv(inputs, outputs, subsets, reduction),
            lambda outputs, stride: TemporalBranches(outputs, outputs, stride, kernel, dilations),
            self.channels, width, strides,
        )  # fmt: skip

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean(dim=(2, 3))

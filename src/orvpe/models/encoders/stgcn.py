"""ST-GCN: Yan, Xiong, Lin, *Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition*, AAAI
2018.

A joint and its neighbours are divided by their distance to the body's centre ("spatial configuration partitioning":
itself, nearer, farther), each subset has weights of its own, and a learned mask scales the importance of every edge.

* The paper's centre of gravity is a mean of coordinates; here it is the joint with the fewest bones to all others.
* Each subset is divided by its number of neighbours, Z of eq. 4.  (A_j is not symmetric, and Lambda^-1/2 A Lambda^-1/2
  of eq. 10 would divide by its empty rows.)
* The text counts nine units, the released network has ten, which give its 3.10M parameters; these are ten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.models.encoders.hops import bones, centre, hops
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
from orvpe.poses.skeleton import Layout, unified


def spatial_partition(layout: Layout) -> Tensor:
    """(3, V, V): a joint itself, its neighbours nearer to the centre, those farther away; [i, j] carries i into j."""
    graph, distance = bones(layout), hops(bones(layout))
    away = distance.gather(1, centre(layout)[:, None]).squeeze(1)  # (V,) hops to the centre
    nearer = graph * (away[:, None] < away[None, :])
    farther = graph * (away[:, None] > away[None, :])
    subsets = torch.stack((torch.eye(len(layout)), nearer, farther))  # on a tree no neighbour is as far
    return subsets / subsets.sum(dim=1, keepdim=True).clamp(min=1)


class ImportanceGraphConv(nn.Module):
    """y = sum_k (W_k x + b_k) (A_k * M_k), with M_k learned: (N, inputs, T, V) -> (N, outputs, T, V).

    Args:
        inputs, outputs: channels.
        subsets: (K, V, V) the A_k.
    """

    subsets: Tensor

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.register_buffer("subsets", subsets, persistent=False)  # follows from the layout
        self.importance = nn.Parameter(torch.ones_like(subsets))
        self.mix = nn.Conv2d(inputs, len(subsets) * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, v = x.shape
        z = self.mix(x).view(n, self.subsets.shape[0], -1, t, v)
        return torch.einsum("nkctv,kvw->nctw", z, self.subsets * self.importance)


class Unit(nn.Module):
    """Graph convolution, batch-norm, ReLU, convolution over frames, batch-norm, dropout, a residual, ReLU."""

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
        self.spatial = ImportanceGraphConv(inputs, outputs, subsets)
        self.norm = nn.BatchNorm2d(outputs)
        self.temporal = conv_norm(outputs, outputs, kernel, stride)
        self.dropout = nn.Dropout(dropout)
        self.residual = shortcut(inputs, outputs, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""
        y = self.dropout(self.temporal(F.relu(self.norm(self.spatial(x)))))
        return F.relu(y if self.residual is None else y + self.residual(x))


class STGCN(JointEncoder):
    """Spatial temporal graph convolutional encoder: joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each unit.
        strides: temporal stride of each unit.
        kernel: frames of the temporal convolution, odd.
        dropout: after each unit's temporal convolution; the paper has 0.5.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = TEN_WIDTHS,
        strides: Sequence[int] = TEN_STRIDES,
        kernel: int = 9,
        dropout: float = 0.5,
        mask_channel: bool = False,
    ) -> None:
        check_blocks(width, strides)
        check_kernel(kernel)
        check_dropout(dropout)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        unit = partial(Unit, subsets=spatial_partition(self.layout), kernel=kernel, dropout=dropout)
        self.blocks = stack(unit, self.channels, width, strides)

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean(dim=(2, 3))

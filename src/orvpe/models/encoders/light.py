"""Our light encoder: several times cheaper than AGCN, and faster to converge on small data.

What it does differently: a strided temporal stem, one learned V x V graph for each group of channels (started from
the skeleton, so no attention per sample), and multi-scale temporal branches behind one 1x1 convolution instead of a
9x1 convolution of full width.

Shapes: N clips with persons folded in, C channels, T frames, V joints, G channel groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from orvpe.errors import InputError
from orvpe.models.encoders.multi_scale import check_dilations
from orvpe.models.encoders.parts import JointEncoder, check_kernel, stack
from orvpe.poses.skeleton import Layout, unified


def graph_seeds(layout: Layout) -> Tensor:
    """(4, V, V) column-normalised: a joint itself, its parent, its children, its two-hop neighbours."""
    v = len(layout)
    eye, up = torch.eye(v), torch.zeros(v, v)
    for child, parent in layout.edges:
        up[parent, child] = 1.0  # x @ A: the child reads its parent
    one = up + up.T
    two = ((one @ one) > 0).float() * (1 - one) * (1 - eye)
    seeds = torch.stack((eye, up, up.T, two))
    return seeds / seeds.sum(dim=1, keepdim=True).clamp(min=1)


class GroupGraph(nn.Module):
    """Mix joints with a learned V x V matrix per group of channels: (N, C, T, V) -> the same.

    Args:
        start: (G, V, V) the first matrices; a little noise is added.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.adjacency = nn.Parameter(start + 0.01 * torch.randn_like(start))  # (G, V, V)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        groups = self.adjacency.shape[0]
        return (x.reshape(n, groups, -1, v) @ self.adjacency).view(n, c, t, v)


class MultiScaleTime(nn.Module):
    """Dilated convolutions, max pooling and identity over frames, each on a share of the channels."""

    def __init__(self, channels: int, stride: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        share = channels // (len(dilations) + 2)
        self.shares = [share] * (len(dilations) + 1) + [channels - share * (len(dilations) + 1)]
        self.stride = stride
        self.reduce = nn.Conv2d(channels, channels, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(channels)
        self.branches = nn.ModuleList(
            nn.Conv2d(share, share, (kernel, 1), (stride, 1), (kernel // 2 * d, 0), (d, 1), bias=False)
            for d in dilations
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        *convolved, highest, same = F.relu(self.reduce_norm(self.reduce(x))).split(self.shares, dim=1)
        parts = [branch(p) for branch, p in zip(self.branches, convolved, strict=True)]
        parts.append(F.max_pool2d(highest, (3, 1), (self.stride, 1), (1, 0)))
        parts.append(same[:, :, :: self.stride])
        return self.norm(torch.cat(parts, dim=1))  # (N, C, ceil(T / stride), V)

    def fold_norm(self) -> None:
        """Merge the first batch-norm, as in evaluation, into the convolution before it; for inference only."""
        self.reduce = fuse_conv_bn_eval(self.reduce, self.reduce_norm)
        self.reduce_norm = nn.Identity()  # type: ignore[assignment]


class Shortcut(nn.Module):
    """The residual path: every stride-th frame, through a 1x1 convolution where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.widen = (
            nn.Identity()
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.widen(x[:, :, :: self.stride] if self.stride > 1 else x)


class Block(nn.Module):
    """Joints, then time, each with a residual: (N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, start: Tensor, kernel: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.graph = GroupGraph(start)
        self.norm = nn.BatchNorm2d(outputs)
        self.across = Shortcut(inputs, outputs, 1)
        self.time = MultiScaleTime(outputs, stride, kernel, dilations)
        self.along = Shortcut(outputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.graph(self.mix(x))) + self.across(x))
        return F.relu(self.time(x) + self.along(x))


class LightEncoder(JointEncoder):
    """Joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each block, multiples of ``groups``.
        strides: temporal stride of each block.
        groups: channel groups with a graph of their own.
        stem_kernel: frames of the first convolution, odd.
        stem_stride: its stride; the whole encoder then works on T / stem_stride frames.
        kernel: frames of the temporal branches, odd.
        dilations: of the temporal branches, one branch each.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = (64, 64, 128, 128, 256, 256),
        strides: Sequence[int] = (1, 1, 2, 1, 2, 1),
        groups: int = 8,
        stem_kernel: int = 7,
        stem_stride: int = 2,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2),
        mask_channel: bool = False,
    ) -> None:
        if groups < 1 or not width or any(w < groups or w % groups for w in width):
            raise InputError(f"width is {tuple(width)}, expected multiples of groups ({groups})")
        if len(strides) != len(width) or any(s < 1 for s in (*strides, stem_stride)):
            raise InputError(f"strides is {tuple(strides)}, expected {len(width)} numbers above 0")
        check_kernel(kernel)
        check_kernel(stem_kernel, "stem_kernel")
        check_dilations(width, dilations)
        super().__init__(in_channels, layout, mask_channel, width[-1])

        seeds = graph_seeds(self.layout)
        start = seeds[torch.arange(groups) % len(seeds)]
        self.stem = nn.Conv2d(
            self.channels, width[0], (stem_kernel, 1), (stem_stride, 1), (stem_kernel // 2, 0), bias=False
        )
        self.stem_graph = GroupGraph(start)
        self.stem_norm = nn.BatchNorm2d(width[0])
        # a block of ours always has its residuals
        self.blocks = stack(lambda i, o, s, _: Block(i, o, s, start, kernel, dilations), width[0], width, strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._start_stem(seeds)

    @torch.no_grad()
    def _start_stem(self, seeds: Tensor) -> None:
        """Start the stem as filters of position and of change, on joints and on differences between joints.

        Random taps answer almost only to the mean position, which dwarfs every movement.  So every second channel
        starts with taps that sum to zero, and the groups start as a joint itself, minus its parent, minus the body's
        mean, minus its two-hop mean.  The batch-norm that follows brings all to one scale; all of it is trained.
        """
        weight = self.stem.weight  # (width, C, K, 1)
        weight[0::2] = weight[0::2].mean(dim=2, keepdim=True).expand_as(weight[0::2])
        weight[1::2] -= weight[1::2].mean(dim=2, keepdim=True)
        eye, v = seeds[0], seeds.shape[1]
        bank = torch.stack((eye, eye - seeds[1], eye - 1.0 / v, eye - seeds[3]))
        adjacency = self.stem_graph.adjacency
        start = bank[torch.arange(len(adjacency)) % len(bank)]
        adjacency.copy_(start + 0.01 * torch.randn_like(adjacency))

    def encode(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem_graph(self.stem(x.contiguous()))))
        return self.blocks(x).mean(dim=(2, 3))

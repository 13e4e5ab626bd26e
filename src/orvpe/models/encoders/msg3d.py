"""MS-G3D: Liu et al., *Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition*, CVPR 2020.

A block has two pathways whose results are added.  One is factorised: a multi-scale graph convolution whose scale k
joins exactly the joints that are k bones apart, then time at several scales.  The other is unified (G3D): within a
sliding window of frames every joint is joined to itself and its neighbours in all frames, so that features cross space
and time in one step.  To every graph a learned one is added that starts near zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.encoders.hops import bones, hops, k_adjacency, window_graph
from orvpe.models.encoders.multi_scale import TemporalBranches, check_dilations
from orvpe.models.encoders.parts import JointEncoder, check_blocks, check_count, check_kernel, conv_norm, shortcut
from orvpe.poses.skeleton import Layout, unified


class MultiScaleGraphConv(nn.Module):
    """ReLU(BN(sum_k W_k x (A_k + B_k))), A_k a k-adjacency and B_k learned: (N, inputs, T, V) -> (N, outputs, T, V).

    Args:
        inputs, outputs: channels.
        graphs: (S, V, V) the A_k, symmetric.
    """

    graphs: Tensor

    def __init__(self, inputs: int, outputs: int, graphs: Tensor) -> None:
        super().__init__()
        self.register_buffer("graphs", graphs, persistent=False)  # follows from the layout
        self.learned = nn.Parameter(torch.empty_like(graphs).uniform_(-1e-6, 1e-6))
        self.mix = conv_norm(len(graphs) * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        graph = (self.graphs + self.learned).permute(2, 0, 1).flatten(1)  # (V, S V): [j, k V + i] carries j into i
        gathered = (x @ graph).view(n, c, t, -1, v).permute(0, 3, 1, 2, 4)  # (N, S, C, T, V)
        return F.relu(self.mix(gathered.flatten(1, 2)))


class WindowGraphConv(nn.Module):
    """MS-G3D: a multi-scale graph convolution over windows of frames; each window becomes one frame.

    Args:
        inputs, inner, outputs: channels before, in and after the window.
        graph: (V, V) the bones.
        scales: k from 0 to scales - 1.
        window: frames, odd.
        stride: frames from one window to the next.
    """

    def __init__(
        self, inputs: int, inner: int, outputs: int, graph: Tensor, scales: int, window: int, stride: int
    ) -> None:
        super().__init__()
        self.window, self.stride = window, stride
        graphs = k_adjacency(hops(window_graph(graph, window)), range(scales))
        self.graph = MultiScaleGraphConv(inputs, inner, graphs)
        self.collapse = conv_norm(inner * window, outputs)  # a convolution over all frames of the window

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""
        v, length = x.shape[3], x.shape[2]
        padded = F.pad(x, (0, 0, self.window // 2, self.window // 2))
        frames = [padded[:, :, w : w + length : self.stride] for w in range(self.window)]
        y = self.graph(torch.cat(frames, dim=3))  # (N, inner, T', window V)
        y = torch.cat(y.split(v, dim=3), dim=1)  # (N, window inner, T', V)
        return self.collapse(y)


class MultiScaleTime(nn.Module):
    """Temporal branches with a residual, then ReLU unless ``last``."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, kernel: int, dilations: Sequence[int], last: bool = False
    ) -> None:
        super().__init__()
        self.branches = TemporalBranches(inputs, outputs, stride, kernel, dilations)
        self.residual = shortcut(inputs, outputs, stride)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""
        y = self.branches(x) + self.residual(x)
        return y if self.last else F.relu(y)


class Block(nn.Module):
    """Both pathways (STGC block), then multi-scale temporal branches."""

    def __init__(self, factorised: nn.Module, windows: Sequence[nn.Module], temporal: nn.Module) -> None:
        super().__init__()
        self.factorised, self.windows, self.temporal = factorised, nn.ModuleList(windows), temporal

    def forward(self, x: Tensor) -> Tensor:
        y = self.factorised(x)
        for window in self.windows:
            y = y + window(x)
        return self.temporal(F.relu(y))


class MSG3D(JointEncoder):
    """Multi-scale encoder with unified space-time graphs: joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.
        width: output channels of each block.
        strides: temporal stride of each block.
        scales: graphs of the factorised pathway, for 0 to scales - 1 bones.
        windows: frames of each window of the unified pathway, odd.
        window_scales: graphs of a window.
        kernel: frames of the temporal convolutions, odd.
        dilations: of the temporal convolutions, one branch each.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = (96, 192, 384),
        strides: Sequence[int] = (1, 2, 2),
        scales: int = 13,
        windows: Sequence[int] = (3, 5),
        window_scales: int = 6,
        kernel: int = 3,
        dilations: Sequence[int] = (1, 2, 3, 4),
        mask_channel: bool = False,
    ) -> None:
        check_blocks(width, strides)
        check_count("scales", scales)
        check_count("window_scales", window_scales)
        if any(w < 1 or w % 2 == 0 for w in windows):
            raise InputError(f"windows is {tuple(windows)}, expected odd numbers of frames")
        check_kernel(kernel)
        check_dilations(width, dilations)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        graph = bones(self.layout)
        graphs = k_adjacency(hops(graph), range(scales))
        blocks, inputs = [], self.channels
        for i, (w, s) in enumerate(zip(width, strides, strict=True)):
            inner = inputs if i else w  # coordinates are widened at once, features where time is treated
            factorised = nn.Sequential(
                MultiScaleGraphConv(inputs, inner, graphs),
                MultiScaleTime(inner, w, s, kernel, dilations),
                MultiScaleTime(w, w, 1, kernel, dilations, last=True),
            )
            unified_paths = [WindowGraphConv(inputs, inner, w, graph, window_scales, size, s) for size in windows]
            blocks.append(Block(factorised, unified_paths, MultiScaleTime(w, w, 1, kernel, dilations)))
            inputs = w
        self.blocks = nn.Sequential(*blocks)

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x).mean(dim=(2, 3))

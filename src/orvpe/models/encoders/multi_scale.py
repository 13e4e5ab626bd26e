"""Multi-scale temporal convolution of MS-G3D and CTR-GCN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.encoders.parts import norm_after


def check_dilations(width: Sequence[int], dilations: Sequence[int]) -> None:
    """Raise InputError unless dilations are above 0 and every branch has at least one channel."""
    if not dilations or min(dilations) < 1 or min(width) < len(dilations) + 2:
        raise InputError(f"dilations is {tuple(dilations)}, expected numbers above 0, fewer than channels")


class TemporalBranches(nn.Module):
    """Branches of equal width: a convolution for each dilation, max pooling, identity.

    Each begins with a 1x1 convolution; those of the branches that go on are one convolution here.  Where the width
    is no multiple of their number, the last branch has the rest.

    Args:
        inputs, outputs: channels.
        stride: of the frames.
        kernel: frames of the dilated convolutions, odd.
        dilations: one branch each.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        share = outputs // (len(dilations) + 2)
        rest = outputs - share * (len(dilations) + 1)
        self.share, self.stride = share, stride
        self.reduce = norm_after(nn.Conv2d(inputs, share * (len(dilations) + 1), 1))
        self.branches = nn.ModuleList(
            norm_after(nn.Conv2d(share, share, (kernel, 1), (stride, 1), (kernel // 2 * d, 0), (d, 1)))
            for d in dilations
        )
        self.highest_norm = nn.BatchNorm2d(share)
        self.same = norm_after(nn.Conv2d(inputs, rest, 1, (stride, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, T, V) -> (N, outputs, ceil(T / stride), V)."""
        *convolved, highest = F.relu(self.reduce(x)).split(self.share, dim=1)
        parts = [branch(p) for branch, p in zip(self.branches, convolved, strict=True)]
        parts.append(self.highest_norm(F.max_pool2d(highest, (3, 1), (self.stride, 1), (1, 0))))
        parts.append(self.same(x))
        return torch.cat(parts, dim=1)

"""UNIK: Yang et al., *UNIK: A Unified Framework for Real-world Skeleton-based Action Recognition*, BMVC 2021.

No skeleton: every head i of a spatial layer (S-LSU) has a dependency matrix W_i of all joints on all joints, which
starts uniform in +-1/sqrt(V), as a fully connected layer would, and is learned; a self-attention A_i of the sample is
added to it.  y = ReLU(BN(sum_i E_i (x (W_i + A_i))) + residual), then a convolution over frames (T-LSU).

The paper's temporal windows have size 1 in its experiments, which is what this is.  It takes three heads at 17 joints;
four on NTU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
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
from orvpe.poses.skeleton import Layout, unified


class DependencyConv(GraphConv):
    """S-LSU: a graph convolution without a skeleton; its ``learned`` matrices start at random.

    Args:
        inputs, outputs: channels; outputs is a multiple of 4, the attention works on outputs / 4.
        joints: V.
        heads: number of dependency matrices.
    """

    def __init__(self, inputs: int, outputs: int, joints: int, heads: int) -> None:
        super().__init__(inputs, outputs, torch.zeros(heads, joints, joints))
        bound = 1.0 / math.sqrt(joints)  # sqrt(6 / ((1 + a^2) V)) with a = sqrt(5)
        nn.init.uniform_(self.learned, -bound, bound)


class UNIK(JointEncoder):
    """Topology-free encoder: joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.  Only the number of joints matters.
        width: output channels of each block, multiples of 4.
        strides: temporal stride of each block.
        heads: dependency matrices a layer.
        kernel: frames of the temporal convolution, odd.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        width: Sequence[int] = TEN_WIDTHS,
        strides: Sequence[int] = TEN_STRIDES,
        heads: int = 3,
        kernel: int = 9,
        mask_channel: bool = False,
    ) -> None:
        check_blocks(width, strides, multiple=4)
        check_count("heads", heads)
        check_kernel(kernel)
        super().__init__(in_channels, layout, mask_channel, width[-1])
        joints = len(self.layout)
        self.blocks = stack_blocks(
            lambda inputs, outputs: DependencyConv(inputs, outputs, joints, heads),
            lambda outputs, stride: conv_norm(outputs, outputs, kernel, stride),
            self.channels, width, strides,
        )  # fmt: skip

    def encode(self, x: Tensor) -> Tensor:
        return self.blocks(x.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

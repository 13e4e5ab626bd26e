"""Building blocks shared by the encoders: checked and normalised input, blocks, checks of arguments.

Shapes: N clips with persons folded in, C channels, T frames, V joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.encoders.temporal_conv import TemporalConv
from orvpe.poses.skeleton import Layout, layout_from_dict

TEN_WIDTHS = (64,) * 4 + (128,) * 3 + (256,) * 3  # of ST-GCN, and of all that took its ten blocks over
TEN_STRIDES = (1, 1, 1, 1, 2, 1, 1, 2, 1, 1)
_NEVER_SEEN = 1e-6  # running variance: of bodies about one long, a joint that ever moved has far more


class JointEncoder(nn.Module):
    """Joints of one person over time -> a feature, by the ``encode`` of a subclass.

    The V x C series of a person are batch-normalised, the same for every person.  A joint that training never
    showed, such as the nose for a Kinect, has no variance, so that in data which has it it would be hundreds of times
    louder than all others: outside training it is hidden as well.

    Args:
        in_channels: coordinates per joint, 2 or 3.
        layout: the joints; a `Layout` or its `to_dict()`.
        mask_channel: give the visibility mask as one more input channel (not in the paper).
        feature_dim: width of the feature.

    Attributes:
        feature_dim, in_channels, layout: as given.

    Raises:
        InputError: a value out of its range.
    """

    def __init__(
        self, in_channels: int, layout: Layout | Mapping[str, Any], mask_channel: bool, feature_dim: int
    ) -> None:
        super().__init__()
        if in_channels < 1:
            raise InputError(f"in_channels is {in_channels}, expected at least 1")
        self.layout = layout if isinstance(layout, Layout) else layout_from_dict(layout)
        self.in_channels, self.mask_channel = in_channels, mask_channel
        self.channels = in_channels + mask_channel
        self.feature_dim = feature_dim
        self.input_norm = nn.BatchNorm1d(len(self.layout) * self.channels)

    def encode(self, x: Tensor) -> Tensor:
        """(N, C, T, V) normalised -> (N, feature_dim)."""
        raise NotImplementedError

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """Features of a batch.

        Args:
            x: (N, C, T, V) normalised joints or another stream; a hidden joint is 0.
            visible: (N, T, V) bool; read only with ``mask_channel``, where None means all visible.

        Returns:
            (N, feature_dim).

        Raises:
            InputError: x has other channels or joints than the encoder.
        """
        n, c, t, v = x.shape
        if c != self.in_channels or v != len(self.layout):
            raise InputError(
                f"x has {c} channels and {v} joints, expected {self.in_channels} and {len(self.layout)}"
                f" (layout {self.layout.name!r}), as the encoder was built"
            )
        if self.mask_channel:
            seen = torch.ones_like(x[:, :1]) if visible is None else visible[:, None].to(x.dtype)
            x = torch.cat((x, seen), dim=1)
        x = x.permute(0, 3, 1, 2).reshape(n, v * self.channels, t)
        if not self.training:
            x = x * self._known()
        x = self.input_norm(x)
        return self.encode(x.view(n, v, self.channels, t).permute(0, 2, 3, 1))

    def _known(self) -> Tensor:
        """Mask of the joints seen in training, (V C, 1): 1 for those, 0 for the others."""
        assert self.input_norm.running_var is not None
        ever = (self.input_norm.running_var > _NEVER_SEEN).view(-1, self.channels)
        return ever.any(dim=1, keepdim=True).expand_as(ever).reshape(-1, 1).to(self.input_norm.running_var.dtype)


class Block(nn.Module):
    """Joints, then time, then a residual over both: y = ReLU(temporal(spatial(x)) + residual(x)).

    Args:
        spatial: (N, inputs, T, V) -> (N, outputs, T, V).
        temporal: (N, outputs, T, V) -> (N, outputs, ceil(T / stride), V).
        residual: (N, inputs, T, V) -> (N, outputs, ceil(T / stride), V), None for no residual.
    """

    def __init__(self, spatial: nn.Module, temporal: nn.Module, residual: nn.Module | None) -> None:
        super().__init__()
        self.spatial, self.temporal, self.residual = spatial, temporal, residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.temporal(self.spatial(x))
        return F.relu(y if self.residual is None else y + self.residual(x))


def conv_norm(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution over ``kernel`` frames and its batch-norm."""
    return norm_after(TemporalConv(inputs, outputs, kernel, stride))


def norm_after(conv: nn.Conv2d) -> nn.Sequential:
    """A convolution, its weights initialised again, and its batch-norm."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


def shortcut(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """The residual path: the input itself, or a strided 1x1 convolution where width or length change."""
    return nn.Identity() if inputs == outputs and stride == 1 else conv_norm(inputs, outputs, 1, stride)


def stack(
    block: Callable[[int, int, int, bool], nn.Module], inputs: int, width: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """A sequence of blocks, built in order.

    Args:
        block: (inputs, outputs, stride, residual) -> a block; the first one has no residual.
        inputs: channels that the first block takes.
        width: output channels of each block.
        strides: temporal stride of each block.
    """
    channels = (inputs, *width)
    return nn.Sequential(*(block(channels[i], channels[i + 1], s, i > 0) for i, s in enumerate(strides)))


def stack_blocks(
    spatial: Callable[[int, int], nn.Module],
    temporal: Callable[[int, int], nn.Module],
    inputs: int,
    width: Sequence[int],
    strides: Sequence[int],
) -> nn.Sequential:
    """A `stack` of `Block`.

    Args:
        spatial: (inputs, outputs) -> what treats the joints.
        temporal: (outputs, stride) -> what treats the frames.
        inputs, width, strides: as `stack`.
    """

    def block(inputs: int, outputs: int, stride: int, residual: bool) -> Block:
        return Block(
            spatial(inputs, outputs),
            temporal(outputs, stride),
            shortcut(inputs, outputs, stride) if residual else None,
        )

    return stack(block, inputs, width, strides)


def check_blocks(width: Sequence[int], strides: Sequence[int], multiple: int = 1) -> None:
    """Raise InputError unless every block has a width, a multiple of ``multiple``, and a stride."""
    if not width or any(w < multiple or w % multiple for w in width):
        raise InputError(f"width is {tuple(width)}, expected one multiple of {multiple} a block")
    if len(strides) != len(width) or any(s < 1 for s in strides):
        raise InputError(f"strides is {tuple(strides)}, expected {len(width)} numbers above 0")


def check_kernel(kernel: int, name: str = "kernel") -> None:
    """Raise InputError unless a kernel is an odd number of frames."""
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"{name} is {kernel}, expected an odd number of frames")


def check_count(name: str, value: int) -> None:
    """Raise InputError unless a number is above 0."""
    if value < 1:
        raise InputError(f"{name} is {value}, expected at least 1")


def check_dropout(dropout: float) -> None:
    """Raise InputError unless dropout is a probability below 1."""
    if not 0.0 <= dropout < 1.0:
        raise InputError(f"dropout is {dropout}, expected 0 <= dropout < 1")

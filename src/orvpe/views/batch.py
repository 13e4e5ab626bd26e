"""Batches: clips of different lengths padded to one dense tensor on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, with_derived


@dataclass(frozen=True)
class Batch:
    """Raw clips, padded to the longest and to the most people among them.

    Args:
        joints: (N, M, T, V, C) float32, metres (C = 3) or pixels (C = 2); zero wherever ``visible`` is False.
        visible: (N, M, T, V) bool; False in the padding too.
        frames: (N,) int64, true length of each clip.
        image_size: (N, 2) float32 width and height in pixels; 0 where unknown or 3D.
        layout: the joints.
        index: (N,) int64, position of each clip in its store.
    """

    joints: Tensor
    visible: Tensor
    frames: Tensor
    image_size: Tensor
    layout: Layout
    index: Tensor

    def __len__(self) -> int:
        return self.joints.shape[0]

    @property
    def clips(self) -> int:
        """N, like ``len``, which however makes a plain number; in an exported graph N must stay symbolic."""
        return self.joints.shape[0]

    @property
    def dims(self) -> int:
        """C, 2 or 3 coordinates."""
        return self.joints.shape[-1]

    def with_joints(self, joints: Tensor, visible: Tensor | None = None, **changes: Any) -> Batch:
        """The batch with other coordinates, zero wherever hidden.

        Args:
            joints: (N, M, T, V, C), anything where hidden.
            visible: (N, M, T, V) bool, None for the same as before.
            changes: of the other fields.
        """
        visible = self.visible if visible is None else visible
        return replace(self, joints=hide(joints, visible), visible=visible, **changes)

    def with_(self, **changes: Any) -> Batch:
        """The batch with other fields; joints are taken as they are, so they must be zero wherever hidden."""
        return replace(self, **changes)


def hide(joints: Tensor, visible: Tensor) -> Tensor:
    """Set every coordinate of a hidden joint to zero.  The only place where "missing" becomes a number.

    Args:
        joints: (..., V, C).
        visible: (..., V) bool.
    """
    return torch.where(visible.unsqueeze(-1), joints, joints.new_zeros(()))


def collate(clips: list[Clip], device: torch.device | str = "cpu") -> Batch:
    """Make a batch of clips in memory.

    Raises:
        InputError: no clip, or clips that differ in layout or dimension.
    """
    if not clips:
        raise InputError("no clip given, expected at least one")
    layout, dims = clips[0].layout, clips[0].dims
    for clip in clips:
        if clip.layout.joints != layout.joints or clip.dims != dims:
            raise InputError(
                f"clip {clip.name!r} is {clip.dims}D on layout {clip.layout.name!r}, "
                f"the ones before it are {dims}D on {layout.name!r}"
            )
    people, frames = max(c.people for c in clips), max(c.frames for c in clips)
    joints = np.zeros((len(clips), people, frames, len(layout), dims), dtype=np.float32)
    visible = np.zeros(joints.shape[:-1], dtype=bool)
    for n, clip in enumerate(clips):
        joints[n, : clip.people, : clip.frames] = np.where(clip.visible[..., None], clip.joints, 0)
        visible[n, : clip.people, : clip.frames] = clip.visible
    size = [clip.image_size or (0, 0) for clip in clips]
    return Batch(
        torch.from_numpy(joints).to(device),
        torch.from_numpy(visible).to(device),
        torch.tensor([c.frames for c in clips], device=device),
        torch.tensor(size, dtype=torch.float32, device=device),
        with_derived(layout, *(c.layout for c in clips if c.layout.derived)),
        torch.arange(len(clips), device=device),
    )


def batches(indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Split ``indices`` into runs of ``size``; the last one may be shorter.

    Raises:
        InputError: a size below 1.
    """
    if size < 1:
        raise InputError(f"batch_size is {size}, expected at least 1")
    for first in range(0, len(indices), size):
        yield indices[first : first + size]

"""Batches cut from a store: ragged clips in, one dense padded batch on the device out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from orvpe.data.store import Store
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
        """N, as ``len`` gives it; but ``len`` makes a plain number, and in an exported graph N is none."""
        return self.joints.shape[0]

    @property
    def dims(self) -> int:
        return self.joints.shape[-1]

    def with_(self, **changes: Any) -> Batch:
        return replace(self, **changes)


def hide(joints: Tensor, visible: Tensor) -> Tensor:
    """Zero every coordinate under a hidden joint.  The one place where "missing" becomes a number.

    Args:
        joints: (..., V, C).
        visible: (..., V) bool.
    """
    return torch.where(visible.unsqueeze(-1), joints, joints.new_zeros(()))


_SHARE_OF_GPU = 0.5  # of the free memory that clips may take; the rest is for the training


class ResidentStore:
    """A store near its device: batches without padding on disk, without a copy of what no batch asks for.

    On a GPU the values live there as int16, so that cutting a batch is one gather (NTU-120 at 17 joints takes under
    2 GB).  A store too large for that, and any store on the CPU, stays in its memory-mapped file: a batch reads
    the pages of its own clips, and moves to the device as int16.

    Args:
        store: opened.
        device: where batches are wanted.
        resident: whether the values live on the device; None decides by the device's free memory.
    """

    def __init__(self, store: Store, device: torch.device | str = "cpu", resident: bool | None = None) -> None:
        self.store, self.device = store, torch.device(device)
        self._frames, self._people = store.frames.astype(np.int64), store.people.astype(np.int64)
        self.frames = _tensor(self._frames).to(self.device)
        self.people = _tensor(self._people).to(self.device)
        self.step = _tensor(store.step.astype(np.float32)).to(self.device)
        self.origin = _tensor(store.origin.astype(np.float32)).to(self.device)
        size = np.stack([store.width, store.height], axis=1).astype(np.float32)
        self.image_size = _tensor(size).to(self.device)
        if resident is None:
            resident = self.device.type != "cpu" and _fits(self.device, store.value_bytes)
        self.values: Tensor | None = None
        if resident:
            values, start = store.flat()
            self.values = _tensor(values).to(self.device)  # (F, V, C) int16
            self.start = _tensor(start.astype(np.int64)).to(self.device)

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, indices: np.ndarray) -> Batch:
        """The clips at ``indices`` (N,) as a `Batch`."""
        indices = np.asarray(indices, dtype=np.int64)
        # the padded size comes from the host's copy, so nothing waits for the device
        frames, people = int(self._frames[indices].max()), int(self._people[indices].max())
        n = moved(torch.from_numpy(indices), self.device)
        if self.values is None:
            quantised = moved(self._cut(indices, people, frames), self.device)
        else:
            quantised = self._gather(self.values, n, people, frames)  # (N, M, T, V, C)
        visible = quantised[..., 0] != MISSING
        joints = quantised.float() * self.step[n][:, None, None, None, None]
        joints += self.origin[n][:, None, None, None, : joints.shape[-1]]
        return Batch(hide(joints, visible), visible, self.frames[n], self.image_size[n], self.store.layout, n)

    def _gather(self, values: Tensor, n: Tensor, people: int, frames: int) -> Tensor:
        """Clips n (N,) from the values on the device; (N, M, T, V, C), missing in the padding."""
        length = self.frames[n]
        t = torch.arange(frames, device=self.device)
        m = torch.arange(people, device=self.device)
        inside = (t < length[:, None])[:, None] & (m < self.people[n][:, None])[..., None]  # (N, M, T)
        row = self.start[n][:, None, None] + m[:, None] * length[:, None, None] + t  # (N, M, T)
        found = values[torch.where(inside, row, self.start[n][:, None, None])]
        return torch.where(inside[..., None, None], found, MISSING)

    def _cut(self, indices: np.ndarray, people: int, frames: int) -> Tensor:
        """The same from the file: a copy of contiguous rows for each clip."""
        shape = (len(indices), people, frames, len(self.store.layout), self.store.dims)
        cut = np.full(shape, MISSING, dtype=np.int16)
        for target, i in zip(cut, indices, strict=True):
            target[: self._people[i], : self._frames[i]] = self.store.quantised(int(i))
        return torch.from_numpy(cut)


def _fits(device: torch.device, size: int) -> bool:
    if device.type != "cuda":
        return True  # Apple's GPUs share the machine's memory
    return size <= _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device; to a GPU by way of pinned memory, so that the host need not wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


MISSING = -32768  # the store's mark of a missing joint


def _tensor(array: np.ndarray) -> Tensor:
    """Zero-copy where numpy allows; a memory-mapped store is read-only, which torch merely warns about."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(np.ascontiguousarray(array))


def collate(clips: list[Clip], device: torch.device | str = "cpu") -> Batch:
    """A batch from clips in memory.

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

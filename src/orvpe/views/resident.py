"""A store on the device, from which batches are cut."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orvpe.data.store import Store
from orvpe.views.batch import Batch, hide

_SHARE_OF_GPU = 0.5  # of the free memory that clips may take; the rest is for the training


MISSING = -32768  # the store's mark of a missing joint


class ResidentStore:
    """A store next to its device: only the clips of a batch are copied and padded.

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
        """Gather clips n (N,) from the values on the device: (N, M, T, V, C), missing in the padding."""
        length = self.frames[n]
        t = torch.arange(frames, device=self.device)
        m = torch.arange(people, device=self.device)
        inside = (t < length[:, None])[:, None] & (m < self.people[n][:, None])[..., None]  # (N, M, T)
        row = self.start[n][:, None, None] + m[:, None] * length[:, None, None] + t  # (N, M, T)
        found = values[torch.where(inside, row, self.start[n][:, None, None])]
        return torch.where(inside[..., None, None], found, MISSING)

    def _cut(self, indices: np.ndarray, people: int, frames: int) -> Tensor:
        """As `_gather`, from the file: a copy of contiguous rows for each clip."""
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
    """Copy a tensor to the device; to a GPU through pinned memory, so that the host need not wait."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def _tensor(array: np.ndarray) -> Tensor:
    """Wrap an array without a copy if possible; for a read-only (memory-mapped) one torch only warns."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(np.ascontiguousarray(array))

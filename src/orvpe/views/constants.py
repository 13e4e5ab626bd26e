"""Small constant tensors, kept once per GPU, since each copy from the host would wait for it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Nested = tuple[float | bool | int | tuple[Any, ...], ...]


def constant(values: Nested, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """``values`` as a tensor on ``device``; not to be changed in place.

    On a CPU it is made each time, which costs little, and lets a graph be traced with stand-ins for tensors.
    """
    if device.type == "cuda":
        return _kept(values, device, dtype)
    return torch.tensor(values, device=device, dtype=dtype)


@lru_cache(maxsize=512)
def _kept(values: Nested, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    return torch.tensor(values, dtype=dtype).to(device)

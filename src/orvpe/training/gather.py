"""Collect tensors of equal shape from all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def from_all(tensor: Tensor) -> list[Tensor]:
    """This tensor of every process, in rank order; one process gets its own back."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [tensor]
    every = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(every, tensor.contiguous())
    return every

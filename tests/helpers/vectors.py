"""Random vectors for the tests of what compares them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def units(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator(seed), dtype=dtype), dim=-1)

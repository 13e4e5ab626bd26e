"""Another processor's rounding, on this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_FUNCTIONS = {"log1p", "log", "cos", "sin", "exp", "sigmoid", "tanh", "pow", "atan2", "silu", "gelu", "softplus", "erf"}
_LANES = 16  # float32 numbers of an AVX-512 register


class TailRoundsUp(TorchDispatchMode):
    """Round the transcendental functions of a tensor's last few numbers one float32 step up.

    Vector instructions take most of a tensor, other code takes what does not fill a register, and on some processors
    the two differ in the last bit.  Equal tensors still give equal results, so only what is compared across shapes
    (batch sizes, numbers of processes) sees a difference.
    """

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::").removesuffix("_")  # type: ignore[attr-defined]
        if name in _FUNCTIONS and isinstance(out, Tensor) and out.dtype == torch.float32:
            tail = torch.arange(out.numel()).view(out.shape) >= out.numel() - out.numel() % _LANES
            out.copy_(torch.where(tail, torch.nextafter(out, torch.full_like(out, torch.inf)), out))
        return out


def same_to_rounding(a: Tensor, b: Tensor, steps: int = 64) -> bool:
    """Equal but for float32 rounding: within some ``steps`` of the largest number's precision."""
    size = max(1.0, float(b.abs().max()) if b.numel() else 0.0)
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=steps * 2**-24 * size)

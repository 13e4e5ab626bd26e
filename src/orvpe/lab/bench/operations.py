"""Operations of a computation by kind, with FLOPs (torch's formulas) and bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

KINDS = (
    "temporal convolution",
    "1x1 convolution",
    "graph products",
    "batch-norm",
    "elementwise",
    "copies",
    "update",
    "other",
)
_CONVOLUTIONS = ("convolution", "convolution_backward", "_convolution", "mkldnn_convolution", "cudnn_convolution")
_PRODUCTS = ("bmm", "baddbmm", "mm", "addmm", "matmul", "_softmax", "_softmax_backward_data")
_COPIES = (
    "clone", "copy_", "_to_copy", "cat", "stack", "index_select", "select_backward", "slice_backward",
    "constant_pad_nd", "zero_", "fill_", "zeros_like", "zeros", "new_zeros", "_reshape_copy",
)  # fmt: skip


def flops(call: Callable[[], object]) -> int:
    """Floating point operations of a call, backward included if it does one: products and convolutions, twice a MAC.

    Counted by torch's own formulas on the shapes that really occur; elementwise work is not counted.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@dataclass
class Work:
    """Of one kind of operation: how often, FLOPs, and bytes of inputs read once and outputs written once."""

    calls: int = 0
    flops: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.calls + other.calls, self.flops + other.flops, self.bytes + other.bytes)

    @property
    def intensity(self) -> float:
        """FLOPs a byte."""
        return self.flops / self.bytes if self.bytes else 0.0


def kind_of(name: str, args: tuple[Any, ...]) -> str:
    """The kind of an operation of torch's core, by its name and, for a convolution, its kernel."""
    if name in _CONVOLUTIONS:
        weight = args[2] if name == "convolution_backward" else args[1]
        return "1x1 convolution" if max(weight.shape[2:]) == 1 else "temporal convolution"
    if name in _PRODUCTS:
        return "graph products"
    if "batch_norm" in name:
        return "batch-norm"
    if name.startswith(("_foreach", "_fused")):
        return "update"
    return "copies" if name in _COPIES else "elementwise"


class Operations(TorchDispatchMode):
    """Sorts every operation inside it by kind; views, which move nothing, are left out.

    Args:
        scope: a context around each operation, given its kind; a profiler's label, say.
        kind: of everything, where it is known.
    """

    def __init__(
        self, scope: Callable[[str], AbstractContextManager[Any]] | None = None, kind: str | None = None
    ) -> None:
        super().__init__()
        self.kind = kind
        self.scope = scope or (lambda kind: nullcontext())
        self.work: dict[str, Work] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        if func.is_view or name in ("detach", "empty", "empty_like", "new_empty", "empty_strided", "_unsafe_view"):
            return func(*args, **kwargs)
        kind = self.kind or kind_of(name, args)
        with self.scope(kind):
            out = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        count = formula(*args, **kwargs, out_val=out) if formula else 0
        touched = {(t.data_ptr(), t.numel()): t.numel() * t.element_size() for t in _tensors((args, kwargs))}
        written = sum(t.numel() * t.element_size() for t in _tensors(out))
        self.work[kind] = self.work.get(kind, Work()) + Work(1, float(count), float(sum(touched.values()) + written))
        return out


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return _tensors(list(value.values()))
    return [t for v in value for t in _tensors(v)] if isinstance(value, (list, tuple)) else []


def memory_format_kept(x: Tensor) -> Tensor:
    """A copy with the strides of ``x``, as an input of its own."""
    return torch.empty_like(x, memory_format=torch.preserve_format).copy_(x)

"""Unpickling that can only build plain containers, numbers, text and numpy arrays.

A pickle is a program: whatever it names is called.  Here every name resolves to a function of this module or
to one of a few harmless constructors; all else is refused.  Even numpy's own helpers are stood in for, since
a crafted dtype or array state can make numpy read outside its memory.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from orvpe.data.formats.pickle_budget import check_cost, check_expanded
from orvpe.errors import InputError

_PLAIN_DTYPE = re.compile(r"[|<>=]?(\?|O8?|[biufcSU]\d{0,9}|bool|object|(u?int|float|complex)\d{1,3})\Z")


class _DType:
    """Stands in for numpy.dtype while unpickling: plain kinds only, no fields, no subarrays."""

    def __init__(self, spec: str = "", align: bool = False, copy: bool = False) -> None:
        if not isinstance(spec, str) or not _PLAIN_DTYPE.match(spec):
            raise InputError(f"refused: dtype {str(spec)[:40]!r}, expected plain numbers or text")
        self.plain = np.dtype(spec)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *structure = state[1:5]
        if any(part is not None for part in structure) or order not in ("<", ">", "|", "="):
            raise InputError("refused: a structured dtype, expected plain numbers or text")
        self.plain = self.plain.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose pickled state is checked before numpy sees it."""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        plain = _plain(dtype)
        count = math.prod(_shape(shape))
        if plain.hasobject:
            if not isinstance(raw, list) or len(raw) != count:
                raise InputError(f"refused: an array of {count} objects with other content")
        else:
            raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
            if len(raw) != count * plain.itemsize:
                raise InputError(f"an array of shape {shape} has {len(raw)} bytes, not {count * plain.itemsize}")
        checked: Any = (1, tuple(shape), plain, bool(fortran), raw)
        super().__setstate__(checked)


def _plain(dtype: Any) -> np.dtype:
    if not isinstance(dtype, _DType):
        raise InputError(f"refused: {type(dtype).__name__} as a dtype")
    return dtype.plain


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
        raise InputError(f"refused: array shape {str(shape)[:40]}")
    return shape


def _reconstruct(*_: Any) -> _Array:
    return np.empty(0, dtype="b").view(_Array)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    plain = _plain(dtype)
    if plain.hasobject:
        return raw
    raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    return np.frombuffer(raw, dtype=plain, count=1)[0]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: str, *_: Any) -> np.ndarray:
    plain = _plain(dtype)
    if plain.hasobject:
        raise InputError("refused: an array of objects read from bytes")
    array = np.frombuffer(raw, dtype=plain).reshape(_shape(shape), order="F" if order == "F" else "C")
    return array.view(_Array)


def _encode(text: Any, encoding: str = "latin1") -> bytes:
    """How protocols 0 to 2 write bytes; no codec but latin1 is looked up."""
    if encoding.lower().replace("-", "") not in ("latin1", "iso88591") or not isinstance(text, str):
        raise InputError(f"refused: codec {encoding[:40]!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """How protocols 0 to 2 write b"" (with an argument, bytes() could be made to fill the memory)."""
    return b""


class _NdArray:
    """What the name numpy.ndarray resolves to: an argument of the functions above, never to be called."""

    def __new__(cls, *_: Any) -> _NdArray:
        raise InputError("refused: a call of numpy.ndarray")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _NdArray,
    ("numpy", "dtype"): _DType,
}
for _core in ("numpy.core", "numpy._core"):  # before and since numpy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer
for _builtins in ("builtins", "__builtin__"):  # Python 3 and 2
    _ALLOWED[_builtins, "bytes"] = _empty_bytes
    for _type in (set, frozenset, complex):
        _ALLOWED[_builtins, _type.__name__] = _type


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = _ALLOWED.get((module, name))
        if allowed is None:
            raise InputError(f"refused: the pickle asks for {module}.{name}, only plain data is read")
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        raise InputError("refused: the pickle refers to something outside the file")


def load(data: bytes, where: str) -> Any:
    """The plain data in a pickle.

    Args:
        data: the pickle's bytes, any protocol, written by Python 2 or 3.
        where: names the file in messages.

    Returns:
        Containers, numbers, text, and numpy arrays (of a subclass of ``ndarray`` without further behaviour).

    Raises:
        InputError: it asks for anything but plain data ("refused: ..."), is truncated or is no pickle.
    """
    try:
        shares = check_cost(data)
        found = _Unpickler(io.BytesIO(data), encoding="latin1").load()
        if shares:
            check_expanded(found, len(data))
        return found
    except InputError as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from None
    except Exception as error:  # a damaged pickle raises almost anything
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{where}: not a readable pickle ({text[:200]})") from None

"""MATLAB 5 files, as far as annotations need them: two-dimensional numbers and text.

Written from the published file format, because scipy's compiled reader crashes the whole process on some damaged
files (a wrong flag in one byte), where a message is wanted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
_CHAR, _NUMBERS = 4, range(6, 16)  # array classes
_COMPLEX = 0x08
_MAX_BYTES = 1 << 28  # of one variable when unpacked


def read_mat(raw: bytes) -> dict[str, np.ndarray | str]:
    """The numeric arrays, in the type they are stored in, and the texts; anything else is passed over.

    Raises:
        ValueError: not a MATLAB 5 file, or a damaged one; the message says in what way.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None or struct.unpack(order + "H", raw[124:126])[0] != 0x0100:
        raise ValueError("no MATLAB 5 header")
    found: dict[str, np.ndarray | str] = {}
    for kind, data in _elements(raw[_HEADER:], order):
        if kind == _COMPRESSED:
            try:
                unpacked = zlib.decompressobj().decompress(data, _MAX_BYTES)
            except zlib.error:
                raise ValueError("damaged compressed variable") from None
            kind, data = next(_elements(unpacked, order), (0, b""))
        if kind == _MATRIX:
            found.update(_variable(data, order))
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each data element."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # a small element: size and type share a word, the data follows at once
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f"small element of {size} bytes")
            yield kind, data[at + 4 : at + 4 + size]
            at += 8
            continue
        if at + 8 + size > len(data):
            raise ValueError(f"truncated, {at + 8 + size - len(data)} bytes are not there")
        yield kind, data[at + 8 : at + 8 + size]
        at += 8 + size + (-size % 8 if kind != _COMPRESSED else 0)


def _variable(data: bytes, order: str) -> dict[str, np.ndarray | str]:
    """One named variable; empty for a class that is passed over."""
    parts = list(_elements(data, order))
    if len(parts) < 4 or len(parts[0][1]) < 8 or len(parts[1][1]) % 4:
        return {}
    (flags,) = struct.unpack_from(order + "I", parts[0][1])
    shape = np.frombuffer(parts[1][1], dtype=order + "i4")
    name = parts[2][1].decode("latin-1")
    kind, values = parts[3]
    array_class = flags & 0xFF
    if (flags >> 8) & _COMPLEX or array_class not in (_CHAR, *_NUMBERS) or len(shape) != 2:
        return {}
    if kind not in _STORED or len(values) % (dtype := np.dtype(order + _STORED[kind])).itemsize:
        raise ValueError(f"variable {name!r} is stored in an unknown way")
    flat = np.frombuffer(values, dtype=dtype)
    if shape.min() < 0 or int(shape[0]) * int(shape[1]) != len(flat):
        raise ValueError(f"variable {name!r} has {len(flat)} values for shape {tuple(shape.tolist())}")
    if array_class == _CHAR:
        if flat.size and int(flat.max()) > 0x10FFFF:
            raise ValueError(f"variable {name!r} is no text")
        return {name: "".join(map(chr, flat.tolist()))}
    return {name: flat.reshape(tuple(shape.tolist()), order="F")}

"""A checksum of everything in a store's file but the coordinates, which have one a clip.

Arrow finds its footer from the end of the file, so what lies between the last batch and the footer is nobody's: the
seal lies there, and the file stays an ordinary Arrow file.  It is checked before Arrow follows anything in the file.

    batches | coordinates' ranges (JSON) | length of that (8) | CRC-32 (4) | "orvpe2" || footer | length (4) | "ARROW1"

The CRC-32 is of all bytes but its own and those of the coordinates.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import IO

import pyarrow as pa

from orvpe.data.store.schema import MAGIC
from orvpe.errors import InputError

_SEAL = b"orvpe2"
_FOOT = struct.Struct("<i6s")  # length of the footer, MAGIC
_HEAD = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_END = _HEAD.size + _CRC.size + len(_SEAL)
_BLOCK = 1 << 22
_MOST_RANGES = 64 << 20  # bytes; a batch takes 30


def seal(path: Path) -> None:
    """Put the seal into a complete store without one."""
    ranges = _coordinates(path)
    with open(path, "r+b") as file:
        size = file.seek(0, 2)
        file.seek(size - _FOOT.size)
        length, _ = _FOOT.unpack(file.read())
        begin = size - _FOOT.size - length
        file.seek(begin)
        footer = file.read()
        text = json.dumps(ranges).encode()
        file.seek(begin)
        file.write(text + _HEAD.pack(len(text)) + bytes(_CRC.size) + _SEAL + footer)
        file.flush()
        place = begin + len(text) + _HEAD.size
        found = _crc32(file, [*ranges, (place, place + _CRC.size)])
        file.seek(place)
        file.write(_CRC.pack(found))


def _coordinates(path: Path) -> list[tuple[int, int]]:
    """(begin, end) of every batch's coordinates in the file, ascending."""
    with pa.memory_map(str(path)) as mapped:
        whole = mapped.read_buffer()
        start = whole.address
        reader = pa.ipc.open_file(pa.BufferReader(whole))
        found = []
        for i in range(reader.num_record_batches):
            values = reader.get_batch(i).column("joints").values.buffers()[1]
            found.append((values.address - start, values.address - start + values.size))
        return sorted(found)


def is_sealed(path: Path) -> bool:
    """Check the seal of a store.

    Returns:
        False for a store of version 1, which has none.

    Raises:
        InputError: the seal differs from what is in the file.
    """
    damaged = InputError(f"{path}: damaged (its checksum differs); write it again")
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        if size < _FOOT.size + _END:
            return False
        file.seek(size - _FOOT.size)
        length, magic = _FOOT.unpack(file.read())
        begin = size - _FOOT.size - length - _END
        if magic != MAGIC or length < 0 or begin < 0:
            raise damaged
        file.seek(begin)
        head, crc, word = file.read(_HEAD.size), file.read(_CRC.size), file.read(len(_SEAL))
        if word != _SEAL:
            return False
        (text,) = _HEAD.unpack(head)
        if text > min(begin, _MOST_RANGES):
            raise damaged
        file.seek(begin - text)
        place = begin + _HEAD.size
        try:
            ranges = [(int(a), int(b)) for a, b in json.loads(file.read(text))]
        except (ValueError, TypeError, RecursionError):
            raise damaged from None
        if any(not 0 <= a <= b <= begin - text for a, b in ranges) or ranges != sorted(ranges):
            raise damaged
        if _crc32(file, [*ranges, (place, place + _CRC.size)]) != _CRC.unpack(crc)[0]:
            raise damaged
    return True


def _crc32(file: IO[bytes], without: list[tuple[int, int]]) -> int:
    """CRC-32 of a file's bytes outside of these ascending ranges."""
    found, at, size = 0, 0, file.seek(0, 2)
    for begin, end in [*without, (size, size)]:
        file.seek(at)
        while at < begin:
            block = file.read(min(_BLOCK, begin - at))
            if not block:
                break
            found, at = zlib.crc32(block, found), at + len(block)
        at = max(at, end)
    return found

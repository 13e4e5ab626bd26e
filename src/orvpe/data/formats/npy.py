"""Arrays in ``.npy`` and ``.npz`` files, without loading what is not asked for, and without a pickle's programs."""

from __future__ import annotations

import io
import math
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import safe_pickle
from orvpe.data.formats.source import Source
from orvpe.errors import InputError

_LOCAL_HEADER = 30  # bytes of a zip member's own header before its name


def members(source: Source, name: str) -> list[str]:
    """Keys of an npz; none where it is not readable."""
    try:
        with zipfile.ZipFile(_opened(source, name)) as archive:
            return [n.removesuffix(".npy") for n in archive.namelist()]
    except Exception:  # a damaged archive fails in many ways
        return []


def header(source: Source, name: str) -> tuple[tuple[int, ...], np.dtype] | None:
    """(shape, dtype) of an npy; None where it is not readable."""
    try:
        shape, dtype, _, _ = _header(source.head(name))
        return shape, dtype
    except Exception:
        return None


def load(source: Source, name: str, key: str | None = None) -> Any:
    """An array of an npz (``key``) or an npy: mapped where it lies plainly on the disk, else read.

    Pickled objects are read as plain data by `orvpe.data.formats.safe_pickle`.

    Raises:
        InputError: damaged, or shorter than its header says.
    """
    inside = source.path / name if source.is_folder else source.path
    return _load(source.path, source.is_zip, name, key, inside.stat().st_mtime_ns)


@lru_cache(maxsize=2)  # a process is given many items of one file after another
def _load(path: Path, is_zip: bool, name: str, key: str | None, version: int) -> Any:
    source = Source(path)
    where = source.where(name) + (f": {key!r}" if key is not None else "")
    try:
        if key is None:
            return _array(_bytes_of(source, name), where)
        with zipfile.ZipFile(_opened(source, name)) as archive:
            info = archive.getinfo(f"{key}.npy")
            if info.compress_type == zipfile.ZIP_STORED and not source.is_zip:
                file = np.memmap(_on_disk(source, name), dtype=np.uint8, mode="r")
                at = info.header_offset
                begin = at + _LOCAL_HEADER + int.from_bytes(file[at + 26 : at + 28], "little")
                begin += int.from_bytes(file[at + 28 : at + 30], "little")
                return _array(file[begin : begin + info.file_size], where)
            return _array(np.frombuffer(archive.read(info), dtype=np.uint8), where)
    except InputError:
        raise
    except Exception as error:  # a damaged archive or header fails in many ways
        raise InputError(f"{where}: not a readable array ({' '.join(str(error).split())[:200]})") from None


def _array(raw: np.ndarray, where: str) -> Any:
    """The array in the bytes of an npy (uint8)."""
    shape, dtype, fortran, begin = _header(raw[: 1 << 16].tobytes())
    if dtype.hasobject:
        return safe_pickle.load(raw[begin:].tobytes(), where)
    size = math.prod(shape) * dtype.itemsize
    if len(raw) - begin < size:
        raise InputError(f"{where}: {len(raw) - begin:,} bytes, expected {size:,} for shape {shape}; truncated?")
    return np.ndarray(shape, dtype, buffer=raw[begin : begin + size].data, order="F" if fortran else "C")


def _header(data: bytes) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """(shape, dtype, Fortran order, where the numbers begin)."""
    file = io.BytesIO(data)
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, dtype, fortran, file.tell()


def _bytes_of(source: Source, name: str) -> np.ndarray:
    if source.is_zip:
        return np.frombuffer(source.read(name), dtype=np.uint8)
    return np.memmap(_on_disk(source, name), dtype=np.uint8, mode="r")


def _on_disk(source: Source, name: str) -> Path:
    return source.path / name if source.is_folder else source.path


def _opened(source: Source, name: str) -> Any:
    return io.BytesIO(source.read(name)) if source.is_zip else _on_disk(source, name)

"""Formats that a library of their own reads: what to say where it is not installed, and a path for the library."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from orvpe.data.formats.source import Source
from orvpe.errors import InputError


def library(module: str, extra: str, where: str, instead: str = "") -> Any:
    """The module, or InputError that names the extra that brings it.

    Args:
        module: what to import.
        extra: of ``pip install 'orvpe[extra]'``.
        where: the file that needs it.
        instead: another way to read the file, for the message.
    """
    try:
        return import_module(module)
    except ImportError:
        also = f"; or {instead}" if instead else ""
        raise InputError(f"{where}: needs {module}: pip install 'orvpe[{extra}]'{also}") from None


@contextmanager
def on_disk(source: Source, name: str) -> Iterator[Path]:
    """A path for a library that reads no bytes; a file in a zip is unpacked for as long as the block runs."""
    if not source.is_zip:
        yield source.path / name if source.is_folder else source.path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name.rpartition("/")[2]
        path.write_bytes(source.read(name))
        yield path


def said(error: Exception) -> str:
    """A library's own message, short and on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__

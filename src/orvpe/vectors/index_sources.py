"""Paths of an index's sources, also after the folder that holds both was moved.

Sources next to the index, or in folders there, is known by its path from the index (``../clips.orvpe``), all else by
its absolute path.  A file next to the parts remembers where a near one was, for an index that is moved alone.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from orvpe.runtime.files import write_atomic

_FILE = "sources.json"
_NEAR = "../"


def with_checksum(data: dict[str, Any]) -> str:
    """JSON text of data with the CRC-32 of all of it."""
    return json.dumps({**data, "crc32": _crc32(data)}, indent=1) + "\n"


def checked(data: dict[str, Any]) -> dict[str, Any]:
    """The inverse, parsed.

    Raises:
        ValueError, KeyError: damaged.
    """
    data = dict(data)
    if data.pop("crc32") != _crc32(data):
        raise ValueError("its checksum differs")
    return data


def _crc32(data: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())


class Sources:
    """The paths of one index's sources.

    Args:
        folder: of the index.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._around = folder.resolve().parent

    def stored(self, source: str) -> str:
        """The stored form of a source: relative if it lies next to the index, else unchanged."""
        path = Path(source)
        if not path.is_absolute() or not path.is_relative_to(self._around):
            return source
        return _NEAR + path.relative_to(self._around).as_posix()

    def where(self, stored: str) -> str:
        """The path of a stored source; names that are not paths are returned unchanged."""
        if not stored.startswith(_NEAR):
            return stored
        here = os.path.normpath(self._around / stored.removeprefix(_NEAR))
        was = self._remembered().get(stored, here)
        return was if not os.path.exists(here) and os.path.exists(was) else here

    def note(self, source: str) -> None:
        """Store the current path of a relative source.  The caller holds the index's lock."""
        stored, known = self.stored(source), self._remembered()
        if stored == source or known.get(stored) == source:
            return
        write_atomic(self._file, with_checksum({"paths": {**known, stored: source}}))

    def _remembered(self) -> dict[str, str]:
        try:
            found = checked(json.loads(self._file.read_text(encoding="utf-8")))["paths"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):  # only of help where something moved
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

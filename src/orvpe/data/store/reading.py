"""Reading a store: memory-mapped, so that opening one reads no coordinates."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orvpe.data.store.grid import MISSING, dequantise
from orvpe.data.store.schema import MAGIC, TEXT, VERSION
from orvpe.data.store.seal import is_sealed
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import layout_from_dict

_VERIFIED_BYTES = 4 << 30


def is_store(path: str | Path) -> bool:
    """Whether the file begins like a store, however damaged it may be after that."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class Store:
    """Clips on disk, memory-mapped; made by `Store.open`.

    Attributes:
        path: the file.
        layout, dims: of every clip.
        meta: what its writer noted (sources, options, counts), with ``clips``, the number of clips.
        names, labels, subjects, cameras, splits: (N,) text; '' where unknown.
        people, frames: (N,) int64.
        fps: (N,) float32; width, height: (N,) int32; 0 where unknown.
        step: (N,) float32, metres or pixels; origin: (N, C) float32.
    """

    def __init__(self, path: Path, table: pa.Table) -> None:
        self.path, self.table = path, table
        metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        self.layout = layout_from_dict(json.loads(metadata["layout"]))
        self.dims = int(metadata["dims"])
        self.meta: dict[str, Any] = {**json.loads(metadata["meta"]), "clips": len(table)}
        self.names, self.labels, self.subjects, self.cameras, self.splits = map(self._text, ("name", *TEXT))
        self.people = self._numbers("people").astype(np.int64)
        self.frames = self._numbers("frames").astype(np.int64)
        if not (self.people > 0).all() or not (self.frames > 0).all():
            raise InputError(f"{path}: damaged, a clip without people or frames")
        self.fps, self.width, self.height = map(self._numbers, ("fps", "width", "height"))
        self.step = self._numbers("step").astype(np.float32)
        origins = [chunk.flatten().to_numpy() for chunk in table.column("origin").chunks]
        self._origin = np.concatenate(origins).reshape(-1, self.dims)  # float64
        self.origin = self._origin.astype(np.float32)
        self._crc = self._numbers("crc32")
        self._sound = np.zeros(len(table), dtype=bool)  # compared with its checksum
        chunks = table.column("joints").chunks
        self._chunks = [c.flatten().to_numpy().reshape(-1, len(self.layout), self.dims) for c in chunks]
        ends = np.cumsum(self.people * self.frames)
        self._start = np.concatenate([[0], ends]).astype(np.int64)  # (N + 1,) in rows of (V, C)
        self._chunk_start = np.concatenate([[0], np.cumsum([len(c) for c in self._chunks])]).astype(np.int64)
        lengths = np.concatenate([np.diff(c.offsets.to_numpy()) for c in chunks])
        expected = self.people * self.frames * len(self.layout) * self.dims
        wrong = np.flatnonzero(lengths != expected)
        if len(wrong):
            i = wrong[0]
            raise InputError(
                f"{path}: damaged, clip {i} ({str(self.names[i])!r}) holds {lengths[i]} values, expected {expected[i]}"
            )

    @classmethod
    def open_whole(cls, path: str | Path) -> Store:
        """Open a store for training or testing, and verify it where that takes seconds (up to 4 GB).

        Raises:
            InputError: as `open` and `verify`.
        """
        store = cls.open(path)
        if store.path.stat().st_size <= _VERIFIED_BYTES:
            store.verify()
        return store

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Open a store without reading its coordinates.

        Raises:
            InputError: no such file, not a store, cut short, damaged, or written by another version.
        """
        path = Path(path)
        if not path.exists():
            raise InputError(f"{path}: no such store")
        if not path.is_file():
            raise InputError(f"{path}: a folder, expected a store; make one with 'orvpe ingest {path} -o NAME.orvpe'")
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
            file.seek(max(0, path.stat().st_size - len(MAGIC)))
            tail = file.read()
        if head != MAGIC:
            raise InputError(f"{path}: not a store (no Arrow file); make one with 'orvpe ingest {path} -o NAME.orvpe'")
        if tail != MAGIC:
            raise InputError(
                f"{path}: cut short at {path.stat().st_size} bytes, expected a complete store; write it again"
            )
        sealed = is_sealed(path)
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            metadata = reader.schema.metadata or {}
            if b"orvpe_store" not in metadata:
                raise InputError(f"{path}: an Arrow file, but not a store (no 'orvpe_store' in its metadata)")
            if (found := metadata[b"orvpe_store"].decode()) == str(VERSION) and not sealed:
                raise InputError(f"{path}: damaged (its checksum is not there); write it again")
            if found != (str(VERSION) if sealed else "1"):
                raise InputError(f"{path}: store version {found}, this orvpe reads version {VERSION}; ingest it again")
            table = reader.read_all()
            table.validate(full=True)  # its offsets are followed without looking, from here on
            if not len(table):
                raise InputError(f"{path}: a store without clips")
            return cls(path, table)
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: damaged store ({' '.join(str(error).split())})") from None

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Clip]:
        return (self.clip(i) for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} clips, {self.layout.name}, {self.dims}D)"

    def _text(self, column: str) -> np.ndarray:
        return self.table.column(column).fill_null("").to_numpy().astype(str)

    def _numbers(self, column: str) -> np.ndarray:
        return self.table.column(column).to_numpy()

    def quantised(self, index: int) -> np.ndarray:
        """(M, T, V, C) int16, a read-only view of the file; -32768 marks a missing joint.

        Raises:
            InputError: the clip is damaged; looked at when it is first read.
        """
        i = range(len(self))[index]
        if not self._sound[i]:
            self.verify(np.array([i]))
        return self._values(i)

    def _values(self, i: int) -> np.ndarray:
        chunk = int(np.searchsorted(self._chunk_start, self._start[i], side="right")) - 1
        begin = self._start[i] - self._chunk_start[chunk]
        rows = self._chunks[chunk][begin : begin + self.people[i] * self.frames[i]]
        return rows.reshape(self.people[i], self.frames[i], len(self.layout), self.dims)

    def clip(self, index: int) -> Clip:
        """Clip number ``index`` (negative counts from the end)."""
        i = range(len(self))[index]
        joints, visible = dequantise(self.quantised(i), self._origin[i], self.table.column("step")[i].as_py())
        texts = {"label": self.labels, "subject": self.subjects, "camera": self.cameras, "split": self.splits}
        return Clip(
            joints,
            visible,
            self.layout,
            fps=float(self.fps[i]) or None,
            image_size=(int(self.width[i]), int(self.height[i])) if self.width[i] else None,
            name=str(self.names[i]),
            **{k: str(v[i]) or None for k, v in texts.items()},  # type: ignore[arg-type]
        )

    @property
    def value_bytes(self) -> int:
        """Bytes of all coordinates."""
        return sum(chunk.nbytes for chunk in self._chunks)

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """Every clip's coordinates in one array, for a device to hold.

        Returns:
            values: (F, V, C) int16, F the sum of people * frames; a view of the file when that has one batch.
            start: (N,) int64; clip i is ``values[start[i] : start[i] + people[i] * frames[i]]``, by person.
        """
        self.verify()
        values = self._chunks[0] if len(self._chunks) == 1 else np.concatenate(self._chunks)
        return values, self._start[:-1]

    @cached_property
    def checksum(self) -> str:
        """Eight hex digits that differ for other clips, coordinates or labels; tells apart stores of one name."""
        text = "\n".join([*self.names, *self.labels])
        return f"{zlib.crc32(text.encode(), zlib.crc32(self._crc.tobytes())):08x}"

    @cached_property
    def missing(self) -> np.ndarray:
        """(V,) share of missing joints over all clips, people and frames."""
        self.verify()
        hidden = sum((chunk[..., 0] == MISSING).sum(axis=0) for chunk in self._chunks)
        return np.asarray(hidden) / self._start[-1]

    def verify(self, chosen: np.ndarray | None = None) -> None:
        """Read clips and compare them with the checksums, once each; about a second a gigabyte.

        Args:
            chosen: (n,) positions of clips; all when None.

        Raises:
            InputError: names the first clip that differs.
        """
        wanted = np.arange(len(self)) if chosen is None else np.asarray(chosen, np.int64)
        for i in wanted[~self._sound[wanted]].tolist():
            found = zlib.crc32(self._values(i).data)
            if found != self._crc[i]:
                raise InputError(
                    f"{self.path}: clip {i} ({str(self.names[i])!r}) is damaged, checksum {found:08x}, "
                    f"expected {self._crc[i]:08x}"
                )
            self._sound[i] = True

"""The on-disk store: ragged clips in one memory-mapped Arrow file, as 16-bit integers.

One row a clip, nothing padded: a clip of one person and 40 frames takes 40 frames of one person.  Coordinates
are

    value = origin + q * step

with q an int16, origin one point a clip and step 1 mm (3D) or 0.1 px (2D), so at most 0.5 mm or 0.05 px is
lost; float16 would lose 0.5 px at 1,500 px.  Where a clip spans more than 65.5 m or 6,553 px its step grows,
to at most twice that (1 mm or 0.1 px lost); where it spans less than 100 steps (10 cm, 10 px) it holds
something else than metres or pixels, and its step is finer, so that at least 5,000 of them span it.
q = -32768 in all coordinates of a joint means that it is missing.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from orvpe.clip import Clip
from orvpe.errors import InputError
from orvpe.skeleton import Layout, layout_from_dict, with_derived

VERSION = 1
MISSING = -32768
STEP = {2: 0.1, 3: 0.001}  # pixels, metres
_FEW_STEPS, _MANY_STEPS = 100, 5000
_BATCH_CLIPS = 1024
_BATCH_VALUES = 1 << 26  # a batch of very long recordings is closed earlier, at 128 MiB
_VERIFIED_BYTES = 4 << 30
_TEXT = ("label", "subject", "camera", "split")
_MAGIC = b"ARROW1"


# --- coordinates <-> int16 ----------------------------------------------------------------------------------


Grid = tuple[np.ndarray, float]  # origin, step


def grid(clip: Clip) -> Grid:
    """The grid that a clip's coordinates are rounded to.

    Returns:
        origin: (C,) float64, a multiple of step, so that coordinates that lie on the grid come back exactly.
        step: metres or pixels a unit.

    Raises:
        InputError: the clip spans more than 16 bits can hold at the largest step (131 m, 13,106 px).
    """
    seen = np.ascontiguousarray(
        (clip.joints.reshape(-1, clip.dims) if clip.visible.all() else clip.joints[clip.visible]).T
    )
    low, high = seen.min(axis=1).astype(np.float64), seen.max(axis=1).astype(np.float64)  # (C,)
    most = 2 * 32766  # units from -32767 to 32767, less one at either end because the origin is rounded too
    span = float((high - low).max())
    step = max(STEP[clip.dims], span / most)
    if 0 < span < _FEW_STEPS * step:
        # a tenth, a hundredth ... of the step, so that it seldom depends on one joint; float32 resolves no more
        finest = max(float(np.spacing(np.abs(seen).max())), 1e-12)
        step *= 10.0 ** -math.ceil(math.log10(_MANY_STEPS * step / max(span, finest)))
    if step > 2 * STEP[clip.dims]:
        unit = "m" if clip.dims == 3 else "px"
        raise InputError(
            f"clip {clip.name!r}: its coordinates span {span:.6g} {unit}, "
            f"expected at most {2 * STEP[clip.dims] * most:.6g} {unit}"
        )
    return np.rint((low + high) / 2 / step) * step, step


def quantise(clip: Clip, on: Grid | None = None) -> tuple[np.ndarray, np.ndarray, float]:
    """A clip's coordinates as integers.

    Args:
        clip: the clip.
        on: its `grid`, where that is known already.

    Returns:
        q: (M, T, V, C) int16, -32768 where missing.
        origin, step: as `grid`.

    Raises:
        InputError: as `grid`.
    """
    origin, step = on or grid(clip)
    q = np.empty(clip.joints.shape, dtype=np.int16)
    hidden = None if clip.visible.all() else ~clip.visible
    for c in range(clip.dims):  # numpy is slow where the last axis has two or three entries
        values = clip.joints[..., c].astype(np.float64)
        values -= origin[c]
        values /= step
        np.rint(values, out=values)
        if hidden is not None:
            values[hidden] = MISSING
        q[..., c] = values
    return q, origin, step


def dequantise(q: np.ndarray, origin: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `quantise`: joints (..., V, C) float32, zero where missing, and visible (..., V) bool."""
    visible = q[..., 0] != MISSING
    joints = (np.asarray(origin, np.float64) + q * np.float64(step)).astype(np.float32)
    joints[~visible] = 0.0
    return joints, visible


# --- writing ------------------------------------------------------------------------------------------------


def _schema(dims: int, metadata: dict[str, str]) -> pa.Schema:
    columns: list[tuple[str, pa.DataType]] = [("name", pa.string())]
    columns += [(name, pa.string()) for name in _TEXT]
    columns += [
        ("fps", pa.float32()), ("width", pa.int32()), ("height", pa.int32()),  # 0: unknown
        ("people", pa.int32()), ("frames", pa.int32()),
        ("step", pa.float64()), ("origin", pa.list_(pa.float64(), dims)),
        ("joints", pa.large_list(pa.int16())),  # M * T * V * C values, in that order
        ("crc32", pa.uint32()),  # of those values' bytes
    ]  # fmt: skip
    return pa.schema(columns, metadata=metadata)


def orvpe_version() -> str:
    """The installed package's version, or 'unknown' when run from a source tree."""
    try:
        return installed_version("orvpe")
    except PackageNotFoundError:
        return "unknown"


class StoreWriter:
    """Writes a store; a context manager.  The file appears under its name only when everything is in it.

    Args:
        path: where; an existing file is replaced at the end.
        layout: every clip's layout; the store's gets the derived joints of all clips.
        dims: every clip's coordinates, 2 or 3.
        meta: what else to remember, JSON data (sources, options, counts of what was skipped, ``generated``).
        sync: wait until the disk has it, so that not even a power failure can leave half a file under the name.

    Raises:
        InputError: the folder does not exist; on leaving, when no clip was added.
    """

    def __init__(
        self, path: str | Path, layout: Layout, dims: int, meta: dict[str, Any] | None = None, sync: bool = True
    ) -> None:
        self.path, self.layout, self.dims, self._sync = Path(path), layout, dims, sync
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path}: folder {self.path.parent} does not exist")
        if self.path.is_dir():
            raise InputError(f"{self.path}: is a folder, expected the name of a file to write")
        self.count = 0
        self._rows: list[dict[str, Any]] = []
        self._values = 0
        self._batches: list[pa.RecordBatch] = []
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._meta = json.dumps({"orvpe": orvpe_version(), **(meta or {})})
        self._schema = self._schema_now()

    def _schema_now(self) -> pa.Schema:
        layout = json.dumps(self.layout.to_dict())
        metadata = {"orvpe_store": str(VERSION), "dims": str(self.dims), "layout": layout, "meta": self._meta}
        return _schema(self.dims, metadata)

    def __enter__(self) -> StoreWriter:
        self._file = self._temporary.open("wb")
        self._writer = pa.ipc.new_file(self._file, self._schema)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                if not self.count:
                    raise InputError(f"{self.path}: no clip to write")
                self._writer.close()
                self._file.flush()
                if self._sync:
                    os.fsync(self._file.fileno())
                self._file.close()
                if not self._schema.equals(self._schema_now(), check_metadata=True):
                    self._rewrite()
                os.replace(self._temporary, self.path)
        finally:
            try:
                self._file.close()  # fails too where the disk is full
            finally:
                self._temporary.unlink(missing_ok=True)

    def _rewrite(self) -> None:
        """A later clip had derived joints that the first had not: the schema stands at the head of the file."""
        second = self._temporary.with_suffix(".2.tmp")
        try:
            with pa.memory_map(str(self._temporary)) as source, second.open("wb") as file:
                reader, schema = pa.ipc.open_file(source), self._schema_now()
                with pa.ipc.new_file(file, schema) as writer:
                    for i in range(reader.num_record_batches):
                        writer.write_batch(pa.RecordBatch.from_arrays(reader.get_batch(i).columns, schema=schema))
                file.flush()
                if self._sync:
                    os.fsync(file.fileno())
            os.replace(second, self._temporary)
        finally:
            second.unlink(missing_ok=True)

    def add(self, clip: Clip, on: Grid | None = None) -> None:
        """Append a clip.

        Args:
            clip: the clip.
            on: its `grid`, where that is known already.

        Raises:
            InputError: another layout or dimension than the store's; coordinates that span too much.
        """
        check_alike(clip.name, clip.layout, clip.dims, self.layout, self.dims)
        self.layout = with_derived(self.layout, clip.layout)
        q, origin, step = quantise(clip, on)
        width, height = clip.image_size or (0, 0)
        self._rows.append(
            {
                "name": clip.name,
                **{column: getattr(clip, column) for column in _TEXT},
                "fps": clip.fps or 0.0,
                "width": width,
                "height": height,
                "people": clip.people,
                "frames": clip.frames,
                "step": step,
                "origin": origin,
                "joints": q.reshape(-1),
                "crc32": zlib.crc32(q.tobytes()),
            }
        )
        self._values += q.size
        self.count += 1
        if len(self._rows) >= _BATCH_CLIPS or self._values >= _BATCH_VALUES:
            self._flush()

    def add_store(self, store: Store, chosen: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
        """Append clips of another store as they are, without quantising again.

        Args:
            store: the other store.
            chosen: (n,) positions of the clips in it, ascending; all when None.
            labels: text, one for each clip of the other store, in place of its own.

        Raises:
            InputError: another layout or dimension than this store's; a clip that is damaged.
        """
        check_alike(str(store.path), store.layout, store.dims, self.layout, self.dims)
        self.layout = with_derived(self.layout, store.layout)
        store.verify(chosen)
        self._rows_to_batch()
        first = 0
        for batch in store.table.to_batches():
            here = slice(first, first + len(batch))
            first = here.stop
            if labels is not None:
                own = pa.array(labels[here].tolist(), self._schema.field("label").type)
                batch = batch.set_column(self._schema.get_field_index("label"), "label", own)
            if chosen is not None:
                inside = chosen[(chosen >= here.start) & (chosen < here.stop)] - here.start
                batch = batch.take(pa.array(inside))
            self._batches.append(batch)
            self._values += len(batch.column("joints").flatten())
            self.count += len(batch)
            if sum(map(len, self._batches)) >= _BATCH_CLIPS or self._values >= _BATCH_VALUES:
                self._flush()

    def _rows_to_batch(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        columns: dict[str, pa.Array] = {}
        for name, kind in zip(self._schema.names, self._schema.types, strict=True):
            cells = [row[name] for row in rows]
            if name == "origin":
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(cells)), self.dims)
            elif name == "joints":
                offsets = np.concatenate([[0], np.cumsum([len(c) for c in cells])])
                columns[name] = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(cells)))
            else:
                columns[name] = pa.array(cells, kind)
        self._batches.append(pa.RecordBatch.from_arrays(list(columns.values()), schema=self._schema))

    def _flush(self) -> None:
        """What was added since the last time becomes one record batch of the file."""
        self._rows_to_batch()
        if self._batches:
            arrays = [pa.concat_arrays([b.column(i) for b in self._batches]) for i in range(len(self._schema))]
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._batches, self._values = [], 0


def check_alike(what: str, layout: Layout, dims: int, store_layout: Layout, store_dims: int) -> None:
    """One store holds one layout and one dimension; InputError names both where they differ."""
    if dims != store_dims:
        raise InputError(f"{what}: {dims}D, but the store's clips are {store_dims}D; give them stores of their own")
    if layout != store_layout:
        raise InputError(
            f"{what}: layout {layout.name!r} ({len(layout)} joints), but the store's is "
            f"{store_layout.name!r} ({len(store_layout)} joints); map both onto 'unified'"
        )


def write_store(path: str | Path, clips: Iterable[Clip], meta: dict[str, Any] | None = None) -> Store:
    """Write clips to a store, and open it.

    Raises:
        InputError: no clip; clips of different layouts or dimensions; coordinates that span too much.
    """
    clips = iter(clips)
    first = next(clips, None)
    if first is None:
        raise InputError(f"{path}: no clip to write")
    with StoreWriter(path, first.layout, first.dims, meta) as writer:
        writer.add(first)
        for clip in clips:
            writer.add(clip)
    return Store.open(path)


# --- reading ------------------------------------------------------------------------------------------------


def is_store(path: str | Path) -> bool:
    """Whether the file begins like a store, however damaged it may be after that."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


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
        self.names, self.labels, self.subjects, self.cameras, self.splits = map(self._text, ("name", *_TEXT))
        self.people = self._numbers("people").astype(np.int64)
        self.frames = self._numbers("frames").astype(np.int64)
        self.fps, self.width, self.height = map(self._numbers, ("fps", "width", "height"))
        self.step = self._numbers("step").astype(np.float32)
        origins = [chunk.flatten().to_numpy() for chunk in table.column("origin").chunks]
        self._origin = np.concatenate(origins).reshape(-1, self.dims)  # float64
        self.origin = self._origin.astype(np.float32)
        self._crc = self._numbers("crc32")
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
            head = file.read(len(_MAGIC))
            file.seek(max(0, path.stat().st_size - len(_MAGIC)))
            tail = file.read()
        if head != _MAGIC:
            raise InputError(f"{path}: not a store (no Arrow file); make one with 'orvpe ingest {path} -o NAME.orvpe'")
        if tail != _MAGIC:
            raise InputError(
                f"{path}: cut short at {path.stat().st_size} bytes, expected a complete store; write it anew"
            )
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            metadata = reader.schema.metadata or {}
            if b"orvpe_store" not in metadata:
                raise InputError(f"{path}: an Arrow file, but not a store (no 'orvpe_store' in its metadata)")
            if (found := metadata[b"orvpe_store"].decode()) != str(VERSION):
                raise InputError(f"{path}: store version {found}, this orvpe reads version {VERSION}; ingest it again")
            table = reader.read_all()
            if not len(table):
                raise InputError(f"{path}: a store without clips")
            return cls(path, table)
        except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
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
        """(M, T, V, C) int16, a read-only view of the file; -32768 marks a missing joint."""
        i = range(len(self))[index]
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
            **{k: str(v[i]) or None for k, v in texts.items()},
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
        hidden = sum((chunk[..., 0] == MISSING).sum(axis=0) for chunk in self._chunks)
        return np.asarray(hidden) / self._start[-1]

    def verify(self, chosen: np.ndarray | None = None) -> None:
        """Read everything and compare it with the checksums; about a second a gigabyte.

        Args:
            chosen: (n,) positions of clips; all when None.

        Raises:
            InputError: names the first clip that differs.
        """
        for i in range(len(self)) if chosen is None else chosen:
            found = zlib.crc32(self.quantised(int(i)).data)
            if found != self._crc[i]:
                raise InputError(
                    f"{self.path}: clip {i} ({str(self.names[i])!r}) is damaged, checksum {found:08x}, "
                    f"expected {self._crc[i]:08x}"
                )

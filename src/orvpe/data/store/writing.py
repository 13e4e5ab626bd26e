"""Writing a store: whole or not at all, in batches, so that memory does not depend on the number of clips."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from orvpe.data.store.grid import Grid, quantise
from orvpe.data.store.reading import Store
from orvpe.data.store.schema import TEXT, VERSION, store_schema
from orvpe.data.store.seal import seal
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, with_derived

_BATCH_CLIPS = 1024
_BATCH_VALUES = 1 << 26  # a batch of very long recordings is closed earlier, at 128 MiB


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
        return store_schema(self.dims, metadata)

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
                self._file.close()
                if not self._schema.equals(self._schema_now(), check_metadata=True):
                    self._rewrite()
                seal(self._temporary)
                if self._sync:
                    with self._temporary.open("rb+") as file:
                        os.fsync(file.fileno())
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
                **{column: getattr(clip, column) for column in TEXT},
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

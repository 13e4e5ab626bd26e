"""An index on disk: a folder of parts, Arrow files that are written once, whole or not at all.

A part's name ends in the CRC-32 of its bytes, which is checked before any of them is used.  It names in its metadata
the rows of other parts that it takes the place of, so one rename both adds and replaces, and nothing else has to be
kept in step.  A part that was merged into another is named there too, and passed over.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orvpe.errors import InputError
from orvpe.runtime.files import whole_file

TEXT = ("source", "name", "label", "subject", "camera", "split")
_PARTS = "part-[0-9]*-*.arrow"
_DEAD, _MERGED = b"orvpe_index_dead", b"orvpe_index_merged"

Rows = dict[str, list[int]]  # part -> rows of it


@dataclass
class Part:
    """A part on disk, read lazily.

    Args:
        name: of the file.
        table: (n rows) the text columns, ``copy`` and ``fingerprint``.
        vectors: (n, D) float32 of unit length, a view of the file.
        tokens: (n, numbers) float16 structured embeddings, NaN where hidden, a view of the file; of 0 numbers where the
            model gives none.
        alive: (n,) bool, False where another part replaced or removed a row.
        dead: rows of other parts that this one replaces or removes.
        merged: parts that this one holds all that was left of.
    """

    name: str
    table: pa.Table
    vectors: np.ndarray
    tokens: np.ndarray
    alive: np.ndarray
    dead: Rows
    merged: list[str]
    _codes: dict[str, tuple[np.ndarray, list[str]]] = field(default_factory=dict, repr=False)

    def codes(self, column: str) -> tuple[np.ndarray, list[str]]:
        """A text column as (n,) positions in its different values, and those; -1 where it is unknown."""
        if column not in self._codes:
            encoded = pc.dictionary_encode(self.table.column(column).combine_chunks())
            if isinstance(encoded, pa.ChunkedArray):
                encoded = encoded.combine_chunks()
            codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            self._codes[column] = codes, encoded.dictionary.to_pylist()
        return self._codes[column]

    def where(self, column: str, values: Container[str]) -> np.ndarray:
        """(n,) bool, rows whose text in a column is one of ``values``."""
        codes, known = self.codes(column)
        return np.array([*(v in values for v in known), False])[codes]  # the last one is for -1


def schema(dim: int, numbers: int = 0) -> pa.Schema:
    """The columns: text; ``copy``, which counts clips of one name in one source; ``fingerprint``; ``vector``; and
    ``tokens``, where a model gives structured embeddings of so many numbers."""
    return pa.schema(
        [(c, pa.string()) for c in TEXT]
        + [("copy", pa.int32()), ("fingerprint", pa.uint64()), ("vector", pa.list_(pa.float32(), dim))]
        + ([("tokens", pa.list_(pa.float16(), numbers))] if numbers else [])
    )


def to_rows(columns: dict[str, pa.Array], vectors: np.ndarray, tokens: np.ndarray) -> pa.Table:
    """Text, ``copy``, ``fingerprint``, vectors (n, D) and tokens (n, numbers) as a table of `schema`."""
    lists = {"vector": (vectors, np.float32)} | ({"tokens": (tokens, np.float16)} if tokens.shape[1] else {})
    arrays = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x, kind).reshape(-1)), x.shape[1])
        for name, (x, kind) in lists.items()
    }
    return pa.table({**columns, **arrays}, schema=schema(vectors.shape[1], tokens.shape[1]))


def write_part(folder: Path, rows: pa.Table, dead: Rows, merged: list[str]) -> str:
    """Write rows as the next part, and return its name.  The caller holds the folder's lock."""
    numbers = [int(p.stem.split("-")[1]) for p in folder.glob(_PARTS)]
    metadata = {_DEAD: json.dumps(dead), _MERGED: json.dumps(merged)}
    rows = rows.combine_chunks().replace_schema_metadata(metadata)
    number = f"part-{max(numbers, default=-1) + 1:06d}"
    written = folder / f"{number}.arrow"  # not a part's name yet
    with (
        whole_file(written) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, rows.schema) as writer,
    ):
        if len(rows):
            writer.write_table(rows, max_chunksize=len(rows))  # one batch, so that the vectors are one array
    name = f"{number}-{crc32_of(written):08x}.arrow"
    written.replace(folder / name)
    return name


def crc32_of(path: Path) -> int:
    """CRC-32 of a file's bytes, a few GB a second at most."""
    found = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            found = zlib.crc32(block, found)
    return found


def read_part(path: Path, dim: int, numbers: int = 0) -> Part:
    """Open a part.

    Raises:
        InputError: damaged, or not a part of an index of vectors of ``dim`` numbers.
        FileNotFoundError: merged into another one a moment ago.
    """
    try:
        if path.stem.rpartition("-")[2] != f"{crc32_of(path):08x}":
            raise InputError(f"{path}: damaged (its checksum differs); rebuild the index")
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        if table.schema.remove_metadata() != schema(dim, numbers):
            raise InputError(f"{path}: not a part of an index of {dim} numbers a clip; rebuild the index")
        dead, merged = (json.loads(table.schema.metadata[key]) for key in (_DEAD, _MERGED))
        vectors = _lists(table, "vector", dim, np.float32)
        tokens = _lists(table, "tokens", numbers, np.float16)
        text = table.select([c for c in table.column_names if c not in ("vector", "tokens")])
        return Part(path.name, text, vectors, tokens, np.ones(len(table), bool), dead, merged)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())[:100]}); rebuild the index") from None


def _lists(table: pa.Table, column: str, width: int, kind: type) -> np.ndarray:
    """A column of lists of one width as (n, width), a view of the file."""
    chunks = table.column(column).chunks if width else []
    if not chunks:
        return np.zeros((len(table) if not width else 0, width), kind)
    return chunks[0].flatten().to_numpy().reshape(-1, width)


def read_parts(folder: Path, dim: int, known: dict[str, Part], numbers: int = 0) -> list[Part]:
    """All parts that count, oldest first, with what is alive in them; those in ``known`` are not opened again.

    Raises:
        InputError: a damaged part.
    """
    for _ in range(10):  # a writer may merge parts while we look
        try:
            names = sorted(p.name for p in folder.glob(_PARTS))
            found = [known.get(name) or read_part(folder / name, dim, numbers) for name in names]
            break
        except FileNotFoundError:
            continue
    else:
        raise InputError(f"{folder}: parts vanish while they are read; is another process removing them?")
    gone = {name for part in found for name in part.merged}
    parts = {part.name: part for part in found if part.name not in gone}
    for part in parts.values():
        for name, rows in part.dead.items():
            if name in parts:
                parts[name].alive[rows] = False
    return list(parts.values())


def merge(folder: Path, parts: list[Part], small: list[Part]) -> None:
    """Merge the live rows of ``small`` into one part and remove these.  The caller holds the folder's lock."""
    names = {p.name for p in small}
    staying = {p.name for p in parts} - names
    dead: Rows = {}
    for part in small:
        for name, rows in part.dead.items():
            if name in staying:
                dead[name] = sorted({*dead.get(name, []), *rows})
    tables, vectors, tokens = zip(
        *((p.table.filter(pa.array(p.alive)), p.vectors[p.alive], p.tokens[p.alive]) for p in small), strict=True
    )
    columns = pa.concat_tables([t.replace_schema_metadata(None) for t in tables]).combine_chunks()
    rows = to_rows(
        {c: columns.column(c) for c in columns.column_names}, np.concatenate(vectors), np.concatenate(tokens)
    )
    # parts merged earlier that could not be removed, as where another process has them open on Windows
    left = {name for part in small for name in part.merged if (folder / name).exists()}
    write_part(folder, rows, dead, sorted(names | left))
    for name in names | left:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError:
            continue

"""An index of vectors of clips: exact search by similarity, with filters, in memory-mapped files.

Every vector is compared, so recall is 1.  `docs/guides/search.md` has the cost, and why no library for approximate
search is used.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orvpe.errors import InputError, unknown
from orvpe.runtime.files import write_atomic
from orvpe.runtime.lock import LOCK, alone
from orvpe.vectors.index_parts import TEXT, Part, Rows, merge, read_parts, schema, to_rows, write_part
from orvpe.vectors.index_sources import Sources, checked, with_checksum

VERSION = 2  # 1 had no checksums
ABOUT = "index.json"
FILTERS = ("label", "subject", "camera", "split", "source")
_SMALL, _MANY = 16384, 32  # so many parts of fewer rows than that are merged into one
WRITING = ".writing"  # the lock of a single change; `orvpe index` holds the whole folder
_PATIENCE = 60.0  # seconds to wait for another writer, who needs a fraction of one
_COMPARED = 1000  # clips, nearest by their vectors, whose structured embeddings are compared
_SHOWN = 12  # values listed in a message

Where = Mapping[str, str | Sequence[str]]
Compare = Callable[[np.ndarray], np.ndarray]
_Key = tuple[str, int]  # name, how many of that name came before it in its source


@dataclass(frozen=True)
class Hit:
    """A clip that was found.

    Args:
        name, label, subject, camera, split: as its source has them; None where unknown.
        similarity: cosine between its vector and the query, -1 to 1.
        source: absolute path of the store, file or folder that it came from.
    """

    name: str
    label: str | None
    subject: str | None
    camera: str | None
    split: str | None
    similarity: float
    source: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Added:
    """How many vectors `Index.add` added, replaced, and found there already."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0

    def __add__(self, other: Added) -> Added:
        mine, theirs = (self.added, self.replaced, self.unchanged), (other.added, other.replaced, other.unchanged)
        return Added(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Index:
    """An open index, from `open` or `create`.  Several processes may read while one adds.

    Args:
        path: the folder.
        model: what made the vectors, JSON data with ``feature_dim`` and ``name`` in it.
    """

    def __init__(self, path: Path, model: dict[str, Any]) -> None:
        self.path, self.model = path, model
        self.dim = int(model["feature_dim"])
        self.numbers = int(model.get("tokens", 0))  # of a structured embedding, 0 where the model gives none
        self._sources = Sources(self.path)
        self._parts: list[Part] = []
        self._keys: dict[str, dict[_Key, tuple[str, int, int]]] = {}  # source -> key -> part, row, fingerprint
        self.refresh()

    @classmethod
    def create(cls, path: str | Path, model: dict[str, Any]) -> Index:
        """Create an index, or open an existing one.

        Args:
            path: the folder to make.
            model: what makes the vectors, as `orvpe.vectors.index.describe` gives it.

        Raises:
            InputError: another model's index, or something else, is there.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{path}: is a file, expected the folder of an index or a new name")
        if (folder / ABOUT).exists():
            index = cls.open(path)
            index.check(model)
            return index
        if folder.exists() and any(p.name != LOCK for p in folder.iterdir()):
            raise InputError(f"{path}: is not empty and no index ({ABOUT} is not in it); choose another folder")
        near = Sources(folder).stored(str(model.get("path", "")))  # the model may be moved together with the index
        model = model if near == model.get("path", "") else {**model, "near": near}
        write_atomic(folder / ABOUT, with_checksum({"orvpe_index": VERSION, "model": model}))
        return cls(folder, model)

    @classmethod
    def open(cls, path: str | Path) -> Index:
        """Open an index.

        Raises:
            InputError: no index there, damaged, or of another version.
        """
        folder = Path(path)
        make = f"make one with 'orvpe index STORE -w MODEL -o {path}'"
        if not folder.exists():
            raise InputError(f"{path}: no such index; {make}")
        if not (folder / ABOUT).is_file():
            raise InputError(f"{path}: not an index (no {ABOUT} in it); {make}")
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            if about["orvpe_index"] != VERSION:
                raise InputError(
                    f"{path}: index version {about['orvpe_index']}, this orvpe reads {VERSION}; rebuild the index"
                )
            model = checked(about)["model"]
            model["name"], int(model["feature_dim"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{folder / ABOUT}: damaged; rebuild the index") from None
        return cls(folder, model)

    def __len__(self) -> int:
        return sum(int(p.alive.sum()) for p in self._parts)

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, {len(self)} clips, {self.model['name']})"

    def model_path(self) -> str:
        """Path of the model that made the vectors."""
        was = str(self.model.get("path"))
        near = self._sources.where(str(self.model.get("near", "")))
        return near if near and Path(near).exists() else was

    def check(self, model: dict[str, Any]) -> None:
        """Refuse a model that is not the one that made this index.

        Raises:
            InputError: its weights, or how it reads a clip, differ.
        """
        for key in ("feature_dim", "dims", "weights", "encoder", "view", "layout", "vector", "tokens"):
            was, now = self.model.get(key), model.get(key)
            if isinstance(was, dict) and isinstance(now, dict):
                now = {k: now.get(k) for k in was}  # a later orvpe may know of more
            ours, theirs = json.dumps(was), json.dumps(now)
            if ours != theirs:
                what = {"feature_dim": "numbers a vector", "dims": "coordinates a joint"}.get(key, key)
                differ = f"{what}: {ours}, not {theirs}" if len(ours + theirs) < 40 else f"its {key} differ"
                raise InputError(
                    f"{self.path}: holds vectors of model {self.model['name']!r}, not of this {model['name']!r} "
                    f"({differ.replace('its view differ', 'its view differs')}); use that one, or make another index"
                )

    def refresh(self) -> None:
        """Load what other processes have added.

        Raises:
            InputError: a damaged part.
        """
        before = {p.name: p for p in self._parts}
        self._parts = read_parts(self.path, self.dim, before, self.numbers)
        if [p.name for p in self._parts] != list(before):
            self._keys.clear()

    # --- adding -------------------------------------------------------------------------------------------------

    def known(self, source: str) -> dict[_Key, int]:
        """Fingerprints of a source's clips by (name, how many of that name came before it)."""
        return {key: fingerprint for key, (_, _, fingerprint) in self._of(source).items()}

    def add(
        self,
        vectors: np.ndarray,
        names: Sequence[str],
        source: str = "",
        text: Mapping[str, Sequence[str | None]] | None = None,
        fingerprints: Sequence[int] | None = None,
        copies: Sequence[int] | None = None,
        tokens: np.ndarray | None = None,
    ) -> Added:
        """Add vectors; a changed one of the same name and source replaces the old one.

        All of them are in the index when this returns, or none.

        Args:
            vectors: (n, D); they are scaled to unit length.
            names: (n) of the clips.
            source: where they come from, in the command line the absolute path of a store.
            text: label, subject, camera and split, (n) each; what is not given is unknown.
            fingerprints: (n) 64-bit numbers that tell whether a clip has changed; of vector and text when not given.
            copies: (n) which of the clips of one name in one source; counted in this call when not given.
            tokens: (n, numbers) structured embeddings, NaN where hidden; of an index whose model gives them.

        Raises:
            InputError: shapes that disagree, an unknown column, a vector that is zero or not finite; another process
                has been writing for a minute.
        """
        rows = np.asarray(vectors, np.float32)
        if rows.shape != (len(names), self.dim):
            raise InputError(f"vectors have shape {rows.shape}, expected {(len(names), self.dim)}")
        structured = np.zeros((len(names), 0), np.float16) if tokens is None else np.asarray(tokens, np.float16)
        if structured.shape != (len(names), self.numbers):
            raise InputError(f"tokens have shape {structured.shape}, expected {(len(names), self.numbers)}")
        length = np.linalg.norm(rows.astype(np.float64), axis=1)
        if len(wrong := np.flatnonzero(~np.isfinite(length) | (length == 0))):
            raise InputError(f"vector of clip {names[wrong[0]]!r} is zero or not finite")
        rows = (rows / length[:, None]).astype(np.float32)
        columns = {c: [None if v is None else str(v) for v in (text or {}).get(c, [None] * len(names))] for c in TEXT}
        columns["source"], columns["name"] = [self._sources.stored(source)] * len(names), list(map(str, names))
        for name in text or {}:
            if name not in TEXT[2:]:
                raise InputError(unknown("column", name, TEXT[2:]))
            if len(columns[name]) != len(names):
                raise InputError(f"{len(columns[name])} values of {name}, expected {len(names)}")
        if copies is None:
            copies = count_copies(names)
        if fingerprints is None:
            texts = zip(*(columns[c] for c in TEXT[2:]), strict=True)
            fingerprints = [fingerprint(row, t) for row, t in zip(rows, texts, strict=True)]
        keys: list[_Key] = list(zip(columns["name"], copies, strict=True))  # type: ignore[arg-type]
        if len(set(keys)) != len(keys):
            raise InputError("two clips of one name and copy, expected each once")
        with self._writing():
            self._sources.note(source)
            held = self._of(source)
            new = [i for i, (key, mark) in enumerate(zip(keys, fingerprints, strict=True))
                   if key not in held or held[key][2] != mark]  # fmt: skip
            old = [keys[i] for i in new if keys[i] in held]
            if new:
                arrays = {c: pa.array([v[i] for i in new], pa.string()) for c, v in columns.items()}
                arrays["copy"] = pa.array([copies[i] for i in new], pa.int32())
                arrays["fingerprint"] = pa.array([fingerprints[i] for i in new], pa.uint64())
                self._write(to_rows(arrays, rows[new], structured[new]), [held[k] for k in old])
                name = self._parts[-1].name
                self._keys[source] = held | {keys[i]: (name, r, fingerprints[i]) for r, i in enumerate(new)}
                self._merge_small()
        return Added(len(new) - len(old), len(old), len(names) - len(new))

    def remove(self, source: str, keep: set[_Key] | None = None) -> int:
        """Remove a source's clips except those in ``keep``; return their number.

        Raises:
            InputError: another process has been writing for a minute.
        """
        with self._writing():
            self._sources.note(source)
            held = self._of(source)
            gone = [key for key in held if key not in (keep or ())]
            if gone:
                self._write(schema(self.dim, self.numbers).empty_table(), [held[k] for k in gone])
                self._keys[source] = {k: v for k, v in held.items() if k not in set(gone)}
                self._merge_small()
        return len(gone)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        begun = time.monotonic()
        while True:
            with alone(self.path / WRITING) as free:
                if free:
                    self.refresh()
                    yield
                    return
            if time.monotonic() - begun > _PATIENCE:
                raise InputError(f"{self.path}: another process is writing there; try again when it is done")
            time.sleep(0.05)

    def _of(self, source: str) -> dict[_Key, tuple[str, int, int]]:
        if source not in self._keys:
            found: dict[_Key, tuple[str, int, int]] = {}
            names = self._names_of([source])
            for part in self._parts:
                rows = np.flatnonzero(part.where("source", names) & part.alive)
                chosen = part.table.select(["name", "copy", "fingerprint"]).take(rows)
                for row, name, copy, mark in zip(rows, *(c.to_pylist() for c in chosen.columns), strict=True):
                    found[name, copy] = (part.name, int(row), mark)
            self._keys[source] = found
        return self._keys[source]

    def _names_of(self, sources: Sequence[str]) -> list[str]:
        """Stored forms of these sources, among them absolute paths of earlier versions."""
        return [stored for stored in self._values("source") if {stored, self._sources.where(stored)} & {*sources}]

    def _write(self, rows: pa.Table, old: list[tuple[str, int, int]]) -> None:
        dead: Rows = {}
        for part, row, _ in old:
            dead.setdefault(part, []).append(row)
        write_part(self.path, rows, dead, [])
        self._parts = read_parts(self.path, self.dim, {p.name: p for p in self._parts}, self.numbers)

    def _merge_small(self) -> None:
        small = [p for p in self._parts if p.alive.sum() < _SMALL]
        if len(small) >= _MANY:
            merge(self.path, self._parts, small)
            self.refresh()

    # --- searching ----------------------------------------------------------------------------------------------

    def search(
        self, vector: np.ndarray, k: int = 10, where: Where | None = None, compare: Compare | None = None
    ) -> list[Hit]:
        """The k most similar clips, the most similar first; fewer where fewer fit.

        Args:
            vector: (D,) of any length but zero.
            k: number of results.
            where: column (label, subject, camera, split, source) -> the value or values that count; all columns
                given must fit.
            compare: ranks by structured embeddings, (n, numbers) to (n,) similarities: the clips that are nearest by
                their vectors, 1,000 or ten times ``k`` of them.

        Raises:
            InputError: a vector of another size or not finite, k below 1, a column or value that is not in the index.
        """
        query = np.asarray(vector, np.float64)
        if query.shape != (self.dim,):
            raise InputError(f"vector has shape {query.shape}, this index holds vectors of {self.dim} numbers")
        if not (np.isfinite(query).all() and query.any()):
            raise InputError("vector is zero or not finite")
        if k < 1:
            raise InputError(f"k is {k}, expected at least 1")
        query = (query / np.linalg.norm(query)).astype(np.float32)
        wanted = self._wanted(where or {})
        if compare is not None and not self.numbers:
            raise InputError(f"{self.path}: holds no structured embeddings; its model gives none")
        few = k if compare is None else max(_COMPARED, 10 * k)
        found: list[tuple[float, int, int]] = []  # -similarity, part, row: ties come in the order of adding
        for number, part in enumerate(self._parts):
            mask = part.alive
            for column, values in wanted.items():
                mask = mask & part.where(column, values)
            rows = np.flatnonzero(mask)
            if 4 * len(rows) < len(mask):  # few: copying them costs less than reading all
                similar = part.vectors[rows] @ query
            else:
                similar = (part.vectors @ query)[rows]
            best = np.argpartition(-similar, few - 1)[:few] if len(rows) > few else np.arange(len(rows))
            found += [(-float(similar[i]), number, int(rows[i])) for i in best]
        found = sorted(found)[:few]
        if compare is not None and found:
            similar = compare(np.stack([self._parts[number].tokens[row] for _, number, row in found]))
            found = sorted((-float(s), number, row) for s, (_, number, row) in zip(similar, found, strict=True))
        return [self._hit(*f) for f in found[:k]]

    def find(self, name: str) -> list[tuple[Hit, np.ndarray, np.ndarray]]:
        """Clips of that name with their vectors (D,) and tokens (numbers,); the first of that name in each source."""
        found = []
        for part in self._parts:
            mask = part.where("name", [name]) & part.alive & (part.table.column("copy").to_numpy() == 0)
            found += [(self._row(part, int(i), 1.0), part.vectors[i], part.tokens[i]) for i in np.flatnonzero(mask)]
        return found

    def values(self, column: str) -> list[str]:
        """The different values of a text column, sorted; sources as the paths where they are."""
        found = self._values(column)
        return sorted({*map(self._sources.where, found)}) if column == "source" else found

    def _values(self, column: str) -> list[str]:
        found: set[str] = set()
        for part in self._parts:
            codes, known = part.codes(column)
            found.update(known if part.alive.all() else (known[i] for i in np.unique(codes[part.alive]) if i >= 0))
        return sorted(found)

    def _wanted(self, where: Where) -> dict[str, list[str]]:
        wanted: dict[str, list[str]] = {}
        for column, given in where.items():
            if column not in FILTERS:
                raise InputError(unknown("filter", column, FILTERS))
            values = [given] if isinstance(given, str) else list(given)
            known = self.values(column)
            for value in values:
                if not isinstance(value, str):
                    raise InputError(f"{column} is {value!r}, expected text")
                if value not in known:
                    raise InputError(unknown_of_many(column, value, known, str(self.path)))
            wanted[column] = self._names_of(values) if column == "source" else values
        return wanted

    def _hit(self, minus: float, number: int, row: int) -> Hit:
        return self._row(self._parts[number], row, -minus)

    def _row(self, part: Part, row: int, similarity: float) -> Hit:
        text = {c: part.table.column(c)[row].as_py() for c in TEXT}
        text["source"] = self._sources.where(text["source"])
        return Hit(similarity=min(max(similarity, -1.0), 1.0), **text)


def unknown_of_many(kind: str, value: str, known: list[str], where: str) -> str:
    """Error text for an unknown name, short even with thousands of known ones."""
    if not known:
        return f"unknown {kind} {value!r} in {where}; none of its clips has a {kind}"
    text = unknown(kind, value, known, where)
    if len(known) <= _SHOWN or "; did you mean" in text:
        return text
    return unknown(kind, value, [*known[:_SHOWN], f"and {len(known) - _SHOWN:,} more"], where)


def count_copies(names: Sequence[str]) -> list[int]:
    """For each name, how many equal ones come before it."""
    seen: Counter[str] = Counter()
    copies = []
    for name in names:
        copies.append(seen[name])
        seen[name] += 1
    return copies


def fingerprint(*parts: object) -> int:
    """64-bit hash of arrays (their bytes) and other values (their repr)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"\0")
    return int.from_bytes(digest.digest(), "big")

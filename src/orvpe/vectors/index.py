"""Put clips into a search index; only new or changed ones are embedded."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import NoSkeleton
from orvpe.data.formats.reading import left_out
from orvpe.data.formats.source import Source
from orvpe.data.pose_files import PoseFiles
from orvpe.data.store import Store, is_store
from orvpe.errors import InputError
from orvpe.models.card import WEIGHTS, locate
from orvpe.models.embed import check_fits, embed_batch, similarity
from orvpe.models.model import Model, load, note_unfinished
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Printed
from orvpe.runtime.device import pick_device
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.typed import flat_arguments
from orvpe.vectors.embed import read_item
from orvpe.vectors.vector_index import ABOUT, Added, Compare, Index, fingerprint
from orvpe.views.batch import Batch, batches, collate
from orvpe.views.resident import ResidentStore

_EVERY, _SECONDS = 2048, 20.0  # clips and seconds between writes: what an interruption loses at most
_TEXT = ("label", "subject", "camera", "split")
_OF_TRAINING = ("shortest", "occlusion", "augment")  # what of a view concerns no vector


@dataclass(frozen=True)
class IndexReport:
    """Result of `index`.

    Args:
        added, replaced, unchanged, removed: clips.
        left_out: one line for each item that could not be read or embedded.
        clips: in the index now.
        seconds: wall-clock time.
        path: of the index; ``str()`` of the report is one line for people.
    """

    added: int
    replaced: int
    unchanged: int
    removed: int
    clips: int
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0
    path: str = ""

    def __str__(self) -> str:
        parts = {"replaced": self.replaced, "unchanged": self.unchanged, "removed": self.removed}
        text = f"{self.added:,} clips added" + "".join(f", {n:,} {what}" for what, n in parts.items() if n)
        text += f", {len(self.left_out):,} items left out" if self.left_out else ""
        return f"{text}, {self.seconds:.1f} s; {self.path} holds {self.clips:,} clips"


def describe(model: Model, weights: str) -> dict[str, Any]:
    """Description of a model that an index stores: everything that determines a vector, and the model's path.

    Args:
        model: loaded.
        weights: where from, a folder or the name of a model that comes with orvpe.
    """
    folder = locate(weights)
    return {
        "name": Path(weights).name or str(weights),
        "path": weights if folder != Path(weights) else str(folder.absolute()),
        "weights": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
        "feature_dim": model.feature_dim,
        "vector": "feature",
        "encoder": asdict(model.encoder_config),
        "dims": model.dims,
        "layout": list(model.layout.joints),
        "view": {k: v for k, v in asdict(model.view).items() if k not in _OF_TRAINING},
        **({"tokens": math.prod(model.token_shape)} if model.structured else {}),
    }


def comparison(model: Model, tokens: np.ndarray) -> Compare:
    """How `Index.search` compares a clip's structured embedding (numbers,) with others."""
    return lambda others: similarity(model, tokens[None], others)[0]


@flat_arguments
@alone_in("out", folder=True)
def index(
    path: str,
    out: str,
    weights: str | None = None,
    skip_bad: bool = False,
    batch_size: int = 64,
    poses: PoseFiles = PoseFiles(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> IndexReport:
    """Put every clip of a store, or of a pose file, folder or zip, into an index for `orvpe search`.

    The same command again embeds only what is new or has changed since, and removes what is gone from the source; so
    an interrupted one goes on.  Any number of sources fit into one index; a source is known by its path, also
    where it was moved together with the index.

    Args:
        path: a store made by `orvpe ingest`, or anything that it reads.
        out: folder of the index, created if needed.
        weights: folder or name of the model; for an existing index, the one that made it.
        skip_bad: skip files that cannot be read, with a message, instead of stopping.
        batch_size: clips at a time.
        poses: what pose files do not say of themselves.
        hardware: processor and threads.

    Raises:
        InputError: a path, model or value that does not fit; an index of another model; a source without a clip.
    """
    begun = time.monotonic()
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1")
    poses.check()
    if not Path(path).exists():
        raise InputError(f"{path}: no such store, file or folder")
    source, target = Path(path).resolve(), Path(out).resolve()
    if source.is_dir() and target.is_relative_to(source):
        raise InputError(f"{out}: is inside {path}, which would be read; give another --out")
    if weights is None and not (target / ABOUT).exists():
        raise InputError(f"{out}: no such index yet; give the model that makes its vectors with -w")
    where = pick_device(hardware.device, hardware.threads)
    model, about = open_model(Index.open(out), None, where) if weights is None else _described(weights, where)
    if is_store(path):
        store = Store.open(path)
        if poses.up not in ("auto", "y"):
            raise InputError(f"up is {poses.up!r}, but {path} is a store; its clips were turned when it was made")
        check_fits(model, store, about["name"])
        job = _Job(Index.create(out, about), str(source), model, len(store), "clips")
        job.run(_store_batches(job, store, batch_size))
    else:
        options = poses.options(model.dims)
        opened = Source(path)
        reader = choose_reader(opened, poses.format)
        items = reader.items(opened)
        job = _Job(Index.create(out, about), str(source), model, len(items), "items")

        notes = Printed()
        notes.say(*left_out(opened, items))

        def read() -> Iterator[tuple[int, list[Clip]]]:
            for item in items:
                try:
                    clips = read_item(model, opened, reader, item, options)
                    notes.add(clips)
                    yield 1, clips
                except NoSkeleton:
                    yield 1, []
                except InputError as error:
                    if not skip_bad:
                        raise
                    job.leave_out(str(error))
                    yield 1, []

        job.run(_file_batches(job, read(), batch_size))
        if not job.seen:
            raise InputError(f"{path}: no clip in {len(items)} items")
    # the clips of an item that could not be read are unknown
    removed = 0 if job.left_out else job.index.remove(job.source, job.seen)
    done, seconds = job.done, time.monotonic() - begun
    return IndexReport(
        done.added, done.replaced, job.unchanged, removed, len(job.index), job.left_out, seconds, out
    )  # fmt: skip


def _described(weights: str, device: Any) -> tuple[Model, dict[str, Any]]:
    model = load(weights, device).for_inference()
    note_unfinished(model, weights)
    return model, describe(model, weights)


def open_model(index: Index, weights: str | None, device: Any) -> tuple[Model, dict[str, Any]]:
    """Load the model that made an index, from its stored or its current path, with its description.

    Raises:
        InputError: it is not there any more, or ``weights`` is another one.
    """
    path = weights if weights is not None else index.model_path()
    if weights is None and not (locate(path) / WEIGHTS).exists():
        raise InputError(f"{index.path}: its model is not at {path} any more; give its path with -w")
    model, about = _described(path, device)
    index.check(about)
    return model, about


# --- what is embedded ---------------------------------------------------------------------------------------

_Row = tuple[str, int, int, tuple[str | None, ...]]  # name, copy, fingerprint, text


class _Job:
    """Indexing of one source."""

    def __init__(self, index: Index, source: str, model: Model, total: int, unit: str) -> None:
        self.index, self.source, self.model, self.total, self.unit = index, source, model, total, unit
        self.known = index.known(source)
        self.seen: set[tuple[str, int]] = set()
        self.copies: Counter[str] = Counter()
        self.unchanged = 0
        self.done = Added()
        self.left_out: list[str] = []
        self._vectors: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []  # of a structured model, else empty
        self._rows: list[_Row] = []

    def leave_out(self, why: str) -> None:
        self.left_out.append(why)
        print(f"left out: {why}", file=sys.stderr)

    def wants(self, name: str, mark: int, text: tuple[str | None, ...]) -> _Row | None:
        """The clip's row, or None where the index has it as it is."""
        key = (name, self.copies[name])
        self.copies[name] += 1
        self.seen.add(key)
        if self.known.get(key) == mark:
            self.unchanged += 1
            return None
        return (*key, mark, text)

    def run(self, parts: Iterator[tuple[int, Batch | None, list[_Row]]]) -> None:
        """Embed and add; what was embedded before an error or interruption is kept."""
        last = time.monotonic()
        with Progress("index", self.total, self.unit) as progress:
            try:
                for count, batch, rows in parts:
                    if batch is not None:
                        vectors, _, tokens = embed_batch(self.model, batch)
                        wrong = np.flatnonzero(~(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)))
                        if len(wrong):
                            raise InputError(
                                f"{self.source}: clip {rows[wrong[0]][0]!r} has no finite feature, "
                                "as with coordinates that no body has"
                            )
                        self._vectors.append(vectors)
                        self._tokens += [tokens] if tokens is not None else []
                        self._rows += rows
                    progress.advance(count, counts=batch is not None)
                    if len(self._rows) >= _EVERY or time.monotonic() - last > _SECONDS:
                        self.write()
                        last = time.monotonic()
            finally:
                self.write()

    def write(self) -> None:
        if self._rows:
            names, copies, marks, texts = zip(*self._rows, strict=True)
            columns = dict(zip(_TEXT, zip(*texts, strict=True), strict=True))
            self.done += self.index.add(
                np.concatenate(self._vectors), names, self.source, columns, marks, copies,
                np.concatenate(self._tokens) if self._tokens else None,
            )  # fmt: skip
        self._vectors, self._tokens, self._rows = [], [], []


def _store_batches(job: _Job, store: Store, size: int) -> Iterator[tuple[int, Batch | None, list[_Row]]]:
    """New clips of a store; only their coordinates are read."""
    data = ResidentStore(store, next(job.model.parameters()).device)
    names, texts, marks = store.names.tolist(), _store_texts(store), store_fingerprints(store)
    rows = [job.wants(*clip) for clip in zip(names, marks, texts, strict=True)]
    todo = np.array([i for i, row in enumerate(rows) if row is not None], np.int64)
    if len(todo) < len(rows):
        yield len(rows) - len(todo), None, []
    store.verify(todo)
    for chosen in batches(todo, size):
        yield len(chosen), data.batch(chosen), [row for i in chosen if (row := rows[i]) is not None]


def _file_batches(
    job: _Job, read: Iterator[tuple[int, list[Clip]]], size: int
) -> Iterator[tuple[int, Batch | None, list[_Row]]]:
    """New clips among those read from files; items are counted as they are read."""
    device = next(job.model.parameters()).device
    waiting: list[tuple[Clip, _Row]] = []
    for count, clips in read:
        for clip in clips:
            text = tuple(getattr(clip, c) for c in _TEXT)
            if (row := job.wants(clip.name, clip_fingerprint(clip), text)) is not None:
                waiting.append((clip, row))
        yield count, None, []
        while len(waiting) >= size:
            some, waiting = waiting[:size], waiting[size:]
            yield 0, collate([clip for clip, _ in some], device), [row for _, row in some]
    if waiting:
        yield 0, collate([clip for clip, _ in waiting], device), [row for _, row in waiting]


def _store_texts(store: Store) -> list[tuple[str | None, ...]]:
    columns = [[v or None for v in c.tolist()] for c in (store.labels, store.subjects, store.cameras, store.splits)]
    return list(zip(*columns, strict=True))


def store_fingerprints(store: Store) -> list[int]:
    """64 bits a clip that differ when coordinates or text do, from the store's own checksums."""
    table = store.table
    columns = [table.column(c).to_pylist() for c in ("crc32", "step", "origin", "people", "frames", "width", "height")]
    layout = json.dumps(store.layout.to_dict())
    return [fingerprint(layout, row) for row in zip(*columns, _store_texts(store), strict=True)]


def clip_fingerprint(clip: Clip) -> int:
    """64 bits that differ when a clip's visible coordinates or text do."""
    joints = np.where(clip.visible[..., None], clip.joints, np.float32(0))
    text = tuple(getattr(clip, c) for c in _TEXT)
    return fingerprint(joints, clip.visible, joints.shape, clip.image_size, text)

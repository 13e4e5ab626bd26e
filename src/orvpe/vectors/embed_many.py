"""Embed very many pose files with Ray Data: a pool of workers that hold the model.

The driver lists the items and cuts those that are not yet in the output into chunks.  A worker reads and embeds a chunk
as `orvpe.vectors.embed` does, and writes one Parquet part, complete or not at all, whose metadata names the items that
are in it.  So the output says by itself what is done, and nothing else has to be kept in step with it.

What an item is stays with `orvpe.data.formats`: a source of another kind needs a reader, and nothing here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from orvpe.data.formats import FORMATS, choose_reader
from orvpe.data.formats.base import Item, NoSkeleton, Options
from orvpe.data.formats.source import Source
from orvpe.data.pose_files import PoseFiles
from orvpe.data.store import is_store
from orvpe.errors import InputError, unknown
from orvpe.models.card import WEIGHTS, locate, read_card
from orvpe.models.embed import embed_batch
from orvpe.models.model import load, note_unfinished
from orvpe.poses.clip import Clip
from orvpe.runtime.files import whole_file, write_atomic
from orvpe.runtime.lock import LOCK, alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.typed import flat_arguments
from orvpe.vectors.embed import clip_text, read_item, table_schema, to_table
from orvpe.views.batch import collate

if TYPE_CHECKING:
    import pyarrow as pa

# readers of a folder of Parquet files pass over names with a line in front
JOB, FAILED = "_job.json", "_failed.jsonl"
_ITEMS = b"orvpe_items"
_SMALLEST, _LARGEST, _PARTS = 16, 2048, 256  # items a part: at least, at most; parts that are aimed at between
_TASKS = 1000  # Ray keeps books on each task, so that one gets several chunks of a large job

_Key = tuple[str, Item]  # absolute path of the source, item


@dataclass(frozen=True)
class EmbedReport:
    """Result of `embed_many`.

    Args:
        clips: clips embedded in this call.
        parts: Parquet parts written in this call.
        before: items that were in the output already.
        failed: one line for each item that could not be embedded.
        seconds: wall-clock time of this call.
        path: the output folder; ``str()`` of the report is one line for people.
    """

    clips: int
    parts: int
    before: int
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    path: str = ""

    def __str__(self) -> str:
        text = f"{self.clips:,} clips -> {self.path} ({self.parts:,} parts), {self.seconds:.1f} s"
        text += f"; {self.before:,} items were there already" if self.before else ""
        return text + (f"; {len(self.failed):,} failed, see {Path(self.path) / FAILED}" if self.failed else "")


@flat_arguments
@alone_in("out", folder=True)
def embed_many(
    paths: list[str],
    weights: str,
    out: str,
    batch_size: int = 64,
    workers: int = 0,
    device: str = "auto",
    poses: PoseFiles = PoseFiles(),  # noqa: B008
) -> EmbedReport:
    """Embed many pose files into a folder of Parquet parts, with Ray Data.

    The parts have the columns of `orvpe embed`.  An item that cannot be read or embedded is listed with its reason in
    _failed.jsonl and never stops the job.  The same command again embeds what is not in the folder yet: the items that
    failed, new ones, and those that an interruption left; it goes by names, and does not see that a file has changed.

    Args:
        paths: folders, zips or files with poses.
        weights: folder of the model.
        out: the folder to write.
        batch_size: clips at a time in a worker.
        workers: processes that read and embed, one core each; 0 for one per core, or four per GPU.
        device: auto, cpu or cuda.
        poses: what pose files do not say of themselves.

    Returns:
        what was done.

    Raises:
        InputError: a model or value that does not fit, an output folder of another job, Ray is not installed, nothing
            but failures, or parts that were lost because their worker died.
    """
    begun = time.monotonic()
    poses.check()
    for name, value, least in (("batch_size", batch_size, 1), ("workers", workers, 0)):
        if value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(unknown("device", device, ("auto", "cpu", "cuda")))
    if poses.format is not None and poses.format not in FORMATS:
        raise InputError(unknown("format", poses.format, FORMATS))
    _import_ray()
    note_unfinished(load(weights), weights)  # says now, and once, what every worker would say
    options = poses.options(int(read_card(weights)["dims"]))
    folder = Path(out)
    _claim(folder, _description(weights, poses.format, options))
    items, failed = _list(paths, poses.format)
    done = _done(folder)
    todo = [(key, reader) for key, reader in items if key not in done]
    before = len(items) - len(todo)
    clips = parts = 0
    lost: set[_Key] = {key for key, _ in todo}
    with Progress("embed", len(items), "items") as progress:
        if before:
            progress.note(f"going on: {before:,} of {len(items):,} items are in {out} already")
            progress.advance(before, counts=False)
        for note in _run(_chunks(todo, folder), weights, options, batch_size, workers, device) if todo else ():
            tried = [(note["source"], tuple(item)) for item in note["items"]]
            lost.difference_update(tried)
            failed += note["failed"]
            clips += note["clips"]
            parts += bool(note["clips"])
            progress.advance(len(tried))
    failed += [
        {"item": _where(_opened(key[0]), key[1]), "reason": "its worker died, as when memory runs out"}
        for key in sorted(lost)
    ]
    write_atomic(folder / FAILED, "".join(json.dumps(f) + "\n" for f in failed))
    lines = [f"{f['item']}: {f['reason']}" for f in failed]
    if not clips and not before:
        rest = f" (and {len(lines) - 1} more, see {folder / FAILED})" if len(lines) > 1 else ""
        raise InputError(f"no clip: {lines[0]}{rest}" if lines else f"{', '.join(paths)}: no clip in it")
    if lost:
        raise InputError(
            f"{len(lost)} items lost their worker, see {folder / FAILED}; the same command tries them again"
        )
    return EmbedReport(clips, parts, before, lines, time.monotonic() - begun, out)


def _where(source: Source, item: Item) -> str:
    return source.where(item[0]) + "".join(f" {more}" for more in item[1:])


# --- what there is to do ------------------------------------------------------------------------------------


def _description(weights: str, format: str | None, options: Options) -> dict[str, Any]:
    """Everything that determines a vector."""
    card = read_card(weights)
    return {
        "weights": hashlib.sha256((locate(weights) / WEIGHTS).read_bytes()).hexdigest(),
        "encoder": card["encoder"],
        "view": card["view"],
        "format": format,
        "joints": options.layout.to_dict() if options.layout else None,
        "fps": options.fps,
        "image_size": list(options.image_size) if options.image_size else None,
        "min_confidence": options.min_confidence,
        "max_people": options.max_people,
        "up": options.up,
        "units": options.units,
    }


def _claim(folder: Path, description: dict[str, Any]) -> None:
    """Create the output folder, or check that it belongs to this job."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder or a new name")
    if (folder / JOB).exists():
        try:
            was = json.loads((folder / JOB).read_text(encoding="utf-8"))
            differ = [k for k in description if was.get(k) != description[k]]
        except (ValueError, AttributeError):
            raise InputError(f"{folder}: {JOB} is damaged; choose another folder") from None
        if differ:
            k = differ[0]
            change = f"{k} was {str(was.get(k))[:60]}, now {str(description[k])[:60]}"
            raise InputError(f"{folder} holds vectors of another model or arguments ({change}); choose another folder")
    elif folder.exists() and any(p.name != LOCK for p in folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no {JOB}; choose another folder")
    else:
        write_atomic(folder / JOB, json.dumps(description, indent=1) + "\n")


def _list(paths: list[str], format: str | None) -> tuple[list[tuple[_Key, str]], list[dict[str, str]]]:
    """Every item with its reader's name, once; and the paths that hold none."""
    if not paths:
        raise InputError("paths: nothing to read, expected at least one folder, zip or file")
    items: dict[_Key, str] = {}
    failed: list[dict[str, str]] = []
    for path in paths:
        try:
            if is_store(path):
                raise InputError("is a store, which orvpe embed reads")
            source = Source(Path(path).absolute())
            reader = choose_reader(source, format)
            found = reader.items(source)
            if not found:
                raise InputError(f"holds nothing of format {reader.name!r} ({reader.about})")
        except InputError as error:
            failed.append({"item": path, "reason": _reason(error, str(Path(path).absolute()))})
            continue
        items |= {(str(source.path), tuple(item)): reader.name for item in found}
    return list(items.items()), failed


def _done(folder: Path) -> set[_Key]:
    """Items that are already in the parts."""
    import pyarrow.parquet as pq

    done: set[_Key] = set()
    for part in sorted(folder.glob("part-*.parquet")):
        try:
            held = json.loads(pq.read_schema(part).metadata[_ITEMS])
        except (OSError, KeyError, TypeError, ValueError):
            raise InputError(f"{part}: damaged; remove it, and the same command makes it again") from None
        done |= {(held["source"], tuple(item)) for item in held["items"]}
    return done


def _chunks(todo: list[tuple[_Key, str]], folder: Path) -> list[dict[str, Any]]:
    """Runs of items of one source, each to become one part; parts are numbered on from those that are there."""
    size = min(max(-(-len(todo) // _PARTS), _SMALLEST), _LARGEST)
    number = 1 + max((int(p.stem.removeprefix("part-")) for p in folder.glob("part-*.parquet")), default=-1)
    chunks: list[dict[str, Any]] = []
    for (source, item), reader in todo:
        last = chunks[-1] if chunks else None
        if last is None or last["source"] != source or len(last["items"]) == size:
            part = str(folder.absolute() / f"part-{number + len(chunks):06d}.parquet")
            chunks.append({"source": source, "format": reader, "items": [], "part": part})
        chunks[-1]["items"].append(item)
    return chunks


# --- the engine ---------------------------------------------------------------------------------------------


def _import_ray() -> Any:
    local = "RAY_ADDRESS" not in os.environ
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_BACKEND_LOG_LEVEL": "fatal",
        # the one switch that makes Ray listen on 127.0.0.1 and nowhere else
        **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": secrets.token_hex(32)} if local else {}),
    }.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("embed-many runs on Ray, which is not installed here; pip install 'orvpe[ray]'") from None
    return ray


@contextmanager
def _engine(workers: int, gpu: bool) -> Iterator[Any]:
    """Use a running Ray (in this process, or the cluster of RAY_ADDRESS), else start one for this job."""
    ray = _import_ray()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # failures are listed in `FAILED`
    if ray.is_initialized():
        yield ray
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if "RAY_ADDRESS" in os.environ:
        ray.init(**quiet)
    else:
        # the store holds names of items and short notes, no vectors
        local = {"address": "local", "include_dashboard": False, "object_store_memory": 100 * 2**20}
        cores = max(workers, 1) if workers else None
        ray.init(**local, **quiet, num_cpus=cores, **({} if gpu else {"num_gpus": 0}))
    try:
        yield ray
    finally:
        ray.shutdown()


def _run(
    chunks: list[dict[str, Any]], weights: str, options: Options, batch_size: int, workers: int, device: str
) -> Iterator[dict[str, Any]]:
    """Send the chunks to the pool of workers; yield a note for each finished chunk."""
    wanted = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    with _engine(workers, wanted == "cuda") as ray:
        there = ray.cluster_resources()
        cores, gpus = int(there.get("CPU", 1)), there.get("GPU", 0)
        if wanted == "cuda" and not gpus:
            raise InputError("device is 'cuda', but Ray sees no GPU")
        size = workers or (min(cores, int(4 * gpus)) if wanted == "cuda" else cores)
        if size > cores:
            raise InputError(f"workers is {size}, but Ray has {cores} cores; give at most that")
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # ours counts items
        context.max_errored_blocks = -1  # a worker that dies takes its chunks along, and no others
        rows = [{"chunk": json.dumps(chunk)} for chunk in chunks]
        setting = (str(locate(weights).absolute()), options, batch_size, wanted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray 2.60 asks for a name that it does not give max_task_retries yet
            notes = ray.data.from_items(rows, override_num_blocks=min(len(rows), _TASKS)).map_batches(
                _Embedder,
                fn_constructor_args=setting,
                batch_size=1,
                # one task at a worker, so that its death takes no waiting ones along
                compute=ray.data.ActorPoolStrategy(size=min(size, len(rows)), max_tasks_in_flight_per_actor=1),
                num_cpus=1,
                num_gpus=min(1.0, gpus / size) if wanted == "cuda" else None,
                max_task_retries=1,  # Ray's own is for ever, which a file that kills its worker would use
            )
        for row in notes.iter_rows():
            yield json.loads(row["note"])


class _Embedder:
    """A worker of the pool, which loads the model once."""

    def __init__(self, weights: str, options: Options, batch_size: int, device: str) -> None:
        torch.set_num_threads(1)  # a core each
        self.model = load(weights, device).for_inference()
        self.schema = table_schema(self.model, weights)
        self.options, self.batch_size, self.device = options, batch_size, device

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, list[str]]:
        return {"note": [json.dumps(self.chunk(json.loads(str(chunk)))) for chunk in batch["chunk"]]}

    def chunk(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """Read and embed a chunk, write its part, and return a note."""
        import pyarrow as pa

        source, reader = _opened(chunk["source"]), FORMATS[chunk["format"]]
        items: list[Item] = [tuple(item) for item in chunk["items"]]
        failed: dict[int, str] = {}  # item's place in the chunk -> why
        tables: list[pa.Table] = [self.schema.empty_table()]
        owners: list[int] = []  # each row's item
        waiting: list[tuple[int, Clip]] = []

        def embed(count: int) -> None:
            for places, table in self.embed(waiting[:count], failed):
                owners.extend(places)
                tables.append(table)
            del waiting[:count]

        for place, item in enumerate(items):
            try:
                clips = read_item(self.model, source, reader, item, self.options)
                waiting += [(place, clip) for clip in clips]
                if not clips:
                    failed[place] = "no clip in it"
            except NoSkeleton:
                failed[place] = "nobody is in it"
            except Exception as error:  # whatever it is, the other items have nothing to do with it
                failed[place] = _reason(error, source.where(item[0]))
            while len(waiting) >= self.batch_size:
                embed(self.batch_size)
        embed(len(waiting))
        # an item is in the output with all of its clips or not at all: then it can be tried again
        rows = pa.concat_tables(tables).filter(pa.array([place not in failed for place in owners], pa.bool_()))
        if len(rows):
            held = [item for place, item in enumerate(items) if place not in failed]
            self.write(Path(chunk["part"]), rows, {"source": chunk["source"], "items": held})
        reasons = [{"item": _where(source, items[place]), "reason": failed[place]} for place in sorted(failed)]
        return {"source": chunk["source"], "items": items, "clips": len(rows), "failed": reasons}

    def embed(self, clips: list[tuple[int, Clip]], failed: dict[int, str]) -> list[tuple[list[int], pa.Table]]:
        """(place of each row's item, rows); what cannot be embedded is left out, and its item noted in ``failed``."""
        if not clips:
            return []
        places = [place for place, _ in clips]
        try:
            vectors = embed_batch(self.model, collate([clip for _, clip in clips], self.device))
        except Exception as error:
            if len(clips) == 1:
                failed[places[0]] = _reason(error)
                return []
            return [found for one in clips for found in self.embed([one], failed)]
        finite = np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in vectors if v is not None])
        for place, good in zip(places, finite, strict=True):
            if not good:
                failed[place] = "its feature is not finite, as with coordinates that no body has"
        return [(places, to_table(self.schema, clip_text([clip for _, clip in clips]), vectors))]

    def write(self, part: Path, rows: pa.Table, held: dict[str, Any]) -> None:
        """Write the part atomically."""
        import pyarrow.parquet as pq

        metadata = {**(self.schema.metadata or {}), _ITEMS: json.dumps(held)}
        with whole_file(part) as temporary:
            pq.write_table(rows.replace_schema_metadata(metadata), temporary)


@lru_cache(maxsize=2)
def _opened(path: str) -> Source:
    """Keep one source open per process, so that a zip's list of 100,000 names is read once."""
    return Source(path)


def _reason(error: Exception, where: str = "") -> str:
    """One line without the file, which stands next to it; of errors that are not ours the name too."""
    text = " ".join(str(error).split()).removeprefix(f"{where}: ")
    return text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"

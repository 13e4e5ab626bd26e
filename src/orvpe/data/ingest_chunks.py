"""The reading that `orvpe.data.ingest` does: chunks of items into part stores, in this process or in many."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import FORMATS
from orvpe.data.formats.base import Item, NoSkeleton, Options, OtherKind
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.store import StoreWriter
from orvpe.data.store.grid import Grid, grid
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Notes
from orvpe.poses.skeleton import with_derived
from orvpe.poses.unify import to_unified
from orvpe.poses.windows import seen_people, windows
from orvpe.runtime.files import write_atomic


@dataclass(frozen=True)
class Chunk:
    """Some items of a source and all that reading them takes, sent to another process."""

    source: str
    format: str
    items: tuple[Item, ...]
    part: Path  # without suffix
    options: Options
    unified: bool
    window: int | None
    stride: int | None
    min_frames: int


def read_chunks(chunks: Sequence[Chunk], workers: int) -> Iterator[Chunk]:
    """Read the chunks, each into its part store; yields each when it is done."""
    if workers == 1 or len(chunks) <= 1:
        for chunk in chunks:
            _read_chunk(chunk)
            yield chunk
        return
    # spawn: the same on every system, and safe next to threads
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=_start_reader)
    try:
        waiting = iter(chunks)
        running = {pool.submit(_read_chunk, chunk): chunk for chunk in itertools.islice(waiting, 2 * workers)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                yield running.pop(future)
                following = next(waiting, None)
                if following is not None:
                    running[pool.submit(_read_chunk, following)] = following
    except BrokenProcessPool:
        raise InputError(
            "a reader was ended by the system, most likely for want of memory; the same command goes on from here, "
            "with --workers 1 in the least memory"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_reader() -> None:
    """On Ctrl-C every process of the terminal gets the signal; readers finish their chunk, which is then kept."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A parent that is killed cannot tell its readers, which would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@lru_cache(maxsize=2)
def _opened(path: str) -> Source:
    """One open source a process, so that a zip's list of 100,000 names is read once."""
    return Source(path)


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Freeing one large block makes glibc keep what is freed later, instead of giving it back and asking for it,
    page by page, with every file: a fifth of the time of small ones.  Elsewhere it does nothing.
    """
    np.empty(16 << 20, dtype=np.uint8)


def _read_chunk(chunk: Chunk) -> None:
    """Read a chunk's items into its part store, then note that it is done."""
    _keep_freed_memory()
    if chunk.format not in FORMATS:  # registered by a script that this process did not run
        raise InputError(
            f"format {chunk.format!r} is not known to the processes that read; register it in a module that the script "
            "imports at its top (docs/guides/extending.md), or give --workers 1"
        )
    source, reader = _opened(chunk.source), FORMATS[chunk.format]
    note: dict[str, Any] = {"clips": 0, "frames": 0, "skipped_no_skeleton": 0, "skipped_short": 0, "bad": []}
    note["skipped_other"] = 0
    strange = Notes()
    clips: list[Clip] = []
    places: list[Grid | None] = []
    for item in chunk.items:
        try:
            found = read_clips(reader, source, item, chunk.options)
            strange.add(found)
            ready = [seen_people(to_unified(clip) if chunk.unified else clip) for clip in found]
            pieces = [piece for clip in ready for piece in windows(clip, chunk.window, chunk.stride)]
            grids = [None if piece is None else grid(piece) for piece in pieces]  # raises now if it cannot be stored
        except OtherKind:
            note["skipped_other"] += 1
            continue
        except NoSkeleton:
            note["skipped_no_skeleton"] += 1
            continue
        except InputError as error:
            where = "" if str(source.path) in str(error) else f"{source.where(item[0])}: "
            note["bad"].append(f"{where}{error}")
            continue
        for piece, on in zip(pieces, grids, strict=True):
            if piece is None:
                note["skipped_no_skeleton"] += 1
            elif piece.frames < chunk.min_frames:
                note["skipped_short"] += 1
            else:
                clips.append(piece)
                places.append(on)
    if clips:
        first = clips[0]
        layout = with_derived(first.layout, *(c.layout for c in clips if c.layout == first.layout))
        note |= {
            "clips": len(clips),
            "frames": sum(c.people * c.frames for c in clips),
            "first": f"{chunk.source}, clip {first.name!r}",
            "layout": layout.to_dict(),
            "dims": first.dims,
        }
        # no waiting for the disk: `_is_done` looks whether a part outlived a power failure
        with StoreWriter(chunk.part.with_suffix(".orvpe"), layout, first.dims, sync=False) as writer:
            for clip, on in zip(clips, places, strict=True):
                writer.add(clip, on)
    note["strange"] = strange.found
    write_atomic(chunk.part.with_suffix(".json"), json.dumps(note))

"""Pose files of any known format to one store: all cores, resumable, the same bytes however it was run.

The items of all sources are cut into chunks of fixed size.  A chunk becomes a small part store, written
together with a JSON note of what was skipped; parts are then copied, in order, into the store.  A run that
was interrupted leaves its parts in ``OUT.parts``, and the same command takes them up again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from orvpe.data.formats import FORMATS, choose_reader
from orvpe.data.formats.base import Options
from orvpe.data.formats.labels import Labels
from orvpe.data.formats.reading import left_out, survey_of, without_kept
from orvpe.data.formats.source import Source, not_a_source
from orvpe.data.ingest_chunks import Chunk, read_chunks
from orvpe.data.pose_files import PoseFiles
from orvpe.data.store import Store
from orvpe.data.store.parts import claim, merge
from orvpe.data.store.writing import check_alike, orvpe_version
from orvpe.errors import InputError, unknown
from orvpe.poses.notes import Notes
from orvpe.poses.skeleton import layout_from_dict, with_derived
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.typed import flat_arguments

_PARTS = 4  # changes when parts of an older orvpe must not be taken up
CHUNK_ITEMS = 128  # does not depend on the number of workers: the same store for any
_KEEP_BAD = 100


@dataclass(frozen=True)
class IngestReport:
    """What `ingest` did.

    Args:
        clips: clips in the store.
        frames: people x frames in the store.
        skipped_no_skeleton: items in which nobody is, and windows in which nobody is seen.
        skipped_other: files of another kind next to those of the format.
        skipped_short: clips with fewer than ``min_frames`` frames.
        bad: one line for each item that could not be read.
        seconds: wall-clock time of this call.
        bytes: size of the store.
        path: the store; ``str()`` of the report is one line for people.
    """

    clips: int
    frames: int
    skipped_no_skeleton: int
    skipped_short: int
    bad: list[str] = field(default_factory=list)
    skipped_other: int = 0
    seconds: float = 0.0
    bytes: int = 0
    path: str = ""

    def __str__(self) -> str:
        left_out = {
            "without a skeleton": self.skipped_no_skeleton,
            "of another kind": self.skipped_other,
            "too short": self.skipped_short,
            "that cannot be read": len(self.bad),
        }
        text = (
            f"{self.path}: {self.clips:,} clips, {self.frames:,} frames of a person, "
            f"{self.bytes / 1e6:,.1f} MB ({self.bytes / self.frames:.1f} bytes a frame), {self.seconds:.1f} s"
        )
        skipped = ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count)
        return text + (f"; left out: {skipped}" if skipped else "")


@flat_arguments
@alone_in("out")
def ingest(
    paths: list[str],
    out: str,
    layout: str = "unified",
    dims: int = 3,
    window: int | None = None,
    stride: int | None = None,
    min_frames: int = 1,
    subject: str | None = None,
    labels: str | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
    poses: PoseFiles = PoseFiles(),  # noqa: B008
) -> IngestReport:
    """Read pose files of any known format into one store.

    An interrupted run keeps what it has read in OUT.parts; the same command goes on from there.  A script that
    calls this with more than one worker does so under ``if __name__ == "__main__":``, as every script that starts
    processes.

    Args:
        paths: folders, zips or files with poses; several are put one after the other.
        out: the store to write, by convention ending in .orvpe.
        layout: 'unified' maps every clip onto the 17 common joints, 'native' keeps the joints of the source.
        dims: 3 for metres or 2 for pixels, for formats that hold both.
        window: cut recordings longer than that many frames into windows of that length.
        stride: frames from one window to the next; half a window when not given.
        min_frames: leave out clips with fewer frames.
        subject: who is seen, where the source does not say.
        labels: "folders" where the files of each class lie in a folder of its name, or a CSV with the columns name and
            label, and optionally subject, camera, split; a name is a clip's or its file's.
        skip_bad: leave out what cannot be read, and list it in the store, instead of stopping at the end.
        workers: processes that read; all cores when not given.
        overwrite: replace an existing store.
        poses: what pose files do not say of themselves.

    Returns:
        what was read, left out and written.

    Raises:
        InputError: a path that does not exist or holds no pose file, an unknown format or layout, items that
            cannot be read (unless ``skip_bad``), 2D and 3D clips or different native layouts in one store, no clip
            at all, an existing store (unless ``overwrite``).
    """
    begun = time.monotonic()
    _check(
        paths, layout, poses.format, window, stride, min_frames, workers, dims, poses.max_people, poses.min_confidence
    )
    target = Path(out)
    if target.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of the store to write")
    poses.check()
    not_a_source(out, paths)
    if target.exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{out}: folder {target.parent} does not exist")
    options = replace(poses.options(dims, subject), labels=Labels(labels) if labels is not None else None)
    settings = {
        **asdict(poses),
        "joints": options.layout.to_dict() if options.layout else None,
        "layout": layout,
        "dims": dims,
        "window": window,
        "stride": stride,
        "min_frames": min_frames,
        "subject": subject,
        "labels": options.labels.to_list() if options.labels else None,
    }
    parts = target.with_name(target.name + ".parts")
    strange = Notes()
    chunks, sources = _plan(
        paths, poses.format, parts, options, layout == "unified", window, stride, min_frames, strange
    )
    claim(parts, _fingerprint([Source(p) for p in paths], settings, len(chunks)), by="ingest")
    todo = [chunk for chunk in chunks if not _is_done(chunk)]
    resumed = len(chunks) - len(todo)
    with Progress("reading", sum(len(c.items) for c in chunks), unit="items") as progress:
        if resumed:
            progress.note(f"going on: {resumed} of {len(chunks)} parts are in {parts} already")
            progress.advance(sum(len(c.items) for c in chunks) - sum(len(c.items) for c in todo), counts=False)
        for chunk in read_chunks(todo, workers or os.cpu_count() or 1):
            progress.advance(len(chunk.items))
    notes = [json.loads(chunk.part.with_suffix(".json").read_text(encoding="utf-8")) for chunk in chunks]
    for note in notes:
        strange.merge(note["strange"])
    strange.print()
    bad = [line for note in notes for line in note["bad"]]
    if bad and not skip_bad:
        rest = f" (and {len(bad) - 1} more that cannot be read)" if len(bad) > 1 else ""
        raise InputError(f"{bad[0]}{rest}; give --skip-bad to leave such items out")
    kinds = ("clips", "frames", "skipped_no_skeleton", "skipped_short", "skipped_other")
    total = {kind: sum(note[kind] for note in notes) for kind in kinds}
    meta = {
        "generated": False,
        "sources": sources,
        "options": settings | {"labels": labels},
        "notes": strange.lines(),
        "skipped": {
            "no_skeleton": total["skipped_no_skeleton"],
            "short": total["skipped_short"],
            "bad": len(bad),
            "bad_first": bad[:_KEEP_BAD],
        },
    }
    full = [note for note in notes if note["clips"]]
    layouts = [layout_from_dict(note["layout"]) for note in full]
    for note, its in zip(full, layouts, strict=True):
        check_alike(note["first"], its, note["dims"], layouts[0], full[0]["dims"])
    if not full:
        shutil.rmtree(parts)
        raise InputError(
            f"{', '.join(paths)}: no clip in {sum(len(c.items) for c in chunks)} items "
            f"({total['skipped_no_skeleton']} without a skeleton, {total['skipped_short']} too short, "
            f"{len(bad)} bad)"
        )
    stores = [chunk.part.with_suffix(".orvpe") for chunk, note in zip(chunks, notes, strict=True) if note["clips"]]
    merge(target, stores, with_derived(*layouts), full[0]["dims"], meta)
    shutil.rmtree(parts)
    return IngestReport(
        clips=total["clips"],
        frames=total["frames"],
        skipped_no_skeleton=total["skipped_no_skeleton"],
        skipped_short=total["skipped_short"],
        bad=bad,
        skipped_other=total["skipped_other"],
        seconds=time.monotonic() - begun,
        bytes=target.stat().st_size,
        path=out,
    )


def _check(
    paths: Sequence[str],
    layout: str,
    format: str | None,
    window: int | None,
    stride: int | None,
    min_frames: int,
    workers: int | None,
    dims: int,
    max_people: int,
    min_confidence: float,
) -> None:
    if not paths:
        raise InputError("paths: nothing to read, expected at least one folder, zip or file")
    seen: set[Path] = set()
    for path in paths:  # twice the same clips would be in training and test
        if Path(path).resolve() in seen:
            raise InputError(f"{path}: given twice, expected each path once")
        seen.add(Path(path).resolve())
    if layout not in ("unified", "native"):
        options = ("unified", "native")
        raise InputError(unknown("layout option", layout, options) + " (--joints names the source's layout)")
    if format is not None and format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))
    if dims not in (2, 3):
        raise InputError(f"dims is {dims}, expected 2 (pixels) or 3 (metres)")
    if not min_confidence >= 0:
        raise InputError(f"min_confidence is {min_confidence}, expected at least 0")
    if stride is not None and window is None:
        raise InputError(f"stride is {stride}, but window is not given")
    whole = {"min_frames": min_frames, "max_people": max_people, "window": window, "stride": stride}
    for name, value in {**whole, "workers": workers}.items():
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, expected at least 1")


# --- planning -----------------------------------------------------------------------------------------------


def _plan(
    paths: Sequence[str],
    format: str | None,
    parts: Path,
    options: Options,
    unified: bool,
    window: int | None,
    stride: int | None,
    min_frames: int,
    strange: Notes,
) -> tuple[list[Chunk], list[dict[str, Any]]]:
    chunks: list[Chunk] = []
    sources: list[dict[str, Any]] = []
    for path in paths:
        source = Source(path)
        reader = choose_reader(source, format)
        items = reader.items(source)
        if not items:
            raise InputError(f"{path}: holds nothing of format {reader.name!r} ({reader.about})")
        sources.append({"path": Path(path).name, "format": reader.name, "items": len(items)})
        strange.say(*left_out(source, items))
        how = options
        if len(items) > CHUNK_ITEMS:  # all chunks are to be turned alike
            how = replace(options, survey=without_kept(survey_of(reader, source, options)))
        for begin in range(0, len(items), CHUNK_ITEMS):
            part = parts / f"{len(chunks):06d}"
            some = tuple(items[begin : begin + CHUNK_ITEMS])
            chunks.append(Chunk(path, reader.name, some, part, how, unified, window, stride, min_frames))
    return chunks, sources


def _fingerprint(sources: Sequence[Source], settings: dict[str, Any], chunks: int) -> str:
    """Changes when a source's files, their sizes or times, an option or this program's version does."""
    digest = hashlib.sha256()
    digest.update(json.dumps([orvpe_version(), _PARTS, CHUNK_ITEMS, chunks, settings], sort_keys=True).encode())
    for source in sources:
        digest.update(str(source.path.resolve()).encode())
        for name in source.names if source.is_folder else (source.path.name,):
            status = os.stat(os.path.join(source.path, name) if source.is_folder else source.path)
            digest.update(f"{os.path.basename(name)}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _is_done(chunk: Chunk) -> bool:
    """Whether an earlier run has read this chunk, and what it wrote is whole."""
    try:
        note = json.loads(chunk.part.with_suffix(".json").read_text(encoding="utf-8"))
        if note["clips"]:
            Store.open(chunk.part.with_suffix(".orvpe")).verify()
        return True
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, InputError):
        return False

"""Pose files or a store to the files of another tool."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.reading import check_choices, left_out, read_clips
from orvpe.data.formats.source import Source, not_a_source
from orvpe.data.store import Store, is_store
from orvpe.data.writers import WRITERS
from orvpe.data.writers.base import Writer, file_names
from orvpe.errors import InputError, unknown
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Printed
from orvpe.poses.skeleton import get_layout
from orvpe.poses.unify import to_unified
from orvpe.runtime.lock import alone_in


@dataclass
class Converted:
    """What `convert` did; ``str()`` is the line that the command prints."""

    path: str
    format: str
    clips: int = 0
    frames: int = 0
    nobody: int = 0
    bad: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        left_out = {"without a skeleton": self.nobody, "that cannot be read": len(self.bad)}
        skipped = ", ".join(f"{n:,} {what}" for what, n in left_out.items() if n)
        clips = f"{self.clips:,} clip" + ("s" if self.clips != 1 else "")
        text = f"{self.path}: {clips}, {self.frames:,} frames of a person, {self.format}"
        return text + (f"; left out: {skipped}" if skipped else "")


@alone_in("out")
def convert(
    path: str,
    out: str,
    to: str | None = None,
    layout: str = "native",
    format: str | None = None,
    joints: str | None = None,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    dims: int = 3,
    min_confidence: float = 0.1,
    max_people: int = 10,
    up: str = "auto",
    units: str = "auto",
    skip_bad: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Write pose files or a store as the files of another tool.

    Args:
        path: a store, or a folder, zip or file with poses.
        out: what to write: a file whose ending says the format (.json COCO, .pkl pyskl, .csv, .parquet, .npz, .trc,
            .bvh), or a folder, with --to, in which each clip is a file.
        to: the format to write: coco, openpose, pyskl, table, npz, trc or bvh, where OUT's ending does not say it.
        layout: 'native' keeps the joints of the source, 'unified' maps them onto the 17 common ones.
        format: the format of the source; found by itself when not given.
        joints: layout of the source's joints, a known name or a YAML file, where the format does not say.
        fps: frames per second, where the source does not say.
        image_size: width and height in pixels, where the source does not say.
        dims: 3 for metres or 2 for pixels, for formats that hold both.
        min_confidence: a joint with a lower confidence is missing.
        max_people: keep at most that many people a clip, those who move most.
        up: the axis that points up in 3D sources, one of auto, y, -y, z, -z, x and -x; auto looks which way the bodies
            point.
        units: of 3D sources, one of auto, m, cm, mm and in; auto looks how large the bodies are.
        skip_bad: leave out what cannot be read instead of stopping.
        overwrite: replace an existing file or folder.

    Returns:
        how many clips were written.

    Raises:
        InputError: no such path, nothing known in it, an unknown format or layout, a clip that the format cannot hold,
            something at OUT already (unless ``overwrite``).
    """
    target = Path(out)
    writer = _writer(target, to)
    if layout not in ("native", "unified"):
        raise InputError(unknown("layout option", layout, ("native", "unified")))
    check_choices(up, units)
    if dims not in (2, 3) or max_people < 1 or not min_confidence >= 0:
        given = f"dims {dims}, max_people {max_people}, min_confidence {min_confidence}"
        raise InputError(f"{given}; expected 2 or 3, at least 1, at least 0")
    not_a_source(out, [path])
    if target.exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{out}: folder {target.parent} does not exist")
    options = Options(
        layout=get_layout(joints) if joints else None, fps=fps, image_size=image_size, dims=dims,
        min_confidence=min_confidence, max_people=max_people, up=up, units=units,
    )  # fmt: skip
    done = Converted(out, writer.about)
    clips = _counted(_clips(path, format, options, skip_bad, done), layout, done)
    first = next(clips, None)
    if first is None:
        raise InputError(f"{path}: no clip in it")
    _write(writer, itertools.chain([first], clips), target)
    return done


def _writer(target: Path, to: str | None) -> Writer:
    if to is not None:
        if to not in WRITERS:
            raise InputError(unknown("format to write", to, WRITERS))
        return WRITERS[to]
    for writer in WRITERS.values():
        if target.suffix.lower() in writer.suffixes:
            return writer
    endings = ", ".join(s for w in WRITERS.values() for s in w.suffixes)
    raise InputError(f"{target}: the ending does not say what to write, expected {endings}; or give --to for a folder")


def _write(writer: Writer, clips: Iterator[Clip], target: Path) -> None:
    """One file, or a folder; a folder stands at its place when it is whole."""
    if target.suffix.lower() in writer.suffixes and not writer.one_clip:
        writer.write(clips, target)
        return
    first = next(clips)
    second = next(clips, None)
    if second is not None and target.suffix.lower() in writer.suffixes:
        raise InputError(
            f"{target}: a {target.suffix} holds one clip, and there are more; give a folder and --to {writer.name}"
        )
    every = itertools.chain([first] if second is None else [first, second], clips)
    if second is None and target.suffix.lower() in writer.suffixes:
        writer.write(iter([first]), target)
        return
    making = target.with_name(f".{target.name}.parts")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        if writer.suffixes:
            for name, clip in file_names(every):
                writer.write(iter([clip]), making / f"{name}{writer.suffixes[0]}")
        else:
            writer.write(every, making)
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _counted(clips: Iterator[Clip], layout: str, done: Converted) -> Iterator[Clip]:
    for clip in clips:
        done.clips += 1
        done.frames += clip.people * clip.frames
        yield to_unified(clip) if layout == "unified" else clip


def _clips(path: str, format: str | None, options: Options, skip_bad: bool, done: Converted) -> Iterator[Clip]:
    if is_store(path):
        yield from Store.open(path)
        return
    source = Source(path)
    reader = choose_reader(source, format)
    items = reader.items(source)
    if not items:
        raise InputError(f"{path}: holds nothing of format {reader.name!r} ({reader.about})")
    notes = Printed()
    notes.say(*left_out(source, items))
    for item in items:
        try:
            found = read_clips(reader, source, item, options)
            notes.add(found)
            yield from found
        except NoSkeleton:
            done.nobody += 1
        except InputError as error:
            if not skip_bad:
                raise InputError(f"{error}; give --skip-bad to leave such items out") from None
            done.bad.append(str(error))

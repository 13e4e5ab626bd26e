"""`orvpe classify`: name the actions of people in videos, pose files or stores, over time.

Writes timeline.json and timeline.csv, and for each video the video with skeletons and labels on it; all at the end.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orvpe.actions.timeline import (
    UNSEEN,
    Span,
    Timeline,
    WindowOptions,
    one_by_one,
    timeline,
    with_classes,
    without_name,
)
from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.reading import left_out, read_clips
from orvpe.data.formats.source import VIDEO_SUFFIXES, Source
from orvpe.data.pose_files import PosesOrVideos
from orvpe.data.store import Store, is_store
from orvpe.errors import InputError
from orvpe.models.model import Model, load
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Printed
from orvpe.poses.skeleton import unified
from orvpe.runtime.files import Together
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.run import environment
from orvpe.runtime.typed import flat_arguments
from orvpe.video.decode import camera, image_files
from orvpe.video.options import PersonFinder, PoseOptions
from orvpe.video.people import VideoPeople
from orvpe.views.view import input_dims

_SHOWN = 60  # rows of the table; the files have all
_FILES = ("timeline.json", "timeline.csv")


@dataclass(frozen=True)
class ClassifyReport:
    """Result of `classify`; ``str()`` is a table.

    Args:
        sources: for each path (or video of a folder) its name and the timelines of its people.
        files: what was written.
        classes: the model's.
    """

    sources: list[tuple[str, list[Timeline]]]
    files: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, Span]]:
        """(person, span) of all timelines, in order."""
        return [(line.name, span) for _, lines in self.sources for line in lines for span in line.spans]

    def __str__(self) -> str:
        rows = self.rows()
        wide = max([6, *(len(name) for name, _ in rows[:_SHOWN])])
        text = max([5, *(len(_said(span)) for _, span in rows[:_SHOWN])])
        lines = [f"{'person':<{wide}}  {'from':>8}  {'to':>8}  {'label':<{text}}  {'score':>5}"]
        for name, span in rows[:_SHOWN]:
            score = f"{span.score:.2f}" if span.best is not None else "-"
            lines.append(f"{name:<{wide}}  {span.start:>8.2f}  {span.end:>8.2f}  {_said(span):<{text}}  {score:>5}")
        if len(rows) > _SHOWN:
            lines.append(f"... and {len(rows) - _SHOWN:,} more rows")
        lines += [f"{name}: nobody found" for name, people in self.sources if not people]
        return "\n".join([*lines, *(f"-> {file}" for file in self.files)])


def _said(span: Span) -> str:
    return f"{span.label} ({span.best}?)" if without_name(span) else span.label


@flat_arguments
@alone_in("out", folder=True)
def classify(
    paths: list[str],
    weights: str,
    out: str,
    window: float | None = None,
    stride: float | None = None,
    threshold: float | None = None,
    risk: float | None = None,
    min_visible: float = 0.25,
    together: bool = False,
    start: float = 0.0,
    seconds: float | None = None,
    interpolate: int = 0,
    smooth: bool = False,
    overlay: bool = True,
    skip_bad: bool = False,
    overwrite: bool = False,
    reading: PosesOrVideos = PosesOrVideos(),  # noqa: B008
    finder: PersonFinder = PersonFinder(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> ClassifyReport:
    """Name the actions of the people in videos, pose files or stores, over time.

    Args:
        paths: videos, folders of videos or of images, stores, or anything that `orvpe ingest` reads.
        weights: folder of a model with a classifier, from `orvpe learn`, `finetune` or `probe`.
        out: folder for timeline.json, timeline.csv and the annotated videos.
        window: window length in seconds; that of the model's training clips, or 2, when not given.
        stride: seconds between windows; a quarter of the window when not given.
        threshold: probability below which the label is "unsure" (or "unknown"); 0.5 without it and ``risk``.
        risk: for models of `orvpe learn`: name a class only if at most this share of the named ones is wrong, e.g. 0.1,
            and say "unknown" otherwise.
        min_visible: share of visible joints below which the label is "not seen".
        together: one timeline for all people of a pose clip, for interactions; not for videos.
        start: seconds of videos to skip.
        seconds: seconds of videos to read; all when not given.
        interpolate: in videos, interpolate a joint over gaps of up to that many frames; 0 for none.
        smooth: in videos, smooth jitter with the one-euro filter.
        overlay: write the annotated videos too.
        skip_bad: skip what cannot be read, with a message, instead of stopping.
        overwrite: replace existing files.
        reading: what files do not say of themselves, and which people to keep.
        finder: how people are found in videos.
        hardware: processor and threads.

    Returns:
        The timelines; printed as a table.

    Raises:
        InputError: nothing there, a model without a classifier or for other data, a value that does not fit, files that
            exist (unless ``overwrite``).
    """
    from orvpe.runtime.device import pick_device

    if reading.max_people is not None and reading.max_people < 1:
        raise InputError(f"max_people is {reading.max_people}, expected at least 1")
    windows = WindowOptions(window, stride, threshold, min_visible, risk)
    where = pick_device(hardware.device, hardware.threads)
    model = load(weights, where).for_inference()
    with_classes(model, weights)
    videos, others = _sorted_out(paths)
    if videos and together:
        raise InputError(f"{videos[0][1]}: together is for pose files; people in videos come and go")
    pose = PoseOptions(
        **asdict(finder), max_people=reading.max_people or 4,
        layout="unified" if model.layout.joints == unified.joints else "native",
        joints=(reading.joints or "image") if videos else "image", fps=reading.fps if videos else None,
        start=start, seconds=seconds, min_confidence=reading.min_confidence, interpolate=interpolate, smooth=smooth,
        threads=hardware.threads,
    )  # fmt: skip
    if videos:
        check_video(model, videos[0][1], pose.joints)
    layout = reading.joints if not videos or reading.joints not in ("image", "world") else None
    options = reading.pose_files(layout if others else None).options(model.dims)
    folder = _checked_folder(out, [name for name, _ in videos] if overlay else [], paths, overwrite)
    sources: list[tuple[str, list[Timeline]]] = []
    files = [folder / name for name in _FILES]
    bad: list[str] = []
    with Together() as outputs:
        table, rows = map(outputs.path, files)
        if not skip_bad:
            _check_videos([path for _, path in videos], pose)
        drawings = {name: outputs.path(_drawing(folder, name)) for name, _ in videos} if overlay else {}
        for name, path in videos:
            try:
                lines, drawn = classify_video(model, path, name, pose, windows, drawings.get(name))
            except InputError as error:
                if not skip_bad:
                    raise
                bad.append(str(error))
                print(f"left out: {error}", file=sys.stderr)
                continue
            sources.append((name, lines))
            files += [_drawing(folder, name)] if drawn else []
        for path in others:
            lines = []
            for clip in pose_clips(path, reading.format, options, skip_bad):
                lines += [timeline(model, one, windows) for one in ([clip] if together else one_by_one(clip))]
            sources.append((path, lines))
        if not any(lines for _, lines in sources):
            raise InputError(f"{', '.join(paths)}: nobody found" + (f"; {bad[0]}" if bad else ""))
        report = ClassifyReport(sources, list(map(str, files)), list(model.classes or []))
        table.write_bytes(_json(report, weights, windows.for_model(model)).encode())
        rows.write_bytes(_csv(report).encode())
    return report


# --- what to read and write ---------------------------------------------------------------------------------


def is_video(path: str | Path) -> bool:
    """Whether a path is a video file or a folder of images."""
    where = Path(path)
    if where.is_dir():
        return bool(image_files(where))
    return where.suffix.lower() in VIDEO_SUFFIXES and where.is_file()


def _sorted_out(paths: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Split paths into videos (name, path) and pose files."""
    from orvpe.video.find import find_videos

    if not paths:
        raise InputError("paths: nothing to read, expected at least one video, pose file or store")
    videos: list[str] = []
    others: list[str] = []
    for path in paths:
        where = Path(path)
        if camera(path) is not None:
            raise InputError(f"{path}: is a camera; orvpe live {path} reads it")
        if not where.exists():
            raise InputError(f"{path}: no such file or folder")
        holds = where.is_dir() and any(p.suffix.lower() in VIDEO_SUFFIXES for p in where.rglob("*") if p.is_file())
        (videos if holds or is_video(where) else others).append(path)
    return (find_videos(videos) if videos else []), others


def _drawing(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '_')}.mp4"


def _checked_folder(out: str, videos: list[str], paths: list[str], overwrite: bool) -> Path:
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{out}: is a file, expected a folder or a new name")
    for path in paths:
        if folder.exists() and Path(path).is_dir() and folder.samefile(path):
            raise InputError(f"{out}: is what would be read, give another --out")
    for target in [folder / _FILES[0], folder / _FILES[1], *(_drawing(folder, name) for name in videos)]:
        if target.exists() and any(target.samefile(p) for p in paths):
            raise InputError(f"{target}: is what would be read, give another --out")
        if target.exists() and not overwrite:
            raise InputError(f"{target}: exists already; give --overwrite to replace it")
    return folder


def check_video(model: Model, path: str, joints: str) -> None:
    """Refuse a video that does not fit the model, before poses are estimated.

    Raises:
        InputError: joints of another dimension.
    """
    dims = 3 if joints == "world" else 2
    if input_dims(model.view, dims) == model.dims:
        return
    hint = "leave out --joints world"
    if dims == 2:
        hint = "give --joints world for 3D around the hips, or take a 2D model"
    raise InputError(f"{path}: gives {dims}D joints, the model reads {model.dims}D; {hint}")


def _check_videos(paths: list[str], pose: PoseOptions) -> None:
    """Check all videos before any is processed."""
    from orvpe.video.people import open_video

    for path in paths:
        open_video(path, pose)


def pose_clips(path: str, format: str | None, options: Options, skip_bad: bool = False) -> Iterator[Clip]:
    """Read all clips of a store, pose file, folder or zip.

    Raises:
        InputError: as the readers, unless ``skip_bad``.
    """
    if is_store(path):
        yield from Store.open_whole(path)
        return
    source = Source(path)
    reader = choose_reader(source, format)
    items, notes = reader.items(source), Printed()
    notes.say(*left_out(source, items))
    for item in items:
        try:
            clips = read_clips(reader, source, item, options)
            notes.add(clips)
            yield from clips
        except NoSkeleton:
            continue
        except InputError as error:
            if not skip_bad:
                raise
            print(f"left out: {error}", file=sys.stderr)


# --- videos -------------------------------------------------------------------------------------------------


def classify_video(
    model: Model, path: str, name: str, pose: PoseOptions, windows: WindowOptions, drawing: Path | None = None
) -> tuple[list[Timeline], Path | None]:
    """Timelines of a video's people, ``NAME-p1`` ..., and the annotated video if one was written.

    Args:
        model: with a classifier.
        path: the video.
        name: what to call it.
        pose: how its people become clips.
        windows: how these become timelines.
        drawing: file for the annotated video; None writes none.

    Raises:
        InputError: as `orvpe.video.find_people` and `orvpe.actions.timeline.timeline`.
    """
    from orvpe.video.overlay import write_overlay
    from orvpe.video.people import find_people, open_video

    video = open_video(path, pose)
    video.name = name
    with Progress(name, video.count * (1 if drawing is None else 2), unit="frames") as progress:
        found = find_people(video, pose, each=lambda: progress.advance(1))
        for text in found.notes:
            progress.note(f"note: {text}")
        if found.short:
            progress.note(f"note: {name}: left out {found.short} seen in fewer than {pose.min_frames} frames")
        lines = {}
        first = {f"{name}-p{person.id}": person.first for person in found.people}
        for clip in found.clips(pose.layout, pose.joints):
            lines[clip.name] = timeline(model, clip, windows, pose.start + first[clip.name] / found.fps)
        if drawing is not None:
            label = labels_for(found, lines, pose.start)
            write_overlay(drawing, open_video(path, pose), found, lambda: progress.advance(1), label)
    return list(lines.values()), drawing


def labels_for(found: VideoPeople, lines: dict[str, Timeline], start: float = 0.0) -> Any:
    """Labels that `write_overlay` draws above the people: number, label, score."""

    def text(person: Any, frame: int) -> str:
        line = lines.get(f"{found.name}-p{person.id}")
        span = line.at(start + (frame + 0.5) / found.fps) if line is not None else None
        return label_text(person.id, span)

    return text


def label_text(who: int, span: Span | None) -> str:
    """'1: wave 93 %', '1: unsure', or only the number of a person who is not seen."""
    if span is None or span.label == UNSEEN:
        return str(who)
    return f"{who}: {span.label}" if without_name(span) else f"{who}: {span.label} {span.score:.0%}"


# --- files --------------------------------------------------------------------------------------------------


def _json(report: ClassifyReport, weights: str, windows: WindowOptions) -> str:
    data = {
        "model": Path(weights).name,
        "classes": report.classes,
        "window": windows.window, "stride": windows.stride,
        "threshold": windows.threshold, "min_visible": windows.min_visible,
        "sources": [{"source": Path(name).name, "people": [line.to_dict() for line in lines]}
                    for name, lines in report.sources],
        "environment": environment(),
    }  # fmt: skip
    return json.dumps(data) + "\n"


def _csv(report: ClassifyReport) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["source", "person", "start", "end", "label", "best", "score", "visible"])
    for name, lines in report.sources:
        for line in lines:
            for s in line.spans:
                said = (f"{s.start:.4f}", f"{s.end:.4f}", s.label, s.best or "", f"{s.score:.4f}", f"{s.visible:.4f}")
                table.writerow([Path(name).name, line.name, *said])
    return text.getvalue()

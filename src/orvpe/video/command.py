"""`orvpe pose`: write the people of videos into a store, one clip per person; resumable."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orvpe.data.formats.source import not_a_source
from orvpe.data.store import Store, StoreWriter
from orvpe.data.store.parts import claim, merge
from orvpe.data.store.writing import orvpe_version
from orvpe.errors import InputError
from orvpe.poses.skeleton import with_derived
from orvpe.runtime.files import check_writable, place, write_atomic
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.typed import flat_arguments
from orvpe.video.decode import MAX_SECONDS, camera, image_files
from orvpe.video.find import find_videos
from orvpe.video.frames import Frames
from orvpe.video.options import PersonFinder, PoseOptions

_PARTS = 2  # changes when parts of an older orvpe must not be taken up
_SHOWN = 20  # videos with a line of their own
_KEEP_BAD = 100


@dataclass(frozen=True)
class PoseReport:
    """Result of `pose`.

    Args:
        videos: for each video its name, fps, frames, people, short (people left out), missing (share of joints, before
            and after filling), often_missing, tracks and notes.
        clips: in the store.
        frames: people x frames in the store.
        bad: one line for each video that could not be read.
        seconds: wall-clock time of this call.
        stages: seconds by stage; decoding overlaps the rest when there are threads for it.
        looked_at: frames of the videos that this call went through.
        bytes: size of the store.
        path: the store; ``str()`` of the report is for people.
    """

    videos: list[dict[str, Any]]
    clips: int
    frames: int
    bad: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    looked_at: int = 0
    bytes: int = 0
    path: str = ""

    def __str__(self) -> str:
        lines = [_line(video) for video in self.videos[:_SHOWN]]
        if len(self.videos) > _SHOWN:
            lines.append(f"... and {len(self.videos) - _SHOWN} more videos")
        rate = self.looked_at / max(self.seconds, 1e-9)
        stages = ", ".join(f"{name} {spent:.1f} s" for name, spent in self.stages.items())
        last = (
            f"{self.path}: {self.clips:,} clips, {self.frames:,} frames of a person, {self.bytes / 1e6:,.1f} MB; "
            f"{self.seconds:.1f} s, {rate:.1f} frames/s ({stages})"
        )
        return "\n".join([*lines, last + (f"; left out: {len(self.bad)} that cannot be read" if self.bad else "")])


def _line(video: dict[str, Any]) -> str:
    people = "nobody" if not video["people"] else "1 person" if video["people"] == 1 else f"{video['people']} people"
    text = f"{video['name']}: {people} in {video['frames']:,} frames at {video['fps']:.4g} fps"
    if video["short"]:
        text += f", {video['short']} more too short"
    if video["people"]:
        before, after = video["missing"]
        most = ", ".join(f"{joint} {share:.0%}" for joint, share in video["often_missing"].items())
        text += f"; joints missing {before:.1%}" + (f" ({most})" if most else "")
        text += f", {after:.1%} after filling" if before != after else ""
    return text


@flat_arguments
@alone_in("out")
def pose(
    videos: list[str],
    out: str,
    layout: str = "unified",
    joints: str = "image",
    max_people: int = 4,
    fps: float | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    min_confidence: float | None = None,
    max_gap: float = 1.0,
    min_frames: int = 10,
    interpolate: int = 0,
    smooth: bool = False,
    smooth_cutoff: float = 1.0,
    smooth_beta: float = 3.0,
    overlay: str | None = None,
    skip_bad: bool = False,
    threads: int = 0,
    max_seconds: float = MAX_SECONDS,
    overwrite: bool = False,
    finder: PersonFinder = PersonFinder(),  # noqa: B008
) -> PoseReport:
    """Find and track the people in videos, and write one clip per person into a store.

    An interrupted run keeps the videos that it has finished in OUT.parts; the same command resumes.

    Args:
        videos: video files, folders of videos, folders of images (one video each), or a camera: 0 or /dev/video0.
        out: the store to write, by convention ending in .orvpe.
        layout: 'unified' maps every clip onto the 17 common joints, 'native' keeps the joints of the estimator.
        joints: 'image' for 2D in pixels, 'world' for MediaPipe's 3D in metres.
        max_people: largest number of people to look for in a picture.
        fps: frames per second to read; the video's own when not given, 30 for a folder of images.
        start: seconds to skip.
        seconds: seconds to read; all when not given.
        min_confidence: joints with a lower confidence are missing; 0.5 for mediapipe, 0.3 for rtmlib.
        max_gap: seconds for which a person may be lost and keep the same number.
        min_frames: leave out people seen in fewer frames.
        interpolate: interpolate a joint over gaps of up to that many frames; 0 for none.
        smooth: smooth jitter with the one-euro filter.
        smooth_cutoff: the filter's cut-off frequency at rest, Hz.
        smooth_beta: growth of the cut-off frequency with speed, in Hz per body size per second.
        overlay: also write the video with the skeletons drawn on it, a .mp4 file; a folder if there are several.
        skip_bad: skip videos that cannot be read, and list them in the store, instead of stopping.
        threads: CPU threads for decoding; 0 for all. With 1, decoding and estimation alternate.
        max_seconds: refuse longer videos.
        overwrite: replace an existing store and overlay.
        finder: how people are found in videos.

    Returns:
        who was found, what is missing, and where the time went.

    Raises:
        InputError: nothing there, no video, too long, nobody in any of them, an estimator that is not installed or has
            no weights, an existing store (unless ``overwrite``).
    """
    begun = time.monotonic()
    options = PoseOptions(
        **asdict(finder), max_people=max_people, layout=layout, joints=joints, fps=fps,
        start=start, seconds=seconds, min_confidence=min_confidence, max_gap=max_gap, min_frames=min_frames,
        interpolate=interpolate, smooth=smooth, smooth_cutoff=smooth_cutoff, smooth_beta=smooth_beta, threads=threads,
        max_seconds=max_seconds,
    )  # fmt: skip
    target = _checked_target(out, videos, overwrite)
    paths = find_videos(videos, endless=seconds is None)
    drawings = _drawings(overlay, paths, videos, overwrite)
    opened, bad = _open_all(paths, options, skip_bad)
    parts = target.with_name(target.name + ".parts")
    from orvpe.video.people import make_estimator

    make_estimator(options).close()  # what is missing for it is said now, not after the first video
    claim(parts, _fingerprint([v.path for _, v in opened], options, overlay), by="pose")
    notes: list[dict[str, Any]] = []
    finished: list[tuple[Path, str]] = []
    stages: dict[str, float] = {}
    looked_at = 0
    passes = 1 if overlay is None else 2
    with Progress("pose", sum(v.count for _, v in opened) * passes, unit="frames") as progress:
        for i, (name, video) in enumerate(opened):
            part = parts / f"{i:06d}"
            if part.with_suffix(".json").exists():
                note = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
                progress.note(f"{name}: done before, in {parts}")
                progress.advance(note["frames"] * passes, counts=False)
            else:
                try:
                    note = _one(name, video, options, part, _drawn(part, drawings, video.path), progress, stages)
                except InputError as error:
                    if not skip_bad:
                        raise
                    bad.append(str(error))
                    continue
                except KeyboardInterrupt:
                    if notes:
                        kept = f"{len(notes)} finished videos are kept in {parts}"
                        progress.note(f"{kept}; the same command resumes")
                    raise
                looked_at += note["frames"]
            notes.append(note | {"part": str(part)})
            finished.append((part, video.path))
    full = [note for note in notes if note["clips"]]
    if not full:
        shutil.rmtree(parts)
        short = sum(note["short"] for note in notes)
        hint = f", {short} seen in fewer than {min_frames} frames" if short else ""
        raise InputError(
            f"{', '.join(videos)}: no person found in {sum(note['frames'] for note in notes):,} frames{hint}"
            + (f"; {bad[0]}" if bad else "")
        )
    for part, path in finished:
        made = _drawn(part, drawings, path)
        if made is not None and made.exists():  # else it was placed by a run that then failed
            place(made, drawings[path])
    stores = [Path(note["part"]).with_suffix(".orvpe") for note in full]
    first, *others = map(Store.open, stores)
    merge(
        target, stores, with_derived(first.layout, *(s.layout for s in others)), first.dims, _meta(notes, bad, options)
    )
    shutil.rmtree(parts)
    return PoseReport(
        videos=[{k: v for k, v in note.items() if k != "part"} for note in notes],
        clips=sum(note["clips"] for note in notes),
        frames=sum(note["person_frames"] for note in notes),
        bad=bad,
        seconds=time.monotonic() - begun,
        stages=stages,
        looked_at=looked_at,
        bytes=target.stat().st_size,
        path=out,
    )


# --- what to read and write ---------------------------------------------------------------------------------


def _checked_target(out: str, videos: Sequence[str], overwrite: bool) -> Path:
    target = Path(out)
    if not videos:
        raise InputError("videos: nothing to read, expected at least one video, folder or camera")
    if target.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of the store to write")
    not_a_source(out, [v for v in videos if camera(v) is None])
    if target.exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{out}: folder {target.parent} does not exist")
    check_writable(target)
    return target


def _drawings(
    overlay: str | None, paths: Sequence[tuple[str, str]], given: Sequence[str], overwrite: bool
) -> dict[str, Path]:
    """Video -> the file for its drawing."""
    if overlay is None:
        return {}
    from orvpe.video.overlay import check_overlay

    for _, path in paths:
        if camera(path) is not None:
            raise InputError(f"overlay {overlay}: {path} is a camera, which cannot be read twice; record it first")
    target = Path(overlay)
    if len(paths) == 1 and not target.is_dir():
        drawings = {paths[0][1]: target}
    else:
        if (target.exists() and not target.is_dir()) or (target.suffix and not target.exists()):
            raise InputError(f"overlay {overlay}: there are {len(paths)} videos, expected a folder for their drawings")
        target.mkdir(parents=True, exist_ok=True)
        drawings = {path: target / f"{name.replace('/', '_')}.mp4" for name, path in paths}
    for drawing in drawings.values():
        check_overlay(drawing)
        not_a_source(drawing, given)
        if drawing.exists() and not overwrite:
            raise InputError(f"{drawing}: exists already; give --overwrite to replace it")
        check_writable(drawing)
    return drawings


def _drawn(part: Path, drawings: dict[str, Path], path: str) -> Path | None:
    """Temporary path of a video's overlay until all are finished."""
    return part.with_suffix(drawings[path].suffix) if path in drawings else None


def _open_all(
    paths: Sequence[tuple[str, str]], options: PoseOptions, skip_bad: bool
) -> tuple[list[tuple[str, Frames]], list[str]]:
    """Open and check all videos before any is processed."""
    from orvpe.video.people import open_video

    opened, bad = [], []
    for name, path in paths:
        try:
            opened.append((name, open_video(path, options)))
        except InputError as error:
            if not skip_bad:
                raise
            bad.append(str(error))
    if not opened:
        raise InputError(f"{bad[0]}; none of {len(bad)} videos can be read")
    return opened, bad


def _fingerprint(paths: Sequence[str], options: PoseOptions, overlay: str | None) -> str:
    """Hash of videos (path, size, time), options and version."""
    digest = hashlib.sha256()
    digest.update(json.dumps([orvpe_version(), _PARTS, asdict(options), overlay], sort_keys=True).encode())
    for path in paths:
        where = Path(path)
        files = image_files(where) if where.is_dir() else [where] if where.is_file() else []
        digest.update(f"{where.resolve()}\n".encode())
        for file in files:
            status = file.stat()
            digest.update(f"{file.name}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


# --- one video ----------------------------------------------------------------------------------------------


def _one(
    name: str,
    video: Frames,
    options: PoseOptions,
    part: Path,
    drawing: Path | None,
    progress: Progress,
    stages: dict[str, float],
) -> dict[str, Any]:
    """Process one video into its part store and mark it as done."""
    from orvpe.video.people import find_people, open_video

    video.name = name
    found = find_people(video, options, each=lambda: progress.advance(1))
    for text in found.notes:
        progress.note(f"note: {text}")
    begun = time.perf_counter()
    clips = found.clips(options.layout, options.joints)
    if clips:
        layout = with_derived(clips[0].layout, *(c.layout for c in clips))
        with StoreWriter(part.with_suffix(".orvpe"), layout, clips[0].dims) as writer:
            for clip in clips:
                writer.add(clip)
    spent = found.seconds | {"write": time.perf_counter() - begun}
    if drawing is not None:
        from orvpe.video.overlay import write_overlay

        begun = time.perf_counter()
        write_overlay(drawing, open_video(video.path, options), found, each=lambda: progress.advance(1))
        spent["overlay"] = time.perf_counter() - begun
    for stage in ("decode", "estimate", "track", "write", "overlay"):
        if stage in spent:
            stages[stage] = stages.get(stage, 0.0) + spent[stage]
    by_name = {f"{name}-p{p.id}": p for p in found.people}
    note = {
        "name": name,
        "file": Path(video.path).name,
        "fps": found.fps,
        "frames": found.frames,
        "people": len(clips),
        "short": found.short,
        "missing": list(found.missing),
        "often_missing": found.often_missing,
        "notes": found.notes,
        "tracks": [
            {"clip": c.name, "second": round(options.start + by_name[c.name].first / found.fps, 4)} for c in clips
        ],
        "clips": len(clips),
        "person_frames": sum(c.frames for c in clips),
    }
    write_atomic(part.with_suffix(".json"), json.dumps(note))
    return note


def _meta(notes: Sequence[dict[str, Any]], bad: list[str], options: PoseOptions) -> dict[str, Any]:
    """Metadata of the store: sources and options."""
    wanted = ("name", "file", "fps", "frames", "people", "missing", "tracks", "notes")
    return {
        "generated": False,
        "sources": [{"path": note["file"], "format": "video", "items": 1} for note in notes],
        "videos": [{k: note[k] for k in wanted} for note in notes],
        "options": asdict(options),
        "skipped": {
            "no_skeleton": sum(not note["clips"] for note in notes),
            "short": sum(note["short"] for note in notes),
            "bad": len(bad),
            "bad_first": bad[:_KEEP_BAD],
        },
    }

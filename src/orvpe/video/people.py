"""Find people in each frame, track them, and build one clip per person."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.axes import turn_up
from orvpe.poses.clip import Clip
from orvpe.poses.people import body_size
from orvpe.poses.skeleton import Layout
from orvpe.poses.unify import to_unified
from orvpe.video.decode import open_frames
from orvpe.video.estimate import ESTIMATORS, Estimator, Poses
from orvpe.video.frames import Frame, Frames
from orvpe.video.options import PoseOptions
from orvpe.video.smooth import fill_gaps, one_euro
from orvpe.video.track import Tracker, distinct


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame and the people in it.

    Args:
        frame: the picture, its number and time.
        ids: (P,) int, who: 1, 2, 3 ... in the order of appearance; the same number is the same person.
        poses: of these P people.
        visible: (P, V) bool.
    """

    frame: Frame
    ids: np.ndarray
    poses: Poses
    visible: np.ndarray


@dataclass(frozen=True, eq=False)
class Person:
    """One person's track through a video.

    Args:
        id: 1, 2, 3 ... over those that are kept.
        first: number of the first frame.
        joints: (T, V, 2) float32 pixels, filled and smoothed as asked; 0 where missing.
        visible: (T, V) bool.
        found: (T, V, 2) float32 as the estimator gave them, its guesses at hidden joints too; NaN where the person was
            not found.  For drawing only.
        confidence: (T, V) float32, 0 where the person was not found.
        world: (T, V, 3) float32 metres, y down, filled and smoothed likewise; None where the estimator has none or
            nobody asked.
    """

    id: int
    first: int
    joints: np.ndarray
    visible: np.ndarray
    found: np.ndarray
    confidence: np.ndarray
    world: np.ndarray | None = None

    @property
    def frames(self) -> int:
        return len(self.joints)


@dataclass(eq=False)
class VideoPeople:
    """Find all people of a video.

    Attributes:
        name: of the video, without folder and suffix; person 1's clip is ``NAME-p1``.
        fps, size: of the video, (width, height).
        frames: how many were looked at.
        layout: the estimator's.
        people: in the order of their appearance.
        short: how many were left out because they were seen in too few frames.
        missing: share of the joints that were missing in the frames from a person's first to last; before filling, and
            after.
        often_missing: the joints that were missing most often, with their shares, before filling.
        seconds: spent in 'decode', 'estimate' and 'track'; decoding overlaps the rest when there are threads for it.
        notes: what people should know of the video, a line each.
    """

    name: str
    fps: float
    size: tuple[int, int]
    layout: Layout
    frames: int = 0
    people: list[Person] = field(default_factory=list)
    short: int = 0
    missing: tuple[float, float] = (0.0, 0.0)
    often_missing: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def clips(self, layout: str = "unified", joints: str = "image") -> list[Clip]:
        """One clip per person; people without a visible joint of the layout are left out.

        Args:
            layout: 'unified' or 'native'.
            joints: 'image' (pixels) or 'world' (metres, y up).

        Raises:
            InputError: 'world', but that was not kept.
        """
        made = []
        for person in self.people:
            values = person.joints if joints == "image" else person.world
            if values is None:
                raise InputError(f"{self.name}: no world joints, expected them to be asked for (joints='world')")
            clip = Clip(
                values[None],
                person.visible[None],
                self.layout,
                fps=self.fps,
                image_size=self.size if joints == "image" else None,
                name=f"{self.name}-p{person.id}",
            )
            if joints == "world":
                clip = turn_up(clip, "-y")
            if layout == "unified":
                try:
                    clip = to_unified(clip)
                except InputError:  # all that was seen of this person are fingers or toes
                    continue
            made.append(clip)
        return made


def make_estimator(options: PoseOptions) -> Estimator:
    """Create the estimator named in the options, one per video.

    Raises:
        InputError: it is not installed, or has no weights.
    """
    return ESTIMATORS[options.estimator](options.weights_file, options.max_people)


def follow(
    frames: Frames, options: PoseOptions, estimator: Estimator | None = None, seconds: dict[str, float] | None = None
) -> Iterator[Seen]:
    """Track people frame by frame, also for live use.

    Args:
        frames: the pictures, from `open_frames`.
        options: of these the estimator's, ``min_confidence`` and ``max_gap`` count here.
        estimator: a fresh one; made from the options, and closed at the end, when None.
        seconds: is added to, by stage.

    Raises:
        InputError: as `make_estimator`; a picture that cannot be used.
    """
    spent = seconds if seconds is not None else {}
    own = make_estimator(options) if estimator is None else None
    look = estimator if estimator is not None else own
    assert look is not None
    least = look.min_confidence if options.min_confidence is None else options.min_confidence
    tracker = Tracker(max_gap=round(options.max_gap * frames.fps))
    limit = np.array(frames.size, dtype=np.float32)
    poses: Poses | None = None
    try:
        for frame in frames:
            begun = time.perf_counter()
            if poses is None or not frame.repeated:
                poses = look(frame.image, frame.index / frames.fps)
            estimated = time.perf_counter()
            inside = ((poses.joints >= 0) & (poses.joints <= limit)).all(axis=-1)
            visible = (poses.confidence >= least) & inside  # (P, V)
            rows = distinct(poses.joints, visible, poses.confidence)
            chosen, visible = poses.chosen(rows), visible[rows]
            ids = tracker(chosen.joints, visible)
            if not ids.all():
                known = np.flatnonzero(ids)
                ids, chosen, visible = ids[known], chosen.chosen(known), visible[known]
            spent["estimate"] = spent.get("estimate", 0.0) + estimated - begun
            spent["track"] = spent.get("track", 0.0) + time.perf_counter() - estimated
            yield Seen(frame, ids, chosen, visible)
    finally:
        spent["decode"] = frames.seconds
        if own is not None:
            own.close()


def find_people(
    video: str | Path | Frames,
    options: PoseOptions | None = None,
    estimator: Estimator | None = None,
    each: Callable[[], None] | None = None,
) -> VideoPeople:
    """Find all people of a video.

    Args:
        video: what `open_frames` opens, or what it gave.
        options: what to look for and how.
        estimator: a fresh one; made from the options when None.
        each: called after every frame, for a display of progress.

    Raises:
        InputError: nothing there, no video, too long, an estimator that is not installed or has no weights.
    """
    options = options or PoseOptions()
    frames = open_video(video, options) if not isinstance(video, Frames) else video
    look = make_estimator(options) if estimator is None else estimator
    found = VideoPeople(frames.name, frames.fps, frames.size, look.layout)
    sightings: dict[int, list[tuple[int, Poses, np.ndarray]]] = {}
    try:
        for seen in follow(frames, options, look, found.seconds):
            found.frames += 1
            for row, who in enumerate(seen.ids.tolist()):
                one = seen.poses.chosen(np.array([row]))
                sightings.setdefault(who, []).append((seen.frame.index, one, seen.visible[row]))
            if each is not None:
                each()
    finally:
        if estimator is None:
            look.close()
    found.notes = list(frames.notes)
    begun = time.perf_counter()
    _put_together(found, sightings, options)
    found.seconds["track"] = found.seconds.get("track", 0.0) + time.perf_counter() - begun
    return found


def open_video(path: str | Path, options: PoseOptions) -> Frames:
    """Open a video with the range, rate and limits of the options."""
    return open_frames(
        path, fps=options.fps, start=options.start, seconds=options.seconds, threads=options.threads,
        max_seconds=options.max_seconds,
    )  # fmt: skip


def read_clips(path: str | Path, options: PoseOptions | None = None) -> list[Clip]:
    """Read the people of a video, a folder of images or a camera as clips, one per person.

    Args:
        path: the video.
        options: what to look for and how.

    Raises:
        InputError: as `find_people`.
    """
    options = options or PoseOptions()
    return find_people(path, options).clips(options.layout, options.joints)


def _put_together(
    found: VideoPeople, sightings: dict[int, list[tuple[int, Poses, np.ndarray]]], options: PoseOptions
) -> None:
    """Build the tracks from the people seen in each frame."""
    v = len(found.layout)
    hidden, before, after, total = np.zeros(v), 0, 0, 0
    for _, seen in sorted(sightings.items()):
        if len(seen) < options.min_frames:
            found.short += 1
            continue
        first, last = seen[0][0], seen[-1][0]
        t = last - first + 1
        at = np.array([index - first for index, _, _ in seen])
        guesses = np.full((t, v, 2), np.nan, dtype=np.float32)
        confidence, visible = np.zeros((t, v), dtype=np.float32), np.zeros((t, v), dtype=bool)
        guesses[at] = np.concatenate([poses.joints for _, poses, _ in seen])
        confidence[at] = np.concatenate([poses.confidence for _, poses, _ in seen])
        visible[at] = np.stack([row for _, _, row in seen])
        hidden += (~visible).sum(axis=0)
        before += int((~visible).sum())
        joints, full = _finished(guesses, visible, found.fps, options)
        after, total = after + int((~full).sum()), total + full.size
        world = None
        if options.joints == "world":
            metres = np.zeros((t, v, 3), dtype=np.float32)
            metres[at] = np.concatenate([poses.world for _, poses, _ in seen if poses.world is not None])
            world, _ = _finished(metres, visible, found.fps, options)
        found.people.append(Person(len(found.people) + 1, first, joints, full, guesses, confidence, world))
    if total:
        found.missing = (before / total, after / total)
        shares = hidden * v / total
        most = np.argsort(-shares, kind="stable")[:3]
        found.often_missing = {found.layout.joints[i]: float(shares[i]) for i in most if shares[i] > 0}


def _finished(
    values: np.ndarray, visible: np.ndarray, fps: float, options: PoseOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, V, C), filled and smoothed as asked, 0 where missing, and what is visible now (T, V)."""
    values = np.where(visible[..., None], values, np.float32(0))
    values, full = fill_gaps(values, visible, options.interpolate)
    if options.smooth:
        # in body sizes, so that one setting fits people near and far, and metres as well as pixels
        seen = visible.any(axis=1)
        size = float(np.median(body_size(np.where(visible[seen][..., None], values[seen], np.nan))))
        scale = max(size, 1e-9)
        values = one_euro(values / scale, full, fps, options.smooth_cutoff, options.smooth_beta) * np.float32(scale)
    return values, full

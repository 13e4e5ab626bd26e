"""From detected joints to a clip: what counts as missing, which frames there are, who is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orvpe.data.formats.base import Item, NoBody, NoSkeleton, Options, OtherKind, by_suffix
from orvpe.data.formats.source import Source
from orvpe.errors import InputError, unknown
from orvpe.poses.clip import Clip, Note
from orvpe.poses.people import most_energetic
from orvpe.poses.skeleton import LAYOUTS, UNIFIED_JOINTS, Layout, layout_for_names, places_in, unified_sources
from orvpe.poses.skeleton.names import canonical

FRAME_FILE = re.compile(r"(.*?)_?(\d{1,12})_keypoints\.json\Z", re.IGNORECASE | re.DOTALL)  # of OpenPose


_PEEKS = 12  # files that are all looked into


def other_kind(source: Source, message: str) -> InputError | NoSkeleton:
    """What to raise of a file of another kind: next to others it is left out, alone it is an error."""
    return InputError(message) if len(source.names) == 1 else OtherKind(message)


def json_files_with(source: Source, *keys: bytes) -> list[Item]:
    """The source's JSON files, frames of OpenPose left out, as items of one file each.

    Args:
        source: where to look.
        keys: what stands in each file; only a few are opened, of which some may be of something else (labels,
            settings).  Those are left out, and `OtherKind` is for the readers to raise of further ones.
    """
    names = [n for n in by_suffix(source, ".json") if not FRAME_FILE.match(n)]
    other = set()
    for name in names if len(names) <= _PEEKS else (names[0], names[-1]):
        text = source.read(name)
        if all(key in text for key in keys):
            return [(n,) for n in names if n not in other]
        other.add(name)
    return []


def hide_missing(
    joints: np.ndarray,
    confidence: np.ndarray | None,
    min_confidence: float,
    where: str,
    *,
    origin_is_missing: bool = True,
) -> np.ndarray:
    """NaN where a detector says that it found nothing: low or zero confidence, the origin, or NaN already.

    Args:
        joints: (..., V, C); all coordinates 0 is what estimators and sensors write for a lost joint.
        confidence: (..., V), None when the source has none.
        min_confidence: a joint below it is missing; so is one at or below 0.
        origin_is_missing: False where a missing joint is never written as zeros.

    Returns:
        (..., V, C) float32 with NaN where a joint is missing.

    Raises:
        InputError: an infinite coordinate.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        joints = np.array(joints, dtype=np.float32)
    if np.isinf(joints).any():
        raise InputError(f"{where}: infinite coordinate, expected numbers (NaN or 0 for a missing joint)")
    missing = np.isnan(joints).any(axis=-1)
    if origin_is_missing:
        missing |= (joints == 0).all(axis=-1)
    if confidence is not None:
        with np.errstate(over="ignore"):
            confidence = np.asarray(confidence, dtype=np.float32)
        missing |= ~(confidence >= min_confidence) | ~(confidence > 0)
    joints[missing] = np.nan
    return joints


def frame_range(numbers: Sequence[int] | np.ndarray, where: str) -> tuple[np.ndarray, int]:
    """Frame numbers as indices from the first one on, and how many frames that makes, those with nobody
    included.

    Raises:
        InputError: numbers so far apart that these are hardly frames of one video.
    """
    array = np.asarray(numbers, dtype=np.int64)
    start, stop = int(array.min()), int(array.max()) + 1
    distinct = len(np.unique(array))
    if stop - start > 1000 + 100 * distinct:
        raise InputError(
            f"{where}: {distinct} frames numbered {start} to {stop - 1}, expected the frames of one video, "
            "at least one in a hundred present"
        )
    return array - start, stop - start


@dataclass(frozen=True)
class FrameNumbers:
    """Frames of a video: ``at`` (N,) index of each row, ``count`` of frames, ``step`` from one to the next."""

    at: np.ndarray
    count: int
    step: int = 1


UNSURE = "detections whose own score is below --min-confidence are nobody"
_MOST_STEP = 1000  # numbers further apart count something else, as nanoseconds


def frames_of(numbers: Sequence[int] | np.ndarray, where: str) -> FrameNumbers:
    """Frame numbers as `frame_range`; where all are multiples of k apart, as every k-th frame of the video.

    Raises:
        InputError: as `frame_range`.
    """
    array = np.asarray(numbers, dtype=np.int64)
    distinct = np.unique(array)
    step = int(np.gcd.reduce(np.diff(distinct))) if len(distinct) > 2 else 1
    if step > _MOST_STEP:
        raise InputError(
            f"{where}: frame numbers {distinct[0]}, {distinct[1]}, {distinct[2]} ... are {step:,} and more apart, "
            "expected 0, 1, 2 ...; are they times?"
        )
    if step > 1:
        array = (array - distinct[0]) // step
    return FrameNumbers(*frame_range(array, where), step)


def people_clip(
    joints: np.ndarray,
    layout: Layout,
    options: Options,
    where: str,
    *,
    name: str,
    fps: float | None = None,
    image_size: tuple[int, int] | None = None,
    label: str | None = None,
    subject: str | None = None,
    camera: str | None = None,
    split: str | None = None,
    step: int = 1,
    notes: Sequence[Note] = (),
) -> Clip:
    """A clip of the most energetic people; padding without a joint is dropped.

    Args:
        joints: (M, T, V, C) with NaN where a joint is missing.
        fps, image_size: what the file says; the options fill in what it does not (an fps of 0 says nothing).
        step: frames of the video from one frame to the next, as `frames_of` says.
        notes: of the reader.

    Raises:
        NoSkeleton: nobody has a joint in any frame.
        InputError: as `orvpe.poses.clip.Clip`.
    """
    kept, visible = most_energetic(joints, ~np.isnan(joints).any(axis=-1), options.max_people)
    if not len(kept):
        raise NoSkeleton(f"{where}: nobody in {joints.shape[1]} frames")
    in_image = joints.shape[-1] == 2
    rate = fps or options.fps
    if step > 1:
        notes = [
            *notes,
            Note(f"frame numbers are {step} apart: read as one frame in {step}, at the video's rate / {step}"),
        ]
        rate = rate / step if rate else rate
    try:
        return Clip(
            kept, visible, layout, name=name, fps=rate, notes=tuple(notes),
            image_size=(image_size or options.image_size) if in_image else None,
            label=label, subject=subject, camera=camera, split=split,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{where}: {str(error).removeprefix(f'clip {name!r}: ')}") from None


def in_layout(joints: np.ndarray, layout: Layout, order: np.ndarray) -> np.ndarray:
    """(..., V, C) in the layout's order, NaN for joints that are not there; ``order`` (V,) says where each one goes."""
    placed = np.full((*joints.shape[:-2], len(layout), joints.shape[-1]), np.nan, dtype=np.float32)
    placed[..., order, :] = joints
    return placed


def layout_for(joints: int, known: dict[int, Layout], options: Options, where: str) -> Layout:
    """The layout the user named, or the only one this format has with so many joints.

    Raises:
        InputError: neither fits.
    """
    layout = options.layout or known.get(joints)
    if layout is None:
        fits = ", ".join(f"{n} ({k.name})" for n, k in sorted(known.items()))
        raise InputError(f"{where}: {joints} joints a person, expected {fits}; name the joints with --joints")
    if len(layout) != joints:
        raise InputError(f"{where}: {joints} joints a person, but layout {layout.name!r} (--joints) has {len(layout)}")
    return layout


def named_layout(names: list[str], wanted: Layout | None, where: str) -> tuple[Layout, np.ndarray]:
    """The layout for joints given by name, and where in it each of them is.

    Args:
        names: in the order of the data.
        wanted: the layout to use; by default the known one with these joints in any order, else one of
            the names.

    Raises:
        InputError: a name twice, a name that the wanted layout lacks, or no name of a body's joint.
    """
    if not names:
        raise InputError(f"{where}: no joint is named in it")
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: joint {twice!r} is named twice")
    if wanted is None:
        ours = canonical(names)
        wanted = next((k for k in LAYOUTS.values() for n in (names, ours) if set(k.joints) == set(n)), None)
    if wanted is not None:
        places = places_in(wanted, names)
        for n, place in zip(names, places, strict=True):
            if place is None:
                raise InputError(f"{where}: {unknown('joint', n, wanted.joints, f'layout {wanted.name!r}')}")
        if len(set(places)) < len(places):
            n = next(n for i, n in enumerate(names) if places[i] in places[:i])
            raise InputError(f"{where}: joint {n!r} is the same joint of layout {wanted.name!r} as another one")
        return wanted, np.array(places)
    layout = layout_for_names(names)
    if not unified_sources(layout):
        raise NoBody(f"{where}: no joint of the body among the names; {unknown('joint', names[0], UNIFIED_JOINTS)}")
    return layout, np.arange(len(names))

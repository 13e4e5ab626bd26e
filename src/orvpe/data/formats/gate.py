"""The gate that every clip passes on its way in: units, axes, image, and which joints it has.

What is strange is put right with a note, or refused with the sentence that says what to give.  Sizes are judged clip by
clip, as a body of millimetres is a thousand times too large whoever it is.  Which way is up is judged over the whole
source, as somebody who lies in one clip looks like everybody in a file whose z points up.
"""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.axes import directions, pointing, sampled, turn_up, votes
from orvpe.poses.clip import Clip, Note
from orvpe.poses.skeleton import LAYOUTS, UNIFIED_JOINTS, Layout, unified_sources

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
UNITS = ("auto", *METRES)
"""What ``--units`` takes; "auto" looks at how large the bodies are."""

_SIZE = (0.3, 3.0)  # metres, a body from end to end
_SAME = (0.25, 3.5)  # metres, a body of a file whose unit is known by its other clips
_INCHES_UP_TO = 85.0  # between 30 and 118 a size may be inches or centimetres; 85 in are 2.2 m, 85 cm a small child
_MAYBE_PIXELS = 600.0  # below it a size in "millimetres", with y down, may as well be pixels with a depth
_SEEN = 4  # joints of a frame that make a size
_BODY = 8  # joints that are meant as a whole body
_MANY = 5  # clips in images: of so many not all show somebody upside down
_SOME = 0.15  # of the frames: fewer say nothing about the axes
_LIMBS = tuple(f"{s}_{j}" for s in ("left", "right") for j in ("elbow", "wrist", "knee", "ankle"))


@dataclass
class Survey:
    """What was found in some clips of a source, evenly spread, and is taken to be true of all.

    Args:
        up: the axis that points up, for 3D; "y" (turned over) or "-y" for 2D.
        units: the commonest unit, None where no size could be measured.
        swapped: image sizes are (height, width).
        notes: of clips that are turned, or of doubts.
    """

    up3: str = "y"
    up2: str = "-y"
    units: str | None = None
    swapped: bool = False
    notes3: tuple[Note, ...] = ()
    notes2: tuple[Note, ...] = ()
    kept: dict[tuple[str, ...], list[Clip]] = field(default_factory=dict)


# --- all clips of a source ----------------------------------------------------------------------------------------


def survey(clips: Sequence[Clip], up: str = "auto") -> Survey:
    """What some clips of a source say about all of them.

    Args:
        clips: as the reader gave them.
        up: as ``--up``; nothing is measured unless "auto".
    """
    found = Survey()
    units: Counter[str] = Counter()
    counts = np.zeros(7, dtype=np.int64)
    standing = np.zeros(7, dtype=np.int64)  # the same in images, where -y is up
    flat = swapped = straight = 0
    for clip in clips:
        with suppress(InputError):  # nobody is left: reading the clip reports it
            clip = _without_zeros(clip, [])
        joints, visible = sampled(clip)
        if clip.dims == 3 and not _is_flat(joints, visible):
            if (unit := _unit(clip, joints, visible)[0]) is not None:
                units[unit] += 1
            counts += votes(directions(clip, joints, visible))
        else:
            standing += votes(directions(clip, joints, visible))
            flat += 1
            if clip.image_size is not None and clip.image_size[0] != clip.image_size[1]:
                is_swapped = _looks_swapped(clip)
                swapped += is_swapped is True
                straight += is_swapped is False
    found.units = units.most_common(1)[0][0] if units else None
    found.swapped = swapped > straight
    if up != "auto":
        found.up3 = found.up2 = up
        return found
    axis, share, sure = pointing(counts)
    if axis != "y" and sure:
        found.up3 = axis
        found.notes3 = (
            Note(f"bodies point up along {axis} in {share:.0%} of the frames looked at: turned so that y is up (--up y "
                 "leaves them as they are)"),
        )  # fmt: skip
    elif axis != "y" and share > _SOME:
        found.notes3 = (
            Note(f"bodies point along {axis} in {share:.0%} and along y in {counts[2] / counts.sum():.0%} of the "
                 f"frames looked at: taken as y up; give --up {axis} if they should be turned"),
        )  # fmt: skip
    axis, share, sure = pointing(standing, "-y")
    if axis == "y" and sure and flat < _MANY:
        found.notes2 = (
            Note("bodies stand on their heads in most frames: push-ups before the camera? if y points up, give --up y"),
        )
    elif axis == "y" and sure:
        found.up2 = "y"
        found.notes2 = (
            Note(f"bodies stand on their heads in {share:.0%} of the frames looked at: y points "
                 "up; turned over, as y points down in an image (--up -y leaves them as they are)"),
        )  # fmt: skip
    return found


# --- one clip -----------------------------------------------------------------------------------------------------


def passed(
    clip: Clip, seen: Survey, *, units: str = "auto", dims: int = 3, min_confidence: float = 0.1,
    named_by_user: bool = False, size: tuple[int, int] | None = None, published: str | None = None,
) -> Clip:  # fmt: skip
    """The clip in metres with y up, or in pixels of an image; what was changed or is doubtful is in its notes.

    Args:
        clip: as the reader gave it.
        seen: of `survey`.
        units: as ``--units``.
        dims: what the user wants of formats that hold both.
        min_confidence: where the third coordinate turns out to be a score.
        named_by_user: the layout was given, so joints without arms and legs are meant.
        size: (width, height) that the user gave.
        published: the format's unit, as `Format.unit`.

    Raises:
        InputError: coordinates of which nobody can tell what they are; a body without arms and legs.
    """
    notes = list(_layout_notes(clip.layout, named_by_user))
    if _as_usual(clip, seen, units):
        return clip.with_(notes=(*clip.notes, *notes)) if notes else clip
    if clip.dims == 3:
        clip = _flat(clip, dims, min_confidence, notes, size)
    clip = _without_zeros(clip, notes)
    clip = _without_ghosts(clip, notes)
    if clip.dims == 3:
        clip = _in_metres(clip, seen, units, published, notes)
        if seen.up3 not in ("y", "auto"):
            clip = turn_up(clip, seen.up3)
        notes += seen.notes3
        if not seen.notes3 and seen.up3 == "y":
            _doubt(clip, notes)
    else:
        clip = _in_pixels(clip, seen, notes)
        notes += seen.notes2
        if seen.up2 != "-y":
            clip = turn_up(clip, seen.up2)
    return clip.with_(notes=(*clip.notes, *notes)) if notes else clip


_LOOKED_AT = 6  # frames, for a first look


def _as_usual(clip: Clip, seen: Survey, units: str) -> bool:
    """Whether a quick look finds one person, in metres with y up, or inside an image: as good as every clip.

    It may say no of a clip in which nothing is strange, as of one with hidden joints, which are zeros here.
    """
    joints = clip.joints
    if units not in ("auto", "m") or (len(joints) > 1 and not clip.visible.all()):
        return False
    first = joints[..., 0]
    suspect = first == 0
    if clip.dims == 2:
        suspect |= first == -1
    if suspect.any():
        suspect &= clip.visible
        some = joints[suspect]
        if ((some == some[:, :1]) & (some[:, :1] <= 0)).all(axis=1).any():
            return False
    if clip.dims == 2:
        if seen.notes2 or seen.swapped or clip.image_size is None:
            return False
        second = joints[..., 1]
        width, height = clip.image_size
        return bool(3 < first.max() <= width and second.max() <= height and first.min() >= 0 and second.min() >= 0)
    if seen.notes3 or seen.up3 != "y" or seen.units not in (None, "m"):
        return False
    return all(_stands(person, clip.layout) for person in joints)


def _stands(joints: np.ndarray, layout: Layout) -> bool:
    """Whether (T, V, 3) is somebody of a body's size whose spine and leg point up along y, by a few frames."""
    some = joints[:: -(-len(joints) // _LOOKED_AT)]
    x, y, z = (some.max(axis=1) - some.min(axis=1)).mean(axis=0).tolist()
    if not 0.5 <= math.sqrt(x * x + y * y + z * z) <= 2.5:
        return False
    for upper, lower in _spine(layout):
        x, y, z = (some[:, upper] - some[:, lower]).sum(axis=0).tolist()
        if not y > 0.75 * math.sqrt(x * x + y * y + z * z):
            return False
    return bool(_spine(layout))


@lru_cache(maxsize=256)
def _spine(layout: Layout) -> tuple[tuple[int, int], ...]:
    """Upper and lower end of the spine and of a leg, where each is a joint of its own; () where not."""
    found = unified_sources(layout)
    pairs = (("neck", "mid_hip"), ("left_hip", "left_ankle"))
    if any(len(found.get(j, ())) != 1 for pair in pairs for j in pair):
        return ()
    return tuple((layout.index(found[a][0]), layout.index(found[b][0])) for a, b in pairs)


def _doubt(clip: Clip, notes: list[Note]) -> None:
    """Of a source whose bodies point along y in general: this one does not."""
    joints, visible = sampled(clip)
    axis, _, sure = pointing(votes(directions(clip, joints, visible)))
    if axis != "y" and sure:
        notes.append(Note(f"a body points along {axis} and not y in most frames: somebody who lies? else give --up"))


def warn_of_strange(clips: Sequence[Clip]) -> None:
    """Warn where clips in memory, which no reader has checked, are not in metres with y up.

    They are left as they are: only their author knows what they hold.
    """
    if all(clip.notes or clip.dims == 2 or _as_usual(clip, Survey(), "auto") for clip in clips):
        return
    solid = [clip for clip in clips if clip.dims == 3 and not clip.notes]
    for clip in solid:
        unit, size = _unit(clip, *sampled(clip))
        if unit != "m" and size is not None:
            what = f"look like {_WORDS[unit]}" if unit else f"are {_about(size)} units from end to end"
            warnings.warn(
                f"clip {clip.name!r}: bodies {what}, expected metres; orvpe.checked(clips) turns them", stacklevel=3
            )
            break
    found = survey(solid)
    if found.up3 != "y":
        warnings.warn(f"bodies point up along {found.up3}, expected y; orvpe.checked(clips) turns them", stacklevel=3)


# --- metres ---


def _size(joints: np.ndarray, visible: np.ndarray) -> float | None:
    """From end to end: the median over frames of the box around the seen joints.

    None where too few are seen, or all lie in one point.
    """
    rows = visible.sum(axis=1) >= min(_SEEN, visible.shape[1])
    if not rows.any():
        return None
    if not rows.all():
        joints, visible = joints[rows], visible[rows]
    if visible.all():
        side = joints.max(axis=1) - joints.min(axis=1)
    else:
        some = visible[..., None]
        side = np.where(some, joints, -np.inf).max(axis=1) - np.where(some, joints, np.inf).min(axis=1)
    sizes = np.sort(np.einsum("tc,tc->t", side, side, dtype=np.float64))  # np.median takes ten times as long
    return math.sqrt((sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2) or None


# length of a bone as a share of stature: joint-centre distances of an average adult, rounded
_BONES = (
    ("neck", "mid_hip", 0.29), ("head", "neck", 0.11), *(
        (f"{s}_{a}", f"{s}_{b}", share) for s in ("left", "right") for a, b, share in (
            ("elbow", "shoulder", 0.17), ("wrist", "elbow", 0.15), ("knee", "hip", 0.24), ("ankle", "knee", 0.23))),
)  # fmt: skip


def _stature(layout: Layout, joints: np.ndarray, visible: np.ndarray) -> float | None:
    """The height that most bones speak of, so that a few joints far off do not matter; None for a few bones."""
    sources, found = unified_sources(layout), []
    for a, b, share in _BONES:
        if len(sources.get(a, ())) == len(sources.get(b, ())) == 1:
            i, j = layout.index(sources[a][0]), layout.index(sources[b][0])
            seen = visible[:, i] & visible[:, j]
            if seen.any():
                found.append(float(np.median(np.linalg.norm((joints[:, i] - joints[:, j])[seen], axis=-1))) / share)
    return float(np.median(found)) if len(found) >= _SEEN else None


def _unit(clip: Clip, joints: np.ndarray, visible: np.ndarray) -> tuple[str | None, float | None]:
    """The unit of a clip, None where none fits, and the size of its bodies, None where it cannot be measured."""
    size = _size(joints, visible)
    unit = _unit_of(size)
    if size is not None and unit != "m":
        stature = _stature(clip.layout, joints, visible)
        if (by_bones := _unit_of(stature)) is not None:
            return by_bones, size
    return unit, size


def _unit_of(size: float | None) -> str | None:
    """The unit that makes this a body's size."""
    if size is None:
        return None
    for unit in ("m", "mm"):
        if _SIZE[0] <= size * METRES[unit] <= _SIZE[1]:
            return unit
    fits = [u for u in ("in", "cm") if _SIZE[0] <= size * METRES[u] <= _SIZE[1]]
    return fits[0 if size < _INCHES_UP_TO else -1] if fits else None


def _in_metres(clip: Clip, seen: Survey, units: str, published: str | None, notes: list[Note]) -> Clip:
    likely, size = _unit(clip, *sampled(clip))
    if units != "auto":
        unit = units
        if size is not None and not _SAME[0] <= size * METRES[unit] <= _SAME[1]:
            metres = size * METRES[unit]
            notes.append(
                Note(f"bodies of {_about(metres)} m from end to end, with --units {unit}: expected 0.3 to 3 m")
            )
    elif size is None:
        unit = seen.units or "m"
        if unit != "m":
            notes.append(Note(f"{_WORDS[unit]} as in the other clips: taken as that (--units)"))
    else:
        alike = seen.units is not None and _SAME[0] <= size * METRES[seen.units] <= _SAME[1]
        found = seen.units if alike else likely
        if found in (None, "in") and published is not None:  # nobody changes a sensor's files into inches
            found = published
            notes.append(Note("bodies that are not 0.3 to 3 m from end to end: taken as metres, as the format says"))
        if found is None:
            raise InputError(
                f"clip {clip.name!r}: bodies of {_about(size)} units from end to end, expected 0.3 to 3 m; scale the "
                "coordinates, or give --units m, cm, mm or in"
            )
        unit = found
        if unit == "mm" and size < _MAYBE_PIXELS and _points_down(clip):
            raise InputError(
                f"clip {clip.name!r}: bodies of {_about(size)} units from end to end and y down: millimetres, or "
                "pixels with a depth? give --units mm, or --dims 2 and leave the depth out"
            )
        if unit != "m":
            notes.append(
                Note(f"bodies look like {_WORDS[unit]} (0.3 to 3 m from end to end): turned into metres (--units m "
                     "leaves them as they are)")
            )  # fmt: skip
    return clip if unit == "m" else clip.with_(joints=clip.joints * np.float32(METRES[unit]))


_WORDS = {"mm": "millimetres", "cm": "centimetres", "in": "inches", "m": "metres"}


def _about(size: float) -> str:
    return f"{size:,.0f}" if size >= 10 else f"{size:.2g}"


def _points_down(clip: Clip) -> bool:
    joints, visible = sampled(clip)
    y = directions(clip, joints, visible)[:, 1]
    return bool((y < 0).sum() > 0.8 * max(1, (~np.isnan(y)).sum()))


# --- three numbers a joint that are no place in a room ---


def third_is_score(joints: np.ndarray) -> bool:
    """Whether (..., 3) numbers are x, y in pixels and a confidence: the third lies in 0 to 1, the others far apart.

    Args:
        joints: NaN where a joint is missing.
    """
    if joints.shape[-1] != 3 or not joints.size:
        return False
    flat = joints.reshape(-1, 3)
    third = flat[:, 2]
    if (third < 0).any() or (third > 1).any():
        return False
    flat = flat[~np.isnan(flat).any(axis=1)]
    if len(flat) < _SEEN:
        return False
    low, high = flat.min(axis=0), flat.max(axis=0)
    return bool(low[2] >= 0 and high[2] <= 1 and min(high[:2] - low[:2]) > 20 and low[:2].min() >= -20)


def score_apart(joints: np.ndarray, min_confidence: float) -> np.ndarray:
    """(..., 2) of (..., 3) whose third number is a confidence; NaN below it."""
    xy = np.array(joints[..., :2], dtype=np.float32)
    score = joints[..., 2]
    xy[~(score >= min_confidence) | ~(score > 0)] = np.nan
    return xy


SCORE = Note("the third number of a joint is a confidence (0 to 1), x and y are pixels: read as 2D")


def _is_flat(joints: np.ndarray, visible: np.ndarray) -> bool:
    """Whether x and y of a 3D clip are fractions of an image: all in 0 to 1, the head at smaller y than the feet."""
    if (joints[..., :2] > 1.2).any():  # hidden ones are zeros or stay as they are, and seldom the largest
        return False
    seen = joints[visible]
    if len(seen) < _SEEN:
        return False
    xy = seen[:, :2]
    if xy[:, 1].max() - xy[:, 1].min() < 0.1:  # a body that small fills no image
        return False
    return bool(xy.min() >= -0.2 and xy.max() <= 1.2 and ((xy >= 0) & (xy <= 1)).mean() >= 0.95)


def _flat(clip: Clip, dims: int, min_confidence: float, notes: list[Note], size: tuple[int, int] | None) -> Clip:
    """A 3D clip that is really 2D, as that."""
    joints, visible = sampled(clip)
    if third_is_score(joints[visible]):
        notes.append(SCORE)
        array = score_apart(clip.to_array(), min_confidence)
        gone = np.isnan(array).any(axis=-1)
        if gone.all():
            raise InputError(f"clip {clip.name!r}: all joints are missing, no confidence reaches {min_confidence:g}")
        return clip.with_(joints=np.where(gone[..., None], 0, array), visible=~gone, image_size=size)
    if not _is_flat(joints, visible) or not _points_down(clip):
        return clip
    if dims != 2 or size is None:
        raise InputError(
            f"clip {clip.name!r}: x and y lie in 0 to 1 and the head has the smaller y: fractions of an image (as "
            "MediaPipe's pose_landmarks), whose z is no metres; give --image-size WIDTHxHEIGHT --dims 2 for pixels, or "
            "take the world landmarks"
        )
    notes.append(Note("x and y are fractions of an image, z is no metres: z left out"))
    return clip.with_(joints=np.ascontiguousarray(clip.joints[..., :2]), image_size=size)


# --- pixels ---


def check_pixels(clip: Clip) -> None:
    """Refuse 2D coordinates of 0 to 1, which are no pixels.

    Raises:
        InputError: all visible coordinates lie between -1 and 2, and the image is larger or of unknown size.
    """
    if clip.dims == 2 and (bounds := _fractions(clip)) is not None:
        raise InputError(_no_pixels(clip, *bounds))


def _no_pixels(clip: Clip, low: float, high: float) -> str:
    said = f"clip {clip.name!r}: coordinates from {low:.3g} to {high:.3g} look normalised, expected pixels; "
    if clip.image_size is None:
        return said + "give --image-size WIDTHxHEIGHT if they are fractions of an image"
    width, height = clip.image_size
    return said + f"multiply x by the width ({width}) and y by the height ({height})"


def _fractions(clip: Clip) -> tuple[float, float] | None:
    """(least, largest) of coordinates that are no pixels; None for pixels."""
    if clip.image_size is not None and max(clip.image_size) <= 3:
        return None
    joints = clip.joints
    if len(joints) and float(np.abs(joints[0, 0]).max()) > 2 and clip.visible[0, 0].all():  # as good as always
        return None
    seen = joints[clip.visible]
    if len(seen) <= 3:  # a joint or two may lie in the corner of an image
        return None
    low, high = float(seen.min()), float(seen.max())
    return (low, high) if low >= -1 and high <= 2 else None


def _in_pixels(clip: Clip, seen: Survey, notes: list[Note]) -> Clip:
    if (bounds := _fractions(clip)) is not None:
        if clip.image_size is None and bounds[0] < -0.2:
            notes.append(Note("2D coordinates around 0 that are no pixels, and no image size: taken as they are"))
            return clip
        if clip.image_size is None or bounds[0] < -0.2:
            raise InputError(_no_pixels(clip, *bounds))
        notes.append(Note("2D coordinates are fractions of the image: multiplied by its width and height"))
        return clip.with_(joints=clip.joints * np.array(clip.image_size, dtype=np.float32))
    if clip.image_size is None:
        return clip
    width, height = clip.image_size
    if seen.swapped and width != height:
        notes.append(
            Note("joints lie outside of the image, and inside of one with width and height exchanged: exchanged (the "
                 "order is height, width)")
        )  # fmt: skip
        return clip.with_(image_size=(height, width))
    out = _outside(clip, width, height)
    if out > 0.01 and width != height and _outside(clip, height, width) == 0:
        notes.append(Note(f"joints lie outside of an image of {width} x {height}, and inside of one of {height} x "
                          f"{width}: is width given before height?"))  # fmt: skip
    elif out > 0.5:
        notes.append(
            Note(f"more than half of the joints lie outside of an image of {width} x {height}; is that its size?")
        )
    return clip


def _outside(clip: Clip, width: float, height: float) -> float:
    """Share of the visible joints outside of an image."""
    seen = clip.joints[clip.visible]
    low, high = seen.min(axis=0), seen.max(axis=0)
    if low.min() >= 0 and high[0] <= width and high[1] <= height:  # most clips
        return 0.0
    return float(((seen < 0) | (seen > np.array([width, height], dtype=np.float32))).any(axis=1).mean())


def _looks_swapped(clip: Clip) -> bool | None:
    """True where many joints lie outside and would not with width and height exchanged, False the other way round."""
    assert clip.image_size is not None
    width, height = clip.image_size
    now, then = _outside(clip, width, height), _outside(clip, height, width)
    if now > 0.2 and then < 0.02:
        return True
    return False if then > 0.2 and now < 0.02 else None


# --- joints that are not there ---


def _without_zeros(clip: Clip, notes: list[Note]) -> Clip:
    """Hides joints at (-1, -1), and those at 0 0 (0) again and again: what estimators write for a joint not found."""
    first = clip.joints[..., 0]
    suspect = (first == 0) | (first == -1)
    suspect &= clip.visible
    if not suspect.any():
        return clip
    visible = clip.visible
    if clip.dims == 2 and _fractions(clip) is None:
        minus = suspect & (clip.joints == -1).all(axis=-1)
        if minus.any():
            visible = visible & ~minus
            notes.append(Note("joints at -1 -1, which is no place in an image, count as missing", int(minus.sum()),
                              int(clip.visible.sum())))  # fmt: skip
    zero = suspect & (clip.joints == 0).all(axis=-1)
    often = zero.sum()
    if often > 1:
        ever = np.flatnonzero(zero.any(axis=(0, 1)))
        rest = clip.joints[visible & ~zero]
        # one joint that always rests there is the origin of the coordinates
        about = (zero == clip.visible)[:, :, ever].all() and len(ever) == 1
        centred = about and len(rest) and (rest.min(axis=0) < 0).any()
        if len(rest) and not centred and not (clip.dims == 3 and about):
            visible = visible & ~zero
            names = ", ".join(clip.layout.joints[i] for i in ever[:4]) + (" ..." if len(ever) > 4 else "")
            zeros = " ".join("0" * clip.dims)
            notes.append(Note(f"joints exactly at {zeros} again and again count as missing ({names})", int(often),
                              int(clip.visible.sum())))  # fmt: skip
    if visible is clip.visible:
        return clip
    if not visible.any():
        raise InputError(f"clip {clip.name!r}: all joints are missing in all {clip.frames} frames (0 or -1)")
    return clip.with_(joints=np.where(visible[..., None], clip.joints, np.float32(0)), visible=visible)


_GHOST_FRAMES, _GHOST_JOINTS = 2, 4


def _without_ghosts(clip: Clip, notes: list[Note]) -> Clip:
    """Leaves out people of a moment: a frame or two with a few joints, where somebody else is seen much longer."""
    if clip.people == 1:
        return clip
    joints = clip.visible.sum(axis=2)  # (M, T)
    total = joints.sum(axis=1)
    brief = ((joints > 0).sum(axis=1) <= _GHOST_FRAMES) & (joints.max(axis=1) < _GHOST_JOINTS)
    ghost = brief & (total * 10 < total.max())
    if not ghost.any():
        return clip
    notes.append(Note("people of a frame or two with a few joints, next to somebody seen far longer, are left out"))
    return clip.with_(joints=clip.joints[~ghost], visible=clip.visible[~ghost])


# --- which joints there are ---

_ORNAMENT = re.compile(
    r"finger|thumb|index|middle|ring|pinky|little|meta|carp|toe|heel|foot|ball|eye|ear|jaw|mouth|lip|brow|tongue|teeth|"
    r"twist|roll|site|end|nub|tip|hair|clavicle|collar|spine|chest|palm|prop|weapon|ik|ctrl|root|reference|helper"
)  # what merely refines a body, and no one misses


@lru_cache(maxsize=256)
def _layout_notes(layout: Layout, named_by_user: bool) -> tuple[Note, ...]:
    """What of a layout that the file names is of no use, and what is missing.

    Raises:
        InputError: no arm and no leg in it (not where the user named the joints).
    """
    if layout.name in LAYOUTS and LAYOUTS[layout.name] == layout:
        return ()
    sources = unified_sources(layout)
    used = {s for names in sources.values() for s in names}
    rest = [j for j in layout.joints if j not in used]
    limbs = [j for j in _LIMBS if len(sources.get(j, ())) > 0]
    if not limbs and not named_by_user and len(layout) >= _BODY:
        shown = ", ".join(rest[:8] or layout.joints[:8]) + (" ..." if len(rest) > 8 else "")
        raise InputError(
            f"layout {layout.name!r}: no elbow, wrist, knee or ankle among its {len(layout)} joints, so this is not "
            f"read as a body; unknown names: {shown}; give --joints with a layout of your own"
        )
    notes = [Note(doubt) for doubt in misspelt(layout)]
    lost = [j for j in UNIFIED_JOINTS if j not in sources]
    strange = [
        j
        for j in rest
        if not any(repr(j) in note.text for note in notes) and not _ORNAMENT.search(j.lower()) and j not in _KNOWN
    ]
    if strange or set(lost) - {"nose"}:  # sensors and rigs have no nose
        text = f"{len(UNIFIED_JOINTS) - len(lost)} of the {len(UNIFIED_JOINTS)} common joints are there"
        text += f", not {_few(lost)}" if lost else ""
        text += f"; mapped to none of them: {_few(strange)}" if strange else ""
        notes.append(Note(text))
    return tuple(notes)


def misspelt(layout: Layout) -> list[str]:
    """Joints that are of no use but look like one that is wanted and not there: 'left_wirst', did you mean ...?

    Fingers and other joints that merely belong to no unified joint are not among them.
    """
    if layout in LAYOUTS.values():
        return []
    sources = unified_sources(layout)
    used = {s for names in sources.values() for s in names}
    # a unified joint that is a mean for want of the real one is wanted, too
    wanted = [u for u in UNIFIED_JOINTS if len(sources.get(u, ())) != 1]
    found = []
    for joint in layout.joints:
        near = difflib.get_close_matches(joint, wanted, n=1, cutoff=0.8)
        if joint not in used and near and not joint.startswith(near[0]):
            found.append(f"joint {joint!r} is unknown and left out; did you mean {near[0]!r}?")
    return found


_KNOWN = frozenset(j for layout in LAYOUTS.values() for j in layout.joints)


def _few(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

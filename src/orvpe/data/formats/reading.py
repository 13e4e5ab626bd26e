"""What every clip goes through on its way out of a reader: units checked, turned so that y is up, names looked at."""

from __future__ import annotations

import difflib

import numpy as np

from orvpe.data.formats.base import Format, Item, Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, UNIFIED_JOINTS, Layout, unified_sources

# Rows give the new x, y, z in the old ones: proper rotations (determinant 1), so that left stays left.
_TURNS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}
UP = tuple(_TURNS)


def read_clips(reader: Format, source: Source, item: Item, options: Options) -> list[Clip]:
    """An item's clips, 3D ones turned so that y is up, with the subject of the options where they have none.

    Raises:
        InputError: as the reader; coordinates that are no pixels; ``options.up`` for 2D clips.
        NoSkeleton: as the reader.
    """
    clips = reader.read(source, item, options)
    for clip in clips:
        check_pixels(clip)
    return [turn_up(c if c.subject else c.with_(subject=options.subject), options.up) for c in clips]


def check_pixels(clip: Clip) -> None:
    """Refuse 2D coordinates of 0 to 1 where the image's size says how many pixels there are.

    Raises:
        InputError: all visible coordinates lie between -1 and 2.
    """
    if clip.dims != 2 or clip.image_size is None:
        return
    seen = clip.joints[clip.visible]
    if len(seen) > 3 and seen.min() >= -1 and seen.max() <= 2:  # a joint or two may lie in the corner of an image
        width, height = clip.image_size
        raise InputError(
            f"clip {clip.name!r}: coordinates from {seen.min():.3g} to {seen.max():.3g} look normalised, expected "
            f"pixels; multiply x by the width ({width}) and y by the height ({height})"
        )


def turn_up(clip: Clip, up: str) -> Clip:
    """The clip with y up, where ``up`` (one of `UP`) is the axis that pointed up.

    Raises:
        InputError: a 2D clip, and ``up`` is not y.
    """
    if up == "y":
        return clip
    if clip.dims != 3:
        raise InputError(f"clip {clip.name!r}: up is {up!r}, but it is 2D; only 3D clips are turned")
    joints = np.where(clip.visible[..., None], clip.joints, 0.0)
    return clip.with_(joints=joints @ np.array(_TURNS[up], dtype=np.float32).T)


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

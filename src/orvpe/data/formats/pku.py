"""PKU-MMD: a text a recording, a line a frame with 150 numbers: two people, Kinect v2's 25 joints, metres.

Where a text of the same name with lines ``action, first frame, last frame, confidence`` lies next to it (in the data
set's folder of labels), each of its actions is a clip; else the recording is one.  The sensor runs at 30 frames per
second.
"""

from __future__ import annotations

import re

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix
from orvpe.data.formats.detections import hide_missing, layout_for, people_clip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS

FPS = 30.0
_NUMBERS = 150
_LABEL = re.compile(rb"\s*\d+\s*,\s*\d+\s*,\s*\d+\s*(,\s*\d+\s*)?\Z")
_NAME = re.compile(r"(?P<number>\d+)-(?P<camera>[LMR])\Z")


def items(source: Source) -> list[Item]:
    """(file[, its labels])."""
    names = by_suffix(source, ".txt")
    if not names:
        return []
    looked = names if len(names) <= 64 else names[:: len(names) // 32]
    motion = {n.rpartition("/")[0] for n in looked if _is_motion(source.head(n))}
    labels = {n.rpartition("/")[0] for n in looked if _LABEL.match(source.head(n).split(b"\n", 1)[0])}
    beside = {stem(n): n for n in names if n.rpartition("/")[0] in labels - motion}
    motions = [n for n in names if n.rpartition("/")[0] in motion and (len(names) > 64 or _is_motion(source.head(n)))]
    return [(n, beside[stem(n)]) if stem(n) in beside else (n,) for n in motions]


def _is_motion(head: bytes) -> bool:
    try:
        return len(np.array(head.split(b"\n", 1)[0].split(), dtype=np.float64)) == _NUMBERS
    except ValueError:
        return False


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    lines = source.read(name).split(b"\n")
    try:
        rows = np.array([line.split() for line in lines if line.strip()], dtype=np.float64)
    except ValueError:
        raise InputError(f"{where}: lines differ in length or hold something that is no number") from None
    if rows.ndim != 2 or rows.shape[1] != _NUMBERS:
        raise InputError(f"{where}: lines of {rows.shape[-1] if rows.size else 0} numbers, expected {_NUMBERS}")
    joints = rows.reshape(len(rows), 2, 25, 3).transpose(1, 0, 2, 3)  # (M, T, V, 3)
    joints = hide_missing(joints, None, options.min_confidence, where)
    layout = layout_for(25, {25: LAYOUTS["kinect_v2"]}, options, where)
    match = _NAME.match(stem(name))
    camera = match["camera"] if match else None
    parts = _labelled(source, item[1], len(rows)) if len(item) > 1 else [(None, 0, len(rows))]
    clips = []
    for i, (label, first, stop) in enumerate(parts):
        own = f"{stem(name)}_{i:02d}" if label is not None else stem(name)
        try:
            clips.append(
                people_clip(
                    joints[:, first:stop], layout, options, where, name=own, fps=FPS, label=label, camera=camera
                )
            )
        except NoSkeleton:
            continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in {len(rows)} frames")
    return clips


def _labelled(source: Source, name: str, frames: int) -> list[tuple[str, int, int]]:
    """(action, first frame, one after the last), frames from 0."""
    where = source.where(name)
    parts = []
    for number, line in enumerate(source.read(name).decode("utf-8", "replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, first, last = (int(float(v)) for v in line.split(",")[:3])
        except (ValueError, OverflowError):
            raise InputError(
                f"{where}: line {number} is {line[:40]!r}, expected action, first and last frame"
            ) from None
        first, stop = max(0, first), min(frames, last)
        if first < stop:
            parts.append((str(label), first, stop))
    return parts


FORMAT = Format("pku-mmd", "PKU-MMD: a text a recording, 150 numbers a frame, metres", items, read)

"""Kinetics-skeleton: one JSON a clip, OpenPose's 18 joints, coordinates as fractions of the image.

``{"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, ...], "score": [...]}]}], "label": ..., ...}``.
The files do not say how large the image was; the data set was made at 340 x 256, which is taken when no image
size is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detections import (
    frames_of,
    hide_missing,
    json_files_with,
    layout_for,
    other_kind,
    people_clip,
)  # fmt: skip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.people import link_people
from orvpe.poses.skeleton import LAYOUTS

IMAGE_SIZE = (340, 256)
_KNOWN = {18: LAYOUTS["openpose_18"]}


def items(source: Source) -> list[Item]:
    return json_files_with(source, b'"frame_index"', b'"skeleton"')


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = read_json(source, name)
    listed = data.get("data") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise other_kind(source, f"{where}: no 'data' list of frames in it")
    if not listed:
        raise NoSkeleton(f"{where}: nobody, 'data' has no frame")
    size = options.image_size or IMAGE_SIZE
    try:
        numbers = [int(frame["frame_index"]) for frame in listed]
        found = [_people(frame["skeleton"]) for frame in listed]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: a frame without 'frame_index' or plain 'pose' and 'score' lists") from None
    widths = {people.shape[1] for people in found if len(people)}
    if not widths:
        raise NoSkeleton(f"{where}: nobody in {len(found)} frames")
    if len(widths) > 1:
        raise InputError(f"{where}: people with {' and '.join(map(str, sorted(widths)))} joints, expected 18")
    joints = widths.pop()
    layout = layout_for(joints, _KNOWN, options, where)
    numbered = frames_of(numbers, where)
    frames = [np.zeros((0, joints, 2), dtype=np.float32)] * numbered.count
    for t, people in zip(numbered.at, found, strict=True):
        if len(people):
            seen = hide_missing(people[..., :2], people[..., 2], options.min_confidence, where)
            frames[t] = seen * np.array(size, dtype=np.float32)
    label = data.get("label")
    return [
        people_clip(
            link_people(frames), layout, options, where,
            name=stem(name), image_size=size, label=None if label is None else str(label),
            step=numbered.step,
        )
    ]  # fmt: skip


def _people(skeletons: list[dict[str, Any]]) -> np.ndarray:
    """(P, V, 3): x, y, score of everybody in a frame."""
    rows = []
    for person in skeletons:
        pose = np.array(person["pose"], dtype=np.float64).reshape(-1, 2)
        score = np.array(person["score"], dtype=np.float64).reshape(-1, 1)
        rows.append(np.concatenate([pose, score], axis=1))
    return np.stack(rows) if rows else np.zeros((0, 0, 3))


FORMAT = Format("kinetics", "Kinetics-skeleton: one JSON a clip, OpenPose 18 as fractions of the image", items, read)

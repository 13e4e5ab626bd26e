"""MediaPipe's pose landmarks saved as JSON: 33 a person, in the image (fractions) or in the world (metres).

What people save differs: a list of frames, each a list of 33 ``{x, y, z, visibility}``; the result of a task
(``landmarks``, ``worldLandmarks``) a frame; mappings with ``frame`` and ``landmarks`` or ``pose_landmarks``; names
as keys.  So lists of 33 points are looked for under whatever keys lead to them.  World landmarks are taken where
there are any (with ``--dims 2`` those in the image): metres with y pointing down, turned so that y is up.
Landmarks in the image are fractions, of which ``--image-size`` makes pixels; their z is no coordinate of the image
and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detected import Detection, detected_clip, frame_groups, turned, video_name, whole_number
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, places_in

JOINTS = 33
_FRAME_KEYS = ("frame", "frame_id", "frame_number", "frame_index", "frame_idx", "frameNumber", "frameIndex", "index")
_FRAMES_KEYS = ("frames", "data", "results", "landmarks", "poses", "pose_landmarks", "poseLandmarks")
_WORLD = "world"
_NOT_BODY = ("face", "hand", "iris")


def items(source: Source) -> list[Item]:
    names = json_of(source, "mediapipe")
    groups = frame_groups(names)
    # files of one frame each are frames of a video; a file of many frames is a video
    single = len(names) > 1 and all(source.head(n).count(b'"x"') <= 2 * JOINTS for n in names[:3])
    return [tuple(n for _, n in g) for g in groups.values()] if single else [(n,) for n in names]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    numbered = [(t, n) for group in frame_groups(item).values() for t, n in group]
    found: dict[str, list[Detection]] = {"image": [], _WORLD: []}
    frames: list[int] = []
    fps: float | None = None
    for own, file in numbered:
        data = read_json(source, file)
        if isinstance(data, dict) and isinstance(data.get("fps"), (int, float)) and 0 < data["fps"] <= 1000:
            fps = float(data["fps"])
        for number, frame in _frames(data, own if len(item) > 1 else 0):
            frames.append(number)
            for space, points in _people(frame, "image"):
                found[space].append(_person(points, number, space, f"{source.where(file)}: frame {number}"))
    if not any(found.values()):
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames: no list of {JOINTS} landmarks in it")
    world = found[_WORLD] and (options.dims == 3 or not found["image"])
    layout = LAYOUTS["mediapipe"]
    if options.layout is not None and len(options.layout) != JOINTS:
        raise InputError(f"{where}: {JOINTS} landmarks, but layout {options.layout.name!r} has {len(options.layout)}")
    people = found[_WORLD] if world else found["image"]
    size = np.array(options.image_size or (1, 1), dtype=np.float64)
    fractions = not world and all(np.nanmax(np.abs(d.joints), initial=0.0) < 10 for d in people)
    people = [
        Detection(d.frame, turned(d.joints, "-y", options) if world else d.joints[:, :2] * (size if fractions else 1.0),
                  d.confidence, d.track)
        for d in people
    ]  # fmt: skip
    name = video_name(next(iter(frame_groups(item))), source) if len(item) > 1 else stem(item[0])
    return [
        detected_clip(people, options.layout or layout, options, where, frames=frames, origin_is_missing=False,
                      name=name, fps=fps or options.fps)
    ]  # fmt: skip


def _frames(data: Any, first: int) -> Iterator[tuple[int, Any]]:
    """(number, frame) of whatever holds the frames."""
    if isinstance(data, dict):
        if _is_person(data):
            yield first, data
            return
        listed = next((data[k] for k in _FRAMES_KEYS if isinstance(data.get(k), list)), None)
        if isinstance(listed, list) and not _is_person(listed) and not _of_task(data):
            yield from _frames(listed, first)
        elif data and all(whole_number(k) is not None for k in data):
            yield from ((int(float(k)), v) for k, v in data.items())
        else:
            yield first, data
    elif isinstance(data, list) and not _is_person(data):
        for place, frame in enumerate(data):
            number = next((n for k in _FRAME_KEYS if isinstance(frame, dict)
                           and (n := whole_number(frame.get(k))) is not None), None)  # fmt: skip
            yield first + place if number is None else number, frame
    else:
        yield first, data


def _of_task(data: dict[str, Any]) -> bool:
    """Whether this is one result, which lists people: ``landmarks`` next to ``worldLandmarks``."""
    return any(_WORLD in k.lower() for k in data)


def _is_person(data: Any) -> bool:
    """33 points, in a list or by their names."""
    if isinstance(data, list):
        return len(data) == JOINTS and all(_is_point(p) for p in data)
    if isinstance(data, dict) and len(data) == JOINTS and all(_is_point(p) for p in data.values()):
        return None not in places_in(LAYOUTS["mediapipe"], list(data))
    return False


def _is_point(p: Any) -> bool:
    if isinstance(p, dict):
        return "x" in p and "y" in p
    return isinstance(p, list) and 2 <= len(p) <= 5 and all(isinstance(v, (int, float)) for v in p)


def _people(data: Any, space: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """(image or world, 33 points) of everybody in a frame, under whatever keys."""
    if _is_person(data):
        yield space, data
    elif depth < 6 and isinstance(data, list):
        for part in data:
            yield from _people(part, space, depth + 1)
    elif depth < 6 and isinstance(data, dict):
        for key, part in data.items():
            low = str(key).lower()
            if isinstance(part, (list, dict)) and not any(w in low for w in _NOT_BODY):
                yield from _people(part, _WORLD if _WORLD in low else space, depth + 1)


def _person(points: Any, frame: int, space: str, where: str) -> Detection:
    layout = LAYOUTS["mediapipe"]
    if isinstance(points, dict):
        order = [int(p or 0) for p in places_in(layout, list(points))]
        listed = list(points.values())
        points = [listed[order.index(v)] for v in range(JOINTS)]
    rows = []
    for p in points:
        if isinstance(p, dict):
            rows.append([p["x"], p["y"], p.get("z", 0.0), p.get("visibility", p.get("score", 1.0))])
        else:
            rows.append([p[0], p[1], p[2] if len(p) > 2 else 0.0, p[3] if len(p) > 3 else 1.0])
    try:
        values = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: a landmark holds something that is no number") from None
    return Detection(frame, values[:, :3] if space == _WORLD else values[:, :2], values[:, 3])


FORMAT = Format("mediapipe", "MediaPipe pose landmarks as JSON: 33, in the image or the world", items, read)

"""OpenPifPaf: a line of JSON a frame (``openpifpaf.video --json-output``), or a file a picture, 17 joints, pixels.

``{"frame": 0, "predictions": [{"keypoints": [x, y, confidence, ...], "score": ..., "id_": ...}]}`` a line; a
picture's file ``<image>.predictions.json`` holds the list of predictions alone.
"""

from __future__ import annotations

import re
from typing import Any

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options
from orvpe.data.formats.detected import (
    Detection,
    detected_clip,
    frame_groups,
    json_documents,
    numbers,
    video_name,
    whole_number,
)
from orvpe.data.formats.detections import layout_for
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import layouts_by_count

_ENDINGS = re.compile(r"(\.predictions|\.openpifpaf|\.(jpe?g|png|bmp|mp4|avi|mov|mkv|webm|m4v))+\Z", re.IGNORECASE)


def items(source: Source) -> list[Item]:
    names = json_of(source, "openpifpaf")
    videos = [n for n in names if b'"predictions"' in source.head(n)]
    pictures = frame_groups(_plain(n) for n in names if n not in set(videos))
    by_plain = {_plain(n): n for n in names}
    return [(n,) for n in videos] + [tuple(by_plain[n] for _, n in frames) for frames in pictures.values()]


def _plain(name: str) -> str:
    """``walk_0001.jpg.predictions.json`` without what the tools append, so that it ends in its number."""
    return _ENDINGS.sub("", name.rsplit(".json", 1)[0]) + ".json"


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    numbered = {n: t for group in frame_groups(_plain(n) for n in item).values() for t, n in group}
    found: list[Detection] = []
    frames: list[int] = []
    for file in item:
        own = numbered[_plain(file)] if len(item) > 1 else 0
        for line, data in enumerate(json_documents(source, file)):
            if isinstance(data, dict):
                people, frame = data.get("predictions"), whole_number(data.get("frame", line))
            else:
                people, frame = data, own
            if not isinstance(people, list) or frame is None:
                raise InputError(f"{source.where(file)}: line {line + 1} without 'frame' and a list 'predictions'")
            frames.append(frame)
            found += [_person(p, frame, source.where(file)) for p in people]
    if not found:
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames")
    layout = layout_for(len(found[0].joints), layouts_by_count(2), options, where)
    name = video_name(next(iter(frame_groups([_plain(item[0])]))), source)
    if len(item) == 1:
        name = _plain(item[0]).rsplit("/", 1)[-1].removesuffix(".json")
    return [detected_clip(found, layout, options, where, frames=frames, name=name)]


def _person(person: Any, frame: int, where: str) -> Detection:
    flat = person.get("keypoints") if isinstance(person, dict) else None
    if not flat:
        raise InputError(f"{where}: a prediction of frame {frame} without 'keypoints'")
    points = numbers(flat, "'keypoints'", where).ravel()
    if points.size % 3:
        raise InputError(f"{where}: 'keypoints' of frame {frame} has {points.size} numbers, expected 3 a joint")
    table = points.reshape(-1, 3)
    score = person.get("score")
    return Detection(
        frame, table[:, :2], table[:, 2], track=whole_number(person.get("id_", person.get("track_id"))),
        score=float(score) if isinstance(score, (int, float)) else None,
    )  # fmt: skip


FORMAT = Format("openpifpaf", "OpenPifPaf: a line of JSON a frame, or a file a picture, pixels", items, read)

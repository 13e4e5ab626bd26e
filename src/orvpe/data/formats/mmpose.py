"""MMPose's saved predictions: a JSON a video, or one a picture, pixels or metres.

A video is ``{"meta_info": {"keypoint_id2name": ...}, "instance_info": [{"frame_id": 1, "instances": [...]}]}`` or
the bare list of ``{"frame_id", "instances"}``; a picture is the list of instances alone.  An instance has
``keypoints`` (V, 2 or 3) and ``keypoint_scores`` (V).  The joints are those of ``keypoint_id2name``; without it
their number decides, where it can.  Identities are kept where instances have a ``track_id``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
from orvpe.data.formats.detections import layout_for, named_layout
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, layouts_by_count


def items(source: Source) -> list[Item]:
    names = json_of(source, "mmpose")
    if names and all(b'"frame_id"' not in source.head(n) for n in names[:3]):  # a file a picture
        return [tuple(n for _, n in frames) for frames in frame_groups(names).values()]
    return [(n,) for n in names]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    names: dict[Any, Any] = {}
    found: list[Detection] = []
    frames: list[int] = []
    numbered = {n: t for group in frame_groups(item).values() for t, n in group}
    for file in item:
        documents = json_documents(source, file)
        data = documents if len(documents) > 1 else documents[0]
        if isinstance(data, dict):
            meta = data.get("meta_info")
            names = meta.get("keypoint_id2name") or {} if isinstance(meta, dict) else names
            data = data.get("instance_info", data.get("instances"))
        if not isinstance(data, list):
            raise InputError(f"{source.where(file)}: no list of frames with 'instances' in it")
        if data and not any(isinstance(f, dict) and "instances" in f for f in data):
            data = [{"frame_id": numbered[file] if len(item) > 1 else 0, "instances": data}]
        for place, frame in enumerate(data):
            number = frame.get("frame_id", place) if isinstance(frame, dict) else None
            people = frame.get("instances") if isinstance(frame, dict) else None
            number = whole_number(number)
            if not isinstance(people, list) or number is None:
                raise InputError(f"{source.where(file)}: frame {place} without 'frame_id' and a list 'instances'")
            frames.append(number)
            found += [_person(p, number, source.where(file)) for p in people]
    if not found:
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames")
    layout, order = _layout(names, len(found[0].joints), found[0].joints.shape[1], options, where)
    if any(len(d.joints) != len(order) for d in found):
        raise InputError(f"{where}: people with different numbers of joints, expected one layout")
    found = [d.placed(layout, order) for d in found]
    name = (
        stem(item[0]).removeprefix("results_") if len(item) == 1 else video_name(next(iter(frame_groups(item))), source)
    )
    return [detected_clip(found, layout, options, where, frames=frames, name=name)]


def _person(person: Any, frame: int, where: str) -> Detection:
    where = f"{where}: frame {frame}"
    if not isinstance(person, dict) or "keypoints" not in person:
        raise InputError(f"{where}: an instance without 'keypoints'")
    joints = numbers(person["keypoints"], "'keypoints'", where)
    joints = joints[0] if joints.ndim == 3 and len(joints) == 1 else joints
    if joints.ndim != 2 or joints.shape[1] not in (2, 3) or not len(joints):
        raise InputError(f"{where}: 'keypoints' have shape {joints.shape}, expected (joints, 2 or 3)")
    scores = person.get("keypoint_scores")
    confidence = None if scores is None else numbers(scores, "'keypoint_scores'", where).ravel()
    if confidence is not None and len(confidence) != len(joints):
        raise InputError(f"{where}: {len(confidence)} 'keypoint_scores' for {len(joints)} joints")
    score = person.get("bbox_score")
    score = score[0] if isinstance(score, list) and score else score
    track = person.get("track_id")
    return Detection(
        frame, joints, confidence,
        track=track if isinstance(track, (int, str)) and track != -1 else None,
        score=float(score) if isinstance(score, (int, float)) else None,
    )  # fmt: skip


def _layout(names: Any, count: int, dims: int, options: Options, where: str) -> tuple[Layout, np.ndarray]:
    if names:
        try:  # {"0": "nose"}, {0: "nose"} or ["nose", ...]
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            listed = [str(n) for _, n in sorted((int(i), n) for i, n in pairs)]
        except (TypeError, ValueError):
            raise InputError(f"{where}: 'keypoint_id2name' is no mapping of numbers to names") from None
        if len(listed) != count:
            raise InputError(f"{where}: {len(listed)} names in 'keypoint_id2name' for {count} joints")
        return named_layout(listed, options.layout, where)
    layout = layout_for(count, layouts_by_count(dims), options, where)
    return layout, np.arange(count)


FORMAT = Format("mmpose", "MMPose's saved predictions: a JSON a video or picture, joints by name", items, read)

"""ZED's bodies as the SDK's samples export them: a JSON a recording, BODY_18, 34 or 38 in space.

``{"<time stamp>": {"timestamp": ..., "body_list": [{"id", "keypoint": [[x, y, z] ...], "keypoint_confidence": [0 to
100]}]}}``, or a list of such frames.  Unit and axes are the camera's settings, which the file does not say: the
gate tells them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detected import Detection, detected_clip, numbers, whole_number
from orvpe.data.formats.detections import layout_for
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS

_KNOWN = {n: LAYOUTS[f"zed_{n}"] for n in (18, 34, 38)}
_PER_SECOND = {10: 1.0, 13: 1e3, 16: 1e6, 19: 1e9}  # by the digits of a time stamp of these years


def items(source: Source) -> list[Item]:
    return [(n,) for n in json_of(source, "zed")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    data = read_json(source, item[0])
    frames = list(data.values()) if isinstance(data, dict) and "body_list" not in data else data
    frames = frames if isinstance(frames, list) else [frames]
    found: list[Detection] = []
    stamps: list[int] = []
    for t, frame in enumerate(frames):
        bodies = frame.get("body_list") if isinstance(frame, dict) else None
        if not isinstance(bodies, list):
            raise InputError(f"{where}: frame {t} without a list 'body_list'")
        stamps.append(whole_number(frame.get("timestamp")) or 0)
        found += [_body(body, t, where) for body in bodies]
    if not found:
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames")
    layout = layout_for(len(found[0].joints), _KNOWN, options, where)
    return [
        detected_clip(found, layout, options, where, frames=range(len(frames)), name=stem(item[0]), fps=_fps(stamps))
    ]


def _body(body: Any, frame: int, where: str) -> Detection:
    if not isinstance(body, dict) or "keypoint" not in body:
        raise InputError(f"{where}: a body of frame {frame} without 'keypoint'")
    joints = numbers(body["keypoint"], f"'keypoint' of frame {frame}", where, 3)
    sure = body.get("keypoint_confidence")
    confidence = None if sure is None else numbers(sure, "'keypoint_confidence'", where).ravel() / 100.0
    if confidence is not None and len(confidence) != len(joints):
        raise InputError(f"{where}: {len(confidence)} 'keypoint_confidence' for {len(joints)} joints")
    return Detection(frame, joints, confidence, track=whole_number(body.get("id")))


def _fps(stamps: list[int]) -> float | None:
    per_second = _PER_SECOND.get(len(str(stamps[0])))
    if per_second is None or len(stamps) < 2:
        return None
    step = float(np.median(np.diff(stamps))) / per_second
    if not 1e-3 < step < 10:
        return None
    near = min((15.0, 25.0, 30.0, 60.0, 100.0), key=lambda f: abs(f - 1 / step))
    return near if abs(near * step - 1) < 0.05 else 1 / step


FORMAT = Format("zed", "ZED bodies as JSON: 18, 34 or 38 joints in space", items, read)

"""Azure Kinect's body tracking as its offline processor writes it: one JSON a recording, 32 joints in millimetres.

``{"joint_names": [...], "frames": [{"frame_id", "timestamp_usec", "bodies": [{"body_id", "joint_positions": [[x, y,
z] ...], "joint_confidences"}]}]}``.  The camera's y points down and z away from it; clips are turned so that y is
up.  A confidence of 0 (none) is a missing joint, 1 (low: guessed) counts as seen, as Kinect v2's "inferred" does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detected import Detection, detected_clip, in_metres, numbers, turned, whole_number
from orvpe.data.formats.detections import layout_for, named_layout
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS

FPS = 30.0
_KNOWN = {32: LAYOUTS["kinect_azure"]}


def items(source: Source) -> list[Item]:
    return [(n,) for n in json_of(source, "azure-kinect")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    data = read_json(source, item[0])
    frames = data.get("frames") if isinstance(data, dict) else data
    if not isinstance(frames, list):
        raise InputError(f"{where}: no 'frames' list in it")
    found: list[Detection] = []
    shown: list[int] = []
    for place, frame in enumerate(frames):
        bodies = frame.get("bodies", []) if isinstance(frame, dict) else None
        number = whole_number(frame.get("frame_id", place)) if isinstance(frame, dict) else None
        if not isinstance(bodies, list) or number is None:
            raise InputError(f"{where}: frame {place} without 'frame_id' and a list 'bodies'")
        shown.append(number)
        found += [_body(body, number, where) for body in bodies]
    if not found:
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames")
    names = data.get("joint_names") if isinstance(data, dict) else None
    count = len(found[0].joints)
    if isinstance(names, list) and len(names) == count:
        layout, order = named_layout([str(n) for n in names], options.layout, where)
    else:
        layout, order = layout_for(count, _KNOWN, options, where), np.arange(count)
    if any(len(d.joints) != count for d in found):
        raise InputError(f"{where}: bodies with different numbers of joints, expected {count}")
    metres = [turned(in_metres(d.joints, 0.001, options), "-y", options) for d in found]
    found = [replace(d, joints=m).placed(layout, order) for d, m in zip(found, metres, strict=True)]
    name = stem(item[0])
    return [
        detected_clip(found, layout, options, where, frames=shown, name=name, fps=_fps(frames) or options.fps or FPS)
    ]


def _body(body: Any, frame: int, where: str) -> Detection:
    positions = body.get("joint_positions") if isinstance(body, dict) else None
    if isinstance(positions, dict):
        positions = list(positions.values())
    if positions is None:
        raise InputError(f"{where}: a body of frame {frame} without 'joint_positions'")
    joints = numbers(positions, f"'joint_positions' of frame {frame}", where, 3)
    levels = body.get("joint_confidences", body.get("confidence_levels"))
    confidence = None
    if isinstance(levels, list):
        confidence = numbers(levels, "'joint_confidences'", where).ravel()
        if len(confidence) != len(joints):
            raise InputError(f"{where}: {len(confidence)} 'joint_confidences' for {len(joints)} joints")
    return Detection(frame, joints, confidence, track=whole_number(body.get("body_id", body.get("id"))))


def _fps(frames: list[Any]) -> float | None:
    """Frames a second by the time stamps (microseconds) and frame numbers."""
    stamps = [
        (n, t) for f in frames
        if isinstance(f, dict) and (n := whole_number(f.get("frame_id"))) is not None
        and (t := whole_number(f.get("timestamp_usec"))) is not None
    ]  # fmt: skip
    if len(stamps) < 2 or stamps[-1][1] <= stamps[0][1] or stamps[-1][0] <= stamps[0][0]:
        return None
    fps = 1e6 * (stamps[-1][0] - stamps[0][0]) / (stamps[-1][1] - stamps[0][1])
    near = min((5.0, 15.0, 30.0), key=lambda f: abs(f - fps))
    fps = near if abs(near - fps) < 0.05 * near else fps
    return fps if 0.1 <= fps <= 1000 else None


FORMAT = Format("azure-kinect", "Azure Kinect body tracking: one JSON a recording, 32 joints, millimetres", items, read)

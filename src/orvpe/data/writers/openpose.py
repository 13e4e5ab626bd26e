"""OpenPose: a folder a clip of ``<clip>_<frame>_keypoints.json``, BODY_25's or COCO's joints, pixels.

A layout with another number of joints is written as BODY_25, each joint by its name.  ``person_id`` is the person;
``orvpe`` next to ``people`` has the rate and the image's size, which OpenPose itself does not write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from orvpe.data.writers.base import Writer, file_names, off_origin, pixels_only
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS
from orvpe.poses.unify import to_unified

_OWN = ("openpose_25", "openpose_18", "coco", "halpe")


def write(clips: Iterable[Clip], out: Path) -> None:
    for name, clip in file_names(clips):
        pixels_only(clip, "OpenPose")
        joints, visible = _placed(clip)
        values = np.concatenate([off_origin(joints, visible), visible[..., None]], axis=-1)  # (M, T, V, 3)
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        more = {"fps": clip.fps, "image_size": list(clip.image_size) if clip.image_size else None}
        for t in range(clip.frames):
            people = [
                {"person_id": [m], "pose_keypoints_2d": values[m, t].ravel().tolist()}
                for m in range(clip.people)
                if visible[m, t].any()
            ]
            text = json.dumps({"version": 1.3, "people": people, "orvpe": more})
            (folder / f"{name}_{t:012d}_keypoints.json").write_text(text, encoding="utf-8")


def _placed(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Joints and visibility in a layout that OpenPose's files have."""
    if any(clip.layout.joints == LAYOUTS[name].joints for name in _OWN):
        return clip.joints, clip.visible
    target = LAYOUTS["openpose_25"]
    unified = to_unified(clip)
    joints = np.zeros((clip.people, clip.frames, len(target), 2), dtype=np.float32)
    visible = np.zeros(joints.shape[:3], dtype=bool)
    for v, joint in enumerate(target.joints):
        source = clip if joint in clip.layout.joints else unified
        if joint in source.layout.joints:
            at = source.layout.index(joint)
            joints[:, :, v], visible[:, :, v] = source.joints[:, :, at], source.visible[:, :, at]
    if not visible.any():
        raise InputError(f"clip {clip.name!r}: none of its joints is one of OpenPose's")
    return joints, visible


WRITER = Writer("openpose", "OpenPose: a folder a clip, a JSON a frame", (), write)

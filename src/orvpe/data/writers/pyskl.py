"""pyskl and MMAction2's pickle: ``{"split": ..., "annotations": [...]}``, pixels or metres.

Labels become numbers in the order of their names where they are not numbers already; ``label_names`` has the names.
``joint_names`` and each annotation's ``fps`` are additions that other tools leave alone.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from orvpe.data.writers.base import Writer, off_origin
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.runtime.files import write_atomic


def write(clips: Iterable[Clip], out: Path) -> None:
    listed = list(clips)
    if not listed:
        raise InputError("no clip to write")
    layout = listed[0].layout
    other = next((c for c in listed if c.layout.joints != layout.joints), None)
    if other is not None:
        raise InputError(f"clip {other.name!r}: layout {other.layout.name!r}, but {layout.name!r} before; one a file")
    labels = sorted({c.label for c in listed if c.label is not None})
    numeric = all(n.isdecimal() and str(int(n)) == n for n in labels)
    number = {name: int(name) if numeric else i for i, name in enumerate(labels)}
    annotations = [_annotation(c, number) for c in listed]
    data: dict[str, Any] = {"annotations": annotations, "joint_names": list(layout.joints)}
    splits = {s: [c.name for c in listed if c.split == s] for s in dict.fromkeys(c.split for c in listed if c.split)}
    if splits:
        data["split"] = splits
    if labels and not numeric:
        data["label_names"] = labels
    write_atomic(out, pickle.dumps(data, protocol=4))


def _annotation(clip: Clip, number: dict[str, int]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "frame_dir": clip.name,
        "total_frames": clip.frames,
        "keypoint": off_origin(clip.joints, clip.visible).astype("float32"),
        "keypoint_score": clip.visible.astype("float32"),
    }
    if clip.label is not None:
        data["label"] = number[clip.label]
    if clip.image_size:
        data["img_shape"] = data["original_shape"] = (clip.image_size[1], clip.image_size[0])
    if clip.fps:
        data["fps"] = float(clip.fps)
    return data


WRITER = Writer("pyskl", "pyskl and MMAction2 pickle", (".pkl", ".pickle"), write)

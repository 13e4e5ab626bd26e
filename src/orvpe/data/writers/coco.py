"""COCO keypoints: one annotation file, with ``videos`` and the joints' names in ``categories``.

Each frame is an image ``<clip>/<frame>.jpg`` with ``video_id`` and ``frame_id``; ``track_id`` is the person.
``videos`` say the clip's name, rate, label, subject, camera and split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.writers.base import Writer, file_names, off_origin, pixels_only
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.runtime.files import write_atomic

_TEXT = ("label", "subject", "camera", "split")


def write(clips: Iterable[Clip], out: Path) -> None:
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    layout = None
    for number, (name, clip) in enumerate(file_names(clips), start=1):
        pixels_only(clip, "COCO")
        if layout is not None and clip.layout.joints != layout.joints:
            raise InputError(f"clip {clip.name!r}: layout {clip.layout.name!r}, but {layout.name!r} before; one a file")
        layout = clip.layout
        own = {k: v for k in _TEXT if (v := getattr(clip, k)) is not None}
        videos.append({"id": number, "name": clip.name, **({"fps": float(clip.fps)} if clip.fps else {}), **own})
        size = dict(zip(("width", "height"), clip.image_size, strict=True)) if clip.image_size else {}
        first = len(images) + 1
        images += [
            {"id": first + t, "file_name": f"{name}/{t:06d}.jpg", "video_id": number, "frame_id": t, **size}
            for t in range(clip.frames)
        ]
        values = off_origin(clip.joints, clip.visible)
        for m, t in np.argwhere(clip.visible.any(axis=2)).tolist():
            seen = clip.visible[m, t]
            flat = np.concatenate([values[m, t], 2.0 * seen[:, None]], axis=1)
            low, high = values[m, t, seen].min(axis=0), values[m, t, seen].max(axis=0)
            box = [*low.tolist(), *(high - low).tolist()]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": first + t, "category_id": 1, "track_id": m + 1,
                 "keypoints": flat.ravel().tolist(), "num_keypoints": int(seen.sum()), "bbox": box,
                 "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
    if layout is None:
        raise InputError("no clip to write")
    skeleton = [[child + 1, parent + 1] for child, parent in layout.edges]
    category = {"id": 1, "name": "person", "keypoints": list(layout.joints), "skeleton": skeleton}
    write_atomic(
        out,
        json.dumps({"videos": videos, "images": images, "annotations": annotations, "categories": [category]}),
    )


WRITER = Writer("coco", "COCO annotation file: images, annotations, joints' names", (".json",), write)

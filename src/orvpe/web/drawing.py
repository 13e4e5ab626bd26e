"""A clip as JSON for drawing: rounded to screen precision, null where a joint is missing."""

from __future__ import annotations

import json

import numpy as np

from orvpe.web.answers import Shown

_DIGITS = {2: 1, 3: 4}  # of pixels, of metres


def drawing(identity: str, shown: Shown) -> str:
    """Build an `orvpe.web.schema.Drawing`."""
    clip = shown.clip
    rounded = np.round(clip.joints.astype(np.float64), _DIGITS[clip.dims]).tolist()
    coordinates = [
        [
            [xyz if seen else None for xyz, seen in zip(joints, visible, strict=True)]
            for joints, visible in zip(frames, seen_frames, strict=True)
        ]
        for frames, seen_frames in zip(rounded, clip.visible.tolist(), strict=True)
    ]
    data = {
        "id": identity, "title": shown.title, "frames": clip.frames, "people": clip.people, "dims": clip.dims,
        "fps": clip.fps, "image_size": clip.image_size, "joints": clip.layout.joints,
        "parents": clip.layout.parent_index, "coordinates": coordinates,
    }  # fmt: skip
    return json.dumps(data, separators=(",", ":"))

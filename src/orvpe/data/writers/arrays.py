"""npz of `orvpe.data.formats.arrays`, a file a clip: joints with NaN where missing, names, rate, image size, texts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.writers.base import Writer
from orvpe.poses.clip import Clip
from orvpe.runtime.files import whole_file


def write(clips: Iterable[Clip], out: Path) -> None:
    (clip,) = clips
    more: dict[str, Any] = {
        k: v for k in ("label", "subject", "camera", "split") if (v := getattr(clip, k)) is not None
    }
    if clip.fps:
        more["fps"] = clip.fps
    if clip.image_size:
        more["image_size"] = clip.image_size
    with whole_file(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, joints=clip.to_array(), joint_names=np.array(clip.layout.joints), name=clip.name, **more)


WRITER = Writer("npz", "npz, a file a clip: joints, joint_names, fps ...", (".npz",), write, one_clip=True)

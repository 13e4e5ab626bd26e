"""N-UCLA (Northwestern-UCLA Multiview Action 3D): one JSON a clip, ``skeletons`` (T, 20, 3) in metres, Kinect v1."""

from __future__ import annotations

import re

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix, read_json
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS

_NAME = re.compile(r"(a\d\d)_(s\d\d)_(e\d\d)_(v\d\d)$")
FPS = 30.0


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".json") if _NAME.search(stem(n))]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = read_json(source, name)
    frames = data.get("skeletons") if isinstance(data, dict) else None
    if frames is None:
        raise InputError(f"{where}: no 'skeletons' list in it")
    try:
        joints = np.array(frames, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{where}: 'skeletons' is ragged or holds something that is no number") from None
    if joints.size == 0:
        raise InputError(f"{where}: empty, 'skeletons' has no frame")
    if joints.ndim != 3 or joints.shape[1:] != (20, 3):
        raise InputError(f"{where}: 'skeletons' has shape {joints.shape}, expected (frames, 20, 3)")
    if not np.isfinite(joints).all():
        frame = int(np.argwhere(~np.isfinite(joints))[0][0])
        raise InputError(f"{where}: NaN or infinite coordinate in frame {frame}, expected metres")
    match = _NAME.search(stem(name))
    action, subject, _, camera = match.groups() if match else (None, None, None, None)
    visible = (joints != 0).any(axis=-1)  # the sensor writes 0 0 0 for a joint it lost
    clip = Clip(
        joints[None], visible[None], options.layout or LAYOUTS["kinect_v1"], fps=options.fps or FPS,
        name=stem(name), label=action, subject=subject, camera=camera,
    )  # fmt: skip
    return [clip]


FORMAT = Format("nucla", "N-UCLA: one JSON a clip, Kinect v1, metres", items, read, unit="m")

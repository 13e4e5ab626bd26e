"""Toyota Smarthome: one JSON a clip, ``Action_pXX_rXX_vXX_cXX.json``, 13 joints of LCR-Net in 2D and 3D.

``{"K": ..., "njts": 13, "frames": [[person, ...], ...]}``; a frame is a list of people, empty when there is
nobody, and a person has ``pose2d`` (13 x, then 13 y; pixels of the 640 x 480 image) and ``pose3d`` (13 x,
13 y, 13 z; metres).  The first release adds ``cumscore``; the refined one ends its names in ``_pose3d``.
The order of people in a frame says nothing of who they are.  The videos run at 20 frames per second.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix, read_json
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.people import link_people, most_energetic
from orvpe.poses.skeleton import LAYOUTS

_NAME = re.compile(r"(?P<action>.+)_(?P<subject>p\d+)_r\d+_v\d+_(?P<camera>c\d+)(_pose3d)?$")
FPS = 20.0
IMAGE = (640, 480)
JOINTS = 13


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".json") if _NAME.match(stem(n))]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = read_json(source, name)
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list):
        raise InputError(f"{where}: no 'frames' list in it")
    if not frames:
        raise InputError(f"{where}: empty, 'frames' has no frame")
    dims = 2 if options.dims == 2 else 3
    poses = [_people(people, dims, t, where) for t, people in enumerate(frames)]
    if not any(len(p) for p in poses):
        raise NoSkeleton(f"{where}: nobody in any of {len(frames)} frames")

    linked = link_people(poses)
    visible = ~np.isnan(linked).any(axis=-1)
    joints, visible = most_energetic(linked, visible, options.max_people)
    match = _NAME.match(stem(name))
    clip = Clip(
        np.where(visible[..., None], joints, 0.0), visible, options.layout or LAYOUTS["lcrnet"],
        fps=options.fps or FPS, image_size=(options.image_size or IMAGE) if dims == 2 else None,
        name=stem(name).removesuffix("_pose3d"), label=match["action"] if match else None,
        subject=match["subject"] if match else None, camera=match["camera"] if match else None,
    )  # fmt: skip
    return [clip]


def _people(people: Any, dims: int, frame: int, where: str) -> np.ndarray:
    """(n, 13, dims) of one frame."""
    key = f"pose{dims}d"
    if not isinstance(people, list):
        raise InputError(f"{where}: frame {frame} is a {type(people).__name__}, expected a list of people")
    poses = np.zeros((len(people), JOINTS, dims))
    for i, person in enumerate(people):
        values = person.get(key) if isinstance(person, dict) else None
        if values is None:
            raise InputError(f"{where}: a person without {key!r} in frame {frame}")
        try:
            flat = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {key!r} in frame {frame} holds something that is no number") from None
        if flat.shape != (dims * JOINTS,):
            raise InputError(f"{where}: {key!r} in frame {frame} has shape {flat.shape}, expected ({dims * JOINTS},)")
        if not np.isfinite(flat).all():
            raise InputError(f"{where}: NaN or infinite coordinate in {key!r} of frame {frame}")
        poses[i] = flat.reshape(dims, JOINTS).T  # the file lists all x, then all y, then all z
    return poses


FORMAT = Format(
    "smarthome", "Toyota Smarthome: one JSON a clip, LCR-Net, 2D pixels or 3D metres", items, read, unit="m"
)

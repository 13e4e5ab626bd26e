"""Small pose files in the formats of data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.poses.skeleton import LAYOUTS

KINECT = LAYOUTS["kinect_v1"].joints


def write_folder(folder: Path, count: int = 30, frames: int = 12) -> Path:
    """Files in N-UCLA's format."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        joints = rng.normal(0, 1, (frames + i % 5, 20, 3)).round(4)
        name = f"a{i % 10 + 1:02d}_s{i % 3 + 1:02d}_e{i:02d}_v{i % 3 + 1:02d}.json"
        (folder / name).write_text(json.dumps({"skeletons": joints.tolist()}))
    return folder


def write_packed(path: Path, recordings: int = 3, names: tuple[str, ...] = KINECT, **changes: Any) -> Path:
    lengths = np.arange(recordings) % 4 + 2
    joints = np.random.default_rng(2).integers(1, 3000, size=(lengths.sum(), len(names), 3)).astype(np.int16)
    data: dict[str, Any] = {
        "joints_mm": joints,
        "start": np.r_[0, lengths.cumsum()],
        "joint_names": np.array(names),
        "fps": np.float32(30),
        "name": np.array([f"r{i}" for i in range(recordings)]),
        "subject": np.array(["s1"] * recordings),
        "label": np.array(["", *["wave"] * (recordings - 1)]),
    }
    data.update(changes)
    np.savez_compressed(path, **{k: v for k, v in data.items() if v is not None})
    return path

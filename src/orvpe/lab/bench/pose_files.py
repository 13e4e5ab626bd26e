"""Writes pose files of each format as their data sets publish them: ``WRITERS[format](folder, count, seed)``."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from orvpe.data.generated import generated_clip
from orvpe.lab.bench import bvh_files, ntu_files
from orvpe.poses.skeleton import LAYOUTS, UNIFIED_JOINTS, unified_sources

FRAMES = (70, 100)  # as most clips of NTU-120
NTU_DISTINCT = 200  # files really written; the others are links to them under names of their own
NTU_PAIRS_EVERY = 5  # in 26 of its 120 classes two people act


def movement(rng: np.random.Generator, joints: int, people: int = 1) -> np.ndarray:
    """(M, T, V, 3) metres: bodies that stand three metres away, each joint swaying smoothly, with a sensor's noise."""
    frames = int(rng.integers(*FRAMES, endpoint=True))
    seconds = np.arange(frames)[:, None, None] / 30.0
    rest = _standing(joints) + rng.normal(size=(people, 1, 1, 3)) * (0.4, 0.1, 0.4) + (0.0, 0.0, 3.0)
    shape = (people, 1, joints, 3)
    sway = rng.normal(0, 0.1, shape) * np.sin(2 * np.pi * rng.uniform(0.2, 1.5, shape) * seconds + rng.uniform(0, 6))
    return rest + sway + rng.normal(0, 0.005, (people, frames, joints, 3))


@lru_cache(maxsize=16)
def _standing(joints: int) -> np.ndarray:
    """(V, 3) metres of a standing body around its hips, for the layout with so many joints."""
    layout = next(
        k for k in sorted(LAYOUTS.values(), key=lambda k: not k.name.startswith("kinect")) if len(k) == joints
    )
    clip = generated_clip(0, noise=0.0, missing=0.0)
    body = dict(
        zip(UNIFIED_JOINTS, clip.joints[0, 0] - clip.joints[0, 0, UNIFIED_JOINTS.index("mid_hip")], strict=True)
    )
    found = {u: s[0] for u, s in unified_sources(layout).items() if len(s) == 1}
    placed = {joint: body[u] for u, joint in found.items()}
    for i in layout.depth_order:
        joint, parent = layout.joints[i], layout.parents[i]
        placed.setdefault(joint, (placed[parent] if parent else body["neck"]) + 0.03)
    return np.array([placed[j] for j in layout.joints])


def pixels(joints: np.ndarray) -> np.ndarray:
    """(..., 2) of a camera of 640 x 480."""
    return 525.0 * joints[..., :2] / np.maximum(joints[..., 2:], 0.5) + (320.0, 240.0)


def _scored(rng: np.random.Generator, joints: int) -> np.ndarray:
    """(T, V, 3): pixels and a confidence."""
    xy = pixels(movement(rng, joints)[0])
    return np.concatenate([xy, rng.uniform(0.5, 1.0, (*xy.shape[:2], 1))], axis=-1)


def ntu(folder: Path, count: int, seed: int = 0) -> None:
    """``.skeleton`` texts with all twelve columns; of more than 200, the rest are links under other legal names."""
    rng = np.random.default_rng(seed)
    written: list[Path] = []
    for i in range(count):
        path = folder / ntu_name(i)
        if i < NTU_DISTINCT:
            body = movement(rng, 25, people=2 if i % NTU_PAIRS_EVERY == 0 else 1)
            written.append(ntu_files.write_skeleton(path, body))
        else:
            link(written[i % NTU_DISTINCT], path)


def ntu_name(i: int) -> str:
    """The i-th legal name: 120 actions, then subjects, cameras, setups."""
    i, action = divmod(i, 120)
    i, subject = divmod(i, 106)
    setup, camera = divmod(i, 3)
    return ntu_files.name(setup + 1, camera + 1, subject + 1, 1, action + 1)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def nucla(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        name = f"a{i % 10 + 1:02d}_s{i // 10 % 10 + 1:02d}_e{i // 300:02d}_v{i // 100 % 3 + 1:02d}"
        skeletons = movement(rng, 20)[0].round(7).tolist()
        _json(folder / f"{name}.json", {"file_name": name, "skeletons": skeletons, "label": i % 10 + 1})


def penn(folder: Path, count: int, seed: int = 0) -> None:
    from scipy.io import savemat

    rng = np.random.default_rng(seed)
    for i in range(count):
        xy = pixels(movement(rng, 13)[0])
        found = {"x": xy[..., 0], "y": xy[..., 1], "visibility": np.ones(xy.shape[:2]), "train": 1, "action": "bowl",
                 "dimensions": np.array([[480, 640, len(xy)]])}  # fmt: skip
        savemat(folder / f"{i + 1:04d}.mat", found, do_compression=True)


def smarthome(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        xyz = movement(rng, 13)[0]
        frames = [
            [{"pose2d": p.T.ravel().round(4).tolist(), "pose3d": q.T.ravel().round(7).tolist()}]
            for p, q in zip(pixels(xyz), xyz, strict=True)
        ]
        _json(folder / f"Walk_p02_r{i:02d}_v01_c{i % 7 + 1:02d}.json", {"K": [], "njts": 13, "frames": frames})


def packed(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    clips = [(movement(rng, 20)[0] * 1000).round().astype(np.int16) for _ in range(count)]
    np.savez_compressed(
        folder / "corpus.npz",
        joints_mm=np.concatenate(clips),
        start=np.cumsum([0, *map(len, clips)]),
        joint_names=np.array(LAYOUTS["kinect_v1"].joints),
        fps=np.float32(30),
        name=np.array([f"r{i:05d}" for i in range(count)]),
        subject=np.array(["s1"] * count),
        label=np.array(["wave"] * count),
    )


def pyskl(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    notes = []
    for i in range(count):
        scored = _scored(rng, 17)[None].astype(np.float16)
        notes.append({"frame_dir": f"c{i:05d}", "label": i % 10, "img_shape": (480, 640), "original_shape": (480, 640),
                      "total_frames": scored.shape[1], "keypoint": scored[..., :2], "keypoint_score": scored[..., 2]}
                     )  # fmt: skip
    data = {"split": {"train": [n["frame_dir"] for n in notes]}, "annotations": notes}
    (folder / "corpus.pkl").write_bytes(pickle.dumps(data))


def openpose(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        for t, pose in enumerate(_scored(rng, 25)):
            people = [{"person_id": [-1], "pose_keypoints_2d": pose.round(4).ravel().tolist()}]
            _json(folder / f"v{i:05d}_{t:012d}_keypoints.json", {"version": 1.3, "people": people})


def kinetics(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        scored = _scored(rng, 18) / (640, 480, 1)
        data = [
            {"frame_index": t + 1, "skeleton": [{"pose": p[:, :2].round(3).ravel().tolist(),
             "score": p[:, 2].round(3).tolist()}]} for t, p in enumerate(scored)
        ]  # fmt: skip
        _json(folder / f"k{i:05d}.json", {"data": data, "label": "waving", "label_index": 1})


def coco(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        found = [
            {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": p.round(3).ravel().tolist(), "score": 2.5, "idx": 1}
            for t, p in enumerate(_scored(rng, 17))
        ]
        _json(folder / f"c{i:05d}.json", found)


def bvh(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    turns = ["Zrotation", "Xrotation", "Yrotation"]
    orders = {name: list(turns) for name in bvh_files.file_order()}
    orders["Hips"] = ["Xposition", "Yposition", "Zposition", *turns]
    for i in range(count):
        frames = int(rng.integers(*FRAMES, endpoint=True))
        motion = rng.normal(0, 2, (frames, 3 + 3 * len(orders))).cumsum(axis=0).round(6)
        bvh_files.write(folder / f"m{i:05d}.bvh", orders, motion)


def arrays(folder: Path, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        joints = movement(rng, len(UNIFIED_JOINTS)).astype(np.float32)
        np.savez(folder / f"a{i:05d}.npz", joints=joints, joint_names=np.array(UNIFIED_JOINTS), fps=30)


def table(folder: Path, count: int, seed: int = 0) -> None:
    """A CSV a clip, a column a coordinate."""
    rng = np.random.default_rng(seed)
    head = ",".join(["frame", *(f"{j}_{a}" for j in UNIFIED_JOINTS for a in "xyz")])
    for i in range(count):
        joints = movement(rng, len(UNIFIED_JOINTS))[0]
        rows = np.column_stack([np.arange(len(joints)), joints.reshape(len(joints), -1)])
        form = ["%d"] + ["%.6f"] * (rows.shape[1] - 1)
        np.savetxt(folder / f"t{i:05d}.csv", rows, fmt=form, delimiter=",", header=head, comments="")


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, int, int], None]] = {
    "nucla": nucla, "ntu": ntu, "penn": penn, "smarthome": smarthome, "packed": packed, "pyskl": pyskl,
    "openpose": openpose, "kinetics": kinetics, "coco": coco, "bvh": bvh, "arrays": arrays, "table": table,
}  # fmt: skip
DIMS = {"penn": 2, "pyskl": 2, "openpose": 2, "kinetics": 2, "coco": 2}  # 3 for the others

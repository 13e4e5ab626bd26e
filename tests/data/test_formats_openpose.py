"""OpenPose's frame files and Kinetics-skeleton's clip files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orvpe.data.formats import kinetics, openpose
from orvpe.data.formats.base import Format, NoSkeleton, Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS


def frame(*people: np.ndarray) -> dict[str, Any]:
    """OpenPose's JSON of people (V, 3)."""
    return {
        "version": 1.3,
        "people": [
            {
                "person_id": [-1],
                "pose_keypoints_2d": [round(float(v), 4) for v in p.ravel()],
                "face_keypoints_2d": [],
            }
            for p in people
        ],
    }


def write(folder: Path, video: str, number: int, data: object) -> None:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / f"{video}_{number:012d}_keypoints.json").write_text(json.dumps(data))


def body(at: float, joints: int = 25, seed: int = 0) -> np.ndarray:
    pose = np.random.default_rng(seed).normal(size=(joints, 2)) * [20, 60] + [at, 300]
    return np.round(np.concatenate([pose, np.full((joints, 1), 0.8)], axis=1), 3)


def read_all(module: Any, path: Path, options: Options | None = None) -> list:
    reader: Format = module.FORMAT
    source = Source(path)
    return [c for item in reader.items(source) for c in reader.read(source, item, options or Options())]


def fails(module: Any, path: Path, says: str, options: Options | None = None) -> None:
    with pytest.raises(InputError, match=says) as error:
        read_all(module, path, options)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_two_videos_of_two_people(tmp_path: Path) -> None:
    """The people come in either order, a frame file is missing, a joint is unsure, another was not found."""
    path = {t: (body(100 + 4 * t), body(600 - 4 * t, seed=1)) for t in range(10)}
    for t, (a, b) in path.items():
        if t == 2:
            a[7] = 0
            b[3, 2] = 0.02
        if t != 5:
            write(tmp_path, "walk", t + 40, frame(*((a, b) if t % 2 else (b, a))))
    write(tmp_path / "other", "walk", 0, frame(body(5)))
    first, second = sorted(
        read_all(openpose, tmp_path, Options(image_size=(640, 480), fps=25)), key=lambda c: -c.frames
    )
    assert (first.name, first.fps, first.image_size) == ("walk", 25, (640, 480))
    assert (second.frames, second.name) == (1, "walk")
    assert first.layout is LAYOUTS["openpose_25"]
    assert first.joints.shape == (2, 10, 25, 2)
    assert not first.visible[:, 5].any()
    near = sorted((0, 1), key=lambda m: first.joints[m, 0, 0, 0])
    for m, who in zip(near, (0, 1), strict=True):
        want = np.stack([path[t][who] for t in range(10)])
        seen = want[..., 2] > 0.1
        seen[5] = False
        np.testing.assert_array_equal(first.visible[m], seen)
        np.testing.assert_array_equal(first.joints[m][seen], want[..., :2][seen].astype("f4"))


def test_frames_of_a_video_may_lie_in_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "clip7", "", 0, frame(body(3, 18)))
    (clip,) = read_all(openpose, tmp_path)
    assert (clip.name, clip.layout.name, clip.image_size) == ("clip7", "openpose_18", None)


def test_only_frame_files_are_claimed(tmp_path: Path) -> None:
    (tmp_path / "a01_s01_e00_v01.json").write_text('{"skeletons": []}')
    (tmp_path / "person_keypoints_val2017.json").write_text("{}")
    (tmp_path / "keypoints.json").write_text("{}")
    assert openpose.items(Source(tmp_path)) == []
    assert kinetics.items(Source(tmp_path)) == []


def test_nobody(tmp_path: Path) -> None:
    for t in range(3):
        write(tmp_path, "v", t, frame())
    with pytest.raises(NoSkeleton):
        read_all(openpose, tmp_path)
    write(tmp_path, "v", 1, frame(np.zeros((25, 3))))
    with pytest.raises(NoSkeleton):
        read_all(openpose, tmp_path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (frame(body(1, 15)), "15 joints.*MPI"),
        (frame(body(1, 19)), "19 joints.*18.*25.*--joints"),
        (frame(body(1), body(1, 18)), "54 and 75 numbers"),
        ({"people": [{"pose_keypoints_2d": [1, 2]}]}, "2 numbers"),
        ({"people": [{"pose": 3}]}, "pose_keypoints_2d"),
        ({"people": [{"pose_keypoints_2d": ["a"]}]}, "pose_keypoints_2d"),
        ({"people": 3}, "'people'"),
        ([1], "'people'"),
        (frame(np.full((25, 3), np.inf)), "infinite"),
    ],
)
def test_bad_frames(tmp_path: Path, data: object, says: str) -> None:
    write(tmp_path, "v", 0, frame())
    write(tmp_path, "v", 1, data)
    fails(openpose, tmp_path, says)


def test_truncated_and_far_apart(tmp_path: Path) -> None:
    write(tmp_path, "v", 0, frame(body(1)))
    write(tmp_path, "v", 10**9, frame(body(1)))
    fails(openpose, tmp_path, "numbered 0 to 1000000000")
    write(tmp_path / "t", "v", 0, frame(body(1)))
    (tmp_path / "t" / "v_000000000001_keypoints.json").write_text('{"people": [{"pose_key')
    fails(openpose, tmp_path / "t", "not valid JSON")


def kinetics_clip(frames: list[list[np.ndarray]]) -> dict[str, Any]:
    return {
        "data": [
            {
                "frame_index": t + 1,
                "skeleton": [{"pose": p[:, :2].ravel().tolist(), "score": p[:, 2].tolist()} for p in people],
            }
            for t, people in enumerate(frames)
        ],
        "label": "archery",
        "label_index": 5,
    }


def test_kinetics_skeleton(tmp_path: Path) -> None:
    pose = np.random.default_rng(0).uniform(0.1, 0.9, (18, 3)).round(3)
    pose[4] = 0
    (tmp_path / "abc.json").write_text(json.dumps(kinetics_clip([[pose], [], [pose]])))
    (tmp_path / "xyz.json").write_text(json.dumps({"data": [], "label": "archery", "label_index": 5}))
    source = Source(tmp_path)
    assert kinetics.items(source) == [("abc.json",), ("xyz.json",)]
    (clip,) = kinetics.read(source, ("abc.json",), Options())
    assert (clip.name, clip.label, clip.image_size, clip.frames) == ("abc", "archery", (340, 256), 3)
    seen = pose[:, 2] >= 0.1
    seen[4] = False
    np.testing.assert_array_equal(clip.visible[0], [seen, np.zeros(18, bool), seen])
    np.testing.assert_allclose(clip.joints[0, 0][seen], (pose[:, :2] * [340, 256])[seen], rtol=1e-6)
    (large,) = kinetics.read(source, ("abc.json",), Options(image_size=(1000, 500)))
    np.testing.assert_allclose(large.joints[0, 2][seen], (pose[:, :2] * [1000, 500])[seen], rtol=1e-6)
    with pytest.raises(NoSkeleton):
        kinetics.read(source, ("xyz.json",), Options())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": 3}, "'data'"),
        ({"data": [{"frame_index": 1, "skeleton": [{"pose": [1.0, 2.0, 3.0], "score": [1]}]}]}, "'pose'"),
        ({"data": [{"frame_index": "x", "skeleton": []}]}, "frame_index"),
        (
            {"data": [{"frame_index": 1, "skeleton": [{"pose": [0.5] * 34, "score": [1] * 17}]}]},
            "17 joints.*18",
        ),
    ],
)
def test_bad_kinetics(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**kinetics_clip([]), **change, "note": ["frame_index", "skeleton"]}))
    fails(kinetics, path, says)

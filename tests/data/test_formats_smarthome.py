"""The Smarthome reader, on files written in the published structure."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.smarthome import FORMAT
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip

NAME = "Cook.Cut_p15_r02_v15_c03.json"


def person(pose2d: np.ndarray, pose3d: np.ndarray | None = None) -> dict[str, Any]:
    """(13, 2) and (13, 3) as the files have them: all x, then all y, then all z."""
    pose3d = np.c_[pose2d / 200, np.full(13, 2.5)] if pose3d is None else pose3d
    return {"cumscore": 2.97, "pose2d": pose2d.T.ravel().tolist(), "pose3d": pose3d.T.ravel().tolist()}


def write(path: Path, frames: Any) -> Path:
    path.write_text(json.dumps({"K": 20, "njts": 13, "frames": frames}))
    return path


def read(path: Path, **options: Any) -> Clip:
    source = Source(path)
    (item,) = FORMAT.items(source)
    (clip,) = FORMAT.read(source, item, Options(**options))
    return clip


@pytest.fixture
def walk() -> np.ndarray:
    """(10, 13, 2) pixels: one person who walks to the right."""
    rng = np.random.default_rng(3)
    rest = rng.normal(size=(13, 2)) * 40 + (200, 240)
    return rest + np.arange(10)[:, None, None] * (4, 0) + rng.normal(size=(10, 13, 2))


def test_two_and_three_dimensions(tmp_path: Path, walk: np.ndarray) -> None:
    depth = np.random.default_rng(0).normal(size=(10, 13, 3))
    path = write(tmp_path / NAME, [[person(a, b)] for a, b in zip(walk, depth, strict=True)])
    flat, solid = read(path, dims=2), read(path)
    np.testing.assert_allclose(flat.joints[0], walk, rtol=1e-5)
    np.testing.assert_allclose(solid.joints[0], depth, rtol=1e-5)
    assert (flat.image_size, solid.image_size) == ((640, 480), None)
    assert (flat.label, flat.subject, flat.camera) == ("Cook.Cut", "p15", "c03")
    assert (flat.name, flat.layout.name, flat.fps) == ("Cook.Cut_p15_r02_v15_c03", "lcrnet", 20.0)


def test_the_refined_release_is_named_alike(tmp_path: Path, walk: np.ndarray) -> None:
    frames = [[{k: v for k, v in person(w).items() if k != "cumscore"}] for w in walk]
    clip = read(write(tmp_path / "Walk_p25_r12_v15_c06_pose3d.json", frames))
    assert (clip.name, clip.label, clip.camera) == ("Walk_p25_r12_v15_c06", "Walk", "c06")


def test_only_files_of_that_name_are_its(tmp_path: Path, walk: np.ndarray) -> None:
    for name in ("a01_s02_e03_v01.json", "notes.json", NAME):
        write(tmp_path / name, [[person(w)] for w in walk])
    assert FORMAT.items(Source(tmp_path)) == [(NAME,)]


def test_people_keep_their_identity_whatever_the_order(tmp_path: Path, walk: np.ndarray) -> None:
    other = walk[:1] + (300, 0) + np.random.default_rng(1).normal(size=(10, 13, 2)) * 0.1
    frames = [[person(a), person(b)][:: 1 if t % 2 else -1] for t, (a, b) in enumerate(zip(walk, other, strict=True))]
    frames[4] = []
    frames[6] = [person(other[6])]
    clip = read(write(tmp_path / NAME, frames), dims=2)
    assert clip.people == 2  # the one who walks first
    here, there = np.ones(10, bool), np.ones(10, bool)
    here[[4, 6]], there[4] = False, False
    assert (clip.visible[0] == here[:, None]).all()
    assert (clip.visible[1] == there[:, None]).all()
    np.testing.assert_allclose(clip.joints[0][here], walk[here], rtol=1e-5)
    np.testing.assert_allclose(clip.joints[1][there], other[there], rtol=1e-5)
    assert read(tmp_path / NAME, dims=2, max_people=1).people == 1


def test_nobody(tmp_path: Path) -> None:
    with pytest.raises(NoSkeleton):
        read(write(tmp_path / NAME, [[], [], []]))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "empty, 'frames' has no frame"),
        ("no", "no 'frames' list"),
        ([3], "frame 0 is a int, expected a list of people"),
        ([[], [{"pose2d": [1.0] * 26}]], "a person without 'pose3d' in frame 1"),
        ([[], [7]], "a person without 'pose3d' in frame 1"),
        ([[{"pose3d": [1.0] * 26}]], "'pose3d' in frame 0 has shape (26,), expected (39,)"),
        ([[{"pose3d": ["a"] * 39}]], "holds something that is no number"),
        ([[{"pose3d": [float("nan")] * 39}]], "NaN or infinite coordinate in 'pose3d' of frame 0"),
        ([[{"pose3d": [float("-inf")] * 39}]], "NaN or infinite coordinate in 'pose3d' of frame 0"),
    ],
)
def test_wrong_files(tmp_path: Path, frames: Any, message: str) -> None:
    path = write(tmp_path / NAME, frames)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated_json_and_zip(tmp_path: Path, walk: np.ndarray) -> None:
    path = write(tmp_path / NAME, [[person(w)] for w in walk])
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as z:
        z.write(path, NAME)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="not valid JSON"):
        read(path)
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    (tmp_path / "b.zip").write_bytes(raw[:-200])
    with pytest.raises(InputError, match="not a readable zip"):
        read(tmp_path / "b.zip")
    raw[len(raw) // 2] ^= 0xFF
    (tmp_path / "c.zip").write_bytes(raw)
    with pytest.raises(InputError, match=r"damaged|cannot be read"):
        read(tmp_path / "c.zip")

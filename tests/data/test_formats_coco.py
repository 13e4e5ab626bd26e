"""COCO-keypoint result lists (AlphaPose) and annotation files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.formats import coco
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError

RNG = np.random.default_rng(0)


def body(at: float, joints: int = 17) -> np.ndarray:
    """(V, 3) pixels and confidence."""
    pose = np.random.default_rng(int(at)).normal(size=(joints, 2)) * [20, 60] + [at, 300]
    return np.round(np.concatenate([pose, np.full((joints, 1), 0.8)], axis=1), 3)


def detection(image_id: object, pose: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": 2.9, **more}


def read_all(path: Path, data: object = None, options: Options | None = None) -> list:
    if data is not None:
        path.write_text(json.dumps(data))
    source = Source(path)
    return [c for item in coco.items(source) for c in coco.read(source, item, options or Options())]


def test_alphapose_results(tmp_path: Path) -> None:
    """Two people, one unsure joint, a frame with nobody; listed in any order."""
    found = {(t, who): body(100 + 500 * who) + np.array([3 * t, 0, 0]) for t in (0, 1, 2, 4) for who in (0, 1)}
    found[1, 0][5, 2] = 0.01
    listed = [detection(f"{t + 7}.jpg", pose) for (t, _), pose in found.items()]
    RNG.shuffle(listed)
    (clip,) = read_all(tmp_path / "alphapose-results.json", listed, Options(image_size=(1280, 720)))
    assert (clip.layout.name, clip.frames, clip.people, clip.image_size) == ("coco", 5, 2, (1280, 720))
    for m in (0, 1):
        who = int(clip.joints[m, 0, 0, 0] > 300)
        for t in (0, 1, 2, 4):
            seen = found[t, who][:, 2] > 0.1
            np.testing.assert_array_equal(clip.visible[m, t], seen)
            np.testing.assert_array_equal(clip.joints[m, t][seen], found[t, who][seen, :2].astype("f4"))
    assert not clip.visible[:, 3].any()


@pytest.mark.parametrize("wrap", [lambda i: i, lambda i: [float(i)], lambda i: [[i]]], ids=["int", "list", "nested"])
def test_track_identities_are_kept(tmp_path: Path, wrap: Any) -> None:
    """Two people who swap places between two frames: only the identity can know."""
    places = [(100, 600), (600, 100)]
    listed = [
        detection(f"{t}.jpg", body(x), idx=wrap(who + 3)) for t, p in enumerate(places) for who, x in enumerate(p)
    ]
    (clip,) = read_all(tmp_path / "a.json", listed)
    for m in (0, 1):
        assert abs(clip.joints[m, 1, 0, 0] - clip.joints[m, 0, 0, 0]) > 400
    untracked = [{**d, "idx": wrap(0)} for d in listed]  # AlphaPose without tracking
    (clip,) = read_all(tmp_path / "b.json", untracked)
    for m in (0, 1):
        assert abs(clip.joints[m, 1, 0, 0] - clip.joints[m, 0, 0, 0]) < 1


@pytest.mark.parametrize(("count", "layout", "kept"), [(26, "halpe", 26), (136, "halpe", 26), (133, "coco", 17)])
def test_other_models(tmp_path: Path, count: int, layout: str, kept: int) -> None:
    pose = body(10, count)
    (clip,) = read_all(tmp_path / "a.json", [detection("0.jpg", pose)])
    assert clip.layout.name == layout
    np.testing.assert_array_equal(clip.joints[0, 0], pose[:kept, :2].astype("f4"))


def test_annotations_of_two_videos(tmp_path: Path) -> None:
    """Frames by the images' own numbers, size from the file, v = 0 not labelled, v = 1 hidden but placed."""
    pose = np.round(body(50), 1)
    pose[:, 2] = 2
    pose[3], pose[4, 2] = 0, 1
    images = [
        {"id": 10 * v + t, "file_name": f"v{v}/img_{t + 1:05d}.png", "width": 640, "height": 480}
        for v in (0, 1)
        for t in range(3)
    ]
    annotations = [
        {**detection(i["id"], pose), "id": n} for n, i in enumerate(images) if i["file_name"] != "v1/img_00002.png"
    ]
    data = {"images": images, "annotations": annotations, "categories": []}
    first, second = read_all(tmp_path / "train.json", data)
    assert [(c.name, c.frames, c.image_size) for c in (first, second)] == [
        ("v0", 3, (640, 480)),
        ("v1", 3, (640, 480)),
    ]
    np.testing.assert_array_equal(first.visible[0], np.tile(pose[:, 2] > 0, (3, 1)))
    assert not second.visible[0, 1].any()
    for image in images:
        image["video_id"] = 7
        image["frame_id"] = image["id"]
    (both,) = read_all(tmp_path / "train.json", data)
    assert (both.name, both.frames) == ("7", 13)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.booleans())
def test_one_person_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, frames: int, ints: bool) -> None:
    poses = np.random.default_rng(seed).uniform(1, 2000, (frames, 17, 3)).round(2)
    poses[..., 2] = (poses[..., 2] > 500) * 0.9
    poses[0, 0] = [5, 5, 1]
    listed = [detection(t if ints else f"f_{t:03d}.jpg", p, idx=1) for t, p in enumerate(poses)]
    (clip,) = read_all(tmp_path_factory.mktemp("c") / "a.json", listed)
    seen = poses[..., 2] > 0
    np.testing.assert_array_equal(clip.visible[0][: seen.shape[0]], seen)
    np.testing.assert_array_equal(clip.joints[0][seen], poses[..., :2][seen].astype("f4"))


def test_other_json_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "a01_s01_e00_v01.json").write_text('{"skeletons": [[[0, 0, 0]]]}')
    (tmp_path / "Walk_p03_r00_v02_c01.json").write_text('{"frames": [[{"pose3d": [1]}]], "njts": 13}')
    (tmp_path / "x_000_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": []}]}')
    assert coco.items(Source(tmp_path)) == []


def test_nobody(tmp_path: Path) -> None:
    with pytest.raises(NoSkeleton):
        read_all(tmp_path / "a.json", [detection("0.jpg", np.zeros((17, 3)))])
    with pytest.raises(NoSkeleton):
        read_all(tmp_path / "a.json", [{"image_id": 1, "keypoints": []}])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([detection("0.jpg", body(1, 13))], "13 joints.*17.*26.*--joints"),
        ([detection("0.jpg", body(1)), detection("1.jpg", body(1, 26))], "differ in length"),
        ([detection("0.jpg", body(1)[:, :2].repeat(1, 0)[:16])], "32 joints|32,"),
        ([detection("a.jpg", body(1))], "'a.jpg' has no frame number"),
        ([{"keypoints": [1, 2, 3], "image": "image_id"}, {"image_id": 3}], "image_id"),
        ([detection(0, body(1)), detection(10**9, body(1))], "numbered 0 to 1000000000"),
        ([detection(0, np.full((17, 3), np.inf))], "infinite"),
        ({"annotations": 3, "note": ["keypoints", "image_id"]}, "no list"),
        ({"images": [{"width": 0, "height": 0, "id": 0}], "annotations": [detection(0, body(1))]}, "0 x 0"),
        ({"images": [{"name": 0}], "annotations": [detection(0, body(1))]}, "without 'id'"),
    ],
)
def test_bad_files(tmp_path: Path, data: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        read_all(tmp_path / "a.json", data)
    assert str(tmp_path / "a.json") in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([detection("0.jpg", body(1))])[:-20])
    with pytest.raises(InputError, match="not valid JSON"):
        read_all(path)

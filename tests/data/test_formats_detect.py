"""Every format knows its own files among all others', also in the crowd."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from orvpe.data.formats import FORMATS, detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source

POSE = np.random.default_rng(0).uniform(50, 400, (17, 3)).round(2)
BVH = """HIERARCHY ROOT Hips { OFFSET 0 0 0 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT Spine { OFFSET 0 50 0 CHANNELS 0 End Site { OFFSET 0 30 0 } } JOINT LeftUpLeg { OFFSET 9 0 0 CHANNELS 0
End Site { OFFSET 0 -90 0 } } } MOTION Frames: 1 Frame Time: 0.01 0 0 0"""
FILES = {
    "pyskl": {"clips.pkl": pickle.dumps([{"frame_dir": "a", "label": 0, "keypoint": POSE[None, None, :, :2]}])},
    "openpose": {
        f"v_{t:012d}_keypoints.json": json.dumps({"people": [{"pose_keypoints_2d": [9.0, 8.0, 0.9] * 25}]}).encode()
        for t in range(3)
    },
    "kinetics": {
        "x.json": json.dumps(
            {"data": [{"frame_index": 1, "skeleton": [{"pose": [0.5] * 36, "score": [0.9] * 18}]}], "label": "a"}
        ).encode()
    },
    "coco": {
        "alphapose-results.json": json.dumps([{"image_id": "0.jpg", "keypoints": POSE.ravel().tolist()}]).encode()
    },
    "bvh": {"walk.bvh": BVH.encode()},
    "table": {"own.csv": b"nose_x,nose_y,neck_x,neck_y\n1,2,3,4\n"},
}


@pytest.mark.parametrize("name", FILES)
def test_each_format_finds_its_own_and_no_other_claims_it(tmp_path: Path, name: str) -> None:
    for file, content in FILES[name].items():
        (tmp_path / file).write_bytes(content)
    source = Source(tmp_path)
    assert [f.name for f in FORMATS.values() if f.items(source)] == [name]
    reader = detect(source)
    (clip,) = [c for item in reader.items(source) for c in reader.read(source, item, Options())]
    assert clip.visible.any()


def test_arrays_and_packed_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", joints=np.ones((2, 17, 2)))
    assert [f.name for f in FORMATS.values() if f.items(Source(tmp_path))] == ["arrays"]


def test_real_sets_are_claimed_once(data_dir: Path) -> None:
    for file, name in (("nw-ucla-skeletons.zip", "nucla"), ("penn-action-labels.zip", "penn")):
        assert [f.name for f in FORMATS.values() if f.items(Source(data_dir / file))] == [name]


def test_listing_opens_few_files_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path)
    names = [f"f{i:06d}{s}" for i in range(5000) for s in (".json", ".csv", ".txt", "_000001_keypoints.json")]
    source.__dict__["names"] = tuple(sorted(names))
    opened: list[str] = []
    monkeypatch.setattr(Source, "read", lambda self, name: opened.append(name) or b"{}")
    for name in ("pyskl", "openpose", "kinetics", "coco", "bvh", "arrays", "table"):
        FORMATS[name].items(source)
    assert len(opened) <= 5

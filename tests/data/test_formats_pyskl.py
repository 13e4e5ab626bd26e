"""pyskl pickles: what is written comes back, padding goes, splits are found, bad files named."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.formats import pyskl
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS

RNG = np.random.default_rng(0)


def annotation(name: str, **changes: Any) -> dict[str, Any]:
    made = {
        "frame_dir": name,
        "label": 4,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": 9,
        "keypoint": RNG.uniform(100, 900, (2, 9, 17, 2)).astype(np.float16),
        "keypoint_score": RNG.uniform(0.3, 1, (2, 9, 17)).astype(np.float16),
    }
    return {k: v for k, v in {**made, **changes}.items() if v is not None}


def write(path: Path, data: object) -> Source:
    path.write_bytes(pickle.dumps(data, protocol=4))
    return Source(path)


def read_all(source: Source, options: Options | None = None) -> list:
    return [clip for item in pyskl.items(source) for clip in pyskl.read(source, item, options or Options())]


def fails(source: Source, says: str, options: Options | None = None) -> None:
    with pytest.raises(InputError, match=says) as error:
        read_all(source, options)
    assert str(source.path) in str(error.value)
    assert "\n" not in str(error.value)


def test_pixels_come_back(tmp_path: Path) -> None:
    name = "S001C002P003R002A013"
    made = annotation(name)
    made["keypoint_score"][0, 3, 5] = 0.05  # less than Options.min_confidence
    made["keypoint"][1, 4, 6] = 0
    (clip,) = read_all(write(tmp_path / "a.pkl", {"split": {}, "annotations": [made]}))
    assert clip.layout is LAYOUTS["coco"]
    assert (clip.name, clip.label, clip.image_size) == (name, "4", (1920, 1080))
    assert (clip.subject, clip.camera, clip.split) == ("P003", "C002", None)
    order = [int(np.argmin([np.abs(clip.joints[m, 0, 0] - p[0, 0]).sum() for p in made["keypoint"]])) for m in (0, 1)]
    assert sorted(order) == [0, 1]
    want = np.ones((2, 9, 17), bool)
    want[0, 3, 5] = want[1, 4, 6] = False
    np.testing.assert_array_equal(clip.visible, want[order])
    np.testing.assert_array_equal(clip.joints[clip.visible], made["keypoint"][order].astype("f4")[clip.visible])


def test_metres_and_padding(tmp_path: Path) -> None:
    keypoint = RNG.normal(size=(2, 9, 25, 3)).astype(np.float32)
    keypoint[1] = 0  # NTU's padding to two people
    keypoint[0, 2, 7] = 0
    clip = read_all(write(tmp_path / "a.pkl", [annotation("x", keypoint=keypoint, keypoint_score=None)]))[0]
    assert clip.layout is LAYOUTS["kinect_v2"]
    assert clip.joints.shape == (1, 9, 25, 3)
    assert clip.image_size is None
    assert (~clip.visible).sum() == 1
    assert not clip.visible[0, 2, 7]


def test_the_first_split_pair_is_taken(tmp_path: Path) -> None:
    split = {"xset_val": ["a"], "xsub_train": ["a", "b"], "xsub_val": ["c"], "xset_train": ["c"]}
    made = {"split": split, "annotations": [annotation(n) for n in "abcd"]}
    clips = read_all(write(tmp_path / "a.pkl", made))
    assert [c.split for c in clips] == ["train", "train", "test", None]
    made["split"] = {"train": ["a"], "val": ["b"], "test": ["c"]}
    assert [c.split for c in read_all(write(tmp_path / "b.pkl", made))] == ["train", "val", "test", None]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60))
def test_parts_cover_every_annotation_once(count: int, parts: int) -> None:
    edges = [(count * k // parts, count * (k + 1) // parts) for k in range(parts)]
    assert [i for start, stop in edges for i in range(start, stop)] == list(range(count))


def test_a_large_file_is_read_in_parts_and_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyskl, "PART_BYTES", 2000)
    names = [f"clip{i}" for i in range(23)]
    source = write(tmp_path / "a.pkl", [annotation(n) for n in names])
    loads = []
    load = pyskl.safe_pickle.load
    monkeypatch.setattr(pyskl.safe_pickle, "load", lambda *a: loads.append(a[1]) or load(*a))
    parts = pyskl.items(source)
    assert len(parts) > 5
    assert [c.name for c in read_all(source)] == names
    assert len(loads) == 1
    write(tmp_path / "a.pkl", [annotation("other")])  # another file under the same name is not taken for it
    assert [c.name for c in read_all(source)] == ["other"]


def test_from_a_zip_and_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.pkl", [annotation("in")])
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(tmp_path / "a.pkl", "deep/a.pkl")
    assert [c.name for c in read_all(Source(tmp_path / "z.zip"))] == ["in"]
    assert [c.name for c in read_all(Source(tmp_path))] == ["in"]


def test_nobody_is_skipped(tmp_path: Path) -> None:
    empty = annotation("none", keypoint=np.zeros((2, 9, 17, 2)))
    source = write(tmp_path / "a.pkl", [annotation("a"), empty, annotation("b")])
    assert [c.name for c in read_all(source)] == ["a", "b"]
    source = write(tmp_path / "b.pkl", [empty, annotation("n", keypoint=np.zeros((0, 9, 17, 2)))])
    with pytest.raises(NoSkeleton):
        read_all(source)


def test_bad_files(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple:
            return os.system, (f"echo > {tmp_path / 'made'}",)

    a = tmp_path / "a.pkl"
    fails(write(a, {"annotations": [annotation("x"), Runs()]}), "refused.*system")
    assert not (tmp_path / "made").exists()
    fails(write(a, {"weights": 1}), "'weights'")
    fails(write(a, {"annotations": []}), "empty")
    fails(write(a, [3]), "annotation 0: no 'keypoint'")
    fails(write(a, [annotation("x", keypoint="text")]), "no number")
    fails(write(a, [annotation("x", keypoint=[[1], [1, 2]])]), "ragged")
    fails(write(a, [annotation("x", keypoint=np.ones((9, 17)))]), r"shape \(9, 17\)")
    fails(write(a, [annotation("x", keypoint_score=np.ones((2, 9, 16)))]), r"keypoint_score.*\(2, 9, 17\)")
    fails(write(a, [annotation("x", img_shape=(0, 0))]), "0 x 0")
    fails(write(a, [annotation("x", img_shape="big")]), "img_shape")
    fails(write(a, {"split": 3, "annotations": [annotation("x")]}), "split")
    infinite = annotation("x", keypoint=np.full((1, 9, 17, 2), np.inf), keypoint_score=None)
    fails(write(a, [infinite]), "infinite")
    fails(
        write(a, [annotation("x", keypoint=np.ones((1, 9, 13, 2)), keypoint_score=None)]),
        "13 joints.*--joints",
    )
    a.write_bytes(pickle.dumps([annotation("x")])[:-100])
    fails(Source(a), "not a readable pickle")


def test_the_layout_can_be_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.pkl", [annotation("x", keypoint=np.ones((1, 9, 13, 2)), keypoint_score=None)])
    assert read_all(source, Options(layout=LAYOUTS["penn"]))[0].layout is LAYOUTS["penn"]
    fails(source, "13 joints.*'coco'.*17", Options(layout=LAYOUTS["coco"]))

"""The N-UCLA reader, on all real files and on wrong ones."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orvpe.data.formats.base import Options
from orvpe.data.formats.nucla import FORMAT
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.unify import to_unified

NAME = "a04_s03_e02_v01.json"


def write(path: Path, skeletons: Any) -> Path:
    path.write_text(json.dumps({"file_name": path.stem, "skeletons": skeletons, "label": 4}))
    return path


def read(path: Path) -> Clip:
    source = Source(path)
    (item,) = FORMAT.items(source)
    (clip,) = FORMAT.read(source, item, Options())
    return clip


def test_what_is_in_a_file(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(6, 20, 3))
    joints[2, 7] = 0.0
    clip = read(write(tmp_path / NAME, joints.tolist()))
    np.testing.assert_allclose(clip.joints[0], joints, rtol=1e-6)
    assert [tuple(i) for i in np.argwhere(~clip.visible[0])] == [(2, 7)]
    assert (clip.label, clip.subject, clip.camera, clip.name) == ("a04", "s03", "v01", "a04_s03_e02_v01")
    assert clip.layout.name == "kinect_v1"


@pytest.mark.parametrize(
    ("skeletons", "message"),
    [
        (None, "no 'skeletons' list"),
        ([], "empty, 'skeletons' has no frame"),
        ([[[0.0, 1.0, 2.0]] * 19], "shape (1, 19, 3), expected (frames, 20, 3)"),
        ([[[0.0, 1.0]] * 20], "shape (1, 20, 2)"),
        ([[[0.0, 1.0, 2.0]] * 20, [[0.0]]], "ragged"),
        ([[["x", 1.0, 2.0]] * 20], "something that is no number"),
        ([[[float("nan"), 1.0, 2.0]] * 20], "NaN or infinite coordinate in frame 0"),
        ([[[float("inf"), 1.0, 2.0]] * 20], "NaN or infinite coordinate in frame 0"),
        ([[[0.0, 0.0, 0.0]] * 20] * 2, "all joints are missing in all 2 frames"),
    ],
)
def test_wrong_files(tmp_path: Path, skeletons: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(write(tmp_path / NAME, skeletons))
    assert message in str(error.value)
    assert Path(NAME).stem in str(error.value)
    assert "\n" not in str(error.value)


def test_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / NAME, [[[0.0, 1.0, 2.0]] * 20])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="not valid JSON"):
        read(path)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="not a readable zip"):
        read(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w"):
        pass
    assert FORMAT.items(Source(tmp_path / "b.zip")) == []
    with pytest.raises(InputError, match="no such file or folder"):
        Source(tmp_path / "none.zip")


def test_all_real_clips(data_dir: Path) -> None:
    source = Source(data_dir / "nw-ucla-skeletons.zip")
    clips = [clip for item in FORMAT.items(source) for clip in FORMAT.read(source, item, Options())]
    cameras = Counter(clip.camera for clip in clips)
    assert (len(clips), cameras["v01"] + cameras["v02"], cameras["v03"]) == (1484, 1020, 464)
    assert len({clip.name for clip in clips}) == 1484
    assert len({clip.label for clip in clips}) == len({clip.subject for clip in clips}) == 10
    assert sum(clip.frames < 6 for clip in clips) == 2
    assert sum(int((~clip.visible).sum()) for clip in clips) == 12
    upright = [to_unified(clip).joints[0, 0] for clip in clips]
    head, feet = (np.array([u[i, 1] for u in upright]) for i in (0, 13))
    assert np.mean(head > feet) > 0.99  # y is up: the order of the joints is the one of the layout

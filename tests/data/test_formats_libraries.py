"""Formats read by a library of their own: its files where it is installed, plain words where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orvpe
from orvpe.data.formats import detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS
from orvpe.poses.unify import to_unified

GAIT = [
    *("C7", "T10", "CLAV", "STRN", "RBAK"),
    *(
        s + m
        for s in "LR"
        for m in ["FHD", "BHD", "SHO", "ELB", "WRA", "WRB", "FIN", "ASI", "PSI", "KNE", "ANK", "HEE", "TOE"]
    ),
]


def clips_of(path: Path, **options: Any) -> list[Clip]:
    source = Source(path)
    reader = detect(source)
    return [c for item in reader.items(source) for c in reader.read(source, item, Options(**options))]


def test_c3d_of_two_subjects(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    rng = np.random.default_rng(0)
    data = ezc3d.c3d()
    labels = [f"{who}:{m}" for who in ("Ann", "Bob") for m in GAIT] + ["*7"]
    points = rng.normal(0, 500, (4, len(labels), 6))
    points[3] = 1
    points[:3, 0, 2] = np.nan
    data["parameters"]["POINT"]["RATE"]["value"] = [120]
    data["parameters"]["POINT"]["LABELS"]["value"] = labels
    data["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    data["data"]["points"] = points
    data.write(str(tmp_path / "gait.c3d"))
    (clip,) = clips_of(tmp_path)
    assert (clip.people, clip.frames, clip.fps, clip.dims) == (2, 6, 120, 3)
    unified = to_unified(clip)
    there = {j for v, j in enumerate(unified.layout.joints) if unified.visible[:, :, v].any()}
    assert {"head", "neck", "chest", "mid_hip", "left_hip", "left_wrist", "right_ankle"} <= there
    people = {float(p) for p in clip.joints[:, 0, clip.layout.index("left_knee"), 0]}
    want = {float(np.float32(points[0, labels.index(f"{w}:LKNE"), 0]) / 1000) for w in ("Ann", "Bob")}
    assert sorted(people) == pytest.approx(sorted(want), abs=1e-5)


def test_pose_files(tmp_path: Path) -> None:
    pose_format = pytest.importorskip("pose_format")
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    names = [j.upper() for j in LAYOUTS["mediapipe"].joints]
    parts = [
        PoseHeaderComponent("POSE_LANDMARKS", names, [(0, 1)], [(0, 0, 0)], "XYZC"),
        PoseHeaderComponent("LEFT_HAND_LANDMARKS", ["WRIST", "THUMB_TIP"], [(0, 1)], [(0, 0, 0)], "XYZC"),
        PoseHeaderComponent("POSE_WORLD_LANDMARKS", names, [(0, 1)], [(0, 0, 0)], "XYZC"),
    ]
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.uniform(50, 400, (5, 1, 35, 3)), rng.normal(0, 0.5, (5, 1, 33, 3))], axis=2)
    sure = np.ones((5, 1, 68))
    sure[3, 0, 2] = 0
    body = NumPyPoseBody(25, data.astype(np.float32), sure.astype(np.float32))
    pose = pose_format.Pose(PoseHeader(0.1, PoseHeaderDimensions(640, 480, 100), parts), body)
    with open(tmp_path / "sign.pose", "wb") as file:
        pose.write(file)
    (pixels,) = clips_of(tmp_path, dims=2)
    assert (pixels.layout.name, pixels.fps, pixels.image_size) == ("mediapipe", 25, (640, 480))
    np.testing.assert_allclose(pixels.joints[0, 0], data[0, 0, :33, :2], atol=1e-3)
    assert not pixels.visible[0, 3, 2]
    (world,) = clips_of(tmp_path, dims=3)
    np.testing.assert_allclose(world.joints[0, 0], data[0, 0, 35:] * (1, -1, -1), atol=1e-5)


def test_slp_files(tmp_path: Path) -> None:
    sleap = pytest.importorskip("sleap_io")
    names = ["nose", "leftShoulder", "rightShoulder", "leftHip", "rightHip", "leftKnee", "rightKnee"]
    skeleton = sleap.Skeleton(nodes=names)
    video = sleap.Video(filename="a.mp4", open_backend=False)
    tracks = [sleap.Track("one"), sleap.Track("two")]
    rng = np.random.default_rng(0)
    frames = []
    for t in range(4):
        instances = [
            sleap.Instance.from_numpy(rng.uniform(0, 400, (7, 2)), skeleton=skeleton, track=track) for track in tracks
        ]
        frames.append(sleap.LabeledFrame(video=video, frame_idx=t, instances=instances))
    sleap.save_slp(sleap.Labels(frames), str(tmp_path / "a.slp"), embed=False)
    (clip,) = clips_of(tmp_path)
    assert (clip.people, clip.frames) == (2, 4)
    assert {"left_shoulder", "right_knee"} <= set(clip.layout.joints)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("a.c3d", "ezc3d", "c3d"), ("a.pose", "pose_format", "pose-format"), ("a.slp", "sleap_io", "sleap"),
     ("walkDLC_resnet50.h5", "tables", "deeplabcut")],
)  # fmt: skip
def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"\x02\x50" + bytes(1022))
    with pytest.raises(InputError, match=rf"{name}.*pip install 'orvpe\[{extra}\]'"):
        clips_of(tmp_path)


@pytest.mark.parametrize("name", ["a.c3d", "a.pose", "a.slp", "walkDLC_resnet50.h5"])
@pytest.mark.parametrize("content", [b"", b"\x02\x50" + bytes(600), b"HDF junk" * 200])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        clips_of(tmp_path)


READER = """
import numpy as np
from orvpe.data.formats.base import Format, by_suffix
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout

def read(source, item, options):
    joints = np.loadtxt(source.read(item[0]).decode().splitlines()).reshape(-1, 17, 2)
    return [Clip.from_array(joints, get_layout("coco"), name="mine")]

FORMAT = Format("mine", "mine", lambda source: [(n,) for n in by_suffix(source, ".mine")], read)
"""


def test_readers_of_other_packages(tmp_path: Path) -> None:
    """One that an installed package announces is used; one that cannot be loaded is told and stops nothing."""
    (tmp_path / "mine_reader.py").write_text(READER)
    info = tmp_path / "mine_reader-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-reader\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orvpe.formats]\nmine = mine_reader:FORMAT\nbroken = nowhere:FORMAT\n")
    (tmp_path / "poses").mkdir()
    np.savetxt(tmp_path / "poses" / "a.mine", np.random.default_rng(0).uniform(10, 400, (5, 34)))
    path = os.pathsep.join([str(tmp_path), str(Path(orvpe.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "orvpe", "inspect", str(tmp_path / "poses")],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "(mine)" in done.stdout
    assert "reader 'broken' (nowhere:FORMAT) is left out" in done.stderr


@pytest.mark.parametrize(
    ("name", "tool"), [("a.fbx", "Blender"), ("b.amc", "amc2bvh"), ("c.mvnx", "MVN"), ("d.mot", "trc")]
)
def test_what_is_not_read_says_what_converts_it(tmp_path: Path, name: str, tool: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"{name}: .* is not read; .*{tool}"):
        detect(Source(tmp_path))

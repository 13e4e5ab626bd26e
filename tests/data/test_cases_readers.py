"""Small inputs as other tools write them, each with the value that is right (the rule: ``cases/NAME/expected.txt``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.formats import detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.inspect import inspect
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout
from orvpe.poses.unify import to_unified

CASES = Path(__file__).parent / "cases"


def clips_of(path: Path, options: Options | None = None) -> list[Clip]:
    source = Source(path)
    reader = detect(source)
    return [c for item in reader.items(source) for c in read_clips(reader, source, item, options or Options())]


def place(clip: Clip, joint: str, frame: int = 0) -> list[float]:
    """Of the first person, in the clip's layout or the unified one."""
    if joint not in clip.layout.joints:
        clip = to_unified(clip)
    v = clip.layout.index(joint)
    assert clip.visible[0, frame, v]
    return clip.joints[0, frame, v].tolist()


RIG = {"left_hip": (0.10, 0.92, 0.0), "right_hip": (-0.10, 0.92, 0.0), "left_wrist": (0.25, 0.88, 0.05)}
# case -> (format, clips, frames, layout or None, {joint: coordinates in frame 0})
READ = {
    "agcn-npy-and-label": ("action-arrays", 2, 12, "kinect_v2", {}),
    "bvh-acclaim-names": (
        "bvh", 1, 12, None, {**RIG, "left_knee": (0.11, 0.50, 0.02), "left_shoulder": (0.18, 1.39, 0)},
    ),
    "bvh-blender-dot-sides": ("bvh", 1, 12, None, RIG),
    "bvh-frames-without-space": ("bvh", 1, 12, None, RIG),
    "bvh-hip-joint-and-hip": ("bvh", 1, 12, None, RIG),
    "bvh-prefix-mixamorig": ("bvh", 1, 12, None, RIG),
    "coco-named-17-not-coco": (
        "coco", 1, 12, None,
        {"left_shoulder": (359.6, 122.0), "left_wrist": (375.0, 232.0), "right_ankle": (295.8, 410.2),
         "mid_hip": (320.0, 223.2)},
    ),
    "coco-named-crowdpose": (
        "coco", 1, 12, "crowdpose", {"left_wrist": (375.0, 232.0), "neck": (320.0, 117.6)},
    ),
    "ctrgcn-npz": ("action-arrays", 3, 12, "kinect_v2", {"left_wrist": (0.25, 0.9, 0.1)}),
    "mmpose-predictions": ("mmpose", 2, 12, "coco", {"nose": (320.0, 86.8)}),
    "openpose-pose2sim-names": ("openpose", 1, 12, "halpe", {"nose": (320.0, 86.8)}),
    "pifpaf-video": ("openpifpaf", 1, 12, "coco", {"nose": (320.0, 86.8)}),
    "table-deeplabcut": ("deeplabcut", 1, 12, "coco", {"nose": (320.0, 86.8)}),
    "table-landmark-numbers": ("table", 2, 12, "mediapipe", {"nose": (320.0, 86.8)}),
    "trc": ("trc", 1, 12, None, {"left_wrist": (0.25, 0.9, 0.1)}),
    "ultralytics-json": ("ultralytics", 1, 12, "coco", {"nose": (320.0, 86.8)}),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_read_right(case: str) -> None:
    format, count, frames, layout, places = READ[case]
    path = CASES / case / "in"
    assert detect(Source(path)).name == format
    clips = clips_of(path)
    assert [c.frames for c in clips] == [frames] * count
    for clip in clips:
        assert clip.people == 1
        assert layout is None or clip.layout == get_layout(layout)
    for joint, where in places.items():
        assert place(clips[0], joint) == pytest.approx(where, abs=1e-4)


@pytest.mark.parametrize("case", READ)
def test_inspect_says_what_it_is(case: str) -> None:
    text = str(inspect(str(CASES / case / "in")))
    for row in ("layout", "coordinates", "frames", "fps", "people a clip"):
        assert f"  {row} " in text
    assert READ[case][0] in text.splitlines()[0]


@pytest.mark.parametrize("case", [c for c in READ if c.startswith("bvh")])
def test_all_joints_of_a_rig_but_the_nose_are_found(case: str) -> None:
    (clip,) = clips_of(CASES / case / "in")
    seen = to_unified(clip)
    missing = {j for j, v in zip(seen.layout.joints, seen.visible.any(axis=(0, 1)), strict=True) if not v}
    assert missing == {"nose"}
    assert clip.fps == 30


def test_labels_and_splits_of_arrays() -> None:
    assert [c.label for c in clips_of(CASES / "agcn-npy-and-label" / "in")] == ["0", "1"]
    clips = clips_of(CASES / "ctrgcn-npz" / "in")
    assert sorted((str(c.split), str(c.label)) for c in clips) == [("test", "0"), ("train", "0"), ("train", "1")]


def test_a_trc_says_its_rate() -> None:
    (clip,) = clips_of(CASES / "trc" / "in")
    assert clip.fps == 60


def test_numbers_of_landmarks_go_into_the_layout_given() -> None:
    for clip in clips_of(CASES / "table-landmark-numbers" / "in", Options(layout=get_layout("mediapipe"))):
        assert place(clip, "left_wrist") == pytest.approx([375.0, 232.0])


def test_freemocap_is_read_with_all_its_joints() -> None:
    """Its millimetres and z up are for the gate (``test_cases_gate``); here, that its names are MediaPipe's."""
    source = Source(CASES / "table-freemocap" / "in")
    reader = detect(source)
    (clip,) = reader.read(source, reader.items(source)[0], Options())
    assert clip.layout == get_layout("mediapipe")
    assert np.all(clip.visible)

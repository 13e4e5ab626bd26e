"""Small inputs that once came in silently wrong, each with the value that is right (``cases/NAME/expected.txt``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.formats import detect
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.ingest import ingest
from orvpe.data.inspect import inspect
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.unify import to_unified

CASES = Path(__file__).parent / "cases"


def clips_of(path: Path, **options: object) -> list[Clip]:
    source = Source(path)
    reader = detect(source)
    found: list[Clip] = []
    for item in reader.items(source):
        try:
            found += read_clips(reader, source, item, Options(**options))  # type: ignore[arg-type]
        except NoSkeleton:
            continue
    return found


def said(clip: Clip) -> str:
    return "; ".join(note.text for note in clip.notes)


def place(clip: Clip, joint: str, frame: int = 0) -> tuple[float, ...]:
    if joint not in clip.layout.joints:
        clip = to_unified(clip)
    v = clip.layout.index(joint)
    assert clip.visible[0, frame, v]
    return tuple(float(x) for x in clip.joints[0, frame, v])


NOSE = {"nose": (320.0, 86.8)}
# case -> clips, frames, layout, {joint: coordinates in frame 0}, words of the notes
RIGHT: dict[str, tuple[int, int, str, dict[str, tuple[float, ...]], tuple[str, ...]]] = {
    "bvh-z-up": (1, 12, "bvh", {"head": (0, 1.56, 0.02), "left_ankle": (0.11, 0.09, 0.0)}, ("up along z",)),
    "coco-low-scores": (1, 12, "coco", NOSE, ("score is below",)),
    "coco-nested-keypoints": (1, 12, "halpe", NOSE, ()),
    "coco-two-videos-by-name": (2, 12, "coco", {"nose": (380.0, 86.8)}, ()),
    "kinetics-with-labels": (2, 12, "openpose_18", {}, ()),
    "openpose-every-fifth": (1, 12, "openpose_25", {}, ("one frame in 5",)),
    "openpose-old-key": (1, 12, "openpose_18", {"neck": (320.0, 117.6)}, ()),
    "pkl-millimetres": (1, 12, "kinect_v2", {}, ("millimetres",)),
    "pkl-minus-one": (1, 12, "coco", NOSE, ("-1 -1",)),
    "pkl-one-video": (1, 12, "coco", NOSE, ()),
    "pkl-padded": (1, 12, "coco", NOSE, ("padding",)),
    "pkl-width-first": (1, 12, "coco", {}, ("outside of an image of 1080 x 1920",)),
    "table-videos-in-a-column": (2, 12, "coco", NOSE, ("'video' is taken as the clip", "'action' is taken as the la")),
    "table-zero-zero": (1, 12, "coco", NOSE, ("left_knee, left_ankle, right_ankle",)),
    "table-freemocap": (1, 12, "mediapipe", {}, ("millimetres", "up along z")),
    "ntu-nan-joint": (1, 12, "kinect_v2", {}, ("NaN",)),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_it_is_read_right(case: str, tmp_path: Path) -> None:
    count, frames, layout, places, words = RIGHT[case]
    found = clips_of(CASES / case / "in")
    assert [(c.frames, c.people, c.layout.name) for c in found] == [(frames, 1, layout)] * count
    for joint, where in places.items():
        np.testing.assert_allclose(place(found[0], joint), where, atol=1e-3)
    for word in words:
        assert word in said(found[0])
    text = str(inspect(str(CASES / case / "in")))  # and everything that reads says it
    for word in words:
        assert word in text
    report = ingest([str(CASES / case / "in")], str(tmp_path / "a.orvpe"), workers=1)
    assert report.clips == count


def test_sizes_and_missing_joints() -> None:
    (clip,) = clips_of(CASES / "pkl-millimetres" / "in")
    height = clip.joints[0, 0, :, 1].max() - clip.joints[0, 0, :, 1].min()
    assert 1.2 < height < 2.0
    (clip,) = clips_of(CASES / "table-freemocap" / "in")
    nose, ankle = place(clip, "nose"), place(clip, "left_ankle")
    assert 1.0 < nose[1] - ankle[1] < 2.0
    (clip,) = clips_of(CASES / "pkl-minus-one" / "in")
    assert not clip.visible[..., clip.layout.index("left_ear")].any()
    (clip,) = clips_of(CASES / "pkl-padded" / "in")
    assert clip.visible.all()
    (clip,) = clips_of(CASES / "ntu-nan-joint" / "in")
    lost = np.argwhere(~clip.visible[0])
    assert lost.tolist() == [[4, clip.layout.index("left_hand")]]
    (clip,) = clips_of(CASES / "pkl-one-video" / "in")
    assert clip.image_size == (640, 480)
    (clip,) = clips_of(CASES / "openpose-every-fifth" / "in", fps=25.0)
    assert clip.fps == 5.0
    assert [c.label for c in clips_of(CASES / "table-videos-in-a-column" / "in")] == ["wave", "walk"]


def test_confidences_below_the_least_are_missing() -> None:
    with pytest.raises(InputError, match="all joints are missing"):
        clips_of(CASES / "table-confidence-names" / "in")
    assert clips_of(CASES / "table-confidence-names" / "in", min_confidence=0.01)


def test_fractions_of_an_image_are_no_metres() -> None:
    path = CASES / "table-mediapipe-normalised-xyz" / "in"
    with pytest.raises(InputError, match=r"fractions of an image .* give --image-size WIDTHxHEIGHT --dims 2"):
        clips_of(path)
    (clip,) = clips_of(path, dims=2, image_size=(640, 480))
    assert clip.dims == 2
    np.testing.assert_allclose(place(clip, "nose"), (320.0, 86.8), atol=0.5)


def test_other_kinds_are_counted(tmp_path: Path) -> None:
    found = inspect(str(CASES / "kinetics-with-labels" / "in"))
    assert (found.clips, found.other, found.bad) == (2, 1, [])
    report = ingest([str(CASES / "kinetics-with-labels" / "in")], str(tmp_path / "a.orvpe"), workers=1)
    assert (report.clips, report.skipped_other) == (2, 1)
    assert "1 of another kind" in str(report)
    assert len(Store.open(tmp_path / "a.orvpe")) == 2

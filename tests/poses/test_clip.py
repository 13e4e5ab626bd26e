"""A clip checks itself."""

from __future__ import annotations

import numpy as np
import pytest

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified


def values(people: int = 1, frames: int = 4, dims: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(people, frames, 17, dims)).astype(np.float32)


def test_nan_outside_is_a_mask_inside() -> None:
    joints = values(2)
    joints[0, 1, 3] = np.nan
    joints[1, 2, 5, 1] = np.nan  # one coordinate is enough
    clip = Clip.from_array(joints, unified)
    expected = np.ones((2, 4, 17), dtype=bool)
    expected[0, 1, 3] = expected[1, 2, 5] = False
    assert np.array_equal(clip.visible, expected)
    back = clip.to_array()
    assert np.isnan(back[~expected]).all()
    assert np.array_equal(back[expected], joints[expected])
    assert (clip.people, clip.frames, clip.dims) == (2, 4, 3)


def test_one_person_needs_no_axis() -> None:
    joints = values()
    assert np.array_equal(Clip.from_array(joints[0], unified).joints, joints)
    assert Clip.from_array(values()[0].astype(np.float64), unified).joints.dtype == np.float32


def test_garbage_under_hidden_joints_is_allowed() -> None:
    joints, visible = values(), np.ones((1, 4, 17), dtype=bool)
    for v, garbage in enumerate((np.nan, np.inf, -np.inf, 3e38)):
        joints[0, 0, v], visible[0, 0, v] = garbage, False
    clip = Clip(joints, visible, unified)
    assert np.isnan(clip.to_array()[0, 0, :4]).all()


@pytest.mark.parametrize(
    ("joints", "visible", "info", "found"),
    [
        (values()[0], None, {}, r"shape \(4, 17, 3\)"),
        (np.zeros((1, 4, 17, 4)), None, {}, r"\(1, 4, 17, 4\), expected"),
        (np.zeros((1, 4, 16, 3)), None, {}, "16 joints, but layout 'unified' has 17"),
        (np.zeros((1, 0, 17, 3)), None, {}, "0 frames"),
        (np.zeros((0, 4, 17, 3)), None, {}, "0 people"),
        (values(), np.ones((1, 4, 16)), {}, r"expected \(1, 4, 17\)"),
        (values(), np.zeros((1, 4, 17)), {}, "all joints are missing in all 4 frames"),
        (np.full((1, 4, 17, 3), np.nan), None, {}, "infinite or NaN"),
        (np.full((1, 4, 17, 3), np.inf), None, {}, "infinite or NaN"),
        (values(dims=2), None, {"image_size": (0, 0)}, "image size 0 x 0"),
        (values(dims=2), None, {"image_size": (640, -1)}, "image size 640 x -1"),
        (values(dims=2), None, {"image_size": (2**31, 5)}, "image size 2147483648 x 5"),  # more than a store holds
        (values(dims=2), None, {"image_size": (640.5, 5)}, r"\(640.5, 5\), expected two whole numbers"),
        (values(dims=2), None, {"image_size": (1, 2, 3)}, "expected two whole numbers"),
        (values(dims=2), None, {"image_size": 640}, "640, expected two whole numbers"),
        (values(), None, {"fps": 0.0}, "fps is 0"),
        (values(), None, {"fps": 1e39}, "fps is 1e[+]39"),  # infinite as 32-bit float
        (values(), None, {"fps": "30"}, "fps is 30, expected a number"),
        (values(), None, {"fps": float("nan")}, "fps is nan"),
    ],
)
def test_bad_clips_say_what_is_wrong(joints: np.ndarray, visible: np.ndarray | None, info: dict, found: str) -> None:
    visible = np.ones(joints.shape[:3], dtype=bool) if visible is None else visible
    with pytest.raises(InputError, match=found) as error:
        Clip(joints, visible, unified, name="mine", **info)
    assert "'mine'" in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_as_text() -> None:
    clip = Clip.from_array(values(), unified, name=7, label=np.int64(3), subject=np.str_("s1"), image_size=[640, 480.0])
    assert (clip.name, clip.label, clip.subject, clip.camera) == ("7", "3", "s1", None)
    assert {type(v) for v in (clip.name, clip.label, clip.subject)} == {str}
    assert clip.image_size == (640, 480)


def test_arrays_with_nothing_or_infinity() -> None:
    with pytest.raises(InputError, match="all joints are missing"):
        Clip.from_array(np.full((4, 17, 3), np.nan), unified)
    joints = values()
    joints[0, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match="clip 'x': infinite"):
        Clip.from_array(joints, unified, name="x")


def test_a_changed_copy_is_checked_again() -> None:
    clip = Clip.from_array(values(), unified, name="a", label="wave")
    assert clip.with_(name="b").label == "wave"
    with pytest.raises(InputError, match="all joints are missing"):
        clip.with_(visible=np.zeros_like(clip.visible))

"""Normalisation and streams against geometry and one-clip loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.clips import batch, clip, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.generated import generate
from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS, Layout, unified, unified_sources
from orvpe.views.batch import Batch, collate
from orvpe.views.normalize import STREAMS, bones, motion, normalize_2d, normalize_3d, stream

J = {j: i for i, j in enumerate(unified.joints)}


def whole(count: int = 4, **info: object) -> Batch:
    """Generated people with nothing missing."""
    return collate(list(generate(count, missing=0.0, noise=0.0, **info)))  # type: ignore[arg-type]


def without(raw: Batch, *names: str, frames: slice = slice(None)) -> Batch:
    """These joints hidden in these frames, for everybody."""
    visible = raw.visible.clone()
    visible[:, :, frames, [J[n] for n in names]] = False
    return raw.with_(visible=visible, joints=torch.where(visible[..., None], raw.joints, 0.0))


# --- 3D ----------------------------------------------------------------------------------------------------------


def test_body_stands_up_and_faces_along_x() -> None:
    raw = whole(8, people=2)
    got = normalize_3d(raw).joints[:, 0, 0]
    spine = got[:, J["neck"]] - got[:, J["mid_hip"]]
    assert float(spine[:, :2].abs().max()) < 1e-5
    assert float(spine[:, 2].min()) > 0.3
    across = got[:, J["right_shoulder"]] - got[:, J["left_shoulder"]]
    assert float(across[:, 1].abs().max()) < 1e-5
    assert float(across[:, 0].min()) > 0.1
    assert float(got[:, J["chest"]].abs().max()) < 1e-5
    # a turn, not a mirror: distances and signed volumes remain
    first = raw.joints[:, 0, 0]
    torch.testing.assert_close(torch.cdist(got, got), torch.cdist(first, first), atol=1e-4, rtol=1e-4)
    turned = torch.linalg.det(torch.stack([got[:, i] - got[:, 0] for i in (5, 10, 16)], dim=-1))
    before = torch.linalg.det(torch.stack([first[:, i] - first[:, 0] for i in (5, 10, 16)], dim=-1))
    torch.testing.assert_close(turned, before, atol=1e-5, rtol=1e-3)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


def reference_3d(joints: np.ndarray, centre: str, align: bool, scale: str) -> np.ndarray:
    """One clip with everything seen: (M, T, V, 3) -> the same, in float64 and with loops."""
    joints = joints.astype(np.float64)
    out = np.zeros_like(joints)
    first = joints[0, 0]
    if align:
        z = unit(first[J["neck"]] - first[J["mid_hip"]])
        x = first[J["right_shoulder"]] - first[J["left_shoulder"]]
        x = unit(x - z * (x @ z))
        axes = [x, np.cross(z, x), z]
    else:
        axes = [np.array(a, dtype=float) for a in ((1, 0, 0), (0, 0, -1), (0, 1, 0))]
    stature = 1.0
    if scale == "body":
        shares = {("neck", "mid_hip"): 0.29, ("head", "neck"): 0.11}
        for s in ("left", "right"):
            for a, b, share in (("elbow", "shoulder", 0.17), ("wrist", "elbow", 0.15), ("knee", "hip", 0.24),
                                ("ankle", "knee", 0.23)):  # fmt: skip
                shares[f"{s}_{a}", f"{s}_{b}"] = share
        lengths = [np.mean([np.linalg.norm(frame[J[a]] - frame[J[b]]) for frame in joints[0]]) for a, b in shares]
        stature = sum(lengths) / sum(shares.values())
    for m in range(joints.shape[0]):
        for t in range(joints.shape[1]):
            origin = {"frame": joints[0, t, J["chest"]], "clip": joints[0, 0, J["chest"]], "none": np.zeros(3)}[centre]
            for v in range(17):
                out[m, t, v] = [(joints[m, t, v] - origin) @ axis / stature for axis in axes]
    return out


@pytest.mark.parametrize("scale", ["none", "body"])
@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("centre", ["frame", "clip", "none"])
def test_3d_against_a_loop(centre: str, align: bool, scale: str) -> None:
    raw = batch((6, 6, 6), people=2)
    got = normalize_3d(raw, centre, align, scale)
    for n in range(3):
        want = reference_3d(raw.joints[n].numpy(), centre, align, scale)
        np.testing.assert_allclose(got.joints[n].numpy(), want, atol=2e-5)


def test_sensors_view_does_not_matter() -> None:
    """Turned about the vertical, moved away: aligned and centred clips are the same."""
    raw = whole(3)
    angle = 0.7
    turn = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).float()
    moved = raw.with_(joints=torch.where(raw.visible[..., None], raw.joints @ turn.T + torch.tensor([1.0, 2, -3]), 0.0))
    for centre in ("frame", "clip"):
        torch.testing.assert_close(
            normalize_3d(raw, centre).joints, normalize_3d(moved, centre).joints, atol=2e-5, rtol=0
        )


def test_without_alignment_y_becomes_z() -> None:
    raw = batch((4,))
    got = normalize_3d(raw, "none", False).joints
    assert torch.equal(got, torch.stack([raw.joints[..., 0], -raw.joints[..., 2], raw.joints[..., 1]], dim=-1))


@pytest.mark.parametrize(
    ("gone", "anchor"),
    [
        ((), ("chest",)),
        (("chest",), ("mid_hip",)),
        (("chest", "mid_hip"), ("left_hip", "right_hip")),
        (("chest", "mid_hip", "left_hip"), ("neck",)),
        (("chest", "mid_hip", "left_hip", "neck"), ("left_shoulder", "right_shoulder")),
    ],
)
def test_centre_falls_back_in_a_fixed_order(gone: tuple[str, ...], anchor: tuple[str, ...]) -> None:
    got = normalize_3d(without(whole(3), *gone), "frame").joints[:, 0]
    middle = got[:, :, [J[a] for a in anchor]].mean(dim=2)
    inside = torch.arange(got.shape[1]) < whole(3).frames[:, None]
    assert float(middle[inside].abs().max()) < 1e-5


def test_centre_of_the_clip_is_that_of_its_first_seen_frame() -> None:
    raw = without(whole(3), *unified.joints, frames=slice(0, 4))
    got = normalize_3d(raw, "clip").joints[:, 0]
    assert float(got[:, 4, J["chest"]].abs().max()) < 1e-5
    assert float(got[:, :4].abs().max()) == 0


@pytest.mark.parametrize(
    ("gone", "pair"),
    [
        (("neck",), (("mid_hip",), ("chest",))),
        (("mid_hip",), (("chest",), ("neck",))),
        (("neck", "chest"), (("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))),
        (("neck", "chest", "mid_hip", "right_hip"), (("left_hip",), ("left_shoulder",))),
    ],
)
def test_spine_falls_back_in_a_fixed_order(gone: tuple[str, ...], pair: tuple[tuple[str, ...], ...]) -> None:
    got = normalize_3d(without(whole(4), *gone)).joints[:, 0, 0]
    low, high = (got[:, [J[j] for j in names]].mean(dim=1) for names in pair)
    along = high - low
    assert float(along[:, :2].abs().max()) < 1e-5
    assert float(along[:, 2].min()) > 0


def test_alignment_waits_for_the_first_frame_that_shows_the_spine() -> None:
    got = normalize_3d(without(whole(4), "neck", frames=slice(0, 3)), "clip").joints[:, 0]
    along = got[:, 3, J["neck"]] - got[:, 3, J["mid_hip"]]
    assert float(along[:, :2].abs().max()) < 1e-5


def test_shoulders_along_the_spine_leave_a_proper_turn() -> None:
    raw = whole(2)
    joints = raw.joints.clone()
    up = joints[:, :, :, J["neck"]] - joints[:, :, :, J["mid_hip"]]
    joints[:, :, :, J["right_shoulder"]] = joints[:, :, :, J["left_shoulder"]] + up
    got = normalize_3d(raw.with_(joints=torch.where(raw.visible[..., None], joints, 0.0)))
    assert torch.isfinite(got.joints).all()
    away = (joints[:, 0, 0] - joints[:, 0, 0, J["chest"]][:, None]).norm(dim=-1)
    torch.testing.assert_close(got.joints[:, 0, 0].norm(dim=-1), away, atol=1e-4, rtol=1e-4)


def test_stature_in_metres() -> None:
    """Bodies of 1.45 to 1.95 m come out about 1 tall, and stay so when half of the body is hidden."""
    for gone in ((), ("left_knee", "left_wrist", "neck")):
        raw = without(whole(20), *gone)
        got = normalize_3d(raw, scale="body").joints[:, 0, 0]
        high = got[:, J["head"], 2] - got[:, J["right_ankle"], 2]
        assert 0.7 < float(high.median()) < 1.1


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_native_layouts_are_normalised_by_the_same_points(layout: Layout) -> None:
    raw = batch((5, 3), layout=layout)
    got = normalize_3d(raw).joints[:, 0, 0]
    sources = unified_sources(layout)
    low, high = (got[:, [layout.index(s) for s in sources[j]]].mean(dim=1) for j in ("mid_hip", "neck"))
    assert float((high - low)[:, :2].abs().max()) < 1e-5
    assert float((high - low)[:, 2].min()) > 0


# --- 2D ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1920, 1080), (17, 3)])
def test_images_by_the_formula(size: tuple[int, int]) -> None:
    raw = collate([clip(5, 2, 2, 0.3, image_size=size), clip(3, 1, 2, 0.3, seed=1, image_size=(100, 50))])
    got = normalize_2d(raw).joints
    for n, (w, h) in enumerate((size, (100, 50))):
        for m, t, v in np.ndindex(2, 5, 17):
            x, y = raw.joints[n, m, t, v].double().tolist()
            want = (x / w * 2 - 1, y / w * 2 - h / w) if raw.visible[n, m, t, v] else (0, 0)
            np.testing.assert_allclose(got[n, m, t, v].numpy(), want, rtol=1e-5, atol=1e-5)


def test_unknown_image_is_the_square_around_the_body() -> None:
    raw = collate([clip(5, 2, 2, 0.3), clip(5, 1, 2, 0.0, seed=2, image_size=(640, 480))])
    got = normalize_2d(raw)
    points = got.joints[0][got.visible[0]]
    low, high = points.amin(0), points.amax(0)
    assert float((high - low).max()) == pytest.approx(2, abs=1e-4)
    torch.testing.assert_close(low, -high, atol=1e-5, rtol=0)
    known = normalize_2d(collate([clip(5, 1, 2, 0.0, seed=2, image_size=(640, 480))]))
    assert same_bits(got.joints[1, :1], known.joints[0])


def test_body_in_pixels_does_not_mind_place_and_distance() -> None:
    raw = whole(3, dims=2)
    near = raw.with_(joints=torch.where(raw.visible[..., None], raw.joints * 2 + torch.tensor([30.0, -7]), 0.0))
    a, b = (normalize_2d(x, "body").joints for x in (raw, near))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert float(a[:, 0, 0, J["chest"]].abs().max()) < 1e-5


# --- all of them -------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_always_finite_and_zero_where_hidden(data: st.DataObject) -> None:
    dims = data.draw(st.sampled_from([2, 3]))
    size = data.draw(st.sampled_from([None, (640, 480)]))
    raw = batch((data.draw(st.integers(1, 6)), 4), dims=dims, people=data.draw(st.integers(1, 2)), image_size=size,
                missing=data.draw(st.sampled_from([0.0, 0.5, 0.95, 1.0])))  # fmt: skip
    kind = data.draw(st.sampled_from(["usual", "one point", "nobody", "line"]))
    if kind == "nobody":
        raw = raw.with_(visible=torch.zeros_like(raw.visible), joints=torch.zeros_like(raw.joints))
    elif kind == "one point":
        raw = raw.with_(joints=torch.where(raw.visible[..., None], torch.full_like(raw.joints, 3.0), 0.0))
    elif kind == "line":
        raw = raw.with_(joints=raw.joints * torch.eye(dims)[1])
    centre = data.draw(st.sampled_from(["frame", "clip", "none"]))
    if dims == 3:
        got = normalize_3d(raw, centre, data.draw(st.booleans()), data.draw(st.sampled_from(["none", "body"])))
    else:
        got = normalize_2d(raw, data.draw(st.sampled_from(["image", "body"])), centre)
    assert torch.equal(got.visible, raw.visible)
    for name in STREAMS:
        joints, visible = stream(got.joints, got.visible, name, unified)
        assert torch.isfinite(joints).all()
        assert same_bits(joints[~visible], torch.zeros_like(joints[~visible]))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda b: normalize_3d(b, centre="fram"), "unknown centre 'fram'.*'frame'"),
        (lambda b: normalize_3d(b, scale="bodi"), "unknown scale 'bodi'.*'body'"),
        (lambda b: normalize_2d(b, "imag"), "unknown image 'imag'.*'image'"),
        (lambda b: normalize_2d(b, centre="x"), "unknown centre 'x'"),
        (lambda b: stream(b.joints, b.visible, "bones", unified), "unknown stream 'bones'.*'bone'"),
    ],
)
def test_unknown_choices(call: object, found: str) -> None:
    with pytest.raises(InputError, match=found):
        call(batch((3,)))  # type: ignore[operator]


# --- streams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bones_against_a_loop(layout: Layout) -> None:
    raw = batch((4,), missing=0.3, layout=layout)
    got, seen = bones(raw.joints, raw.visible, layout)
    for t in range(4):
        for v, parent in enumerate(layout.parents):
            p = v if parent is None else layout.joints.index(parent)
            both = bool(raw.visible[0, 0, t, v] and raw.visible[0, 0, t, p])
            assert bool(seen[0, 0, t, v]) == both
            want = raw.joints[0, 0, t, v] - raw.joints[0, 0, t, p] if both else torch.zeros(3)
            assert torch.equal(got[0, 0, t, v], want)


def test_motion_against_a_loop() -> None:
    raw = batch((5,), missing=0.3, people=2)
    got, seen = motion(raw.joints, raw.visible)
    for m, t, v in np.ndindex(2, 5, 17):
        both = t < 4 and bool(raw.visible[0, m, t, v] and raw.visible[0, m, t + 1, v])
        assert bool(seen[0, m, t, v]) == both
        want = raw.joints[0, m, t + 1, v] - raw.joints[0, m, t, v] if both else torch.zeros(3)
        assert torch.equal(got[0, m, t, v], want)


def test_motion_of_bones_is_bones_of_motion() -> None:
    raw = batch((6,), missing=0.0)
    one, seen = stream(raw.joints, raw.visible, "bone-motion", unified)
    moved, there = motion(raw.joints, raw.visible)
    other, _ = bones(moved, there, unified)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert torch.equal(seen, there)


def test_streams_work_on_any_leading_axes() -> None:
    raw = batch((4, 4), missing=0.2)
    for name in STREAMS:
        a, _ = stream(raw.joints, raw.visible, name, unified)
        b, _ = stream(raw.joints[0, 0], raw.visible[0, 0], name, unified)
        assert same_bits(a[0, 0], b)


def test_a_2d_body_without_a_whole_bone_is_not_left_in_pixels() -> None:
    """Where no bone has both ends, the box around what is seen stands for the body."""
    raw = batch((9, 14), dims=2)
    seen = torch.zeros_like(raw.visible)
    seen[..., [unified.index("head"), unified.index("left_elbow"), unified.index("right_knee")]] = True
    raw = raw.with_(visible=seen, joints=torch.where(seen[..., None], raw.joints, 0.0))
    small = normalize_2d(raw, "body").joints
    assert 0.5 < small.abs().max() <= 1.5  # 200 pixels wide before
    large = normalize_2d(raw.with_(joints=7 * raw.joints), "body").joints
    torch.testing.assert_close(large, small, rtol=1e-4, atol=1e-5)  # indifferent to how far away the person is
    nobody = raw.with_(visible=torch.zeros_like(seen), joints=torch.zeros_like(raw.joints))
    assert (normalize_2d(nobody, "body").joints == 0).all()

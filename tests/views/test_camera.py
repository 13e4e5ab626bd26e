"""Virtual cameras against closed forms, a slow reference, and bodies that are known to face the camera."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.clips import batch, drawn
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.generated import generate
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.views import camera
from orvpe.views.batch import collate
from orvpe.views.camera import axes, behind_the_body, virtual_camera
from orvpe.views.view import ViewConfig, fixed_view, input_dims, training_view

torch.set_num_threads(1)
EDGES = unified.edges


def standing(**moved: tuple[float, float, float]) -> Clip:
    """One frame of a body at the origin that faces -z: metres, y up."""
    place = {
        "head": (0, 0.7, 0), "nose": (0, 0.65, -0.1), "neck": (0, 0.5, 0), "chest": (0, 0.3, 0), "mid_hip": (0, 0, 0),
    }  # fmt: skip
    for side, sign in (("left", -1.0), ("right", 1.0)):
        place |= {
            f"{side}_shoulder": (0.2 * sign, 0.45, 0), f"{side}_elbow": (0.35 * sign, 0.2, 0),
            f"{side}_wrist": (0.45 * sign, -0.05, 0), f"{side}_hip": (0.1 * sign, 0, 0),
            f"{side}_knee": (0.12 * sign, -0.45, 0), f"{side}_ankle": (0.12 * sign, -0.9, 0),
        }  # fmt: skip
    place |= moved
    joints = np.array([place[j] for j in unified.joints], dtype=np.float32)[None, None]
    return Clip(joints, np.ones(joints.shape[:3], dtype=bool), unified)


def test_the_fixed_camera_is_a_pinhole_four_metres_away() -> None:
    clip = standing()
    seen = virtual_camera(collate([clip]))
    points = clip.joints[0, 0] - clip.joints[0, 0].mean(axis=0)
    focal = 640 * (camera.FOCAL[0] + camera.FOCAL[1]) / 2
    # at -z, looking along +z: a body that faces it has its left at the right of the image
    expected = np.stack(
        [320 - focal * points[:, 0] / (4 + points[:, 2]), 240 - focal * points[:, 1] / (4 + points[:, 2])], 1
    )
    assert seen.visible.all()
    np.testing.assert_allclose(seen.joints[0, 0, 0].numpy(), expected, rtol=1e-5, atol=1e-3)
    assert seen.image_size.tolist() == [[640.0, 480.0]]
    at = unified.index
    assert seen.joints[0, 0, 0, at("left_wrist"), 0] > seen.joints[0, 0, 0, at("right_wrist"), 0]
    assert seen.joints[0, 0, 0, at("head"), 1] < seen.joints[0, 0, 0, at("left_ankle"), 1]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_axes_are_rotations(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    angles = (torch.rand(3, 5, generator=g, dtype=torch.float64) - 0.5) * 6
    r = axes(*angles)
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(5, dtype=torch.float64))


def test_axes_look_where_they_say() -> None:
    right, down, forward = axes(torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([0.0]))[0]
    assert forward.tolist() == [0, 0, -1]
    assert right.tolist() == [1, 0, 0]
    assert down.tolist() == [0, -1, 0]
    above = axes(torch.tensor([0.3]), torch.tensor([0.5]), torch.tensor([0.0]))[0]
    assert above[2, 1] == pytest.approx(-math.sin(0.5))  # it looks down
    assert above[0, 1] == pytest.approx(0)  # and stands level


def test_two_views_of_a_clip_are_two_cameras_and_one_seed_is_one() -> None:
    clips = collate([standing(), standing()])
    one, again, other = (virtual_camera(clips, drawn(2, key)) for key in (1, 1, 2))
    assert torch.equal(one.joints, again.joints)
    assert not torch.allclose(one.joints, other.joints)
    assert not torch.allclose(one.joints[0], one.joints[1])


def hidden_by_sampling(points: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(V,) the same as `behind_the_body` by walking along every bone: points (V, 3) of the camera, visible (V,)."""
    hidden = np.zeros(len(points), dtype=bool)
    _, _, radius, apart = camera._bones(unified, torch.device("cpu"))
    for j, p in enumerate(points):
        ray = p / np.linalg.norm(p)
        for b, (c, q) in enumerate(EDGES):
            if not (visible[j] and visible[c] and visible[q] and apart[j, b]):
                continue
            walk = points[c] + np.linspace(0, 1, 4001)[:, None] * (points[q] - points[c])
            along = walk @ ray
            off = np.linalg.norm(walk - along[:, None] * ray, axis=1)
            k = off.argmin()
            hidden[j] |= bool(off[k] < radius[b] and np.linalg.norm(p) - along[k] > radius[b] + camera._BEHIND)
    return hidden


def test_what_hides_what_against_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    for seed in range(25):
        points = rng.normal(0, 0.35, (17, 3)) + np.array([0, 0, 3])
        visible = rng.random(17) > 0.15
        tensor = torch.tensor(points, dtype=torch.float64)[None, None, None]
        ours = behind_the_body(tensor, torch.tensor(visible)[None, None, None], unified)[0, 0, 0].numpy()
        assert ours.tolist() == hidden_by_sampling(points, visible).tolist(), seed


def test_a_hand_behind_the_back_is_hidden_and_one_before_the_belly_is_not() -> None:
    at = unified.index("left_wrist")
    behind = virtual_camera(collate([standing(left_wrist=(0.0, 0.15, 0.35))]))
    before = virtual_camera(collate([standing(left_wrist=(0.0, 0.15, -0.35))]))
    assert not behind.visible[0, 0, 0, at]
    assert behind.joints[0, 0, 0, at].tolist() == [0, 0]
    assert before.visible[0, 0, 0, at]


def test_what_leaves_the_image_or_passes_the_camera_is_hidden() -> None:
    far = virtual_camera(collate([standing(left_wrist=(-30.0, 0.0, 0.0))]))
    past = virtual_camera(collate([standing(left_wrist=(0.0, 0.0, -200.0))]))
    assert not far.visible[0, 0, 0, unified.index("left_wrist")]
    assert not past.visible[0, 0, 0, unified.index("left_wrist")]


def test_generated_bodies_stay_mostly_visible() -> None:
    clips = collate(list(generate(12, seed=0)))
    seen = virtual_camera(clips, drawn(12, 0))
    assert torch.isfinite(seen.joints).all()
    assert (seen.joints[~seen.visible] == 0).all()
    assert seen.visible.sum() > 0.7 * clips.visible.sum()


def test_views_of_3d_clips_are_2d() -> None:
    config = ViewConfig(tau=8, crop="resample", camera="virtual", image="body", occlusion="subgraph")
    assert input_dims(config, 3) == 2
    assert input_dims(ViewConfig(), 3) == 3
    clips = batch((7, 12), missing=0.2)
    assert training_view(clips, config, drawn(2, 0)).joints.shape == (2, 2, 8, 17)
    assert fixed_view(clips, config).joints.shape == (2, 2, 8, 17)
    flat = batch((7, 12), dims=2)  # 2D clips are as they are
    plain = ViewConfig(tau=8, crop="resample", image="body", occlusion="subgraph")
    assert torch.equal(fixed_view(flat, config).joints, fixed_view(flat, plain).joints)

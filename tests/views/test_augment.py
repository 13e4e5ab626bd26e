"""View augmentation: what each setting may and may not do to a clip."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.clips import batch, drawn, same_bits

from orvpe.errors import InputError
from orvpe.poses.skeleton import unified
from orvpe.views.augment import Augment, _matrix, augment
from orvpe.views.batch import Batch


def many(count: int = 200, dims: int = 3, missing: float = 0.0) -> Batch:
    one = batch((3,), dims=dims, missing=missing, people=2)
    return one.with_(
        **{k: getattr(one, k).repeat(count, *[1] * (getattr(one, k).ndim - 1)) for k in
           ("joints", "visible", "frames", "image_size", "index")}
    )  # fmt: skip


def matrices(strength: Augment, dims: int = 3) -> torch.Tensor:
    got = _matrix(many(dims=dims), strength, drawn(200, 1))
    assert got is not None
    return got


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("yaw", "tilt"), [(180, 0), (0, 180), (90, 30)])
def test_turns_are_rotations(dims: int, yaw: float, tilt: float) -> None:
    m = matrices(Augment(yaw=yaw, tilt=tilt), dims)
    torch.testing.assert_close(m @ m.mT, torch.eye(dims).expand_as(m), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(m), torch.ones(200), atol=1e-5, rtol=0)
    if dims == 3 or tilt:
        assert len(m.flatten(1).unique(dim=0)) == 200  # each clip its own


def test_yaw_is_about_the_vertical_and_reaches_its_limit() -> None:
    m = matrices(Augment(yaw=60))
    assert torch.equal(m[:, 2], torch.tensor([0.0, 0, 1]).expand(200, 3))
    assert torch.equal(m[:, :, 2], torch.tensor([0.0, 0, 1]).expand(200, 3))
    angle = torch.atan2(m[:, 1, 0], m[:, 0, 0]).rad2deg()
    assert float(angle.abs().max()) <= 60.001
    assert float(angle.max()) > 50
    assert float(angle.min()) < -50


def test_tilt_stays_within_its_limit() -> None:
    up = matrices(Augment(tilt=20))[:, 2, 2]  # cosine between z and its image, two tilts together
    assert float(up.min()) >= math.cos(math.radians(20)) ** 2 - 1e-5
    assert float(up.min()) < 0.95
    angle = torch.atan2(*matrices(Augment(tilt=20), 2)[:, :, 0].unbind(1)[::-1]).rad2deg()
    assert 15 < float(angle.abs().max()) <= 20.001


@pytest.mark.parametrize("dims", [2, 3])
def test_scale_is_the_same_for_every_axis(dims: int) -> None:
    m = matrices(Augment(scale=0.25), dims)
    size = m[:, 0, 0]
    torch.testing.assert_close(m, size[:, None, None] * torch.eye(dims), atol=1e-6, rtol=0)
    assert 0.75 <= float(size.min()) < 0.8
    assert 1.2 < float(size.max()) <= 1.25


def test_shear_has_a_unit_diagonal() -> None:
    m = matrices(Augment(shear=0.3))
    assert torch.equal(m.diagonal(dim1=1, dim2=2), torch.ones(200, 3))
    off = m[~torch.eye(3, dtype=torch.bool).expand(200, 3, 3)]
    assert 0.28 < float(off.abs().max()) <= 0.3


def test_one_matrix_for_all_people_and_frames() -> None:
    raw = many(5)
    got = augment(raw, Augment(yaw=180, tilt=30, scale=0.2, shear=0.2), drawn(5, 1))
    m = _matrix(raw, Augment(yaw=180, tilt=30, scale=0.2, shear=0.2), drawn(5, 1))
    assert m is not None
    for n in range(5):
        for person in range(2):
            for t in range(3):
                for v in range(17):
                    want = m[n] @ raw.joints[n, person, t, v]
                    torch.testing.assert_close(got.joints[n, person, t, v], want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_flip_swaps_left_and_right_and_is_an_involution(dims: int) -> None:
    raw = many(1, dims, 0.3)
    flip = Augment(flip=1)
    once = augment(raw, flip, drawn(1))
    for v, j in enumerate(unified.joints):
        other = j.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        source = raw.joints[..., unified.joints.index(other), :].clone()
        source[..., 0] *= -1
        seen = once.visible[..., v]
        assert torch.equal(seen, raw.visible[..., unified.joints.index(other)])
        assert torch.equal(once.joints[..., v, :][seen], source[seen])
    twice = augment(once, flip, drawn(1))
    assert same_bits(twice.joints, raw.joints)
    assert torch.equal(twice.visible, raw.visible)


@pytest.mark.parametrize(("p", "share"), [(0.5, 0.5), (0.2, 0.2)])
def test_flips_are_as_frequent_as_asked(p: float, share: float) -> None:
    raw = many(600)
    got = augment(raw, Augment(flip=p), drawn(600, 2))
    flipped = (got.joints != raw.joints).flatten(1).any(dim=1)
    assert float(flipped.float().mean()) == pytest.approx(share, abs=0.08)


def test_noise() -> None:
    raw = many(50, missing=0.4)
    got = augment(raw, Augment(noise=0.1), drawn(50))
    moved = (got.joints - raw.joints)[raw.visible]
    assert float(moved.std()) == pytest.approx(0.1, rel=0.03)
    assert abs(float(moved.mean())) < 0.002
    assert len(moved.unique()) > 0.99 * moved.numel()


def test_hidden_joints_stay_plain_zeros() -> None:
    raw = many(20, missing=0.5)
    got = augment(raw, Augment(yaw=90, tilt=9, scale=0.1, shear=0.1, flip=0.5, noise=0.1), drawn(20))
    hidden = got.joints[~got.visible]
    assert same_bits(hidden, torch.zeros_like(hidden))


def test_no_strength_changes_nothing() -> None:
    raw = many(3, missing=0.2)
    got = augment(raw, Augment(), drawn(3))
    assert same_bits(got.joints, raw.joints)
    assert torch.equal(got.visible, raw.visible)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("yaw", 181), ("yaw", -1), ("tilt", 200), ("scale", 1), ("shear", 2), ("flip", 1.1), ("noise", float("nan"))],
)
def test_bad_strengths(setting: str, value: float) -> None:
    with pytest.raises(InputError, match=f"augment.{setting} is {value}, expected 0 to"):
        Augment(**{setting: value})

"""The generated data set: the same by seed, bodies that hold together, and actions that can be told apart."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from orvpe.data.generated import ACTIONS, IMAGE_SIZE, generate, generated_clip, project, write_generated
from orvpe.errors import InputError
from orvpe.poses.skeleton import unified
from orvpe.runtime.typed import documented


def test_a_clip_is_the_same_whatever_the_total_and_another_by_seed() -> None:
    few, more = list(generate(3)), list(generate(12))
    for a, b in zip(few, more, strict=False):
        np.testing.assert_array_equal(a.to_array(), b.to_array())
    other = next(generate(1, seed=1))
    assert few[0].joints.shape != other.joints.shape or not np.allclose(few[0].joints, other.joints)


def test_labels_subjects_and_cameras_all_meet() -> None:
    clips = [generated_clip(i) for i in range(300)]
    assert len({(c.label, c.subject, c.camera) for c in clips}) == 300
    assert {c.label for c in clips} == set(ACTIONS)
    assert len({c.name for c in clips}) == 300


@pytest.mark.parametrize("action", range(len(ACTIONS)))
def test_bones_keep_their_length_and_feet_the_floor(action: int) -> None:
    clip = generated_clip(action, noise=0, missing=0)
    for child, parent in unified.edges:
        length = np.linalg.norm(clip.joints[0, :, child] - clip.joints[0, :, parent], axis=-1)  # (T,)
        np.testing.assert_allclose(length, length[0], atol=1e-5)
        assert 0.03 < length[0] < 0.6
    speed = np.linalg.norm(np.diff(clip.joints[0], axis=0), axis=-1) * 30  # (T - 1, V) m/s
    assert speed.max() < 12.0  # no joint jumps
    again = generated_clip(action + 100, noise=0, missing=0)
    assert again.subject == clip.subject or again.label == clip.label


def test_a_subject_keeps_the_same_bones() -> None:
    first, later = generated_clip(0, noise=0, missing=0), generated_clip(300, noise=0, missing=0)
    assert first.subject == later.subject

    def lengths(clip):  # type: ignore[no-untyped-def]
        return [np.linalg.norm(clip.joints[0, 0, a] - clip.joints[0, 0, b]) for a, b in unified.edges]

    np.testing.assert_allclose(lengths(first), lengths(later), atol=1e-5)
    assert not np.allclose(lengths(first), lengths(generated_clip(10, noise=0, missing=0)), atol=1e-3)


def test_missing_has_the_share_asked_for_in_bursts() -> None:
    hidden = [~c.visible[0] for c in generate(150, missing=0.2)]
    assert np.concatenate(hidden).mean() == pytest.approx(0.2, abs=0.02)
    after = sum((h[:-1] & h[1:]).sum() for h in hidden) / sum(h[:-1].sum() for h in hidden)
    assert after > 0.8  # what is hidden stays hidden; 0.2 if frames were drawn one by one
    assert all(c.visible.all() for c in generate(10, missing=0))


def test_noise_is_the_sensor_s() -> None:
    clean, noisy = generated_clip(5, noise=0, missing=0), generated_clip(5, noise=0.02, missing=0)
    assert (noisy.joints - clean.joints).std() == pytest.approx(0.02, rel=0.1)


def test_two_dimensions_are_pixels_in_the_image() -> None:
    clips = list(generate(30, dims=2, people=2))
    for clip in clips:
        assert clip.dims == 2
        assert clip.image_size == IMAGE_SIZE
        assert clip.people == 2
        seen = clip.joints[clip.visible]
        assert (seen >= 0).all()
        assert (seen < IMAGE_SIZE).all()
    assert np.mean([c.visible.mean() for c in clips]) > 0.8
    np.testing.assert_allclose(project(np.array([0.0, 0.0, 2.0])), [320, 240])
    np.testing.assert_allclose(project(np.array([-1.0, 0.0, 2.0])), [320 + 262.5, 240])  # x is the sensor's left


def test_actions_can_be_told_apart_but_not_by_a_glance() -> None:
    """Nearest neighbour on a body's mean pose and its spread: far above chance, far from perfect."""

    def describe(clip):  # type: ignore[no-untyped-def]
        joints = clip.joints[0] - clip.joints[0, :, unified.index("mid_hip")][:, None]
        return np.concatenate([joints.mean(axis=0).ravel(), joints.std(axis=0).ravel() * 2])

    clips = [generated_clip(i, missing=0) for i in range(600)]
    x, y = np.stack([describe(c) for c in clips]), np.array([c.label for c in clips])
    test = np.array([c.camera == "v03" for c in clips])
    distance = ((x[test][:, None] - x[~test][None]) ** 2).sum(-1)
    accuracy = (y[~test][distance.argmin(axis=1)] == y[test]).mean()
    assert 0.3 < accuracy < 0.9


def test_the_store_says_that_it_is_generated(tmp_path: Path) -> None:
    out = tmp_path / "g.orvpe"
    store = write_generated(str(out), count=20, seed=3, people=2)
    store.verify()
    assert store.meta["generated"] is True
    assert store.meta["options"]["seed"] == 3
    assert len(store) == 20
    assert (store.people == 2).all()
    before = out.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_generated(str(out), count=20)
    write_generated(str(out), count=20, seed=3, people=2, overwrite=True)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"), [("count", 0), ("people", 0), ("missing", 1.0), ("noise", -1.0), ("dims", 4)]
)
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}, expected"):
        generate(**{"count": 1, name: value})


def test_every_argument_has_its_help() -> None:
    said = documented(write_generated)
    assert list(said) == list(signature(write_generated).parameters)
    assert all(said.values())

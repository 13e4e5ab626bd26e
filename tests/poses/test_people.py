"""Who is who: people who cross, vanish, appear; and who moves most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.poses.people import link_people, most_energetic

POSE = np.random.default_rng(5).normal(size=(17, 2)) * [20, 60]


def walkers(frames: int, seed: int = 0) -> np.ndarray:
    """(2, T, 17, 2): two people of one pose who walk through each other, with detector noise."""
    t = np.linspace(0, 1, frames)[:, None]
    path = np.stack([100 + 400 * t, 500 - 400 * t])  # (2, T, 1)
    joints = POSE + np.concatenate([path, np.full_like(path, 200)], axis=-1)[:, :, None]
    return joints + np.random.default_rng(seed).normal(size=joints.shape)


def shuffled(people: np.ndarray, seed: int, present: np.ndarray | None = None) -> list[np.ndarray]:
    """The same people frame by frame, in any order; only those present."""
    rng = np.random.default_rng(seed)
    present = np.ones(people.shape[:2], bool) if present is None else present
    return [people[rng.permutation(np.flatnonzero(present[:, t])), t] for t in range(people.shape[1])]


def same_people(found: np.ndarray, true: np.ndarray) -> bool:
    """Whether every found person is one true person throughout."""
    return len(found) == len(true) and all(
        any(np.array_equal(f, person.astype(np.float32), equal_nan=True) for f in found) for person in true
    )


@pytest.mark.parametrize("seed", range(5))
def test_two_people_who_cross_keep_their_identity(seed: int) -> None:
    people = walkers(60, seed)
    assert same_people(link_people(shuffled(people, seed)), people)


@pytest.mark.parametrize("seed", range(5))
def test_crossing_with_joints_missing(seed: int) -> None:
    people = walkers(60, seed)
    people[np.random.default_rng(seed).random(people.shape[:3]) < 0.3] = np.nan
    assert same_people(link_people(shuffled(people, seed)), people)


def test_a_gap_does_not_make_a_new_person() -> None:
    people = walkers(60)[:1]
    people[:, 20:26] = np.nan
    present = ~np.isnan(people).all(axis=(2, 3))
    assert same_people(link_people(shuffled(people, 0, present)), people)


def test_somebody_far_away_is_new() -> None:
    first, second = (POSE + np.array([x, 200]) for x in (100, 900))
    found = link_people([first[None], second[None], second[None]])
    assert found.shape == (2, 3, 17, 2)
    assert np.isnan(found[0, 1:]).all()
    assert np.isnan(found[1, 0]).all()


SIZE = float(np.linalg.norm(np.ptp(POSE, axis=0)))


def standing(*places: float) -> np.ndarray:
    """(P, 17, 2): people of one pose side by side, at places in body sizes."""
    return np.stack([POSE + np.array([place * SIZE, 0.0]) for place in places])


def whose(linked: np.ndarray) -> list[list[int]]:
    """For each person the frames in which it is."""
    return [np.flatnonzero(~np.isnan(person).any(axis=(1, 2))).tolist() for person in linked]


def test_one_leaves_as_another_enters() -> None:
    """The one who stays keeps its identity: nobody is moved over so that all have a partner."""
    frames = [standing(0.0, 0.45)] * 5 + [standing(0.45, 0.9)] * 5
    found = link_people(frames)
    assert whose(found) == [[0, 1, 2, 3, 4], list(range(10)), [5, 6, 7, 8, 9]]
    np.testing.assert_allclose(found[1], np.broadcast_to(standing(0.45), (10, 17, 2)), rtol=1e-6)
    far = link_people([standing(0.0)] * 5 + [standing(3.0)] * 5)  # one goes as one comes, elsewhere
    assert whose(far) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_one_wild_joint_does_not_make_a_body_large_for_ever() -> None:
    wild = standing(0.0)
    wild[0, 3] = [20 * SIZE, 5 * SIZE]
    frames = [standing(0.0)] * 5 + [wild] + [standing(0.0)] * 200 + [standing(2.5)] * 5
    assert whose(link_people(frames)) == [list(range(206)), list(range(206, 211))]


@pytest.mark.parametrize("step", [0.1, 0.3, 0.45])
def test_a_single_person_who_starts_and_stops_at_once_stays_one(step: float) -> None:
    places = np.concatenate([np.zeros(5), step * np.arange(1, 6), np.full(5, 5 * step), [4 * step]])
    assert len(link_people([standing(p) for p in places])) == 1


@pytest.mark.parametrize("unseen", [5, 15, 40])
def test_who_walks_on_unseen_is_found_again(unseen: int) -> None:
    """At 0.02 body sizes a frame, about a metre and a half a second at 30 frames."""
    gone = range(10, 10 + unseen)
    frames = [np.zeros((0, 17, 2)) if t in gone else standing(0.02 * t) for t in range(20 + unseen)]
    assert len(link_people(frames)) == 1


def test_nobody() -> None:
    assert link_people([np.zeros((0, 17, 2))] * 4).shape == (0, 4, 17, 2)
    missing = np.full((3, 17, 3), np.nan)
    assert link_people([missing, missing]).shape == (0, 2, 17, 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 12))
def test_every_seen_person_is_in_the_result_once(seed: int, people: int, frames: int) -> None:
    """Whatever the input, linking only sorts: no joint is lost, changed, or used twice."""
    rng = np.random.default_rng(seed)
    listed = [rng.normal(size=(rng.integers(0, people + 1), 5, 2)) * 50 for _ in range(frames)]
    for poses in listed:
        poses[rng.random(poses.shape[:2]) < 0.4] = np.nan
    found = link_people(listed)
    for t, poses in enumerate(listed):
        want = sorted(p.astype(np.float32).tobytes() for p in poses if not np.isnan(p).all())
        have = sorted(p.tobytes() for p in found[:, t] if not np.isnan(p).all())
        assert want == have


def test_the_most_energetic_are_kept_and_nobody_unseen() -> None:
    rng = np.random.default_rng(0)
    joints = POSE + rng.normal(size=(4, 30, 17, 2)) * np.array([0.1, 9, 0, 3])[:, None, None, None]
    visible = np.ones(joints.shape[:3], bool)
    visible[1] = False  # the liveliest is never seen
    kept, seen = most_energetic(joints, visible, 2)
    np.testing.assert_array_equal(kept, joints[[3, 0]])
    assert seen.all()
    assert len(most_energetic(joints, visible, 9)[0]) == 3
    joints[1] = np.nan  # what is under a missing joint is not read
    np.testing.assert_array_equal(most_energetic(joints, visible, 2)[0], joints[[3, 0]])

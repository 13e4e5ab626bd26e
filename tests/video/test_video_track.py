"""Who is who: people who cross keep their identity, with joints and whole people missing, and phantoms on top."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.generated import generate
from orvpe.poses.skeleton import unified
from orvpe.video.track import FEWEST_JOINTS, Tracker, distinct, inside

HEIGHT = 200.0  # pixels of a body


@dataclass
class Walker:
    """A stick figure that walks through the picture, its limbs swinging."""

    x: float
    y: float
    speed: float  # pixels a frame
    phase: float = 0.0
    height: float = HEIGHT

    def at(self, t: float) -> np.ndarray:
        """(17, 2) joints of the unified layout."""
        swing = 0.18 * np.sin(0.3 * t + self.phase)
        place = {
            "head": (0, 0), "nose": (0.04, 0.05), "neck": (0, 0.16), "chest": (0, 0.3), "mid_hip": (0, 0.5),
        }  # fmt: skip
        for side, sign in (("left", 1), ("right", -1)):
            s = sign * swing
            place |= {
                f"{side}_shoulder": (0.05 * sign, 0.18), f"{side}_elbow": (0.05 * sign - s / 2, 0.33),
                f"{side}_wrist": (0.05 * sign - s, 0.46), f"{side}_hip": (0.04 * sign, 0.5),
                f"{side}_knee": (0.04 * sign + s / 2, 0.74), f"{side}_ankle": (0.04 * sign + s, 0.97),
            }  # fmt: skip
        body = np.array([place[j] for j in unified.joints]) * self.height
        return body + np.array([self.x + self.speed * t, self.y])


@dataclass
class Crowd:
    """What an estimator sees of walkers: noise, missing joints, missed people, and who is behind another."""

    walkers: list[Walker]
    seed: int = 0
    noise: float = 0.01  # body heights
    missing: float = 0.2  # share of joints
    missed: float = 0.1  # share of sightings
    hides: float = 0.9  # chance to miss who is behind another

    def frames(self, n: int):  # type: ignore[no-untyped-def]
        """Each frame's joints (P, V, 2), visible (P, V) and true person (P,), in a random order."""
        rng = np.random.default_rng(self.seed)
        for t in range(n):
            joints = [w.at(t) + rng.normal(0, self.noise * w.height, (17, 2)) for w in self.walkers]
            seen = []
            for i in range(len(joints)):
                behind = any(inside(joints[i], joints[k][None])[0] > 0.5 for k in range(i))
                if rng.random() >= (self.hides if behind else self.missed):
                    seen.append(i)
            order = rng.permutation(seen).astype(int)
            visible = rng.random((len(order), 17)) >= self.missing
            visible[:, :FEWEST_JOINTS] = True
            yield np.array([joints[i] for i in order]).reshape(-1, 17, 2), visible, order


def followed(crowd: Crowd, n: int, max_gap: int = 30) -> dict[int, list[tuple[int, int]]]:
    """True person -> (frame, identity given) of each sighting."""
    tracker = Tracker(max_gap)
    given: dict[int, list[tuple[int, int]]] = {i: [] for i in range(len(crowd.walkers))}
    for t, (joints, visible, truth) in enumerate(crowd.frames(n)):
        garbage = np.where(visible[..., None], joints, 1e6)
        ids = tracker(garbage, visible)
        assert len(set(ids[ids > 0].tolist())) == (ids > 0).sum()
        for who, one in zip(truth.tolist(), ids.tolist(), strict=True):
            given[who].append((t, one))
    return given


def crossing(rng: np.random.Generator, seed: int) -> Crowd:
    """Two people who pass each other half-way through 90 frames."""
    speeds = rng.uniform(3, 9, 2) * [1, -1]
    meet, when = rng.uniform(400, 600), rng.uniform(40, 50)
    walkers = [
        Walker(meet - s * when, rng.uniform(-0.1, 0.1) * HEIGHT, s, rng.uniform(0, 6.3), HEIGHT * rng.uniform(0.9, 1.1))
        for s in speeds
    ]
    return Crowd(walkers, seed)


@pytest.mark.parametrize("seed", range(40))
def test_two_who_cross_keep_their_identity(seed: int) -> None:
    given = followed(crossing(np.random.default_rng(seed), seed), 90)
    main = [max(set(ids), key=ids.count) for ids in ([i for _, i in given[who]] for who in (0, 1))]
    assert main[0] != main[1]
    for who in (0, 1):
        ids = [i for _, i in given[who]]
        # exactly beside each other a single picture may be mistaken
        assert ids.count(main[who]) >= len(ids) - 3
        assert ids[5] == ids[-1] == main[who]


def test_three_in_a_row_overtake() -> None:
    walkers = [Walker(0, 0, 9, 0.0), Walker(150, 10, 6, 2.0), Walker(500, 20, 3, 4.0)]
    given = followed(Crowd(walkers, 5), 120)
    for who in range(3):
        ids = [i for _, i in given[who]]
        assert ids.count(ids[0]) >= len(ids) - 5
        assert ids[-1] == ids[0]
    assert len({ids[0][1] for ids in given.values()}) == 3


def test_generated_bodies_cross() -> None:
    """Real limb motion: two generated clips, carried past each other."""
    bodies = [c.joints[0, :60, :, :2] * [1, -1] * 100 for c in generate(40, seed=2) if c.frames >= 60][:8]
    for a, b in zip(bodies[::2], bodies[1::2], strict=True):
        tracker, seen = Tracker(), []
        for t in range(60):
            people = np.stack([a[t] + [200 + 6 * t, 300], b[t] + [560 - 6 * t, 310]])
            seen.append(tracker(people, np.ones((2, 17), dtype=bool)).tolist())
        assert seen[0] == seen[-1]
        assert sum(s != seen[0] for s in seen) <= 2


@given(st.integers(0, 2**31), st.integers(1, 6), st.floats(0, 0.6), st.floats(0, 0.4))
@settings(max_examples=15, deadline=None)
def test_people_apart_are_never_mixed(seed: int, count: int, missing: float, missed: float) -> None:
    rng = np.random.default_rng(seed)
    walkers = [Walker(300 * i, 0, rng.uniform(-2, 2), rng.uniform(0, 6)) for i in range(count)]
    given = followed(Crowd(walkers, seed, missing=missing, missed=missed), 30)
    owner: dict[int, int] = {}
    for who, sightings in given.items():
        for _, one in sightings:
            assert one > 0
            assert owner.setdefault(one, who) == who
        # forgotten only when unseen for longer than it was known
        assert len({one for _, one in sightings}) <= 1 + sum(
            1 for (a, _), (b, _) in itertools.pairwise(sightings) if b - a > 2
        )


@given(st.integers(0, 2**31), st.integers(0, 7))
@settings(max_examples=20, deadline=None)
def test_what_is_hidden_is_not_read(seed: int, people: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = Tracker(5), Tracker(5)
    for _ in range(6):
        joints = rng.uniform(0, 600, (people, 9, 2))
        visible = rng.random((people, 9)) < 0.6
        visible[:, 0] = True
        other = np.where(visible[..., None], joints, rng.choice([np.nan, np.inf, 1e9, 0.0]))
        assert one(joints, visible).tolist() == two(other, visible).tolist()
        assert distinct(joints, visible, visible * 1.0).tolist() == distinct(other, visible, visible * 1.0).tolist()


def test_unseen_for_a_while_is_the_same_and_for_longer_is_new() -> None:
    walker = Walker(0, 0, 4)
    everything = np.ones((1, 17), dtype=bool)
    nobody = np.zeros((0, 17, 2)), np.zeros((0, 17), dtype=bool)
    for away, same in ((10, True), (11, False)):
        tracker = Tracker(max_gap=10)
        for t in range(20):
            assert tracker(walker.at(t)[None], everything).tolist() == [1]
        for _ in range(away):
            assert tracker(*nobody).tolist() == []
        assert tracker(walker.at(20 + away)[None], everything).tolist() == [1 if same else 2]


def test_a_flash_is_forgotten_soon_and_leaves_others_alone() -> None:
    """A phantom of one frame beside a walker must not take the walker's place later, when there is a second phantom."""
    tracker, walker = Tracker(), Walker(0, 0, 4)
    full = np.ones((2, 17), dtype=bool)
    for t in range(40):
        people = [walker.at(t)]
        if t == 10:
            people.append(walker.at(t) - [0, 1.2 * HEIGHT])
        if t == 25:
            people.append(
                walker.at(t) + np.array([0.3 * HEIGHT, 0.5 * HEIGHT])
            )  # nearer to the walker than to that flash
        ids = tracker(np.stack(people), full[: len(people)])
        assert ids[0] == 1


def test_nobody_is_born_inside_another() -> None:
    tracker, walker = Tracker(), Walker(0, 0, 4)
    full = np.ones((2, 17), dtype=bool)
    small = Walker(0, 0.3 * HEIGHT, 4, 0.0, 0.4 * HEIGHT)
    for t in range(10):
        assert tracker(np.stack([walker.at(t), small.at(t)]), full).tolist() == [1, 0]
    for t in range(10, 60):  # it walks on, the other stands
        ids = tracker(np.stack([walker.at(10), small.at(t)]), full).tolist()
    assert ids == [1, 2]


def test_one_person_found_twice_is_one() -> None:
    rng = np.random.default_rng(0)
    body = Walker(100, 50, 0).at(0)
    twice = np.stack([body, body + rng.normal(0, 3, (17, 2)), body + np.array([150, 0])])
    confidence = np.stack([np.full(17, 0.7), np.full(17, 0.9), np.full(17, 0.8)])
    visible = np.ones((3, 17), dtype=bool)
    assert distinct(twice, visible, confidence).tolist() == [1, 2]
    visible[1, FEWEST_JOINTS - 1 :] = False  # too little of it to be anybody
    assert distinct(twice, visible, confidence).tolist() == [2, 0]
    none = np.zeros((0, 17, 2)), np.zeros((0, 17), dtype=bool), np.zeros((0, 17))
    assert distinct(*none).tolist() == []


def test_share_of_a_box_inside_others() -> None:
    box = np.array([[0.0, 0.0], [10.0, 10.0], [np.nan, np.nan]])
    others = np.stack([box, box + np.array([5, 0]), box + np.array([5, 5]), box + np.array([20, 0]), box * 3])
    assert inside(box, others).tolist() == pytest.approx([1.0, 0.5, 0.25, 0.0, 1.0])

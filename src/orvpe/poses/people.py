"""Who is who over the frames, and who moves most: for sources that list people again in every frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orvpe.errors import InputError
from orvpe.runtime.room import MOST_PEOPLE, check_room

NEAR = 0.5  # body sizes between a person's expected and found pose; further away is somebody else
NEAR_GROWTH, NEAR_MOST = 0.02, 1.0  # where one may be grows with each frame unseen, up to a body's size
GAP_COST = 0.002  # per unseen frame (at most 50): of two equally near people the one seen last is meant
MAX_GUESS = 3  # frames a person is expected to keep moving while unseen
SHRINKING = 0.99  # of a body's size, a frame: a hidden half does not make a body small at once
_LITTLE = 0.01  # what a pair is worth that is barely possible


def link_people(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Give the people of every frame an identity.

    Each known person is expected at the last seen pose, moved on by the smoothed displacement of the body (so
    two people who cross keep their identity); the found people are assigned to them by the least total distance,
    the mean over shared joints relative to the body's size.  Who is further than ``NEAR`` body sizes from everybody
    (up to ``NEAR_MOST`` from who has not been seen for a while) is new.

    Args:
        frames: T arrays (P_t, V, C), one a frame; NaN where a joint is missing, P_t may be 0.

    Returns:
        (M, T, V, C) float32, NaN where a person or a joint is missing; people in order of appearance.
    """
    shape = frames[0].shape[1:] if len(frames) else (0, 2)
    pose = np.zeros((0, *shape))  # (K, V, C) each known person, per joint as last seen
    velocity = np.zeros((0, shape[1]))  # (K, C) displacement of the body in a frame
    size = np.zeros(0)  # (K,)
    seen_at = np.zeros(0, dtype=int)  # (K,)
    tracks: list[list[tuple[int, int]]] = []  # for each known person its (frame, row)

    for t, people in enumerate(frames):
        rows = np.flatnonzero(~np.isnan(people).any(axis=-1).all(axis=-1))
        found = np.asarray(people[rows], dtype=np.float64)  # (P, V, C)
        found_size = body_size(found)
        if len(pose) + len(found) > MOST_PEOPLE:
            raise InputError(f"more than {MOST_PEOPLE:,} different people up to frame {t}; give the people identities")
        gap = t - seen_at
        guess = pose + (velocity * np.minimum(gap, MAX_GUESS)[:, None])[:, None]
        cost = pose_distance(guess, found) / np.maximum(np.maximum(size[:, None], found_size), 1e-9)
        k, p = assign(cost, gap)

        moved = displacement(pose[k], found[p])  # (n, C)
        step = moved / gap[k, None]
        often = np.array([len(tracks[i]) > 1 for i in k], dtype=bool)[:, None]
        velocity[k] = np.where(often, 0.5 * (velocity[k] + step), step)
        pose[k] = np.where(np.isnan(found[p]), pose[k] + moved[:, None], found[p])
        size[k] = np.maximum(size[k] * SHRINKING ** gap[k], found_size[p])
        seen_at[k] = t
        for known, person in zip(k, p, strict=True):
            tracks[known].append((t, rows[person]))

        new = np.setdiff1d(np.arange(len(found)), p)
        pose = np.concatenate([pose, found[new]])
        velocity = np.concatenate([velocity, np.zeros((len(new), shape[1]))])
        size = np.concatenate([size, found_size[new]])
        seen_at = np.concatenate([seen_at, np.full(len(new), t)])
        tracks += [[(t, rows[person])] for person in new]

    check_room(len(tracks), len(frames), shape[0])
    linked = np.full((len(tracks), len(frames), *shape), np.nan, dtype=np.float32)
    for m, track in enumerate(tracks):
        for t, row in track:
            linked[m, t] = frames[t][row]
    return linked


def assign(cost: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which known person each found one is, so that nobody is who is too far away.

    Args:
        cost: (K, P) body sizes between where a known person is expected and a found one.
        gap: (K,) frames since a known person was seen, 1 or more.

    Returns:
        rows of the known and of the found, paired; the others have no partner.
    """
    from scipy.optimize import linear_sum_assignment  # takes half a second to import; most formats need no linking

    unseen = gap[:, None] - 1  # (K, 1)
    possible = cost <= np.minimum(NEAR + NEAR_GROWTH * unseen, NEAR_MOST)
    # What a pair is worth, not what it costs: a person may stay without a partner, and must not be given a far one so
    # that somebody else gets one at all.
    worth = np.maximum(NEAR - cost - GAP_COST * np.minimum(unseen, 50), _LITTLE)
    known, found = linear_sum_assignment(np.where(possible, worth, 0.0), maximize=True)
    good = possible[known, found]
    return known[good], found[good]


def most_energetic(joints: np.ndarray, visible: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The (at most) ``k`` people with most `energy`, most energetic first.

    Args:
        joints: (M, T, V, C); what is under a missing joint is not read.
        visible: (M, T, V) bool.
        k: how many to keep.

    Returns:
        joints and visible of the people kept; never somebody without a single seen joint.
    """
    there = np.flatnonzero(visible.any(axis=(1, 2)))
    if len(there) == len(joints) == 1 <= k:  # most clips; nothing to copy
        return joints, visible
    if len(there) > 1:
        there = there[np.argsort([-energy(joints[m], visible[m]) for m in there], kind="stable")]
    return joints[there[:k]], visible[there[:k]]


def energy(joints: np.ndarray, visible: np.ndarray) -> float:
    """How much one person moves: the squared distance of each joint from its own mean place, summed.

    Summed over the frames in which a joint is seen, not averaged: somebody who flashes up for three frames does not
    displace one who is always there.  Each joint around its own mean: a large thing that stands still, a chair taken
    for a person, has none.

    Args:
        joints: (T, V, C); what is under a missing joint is not read.
        visible: (T, V) bool.
    """
    seen = visible[..., None]
    values = np.where(seen, joints, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)  # (V, C)
    return float((np.where(seen, values - mean, 0.0) ** 2).sum())


def body_size(poses: np.ndarray) -> np.ndarray:
    """(P, V, C) -> (P,): diagonal of the box around the seen joints; every person has at least one."""
    if not len(poses):
        return np.zeros(0)
    return np.asarray(np.linalg.norm(np.nanmax(poses, axis=1) - np.nanmin(poses, axis=1), axis=-1))


def pose_distance(guess: np.ndarray, found: np.ndarray) -> np.ndarray:
    """(K, V, C), (P, V, C) -> (K, P): mean distance over shared joints, of the centres when there are none."""
    if not len(guess) or not len(found):
        return np.zeros((len(guess), len(found)))
    between = np.linalg.norm(guess[:, None] - found[None], axis=-1)  # (K, P, V)
    shared = ~np.isnan(between)
    count = shared.sum(axis=-1)
    mean = np.where(shared, between, 0.0).sum(axis=-1) / np.maximum(count, 1)
    centres = np.linalg.norm(np.nanmean(guess, axis=1)[:, None] - np.nanmean(found, axis=1)[None], axis=-1)
    return np.where(count > 0, mean, centres)


def displacement(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(n, V, C) twice -> (n, C): mean displacement of the shared joints, 0 when they share none."""
    moved = after - before
    shared = ~np.isnan(moved)
    return np.where(shared, moved, 0.0).sum(axis=1) / np.maximum(shared.sum(axis=1), 1)

"""Track people from frame to frame.

Every known person is expected where it was last seen, moved on at its speed.  The people found are given to the known
ones so that the mean distance of their shared joints, in body sizes, is least in total; who is far from everybody is
new, and who is not found for a while is gone and comes back as somebody new.

Estimators see people in people: a second, wrong pose on somebody's legs, or the same person twice, for many pictures on
end.  So nobody becomes known while inside somebody else's box; who steps out of it does.
"""

from __future__ import annotations

import numpy as np

from orvpe.poses.people import SHRINKING, assign, body_size, displacement, pose_distance

PATIENCE = 2  # frames that one may be unseen for each frame seen: a flash is forgotten soon
DAMPING = 0.95  # of the speed, a frame unseen
GAIN = 0.2  # of a new step in the speed
FEWEST_JOINTS = 4  # visible ones that make a person
INSIDE = 0.6  # share of a box that lies in another one
SAME = 0.1  # body sizes between two poses of one picture that are one person, found twice


class Tracker:
    """Assigns identities to the people of each frame: 1, 2, 3 ... in order of first appearance.

    Args:
        max_gap: frames that a person may be unseen, and at most twice those in which it was seen.
    """

    def __init__(self, max_gap: int = 30) -> None:
        self.max_gap = max_gap
        self._frame = -1
        self._count = 0
        self._ids = np.zeros(0, dtype=int)  # (K,)
        self._pose = np.zeros((0, 0, 2))  # (K, V, 2) per joint as last seen, hidden ones moved with the body
        self._speed = np.zeros((0, 2))  # (K, 2) pixels a frame
        self._size = np.zeros(0)  # (K,) pixels
        self._seen_at = np.zeros(0, dtype=int)  # (K,) frame
        self._often = np.zeros(0, dtype=int)  # (K,) how many times seen

    def __call__(self, joints: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """The identities of the people of the next picture.

        Args:
            joints: (P, V, 2) pixels, the surest people first; what is under a hidden joint is not read.
            visible: (P, V) bool, at least one joint of everybody.

        Returns:
            (P,) int, all different; but 0 for who is unknown and inside somebody else.
        """
        self._frame += 1
        found = np.where(visible[..., None], joints, np.nan).astype(np.float64)  # (P, V, 2)
        size = np.maximum(body_size(found), 1e-9)
        self._keep(self._frame - self._seen_at - 1 <= np.minimum(self.max_gap, PATIENCE * self._often))
        ids = np.zeros(len(found), dtype=int)
        if len(self._ids) and len(found):
            known, person = self._assigned(found, size)
            ids[person] = self._ids[known]
            self._update(known, found[person], size[person])
        new = self._apart(found, ids)
        ids[new] = self._count + 1 + np.arange(len(new))
        self._add(ids[new], found[new], size[new])
        return ids

    def _assigned(self, found: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gap = self._frame - self._seen_at  # (K,) 1 when seen in the last picture
        reach = (1 - DAMPING**gap) / (1 - DAMPING)  # frames of undamped motion
        expected = self._pose + (self._speed * reach[:, None])[:, None]
        cost = pose_distance(expected, found) / np.maximum(self._size[:, None], size)  # (K, P)
        return assign(cost, gap)

    @staticmethod
    def _apart(found: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Rows of the unknown that are not inside somebody known, or unknown but surer."""
        there = list(np.flatnonzero(ids))
        new = []
        for row in np.flatnonzero(ids == 0):
            if not there or (inside(found[row], found[there]) < INSIDE).all():
                there.append(row)
                new.append(row)
        return np.array(new, dtype=int)

    def _update(self, known: np.ndarray, found: np.ndarray, size: np.ndarray) -> None:
        gap = (self._frame - self._seen_at[known])[:, None]
        moved = displacement(self._pose[known], found)  # (n, 2)
        # the second sight is all that is known of the speed; later ones correct it
        gain = np.where(self._often[known] == 1, 1.0, np.maximum(GAIN, 1.0 / self._often[known]))[:, None]
        self._speed[known] += gain * (moved / gap - self._speed[known])
        self._pose[known] = np.where(np.isnan(found), self._pose[known] + moved[:, None], found)
        self._size[known] = np.maximum(self._size[known] * SHRINKING ** gap[:, 0], size)
        self._seen_at[known] = self._frame
        self._often[known] += 1

    def _add(self, ids: np.ndarray, found: np.ndarray, size: np.ndarray) -> None:
        n = len(ids)
        self._count += n
        self._ids = np.concatenate([self._ids, ids])
        self._pose = np.concatenate([self._pose.reshape(-1, *found.shape[1:]), found])
        self._speed = np.concatenate([self._speed, np.zeros((n, 2))])
        self._size = np.concatenate([self._size, size])
        self._seen_at = np.concatenate([self._seen_at, np.full(n, self._frame)])
        self._often = np.concatenate([self._often, np.ones(n, dtype=int)])

    def _keep(self, alive: np.ndarray) -> None:
        if alive.all():
            return
        self._ids, self._pose, self._speed = self._ids[alive], self._pose[alive], self._speed[alive]
        self._size, self._seen_at, self._often = self._size[alive], self._seen_at[alive], self._often[alive]


def inside(pose: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share of a pose's box that lies in the boxes of others.

    Args:
        pose: (V, 2), NaN where missing.
        others: (P, V, 2), likewise.

    Returns:
        (P,) 0 to 1.
    """
    low, high = np.nanmin(pose, axis=0), np.nanmax(pose, axis=0)  # (2,)
    side = np.maximum(high - low, 1e-6)
    shared = np.minimum(high, np.nanmax(others, axis=1)) - np.maximum(low, np.nanmin(others, axis=1))  # (P, 2)
    return np.asarray(np.prod(np.clip(shared, 0.0, side) / side, axis=1))


def distinct(joints: np.ndarray, visible: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The people of a frame without noise and duplicates, most confident first.

    Who has fewer than ``FEWEST_JOINTS`` visible joints is noise.  Of two that are nearly alike, one person found twice,
    the surer one stays.

    Args:
        joints: (P, V, 2) pixels; what is under a hidden joint is not read.
        visible: (P, V) bool.
        confidence: (P, V).

    Returns:
        rows to keep.
    """
    rows = np.flatnonzero(visible.sum(axis=1) >= FEWEST_JOINTS)
    order = rows[np.argsort(-confidence[rows].sum(axis=1), kind="stable")]
    found = np.where(visible[..., None], joints, np.nan).astype(np.float64)
    size = np.zeros(len(found))
    size[rows] = body_size(found[rows])
    kept: list[int] = []
    for row in order:
        if kept:
            shared = (visible[kept] & visible[row]).sum(axis=1) >= FEWEST_JOINTS
            apart = pose_distance(found[kept], found[row][None])[:, 0] / np.maximum(size[kept], size[row])
            if (shared & (apart < SAME)).any():
                continue
        kept.append(int(row))
    return np.array(kept, dtype=int)

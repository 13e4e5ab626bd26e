"""BVH, a file a person: rotations from the first pose to each frame's, and positions that make the joints exact.

Every joint has position and rotation channels.  A joint with several children is turned as best fits all of them
(least squares), one with a single child by the least turn; what rotations alone would miss, as bones of estimated
poses change their lengths, is in the position channels.  BVH has no missing joints: gaps are filled along time, and
a joint that is never seen stays where its parent is.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from orvpe.data.writers.base import Writer, space_only
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout
from orvpe.runtime.files import write_atomic

RATE = 30.0
_CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def write(clips: Iterable[Clip], out: Path) -> None:
    (clip,) = clips
    space_only(clip, "BVH")
    if sum(p is None for p in clip.layout.parents) != 1:
        raise InputError(f"clip {clip.name!r}: layout {clip.layout.name!r} is no tree, which BVH wants")
    for person in range(clip.people):
        target = out if person == 0 else out.with_name(f"{out.stem}_p{person + 1}{out.suffix}")
        write_atomic(target, text(clip, person))


def text(clip: Clip, person: int) -> str:
    """A person's hierarchy and motion, in centimetres."""
    layout = clip.layout
    points = 100.0 * _filled(clip.joints[person], clip.visible[person], layout)  # (T, V, 3)
    order = _depth_first(layout)
    children = {v: [c for c in order if layout.parent_index[c] == v and c != v] for v in order}
    rest = {v: points[0, v] - points[0, layout.parent_index[v]] for v in order}  # zero for the root
    turns = _turns(points, rest, children, order, layout)
    lines = ["HIERARCHY", *_hierarchy(order[0], layout, children, rest, 0, "ROOT")]
    values = np.concatenate([_channels(v, points, turns, layout) for v in order], axis=1)  # (T, 6 V)
    lines += ["MOTION", f"Frames: {clip.frames}", f"Frame Time: {1.0 / (clip.fps or RATE):.9f}"]
    lines += [" ".join(f"{x:.6f}" for x in row) for row in values]
    return "\n".join(lines) + "\n"


def _filled(joints: np.ndarray, visible: np.ndarray, layout: Layout) -> np.ndarray:
    """(T, V, 3) float64 without gaps."""
    points = joints.astype(np.float64)
    time = np.arange(len(points))
    for v in layout.depth_order:
        seen = visible[:, v]
        if not seen.any():
            points[:, v] = points[:, layout.parent_index[v]] if layout.parents[v] is not None else 0.0
        elif not seen.all():
            for axis in range(3):
                points[:, v, axis] = np.interp(time, time[seen], joints[seen, v, axis].astype(np.float64))
    return points


def _depth_first(layout: Layout) -> list[int]:
    """Joints as a hierarchy lists them: each before its children, a branch to its end before the next."""
    order: list[int] = []
    stack = [next(i for i, p in enumerate(layout.parents) if p is None)]
    while stack:
        v = stack.pop()
        order.append(v)
        stack += [c for c in range(len(layout) - 1, -1, -1) if layout.parent_index[c] == v and c != v]
    return order


def _turns(
    points: np.ndarray, rest: dict[int, np.ndarray], children: dict[int, list[int]], order: list[int], layout: Layout
) -> np.ndarray:
    """(V, T, 3, 3): each joint's rotation in the room, the identity in the first frame."""
    turns = np.zeros((len(layout), len(points), 3, 3))
    for v in order:
        below = children[v]
        above = turns[layout.parent_index[v]] if layout.parents[v] is not None else np.eye(3)[None]
        above = np.broadcast_to(above, (len(points), 3, 3))
        bones = np.array([rest[c] for c in below]).reshape(-1, 3)  # (n, 3)
        now = points[:, below] - points[:, [v]]  # (T, n, 3)
        if len(below) > 1 and np.linalg.matrix_rank(bones, tol=1e-6) > 1:
            turns[v] = _fit(bones, now)
        elif below and np.linalg.norm(bones[0]) > 1e-9:
            turns[v] = _least(np.einsum("tij,j->ti", above, bones[0]), now[:, 0]) @ above
        else:
            turns[v] = above
    return turns


def _fit(bones: np.ndarray, now: np.ndarray) -> np.ndarray:
    """(T, 3, 3): the rotations that best turn bones (n, 3) into those of each frame (T, n, 3); Kabsch."""
    u, _, vt = np.linalg.svd(np.einsum("tni,nj->tij", now, bones))
    flip = np.linalg.det(u @ vt)
    u[:, :, 2] *= np.where(flip < 0, -1.0, 1.0)[:, None]
    return np.asarray(u @ vt)


def _least(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(T, 3, 3): the least rotations that turn directions (T, 3) into others."""
    a = before / np.maximum(np.linalg.norm(before, axis=1, keepdims=True), 1e-12)
    b = after / np.maximum(np.linalg.norm(after, axis=1, keepdims=True), 1e-12)
    axis, cos = np.cross(a, b), np.einsum("ti,ti->t", a, b)
    cross = np.zeros((len(a), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    turn = np.eye(3) + cross + cross @ cross / np.maximum(1.0 + cos, 1e-9)[:, None, None]
    # opposite directions, or a bone of no length: anything does, the positions make it right
    turn[(cos < -1 + 1e-6) | (np.linalg.norm(after, axis=1) < 1e-9)] = np.eye(3)
    return turn


def _channels(v: int, points: np.ndarray, turns: np.ndarray, layout: Layout) -> np.ndarray:
    """(T, 6): position in the parent's frame, and rotation relative to it in degrees."""
    from scipy.spatial.transform import Rotation

    parent = layout.parent_index[v]
    if parent == v:
        place, turn = points[:, v], turns[v]
    else:
        back = turns[parent].transpose(0, 2, 1)
        place, turn = np.einsum("tij,tj->ti", back, points[:, v] - points[:, parent]), back @ turns[v]
    return np.concatenate([place, Rotation.from_matrix(turn).as_euler("ZXY", degrees=True)], axis=1)


def _hierarchy(
    v: int, layout: Layout, children: dict[int, list[int]], rest: dict[int, np.ndarray], depth: int, word: str
) -> list[str]:
    tab = "\t" * depth
    offset = " ".join(f"{x:.6f}" for x in rest[v])
    lines = [f"{tab}{word} {layout.joints[v]}", f"{tab}{{", f"{tab}\tOFFSET {offset}", f"{tab}\t{_CHANNELS}"]
    for c in children[v]:
        lines += _hierarchy(c, layout, children, rest, depth + 1, "JOINT")
    if not children[v]:
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET 0.000000 0.000000 0.000000", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]


WRITER = Writer("bvh", "BVH, a file a clip and person", (".bvh",), write, one_clip=True)

"""A generated data set: articulated bodies doing ten actions, for tests, demos and scale.  Nobody was filmed.

A clip is joint-angle trajectories with a random phase, speed, amplitude and side, forward kinematics over
a body of a subject's own bone lengths, a camera, sensor noise, and joints that go missing in bursts.
Coordinates are a depth sensor's: metres, x to the sensor's left, y up, z away from it.  Clip i of a seed
is the same whatever the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from orvpe.data.store import Store, StoreWriter
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import UNIFIED_JOINTS, unified
from orvpe.runtime.lock import alone_in

FPS = 30.0
SUBJECTS = 10
CAMERAS = {"v01": -45.0, "v02": 0.0, "v03": 45.0}  # degrees around the room
IMAGE_SIZE, FOCAL = (640, 480), 525.0  # pixels
_CAMERA_HEIGHT = 1.0  # metres above the floor
_BURST = 8  # frames a lost joint stays lost, on average
_SIDES = (("left", -1.0), ("right", 1.0))  # a body that faces the camera (-z) has its left at -x

Angles = dict[str, np.ndarray]  # name -> (T,) radians; 'forward' and 'jump' are metres
_ANGLES = (
    "forward jump lean bend twist nod "
    + " ".join(f"{s}_{a}" for s, _ in _SIDES for a in ("raise", "spread", "turn", "elbow", "hip", "leg_out", "knee"))
).split()


# --- trajectories -------------------------------------------------------------------------------------------


def _smooth(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 (x <= 0) to 1 (x >= 1)."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _there_and_back(u: np.ndarray, start: float, length: float) -> np.ndarray:
    """0, up to 1 and down to 0 again between ``start`` and ``start + length`` of the clip (u = 0..1)."""
    x = np.clip((u - start) / length, 0.0, 1.0)
    return np.sin(np.pi * x) ** 2


def _wave(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    up = _smooth(u / 0.2) * _smooth((1 - u) / 0.2)
    a[f"{side}_spread"] += up * size * rng.uniform(1.2, 1.9)
    a[f"{side}_turn"] += up * rng.uniform(1.2, 1.6)
    a[f"{side}_elbow"] += up * (rng.uniform(0.9, 1.4) + 0.5 * size * np.sin(1.5 * phase))


def _walk(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    stride = 0.45 * size
    for (name, _), shift in zip(_SIDES, (0.0, np.pi), strict=True):
        a[f"{name}_hip"] += stride * np.sin(phase + shift)
        a[f"{name}_knee"] += 0.15 + 0.9 * stride * (1 + np.cos(phase + shift))
        a[f"{name}_raise"] -= 0.8 * stride * np.sin(phase + shift)
        a[f"{name}_elbow"] += 0.3
    a["twist"] += 0.1 * np.sin(phase)
    a["forward"] += (u - 0.5) * rng.uniform(0.0, 2.0)


def _squat(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    depth = size * 0.5 * (1 - np.cos(0.6 * phase))
    for name, _ in _SIDES:
        a[f"{name}_hip"] += 1.5 * depth
        a[f"{name}_knee"] += 1.9 * depth
        a[f"{name}_raise"] += rng.uniform(0.0, 1.3) * depth
    a["lean"] += 0.35 * depth


def _jumping_jack(
    a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator
) -> None:
    out = 0.5 * (1 - np.cos(phase))
    for name, _ in _SIDES:
        a[f"{name}_spread"] += 2.4 * size * out
        a[f"{name}_leg_out"] += 0.4 * size * out
        a[f"{name}_elbow"] += 0.3
    a["jump"] += 0.08 * size * np.sin(phase) ** 2


def _kick(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    start, length = rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.5)
    swing = _there_and_back(u, start, length)
    a[f"{side}_hip"] += size * (1.3 * swing - 0.5 * _there_and_back(u, start - 0.1, 0.5 * length))
    a[f"{side}_knee"] += 1.2 * _there_and_back(u, start - 0.1, 0.7 * length)
    a["lean"] -= 0.2 * swing
    for name, _ in _SIDES:
        a[f"{name}_spread"] += 0.4 * swing


def _throw(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    start = rng.uniform(0.05, 0.35)
    back, release = _there_and_back(u, start, 0.4), _there_and_back(u, start + 0.2, 0.35)
    sign = 1.0 if side == "left" else -1.0
    a[f"{side}_raise"] += size * (2.6 * np.maximum(back, release) - 0.9 * release)
    a[f"{side}_spread"] += 0.4 * back
    a[f"{side}_elbow"] += 1.7 * back * (1 - release)
    a["twist"] += sign * size * (0.5 * back - 0.7 * release)
    a["bend"] += 0.3 * release - 0.1 * back


def _sit_down(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    down = _smooth((u - rng.uniform(0.05, 0.35)) / rng.uniform(0.25, 0.5))
    for name, _ in _SIDES:
        a[f"{name}_hip"] += 1.5 * down
        a[f"{name}_knee"] += 1.5 * down
        a[f"{name}_elbow"] += 0.6 * down
        a[f"{name}_raise"] += 0.4 * down
    a["bend"] += 0.6 * size * down * (1 - down) * 4 * 0.6


def _bow(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    down = _there_and_back(u, rng.uniform(0.0, 0.3), rng.uniform(0.5, 0.7))
    a["lean"] += 0.6 * size * down
    a["bend"] += 0.5 * size * down
    a["nod"] += 0.3 * down
    for name, _ in _SIDES:  # the legs stay upright under the pelvis, the arms hang
        a[f"{name}_hip"] += 0.6 * size * down
        a[f"{name}_raise"] += rng.uniform(0.0, 1.0) * size * down


def _clap(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    up = _smooth(u / 0.15) * _smooth((1 - u) / 0.15)
    height, elbow = rng.uniform(0.5, 1.3), rng.uniform(1.0, 1.5)
    for name, _ in _SIDES:
        a[f"{name}_raise"] += up * height
        a[f"{name}_elbow"] += up * elbow
        a[f"{name}_turn"] += -up * (0.45 - 0.35 * size * np.sin(2 * phase))


def _punch(a: Angles, u: np.ndarray, phase: np.ndarray, size: float, side: str, rng: np.random.Generator) -> None:
    other = "left" if side == "right" else "right"
    up = _smooth(u / 0.15)
    hit = up * np.clip(np.sin(phase), 0.0, 1.0) ** 2
    for name in (side, other):
        a[f"{name}_raise"] += 0.5 * up
        a[f"{name}_elbow"] += 1.9 * up
        a[f"{name}_knee"] += 0.2
        a[f"{name}_hip"] += 0.1
    a[f"{side}_raise"] += 0.9 * size * hit
    a[f"{side}_elbow"] -= 1.7 * hit
    a["twist"] += (0.4 if side == "right" else -0.4) * size * hit


ACTIONS: dict[str, Callable[..., None]] = {
    "bow": _bow, "clap": _clap, "jumping_jack": _jumping_jack, "kick": _kick, "punch": _punch,
    "sit_down": _sit_down, "squat": _squat, "throw": _throw, "walk": _walk, "wave": _wave,
}  # fmt: skip


def trajectory(action: str, frames: int, rng: np.random.Generator) -> Angles:
    """Joint angles of one performance, (T,) each; the body's idle sway included."""
    u = np.linspace(0.0, 1.0, frames)
    seconds = np.arange(frames) / FPS
    hertz, offset = rng.uniform(0.5, 1.6), rng.uniform(0, 2 * np.pi)
    phase = 2 * np.pi * hertz * seconds + offset
    sway = rng.normal(0.0, 0.09, (len(_ANGLES), 1)) + rng.normal(0.0, 0.07, (len(_ANGLES), 1)) * np.sin(
        2 * np.pi * rng.uniform(0.1, 0.6, (len(_ANGLES), 1)) * seconds + rng.uniform(0, 2 * np.pi, (len(_ANGLES), 1))
    )  # (angles, T)
    angles = dict(zip(_ANGLES, sway, strict=True))
    angles["jump"] = np.zeros(frames)
    for name, _ in _SIDES:
        angles[f"{name}_spread"] = angles[f"{name}_spread"] + 0.15
        angles[f"{name}_elbow"] = np.abs(angles[f"{name}_elbow"]) + 0.15
        angles[f"{name}_knee"] = np.abs(angles[f"{name}_knee"])
    side = "left" if rng.random() < 0.3 else "right"
    ACTIONS[action](angles, u, phase, rng.uniform(0.5, 1.25), side, rng)
    # people do other things by the way: a fainter trace of another action, in its own time
    aside = dict(zip(_ANGLES, np.zeros((len(_ANGLES), frames)), strict=True))
    other = list(ACTIONS)[int(rng.integers(len(ACTIONS)))]
    ACTIONS[other](aside, u, 1.3 * phase + rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.0), side, rng)
    faint = rng.uniform(0.0, 0.5)
    return {name: angle + faint * aside[name] for name, angle in angles.items()}


# --- bodies -------------------------------------------------------------------------------------------------


def body(rng: np.random.Generator) -> dict[str, float]:
    """Bone lengths in metres, named by the joint at the bone's end; a person of 1.45 to 1.95 m."""
    height = rng.uniform(1.45, 1.95)
    share = {
        "chest": 0.14, "neck": 0.15, "head": 0.12, "nose": 0.06, "shoulder": 0.11, "elbow": 0.17,
        "wrist": 0.15, "hip": 0.055, "knee": 0.245, "ankle": 0.245,
    }  # fmt: skip
    return {bone: height * part * rng.uniform(0.92, 1.08) for bone, part in share.items()}


def _rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """(T, 3, 3) rotations by ``angle`` (T,) about axis 0, 1 or 2, counter-clockwise."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    r = np.zeros((len(angle), 3, 3))
    r[:, axis, axis] = 1.0
    r[:, j, j] = r[:, k, k] = np.cos(angle)
    r[:, k, j] = np.sin(angle)
    r[:, j, k] = -r[:, k, j]
    return r


def pose(angles: Angles, bones: dict[str, float]) -> np.ndarray:
    """Forward kinematics: (T, 17, 3) metres, standing on y = 0 and facing -z, in the unified order."""
    at: dict[str, np.ndarray] = {}
    frames = len(angles["lean"])
    up, ahead = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
    pelvis = _rotation(0, -angles["lean"])
    trunk = pelvis @ _rotation(0, -angles["bend"]) @ _rotation(1, angles["twist"])
    skull = trunk @ _rotation(0, -angles["nod"])
    at["mid_hip"] = np.zeros((frames, 3))
    at["chest"] = pelvis @ (up * bones["chest"])
    at["neck"] = at["chest"] + trunk @ (up * bones["neck"])
    at["head"] = at["neck"] + skull @ (up * bones["head"])
    at["nose"] = at["head"] + skull @ (ahead * bones["nose"])
    for name, sign in _SIDES:
        across = np.array([sign, 0.0, 0.0])
        upper = (
            trunk
            @ _rotation(2, sign * angles[f"{name}_spread"])
            @ _rotation(0, angles[f"{name}_raise"])
            @ _rotation(1, -sign * angles[f"{name}_turn"])
        )
        fore = upper @ _rotation(0, angles[f"{name}_elbow"])
        thigh = pelvis @ _rotation(2, sign * angles[f"{name}_leg_out"]) @ _rotation(0, angles[f"{name}_hip"])
        shin = thigh @ _rotation(0, -angles[f"{name}_knee"])
        at[f"{name}_shoulder"] = at["neck"] + trunk @ (across * bones["shoulder"])
        at[f"{name}_elbow"] = at[f"{name}_shoulder"] - upper @ (up * bones["elbow"])
        at[f"{name}_wrist"] = at[f"{name}_elbow"] - fore @ (up * bones["wrist"])
        at[f"{name}_hip"] = pelvis @ (across * bones["hip"])
        at[f"{name}_knee"] = at[f"{name}_hip"] - thigh @ (up * bones["knee"])
        at[f"{name}_ankle"] = at[f"{name}_knee"] - shin @ (up * bones["ankle"])
    joints = np.stack([at[j] for j in UNIFIED_JOINTS], axis=1)  # (T, V, 3), around the pelvis
    feet = joints[:, [unified.index("left_ankle"), unified.index("right_ankle")]]
    lowest = feet[np.arange(frames), feet[..., 1].argmin(axis=1)]  # (T, 3) the foot that carries the body
    ground = np.stack([np.zeros(frames), lowest[:, 1], feet[..., 2].mean(axis=1)], axis=1)
    joints = joints - ground[:, None]
    joints[..., 1] += angles["jump"][:, None]
    joints[..., 2] -= angles["forward"][:, None]
    return joints


# --- the sensor ---------------------------------------------------------------------------------------------


def _seen(shape: tuple[int, int, int], missing: float, rng: np.random.Generator) -> np.ndarray:
    """(M, T, V) bool: joints hide in bursts of about 8 frames, a share ``missing`` of the time."""
    people, frames, joints = shape
    warm_up = 4 * _BURST  # so that a clip may begin inside a burst
    time = np.arange(warm_up + frames)[:, None]
    starts = rng.random((people, warm_up + frames, joints)) < 1 - (1 - missing) ** (1 / _BURST)
    ends = np.where(starts, time + rng.integers(1, 2 * _BURST, starts.shape), 0)
    return (np.maximum.accumulate(ends, axis=1) <= time)[:, warm_up:]


def generated_clip(
    index: int, seed: int = 0, people: int = 1, noise: float = 0.01, missing: float = 0.05, dims: int = 3
) -> Clip:
    """Clip number ``index`` of the generated data set of a seed; the arguments are those of `generate`."""
    rng = np.random.default_rng([seed, 0, index])
    action = list(ACTIONS)[index % len(ACTIONS)]
    turn = index // len(ACTIONS)  # 10 subjects and 3 cameras have no common divisor: every pair comes up
    subject, (camera, yaw) = turn % SUBJECTS, list(CAMERAS.items())[turn % len(CAMERAS)]
    frames = int(rng.integers(40, 121))
    facing = np.radians(yaw + rng.normal(0.0, 20.0))
    tilt = np.full(1, np.radians(rng.uniform(-12.0, 4.0)))
    distance = rng.uniform(2.6, 4.2)
    bodies = []
    for person in range(people):
        bones = body(np.random.default_rng([seed, 1, (subject + person) % SUBJECTS]))
        around = np.full(1, facing + (rng.normal(0.0, 0.5) if person else 0.0))
        joints = pose(trajectory(action, frames, rng), bones) @ _rotation(1, around)[0].T
        aside = (person - (people - 1) / 2) * 0.9 + rng.normal(0.0, 0.2)
        joints += np.array([aside, -_CAMERA_HEIGHT, distance])
        bodies.append(joints @ _rotation(0, tilt)[0].T)
    joints = np.stack(bodies)  # (M, T, V, 3)
    joints += rng.normal(0.0, noise, joints.shape) if noise else 0.0
    visible = _seen(joints.shape[:3], missing, rng) if missing else np.ones(joints.shape[:3], dtype=bool)
    if dims == 2:
        joints = project(joints)
        visible &= ((joints >= 0) & (joints < IMAGE_SIZE)).all(axis=-1)
    if not visible.any():
        visible[:, 0, 0], joints[:, 0, 0] = True, np.clip(joints[:, 0, 0], 0, max(IMAGE_SIZE))
    joints[~visible] = 0.0
    return Clip(
        joints,
        visible,
        unified,
        fps=FPS,
        image_size=IMAGE_SIZE if dims == 2 else None,
        name=f"generated_{index:07d}",
        label=action,
        subject=f"s{subject + 1:02d}",
        camera=camera,
    )


def project(joints: np.ndarray) -> np.ndarray:
    """(..., 3) metres of the sensor to (..., 2) pixels of a pinhole camera of 640 x 480."""
    width, height = IMAGE_SIZE
    depth = np.maximum(joints[..., 2:], 0.1)
    return np.array([width / 2, height / 2]) - FOCAL * joints[..., :2] / depth


def _check(count: int, people: int, noise: float, missing: float, dims: int) -> None:
    for name, value in (("count", count), ("people", people)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1")
    if dims not in (2, 3):
        raise InputError(f"dims is {dims}, expected 2 (pixels) or 3 (metres)")
    if not 0 <= missing < 1:
        raise InputError(f"missing is {missing}, expected a share of at least 0 and below 1")
    if not 0 <= noise < np.inf:
        raise InputError(f"noise is {noise}, expected metres, at least 0")


def generate(
    count: int, seed: int = 0, people: int = 1, noise: float = 0.01, missing: float = 0.05, dims: int = 3
) -> Iterator[Clip]:
    """Clips of the generated data set, 40 to 120 frames at 30 fps each.

    Args:
        count: how many; ten actions in turn, by ten subjects, seen by three cameras.
        seed: of every random number; the same seed gives the same clips.
        people: bodies a clip, doing the same action in their own time.
        noise: standard deviation of the sensor's noise, metres.
        missing: share of joints that are missing, in bursts.
        dims: 3 for metres, 2 for pixels of a 640 x 480 camera (what leaves the image is missing).

    Raises:
        InputError: a value out of range.
    """
    _check(count, people, noise, missing, dims)
    return (generated_clip(i, seed, people, noise, missing, dims) for i in range(count))


@alone_in("out")
def write_generated(
    out: str,
    count: int = 600,
    seed: int = 0,
    people: int = 1,
    noise: float = 0.01,
    missing: float = 0.05,
    dims: int = 3,
    overwrite: bool = False,
) -> Store:
    """Write a store of generated clips: articulated bodies doing ten actions, nobody real.

    Args:
        out: the store to write, by convention ending in .orvpe.
        count: number of clips; ten actions in turn, by ten subjects, seen by three cameras.
        seed: of every random number; the same seed gives the same clips.
        people: bodies a clip, doing the same action in their own time.
        noise: standard deviation of the sensor's noise, metres.
        missing: share of joints that are missing, in bursts.
        dims: 3 for metres, 2 for pixels of a 640 x 480 camera.
        overwrite: replace an existing store.

    Raises:
        InputError: a value out of range; the store exists.
    """
    if Path(out).exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    clips = generate(count, seed, people, noise, missing, dims)
    options = {
        "count": count,
        "seed": seed,
        "people": people,
        "noise": noise,
        "missing": missing,
        "dims": dims,
    }
    with StoreWriter(out, unified, dims, {"generated": True, "sources": [], "options": options}) as writer:
        for clip in clips:
            writer.add(clip)
    print(f"{count:,} generated clips of {people} {'person' if people == 1 else 'people'}, {dims}D -> {out}")
    return Store.open(out)

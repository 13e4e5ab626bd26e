"""BVH motion capture: a HIERARCHY of joints and a MOTION table; positions by forward kinematics.

A joint's rotation is the product of its rotation channels in the order listed, its place OFFSET, or its
position channels where it has them (the form Blender and MotionBuilder read; position channels of a joint
below the root that stay at zero are taken as additions to OFFSET).  End sites carry no name and are left out.

BVH has no unit.  The longest chain of bones in a person's body is 0.5 to 2 m long, whatever the rest pose, so
the unit is the one of metres, centimetres, millimetres and inches that makes it so; if none does, the chain is scaled
to 1.2 m.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note
from orvpe.poses.skeleton.rigs import mocap_layout
from orvpe.runtime.room import check_room

UNITS = {1.0: "metres", 0.01: "centimetres", 0.001: "millimetres", 0.0254: "inches"}  # metres a unit
CHAIN = (0.5, 2.0)  # metres, the longest chain of bones: people of 1 to 2.3 m, and some margin
CHAIN_INCHES = (38.0, 70.0)  # grown-ups of 1.5 to 2.3 m; as centimetres nobody is so small
USUAL = 1.2  # metres, when no unit fits
_MOTION = re.compile(r"\bMOTION\s+(?=Frames)", re.IGNORECASE)
_FRAMES = re.compile(r"\s*Frames\s*:\s*(\S+)\s+Frame\s*Time\s*:\s*(\S+)", re.IGNORECASE)
_BLOCK = 4096  # frames at a time
_AXES = {"X": 0, "Y": 1, "Z": 2}
_CHANNELS = {f"{axis}{kind}".lower(): (axis, kind) for axis in "XYZ" for kind in ("position", "rotation")}


@dataclass
class Joint:
    """A joint of the hierarchy; an end site has no name."""

    name: str
    parent: int  # -1 for a root
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[tuple[str, str]] = field(default_factory=list)  # (axis, 'position' or 'rotation')


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".bvh")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    joints, motion, seconds = parse(source.read(name), where)
    named = [i for i, joint in enumerate(joints) if joint.name]
    new = {old: i for i, old in enumerate(named)}
    layout = options.layout or mocap_layout(
        "bvh", [joints[i].name for i in named], [new.get(joints[i].parent, -1) for i in named]
    )
    if len(layout) != len(named):
        raise InputError(f"{where}: {len(named)} joints, but layout {layout.name!r} (--joints) has {len(layout)}")
    check_room(1, len(motion), len(named), where)
    # the turns of all joints in all frames would take three times more
    blocks = [motion[t : t + _BLOCK] for t in range(0, len(motion), _BLOCK)]
    positions = np.concatenate([forward_kinematics(joints, b)[:, named] for b in blocks])  # (T, V, 3)
    notes: tuple[Note, ...] = ()
    if options.units == "auto":
        unit = metres(joints)
        positions *= unit
        if unit not in UNITS:
            notes = (Note("no unit makes a body of these bones: scaled to a chain of 1.2 m (else give --units)"),)
        elif unit != 1.0:
            notes = (Note(f"BVH names no unit; by the bones {UNITS[unit]}: turned into metres (else give --units)"),)
    try:
        return [Clip.from_array(positions, layout, fps=_fps(seconds) or options.fps, name=stem(name), notes=notes)]
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def forward_kinematics(joints: list[Joint], motion: np.ndarray) -> np.ndarray:
    """Positions of all joints, end sites included, in the file's unit.

    Args:
        joints: parents before children.
        motion: (T, channels), degrees and the file's unit, in the order of the joints' channels.

    Returns:
        (T, joints, 3) float64.
    """
    frames = len(motion)
    position = np.zeros((frames, len(joints), 3))
    rotation = np.zeros((frames, len(joints), 3, 3))
    column = 0
    for j, joint in enumerate(joints):
        values = motion[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        local = np.broadcast_to(joint.offset, (frames, 3)).copy()
        turn = np.broadcast_to(np.eye(3), (frames, 3, 3))
        places = [c for c, (_, kind) in enumerate(joint.channels) if kind == "position"]
        if joint.parent < 0 or values[:, places].any():
            for c in places:
                local[:, _AXES[joint.channels[c][0]]] = values[:, c]
        for c, (axis, kind) in enumerate(joint.channels):
            if kind == "rotation":
                turn = turn @ _rotation(_AXES[axis], np.radians(values[:, c]))
        if joint.parent < 0:
            position[:, j], rotation[:, j] = local, turn
        else:
            above = rotation[:, joint.parent]
            position[:, j] = position[:, joint.parent] + (above @ local[..., None])[..., 0]
            rotation[:, j] = above @ turn
    return position


def metres(joints: list[Joint]) -> float:
    """Metres a unit, guessed from the longest chain of bones (see the module's docstring).

    The body begins at the first joint with several children: what leads there places the body in the room (in
    Bandai-Namco's files a bone of 4.6 m).
    """
    parents = [joint.parent for joint in joints]
    start = next((j for j in range(len(joints)) if parents.count(j) > 1), 0)
    reach = np.zeros(len(joints))
    for j, joint in enumerate(joints):
        if j > start and joint.parent >= 0:
            reach[j] = reach[joint.parent] + np.linalg.norm(joint.offset)
    chain = float(reach.max())
    if CHAIN_INCHES[0] <= chain <= CHAIN_INCHES[1]:
        return 0.0254
    for unit in (1.0, 0.01, 0.001):
        if CHAIN[0] <= chain * unit <= CHAIN[1]:
            return unit
    return USUAL / chain if chain > 0 else 1.0


def _rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """(T,) radians -> (T, 3, 3), turning about one axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, a, a], matrix[:, a, b] = cos, -sin
    matrix[:, b, a], matrix[:, b, b] = sin, cos
    return matrix


def parse(data: bytes, where: str) -> tuple[list[Joint], np.ndarray, float]:
    """The hierarchy (parents first, end sites included), motion (T, channels) and seconds a frame.

    Raises:
        InputError: no BVH, truncated, or not the number of values that the hierarchy asks for.
    """
    text = data.decode("utf-8", "replace")
    motion_at = _MOTION.search(text) or re.search(r"\bMOTION\b", text)
    head, tail = (text[: motion_at.start()], text[motion_at.end() :]) if motion_at else (text, "")
    if head.lstrip("\ufeff \t\r\n")[:9].upper() != "HIERARCHY":
        raise InputError(f"{where}: does not begin with HIERARCHY, expected BVH")
    if motion_at is None:
        raise InputError(f"{where}: no MOTION section, truncated?")
    joints = _hierarchy(head.lstrip("\ufeff").split()[1:], where)
    width = sum(len(joint.channels) for joint in joints)
    begin = _FRAMES.match(tail)
    try:
        frames, seconds = int(begin[1]), float(begin[2])  # type: ignore[index]
    except (ValueError, TypeError):
        raise InputError(f"{where}: MOTION without 'Frames: N' and 'Frame Time: seconds'") from None
    words = tail[begin.end() :].split()  # type: ignore[union-attr]
    if frames <= 0:
        raise InputError(f"{where}: empty, 'Frames: {frames}'")
    if len(words) != frames * width:
        raise InputError(
            f"{where}: {len(words)} motion values, expected {frames * width} ({frames} frames of {width} channels)"
        )
    try:
        motion = np.array(words, dtype=np.float64).reshape(frames, width)
    except ValueError:
        raise InputError(f"{where}: MOTION holds something that is no number") from None
    if not np.isfinite(motion).all():
        frame = int(np.argwhere(~np.isfinite(motion))[0][0])
        raise InputError(f"{where}: NaN or infinite value in frame {frame}, expected numbers")
    return joints, motion, seconds


def _hierarchy(words: list[str], where: str) -> list[Joint]:
    joints: list[Joint] = []
    open_: list[int] = []  # from the root to the joint being described
    at = 0
    try:
        while at < len(words):
            word = words[at].upper()
            if word in ("ROOT", "JOINT", "END"):
                brace = words.index("{", at)
                name = "" if word == "END" else " ".join(words[at + 1 : brace])
                joints.append(Joint(name, open_[-1] if open_ else -1))
                open_.append(len(joints) - 1)
                at = brace + 1
            elif word == "OFFSET":
                joints[open_[-1]].offset = np.array(words[at + 1 : at + 4], dtype=np.float64).reshape(3)
                at += 4
            elif word == "CHANNELS":
                count = int(words[at + 1])
                names = words[at + 2 : at + 2 + count]
                joints[open_[-1]].channels = [_CHANNELS[n.lower()] for n in names]
                at += 2 + count
            elif word == "}":
                open_.pop()
                at += 1
            else:
                raise InputError(f"{where}: unexpected {words[at][:40]!r} in the HIERARCHY")
    except KeyError as error:
        raise InputError(f"{where}: unknown channel {error}, expected Xposition ... Zrotation") from None
    except (IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        last = joints[-1].name if joints else ""
        raise InputError(f"{where}: damaged HIERARCHY near joint {last!r}") from None
    if open_ or not joints:
        raise InputError(f"{where}: HIERARCHY is not closed, truncated?")
    for joint in joints:
        if not np.isfinite(joint.offset).all():
            raise InputError(f"{where}: NaN or infinite OFFSET at joint {joint.name!r}")
    return joints


def _fps(seconds: float) -> float | None:
    """Frames a second; 'Frame Time: 0.008333' means 120, not 120.0048."""
    if not (math.isfinite(seconds) and seconds > 0):
        return None
    fps = 1.0 / seconds
    return float(round(fps)) if abs(fps - round(fps)) < 2e-4 * fps else fps


FORMAT = Format("bvh", "BVH motion capture (forward kinematics, unit guessed from the bones)", items, read)

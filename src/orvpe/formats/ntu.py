"""NTU RGB+D and NTU RGB+D 120: one ``.skeleton`` text a clip, Kinect v2, metres (or colour-image pixels).

A file is a frame count; per frame a body count; per body a line of ten values that starts with the body's
identifier, a line with the joint count 25, and 25 lines of x y z depthX depthY colorX colorY, a quaternion,
and the tracking state (0 not tracked, 1 inferred, 2 tracked).  The file name ``SsssCcccPpppRrrrAaaa`` says
setup, camera, subject, replication and action; setup and replication stay in the clip's name.
"""

from __future__ import annotations

import re

import numpy as np

from orvpe.clip import Clip
from orvpe.errors import InputError
from orvpe.formats.base import Format, Item, NoSkeleton, Options, by_suffix, stem
from orvpe.formats.people import most_energetic
from orvpe.formats.source import Source
from orvpe.skeleton import LAYOUTS

_NAME = re.compile(r"S\d{3}(C\d{3})(P\d{3})R\d{3}(A\d{3})")
FPS = 30.0
COLOUR_IMAGE = (1920, 1080)
JOINTS = 25
_COLUMNS = {3: (0, 1, 2), 2: (5, 6)}
_STATE = 11


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".skeleton")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    lines = source.read(name).splitlines()
    frames, bodies = _walk(lines, where)
    if not bodies:
        raise NoSkeleton(f"{where}: no body in any of {frames} frames")

    dims = 2 if options.dims == 2 else 3
    values = _numbers(lines, bodies, _COLUMNS[dims], where)  # (bodies, 25, dims + state)
    listed, state = values[..., :dims], values[..., dims]
    finite = np.isfinite(listed).all(axis=-1)
    if dims == 3 and not finite.all():  # a pixel is NaN or infinite where the sensor could not map the point
        frame = bodies[int(np.argwhere(~finite)[0][0])][0]
        raise InputError(f"{where}: NaN or infinite coordinate in frame {frame}, expected metres")
    seen = finite & (listed != 0).any(axis=-1) & (state != 0)

    people: dict[Person, int] = {}
    for _, person, _ in bodies:
        people.setdefault(person, len(people))
    at = [people[person] for _, person, _ in bodies], [frame for frame, _, _ in bodies]
    joints = np.zeros((len(people), frames, JOINTS, dims), dtype=np.float32)
    visible = np.zeros(joints.shape[:3], dtype=bool)
    joints[at] = np.where(seen[..., None], listed, 0.0)
    visible[at] = seen
    joints, visible = most_energetic(joints, visible, options.max_people)
    if not len(joints):
        raise InputError(f"{where}: all joints are missing in all {frames} frames")

    match = _NAME.search(stem(name))
    camera, subject, action = match.groups() if match else (None, None, None)
    clip = Clip(
        joints, visible, options.layout or LAYOUTS["kinect_v2"], fps=options.fps or FPS,
        image_size=(options.image_size or COLOUR_IMAGE) if dims == 2 else None,
        name=stem(name), label=action, subject=subject, camera=camera,
    )  # fmt: skip
    return [clip]


Person = tuple[
    int, int
]  # identifier, and a number that tells two bodies of one frame apart when they share it
Body = tuple[int, Person, int]  # frame, person, index of its first joint line


def _walk(lines: list[bytes], where: str) -> tuple[int, list[Body]]:
    """Number of frames, and where each body's joints are; checks every count in the file.

    Identifiers (near 7e16) are read as integers: neighbours are the same double.
    """
    bodies: list[Body] = []
    at, frame, frames = 0, -1, 0
    try:
        frames = int(lines[0])
        at = 1
        for frame in range(frames):
            count = int(lines[at])
            if count < 0:
                raise InputError(
                    f"{where}: {count} bodies in frame {frame} (line {at + 1}), expected 0 or more"
                )
            at += 1
            names: dict[int, int] = {}
            for _ in range(count):
                body = int(lines[at].split(None, 1)[0])
                at += 1
                if int(lines[at]) != JOINTS:
                    raise InputError(
                        f"{where}: {int(lines[at])} joints in frame {frame} (line {at + 1}), expected 25"
                    )
                at += 1
                if at + JOINTS > len(lines):
                    raise IndexError
                names[body] = names.get(body, -1) + 1
                bodies.append((frame, (body, names[body]), at))
                at += JOINTS
    except IndexError:
        if not lines:
            raise InputError(f"{where}: empty file, expected a frame count") from None
        if at < len(lines) and not lines[at].strip():
            raise InputError(f"{where}: empty line {at + 1} in frame {frame}, expected a body") from None
        raise InputError(
            f"{where}: truncated in frame {frame} of {frames}, after {len(lines)} lines"
        ) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        place = f"in frame {frame} (line {at + 1})" if at else "in line 1"
        raise InputError(f"{where}: {_shown(lines[at])} {place}, expected a whole number") from None
    if frames < 0:
        raise InputError(f"{where}: frame count is {frames}, expected 0 or more")
    if any(line.strip() for line in lines[at:]):
        raise InputError(f"{where}: more lines after frame {frame}, the last of {frames} (line {at + 1})")
    return frames, bodies


def _numbers(lines: list[bytes], bodies: list[Body], columns: tuple[int, ...], where: str) -> np.ndarray:
    """(bodies, 25, columns + 1) float64: the columns asked for, then the tracking state."""
    wanted = (*columns, _STATE)
    rows = [line for _, _, at in bodies for line in lines[at : at + JOINTS]]
    try:
        table = np.loadtxt(rows, usecols=wanted, comments=None, ndmin=2)
    except ValueError:
        table = np.empty((0, len(wanted)))
    if len(table) != len(rows):  # loadtxt passes over an empty line
        for frame, _, at in bodies:
            for joint in range(JOINTS):
                if not _is_joint(lines[at + joint], wanted):
                    raise InputError(
                        f"{where}: {_shown(lines[at + joint])} as joint {joint} in frame {frame} "
                        f"(line {at + joint + 1}), expected 12 numbers"
                    )
        raise InputError(f"{where}: not a table of joints, expected 12 numbers a line")
    return table.reshape(len(bodies), JOINTS, len(wanted))


def _is_joint(line: bytes, wanted: tuple[int, ...]) -> bool:
    try:
        parts = line.split()
        return all(isinstance(float(parts[i]), float) for i in wanted)
    except (ValueError, IndexError):
        return False


def _shown(line: bytes) -> str:
    text = line.decode("ascii", "replace")
    return repr(text if len(text) <= 40 else text[:40] + "...")


FORMAT = Format(
    "ntu", "NTU RGB+D: one .skeleton text a clip, Kinect v2, metres or colour pixels", items, read
)

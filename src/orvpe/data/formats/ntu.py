"""NTU RGB+D and NTU RGB+D 120: one ``.skeleton`` text a clip, Kinect v2, metres (or colour-image pixels).

A file is a frame count; per frame a body count; per body a line of ten values that starts with the body's
identifier, a line with the joint count 25, and 25 lines of x y z depthX depthY colorX colorY, a quaternion,
and the tracking state (0 not tracked, 1 inferred, 2 tracked).  The file name ``SsssCcccPpppRrrrAaaa`` says
setup, camera, subject, replication and action; setup and replication stay in the clip's name.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix
from orvpe.data.formats.ntu_places import JOINT, JOINTS, places
from orvpe.data.formats.numbers import floats
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note
from orvpe.poses.people import most_energetic
from orvpe.poses.skeleton import LAYOUTS

_NAME = re.compile(r"S\d{3}(C\d{3})(P\d{3})R\d{3}(A\d{3})")
FPS = 30.0
COLOUR_IMAGE = (1920, 1080)
_COLUMNS = {3: (0, 3), 2: (5, 7)}  # first and after the last
_STATE = 11


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".skeleton")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = source.read(name)
    dims = 2 if options.dims == 2 else 3
    frames, bodies, listed, state = _at_once(data, _COLUMNS[dims]) or _by_line(data, _COLUMNS[dims], where)
    if not bodies:
        raise NoSkeleton(f"{where}: no body in any of {frames} frames")

    seen = state != 0
    notes = []
    if inferred := int(np.count_nonzero(state == 1)):
        notes.append(Note("joints that the sensor inferred (tracking state 1) count as seen", inferred, state.size))
    if not np.isfinite(listed).all():  # a pixel is NaN or infinite where the sensor could not map the point
        finite = np.isfinite(listed).all(axis=2)
        if dims == 3 and np.isinf(listed).any():
            frame = bodies[int(np.argwhere(np.isinf(listed))[0][0])][0]
            raise InputError(f"{where}: infinite coordinate in frame {frame}, expected metres")
        if dims == 3:
            notes.append(Note("NaN coordinates count as missing joints", int((~finite).sum()), finite.size))
        seen &= finite
    seen &= np.logical_or.reduce([listed[..., c] != 0 for c in range(dims)])
    if not seen.all():
        listed[~seen] = 0.0

    persons = [person for _, person, _ in bodies]
    people = {person: m for m, person in enumerate(dict.fromkeys(persons))}
    at = [people[person] for person in persons], [frame for frame, _, _ in bodies]
    joints = np.zeros((len(people), frames, JOINTS, dims), dtype=np.float32)
    visible = np.zeros(joints.shape[:3], dtype=bool)
    joints[at] = listed
    visible[at] = seen
    joints, visible = most_energetic(joints, visible, options.max_people)
    if not len(joints):
        raise InputError(f"{where}: all joints are missing in all {frames} frames")

    match = _NAME.search(stem(name))
    camera, subject, action = match.groups() if match else (None, None, None)
    clip = Clip(
        joints, visible, options.layout or LAYOUTS["kinect_v2"], fps=options.fps or FPS,
        image_size=(options.image_size or COLOUR_IMAGE) if dims == 2 else None,
        name=stem(name), label=action, subject=subject, camera=camera, notes=tuple(notes),
    )  # fmt: skip
    return [clip]


Person = tuple[int, int]  # identifier, and a number that differs between two bodies of one frame
Body = tuple[int, Person, int]  # frame, person, index of its first joint line
# frames, bodies, coordinates (B, 25, C) float64, tracking states (B, 25)
Read = tuple[int, list[Body], np.ndarray, np.ndarray]


def _at_once(data: bytes, columns: tuple[int, int]) -> Read | None:
    """A file that is written as the data set's are, several times faster than line by line; None for any other."""
    found = places(data)
    if found is None:
        return None
    begin, end = found.columns(*columns)
    try:
        listed = floats(found.data, begin.ravel(), end.ravel())
        state = _states(found.data, *found.columns(_STATE, _STATE + 1))
    except ValueError:
        return None
    bodies = _told_apart(found.frame, found.body, found.line)
    return found.frames, bodies, listed.reshape(len(bodies), JOINTS, begin.shape[1]), state.reshape(len(bodies), JOINTS)


def _states(data: bytes, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Tracking states, each a digit in most files: no need to read them as numbers."""
    begin, end = begin.ravel(), end.ravel()
    digit = np.frombuffer(data, dtype=np.uint8)[begin] - np.uint8(ord("0"))  # wraps around for what is less
    if (end - begin == 1).all() and (digit <= 9).all():
        return digit.astype(np.float64)
    return floats(data, begin, end)


def _told_apart(frame: list[int], body: list[int], line: list[int]) -> list[Body]:
    """Bodies of one frame that have the same identifier get numbers 0, 1 ..."""
    pairs = list(zip(frame, body, strict=True))
    if len(set(pairs)) == len(pairs):  # as good as always
        return [(t, (b, 0), at) for t, b, at in zip(frame, body, line, strict=True)]
    times: Counter[tuple[int, int]] = Counter()
    bodies = []
    for pair, at in zip(pairs, line, strict=True):
        bodies.append((pair[0], (pair[1], times[pair]), at))
        times[pair] += 1
    return bodies


def _by_line(data: bytes, columns: tuple[int, int], where: str) -> Read:
    """Any white space, any notation; says which line is wrong."""
    text = _Text(data)
    frames, bodies = _walk(text, where)
    return frames, bodies, *_numbers(text, bodies, columns, where)


class _Text:
    """Lines of a file, found at once and cut out only where needed."""

    def __init__(self, data: bytes) -> None:
        ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
        self.data = data
        self.starts = [0, *ends.tolist()]  # of each line, and the end of the last
        if self.starts[-1] != len(data):
            self.starts.append(len(data))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lines(self, first: int, count: int = 1) -> bytes:
        return self.data[self.starts[first] : self.starts[first + count]]


def _walk(text: _Text, where: str) -> tuple[int, list[Body]]:
    """Number of frames, and where each body's joints are; checks every count in the file.

    Identifiers (near 7e16) are read as integers: neighbours are the same double.
    """
    found: tuple[list[int], list[int], list[int]] = [], [], []  # frame, identifier, first joint line
    at, frame, frames = 0, -1, 0
    try:
        frames = int(text.lines(0))
        at = 1
        for frame in range(frames):
            count = int(text.lines(at))
            if count < 0:
                raise InputError(f"{where}: {count} bodies in frame {frame} (line {at + 1}), expected 0 or more")
            at += 1
            for _ in range(count):
                body = int(text.lines(at).split(None, 1)[0])
                at += 1
                if (joints := int(text.lines(at))) != JOINTS:
                    raise InputError(f"{where}: {joints} joints in frame {frame} (line {at + 1}), expected 25")
                at += 1
                if at + JOINTS > len(text):
                    raise IndexError
                for values, value in zip(found, (frame, body, at), strict=True):
                    values.append(value)
                at += JOINTS
    except IndexError:
        if not len(text):
            raise InputError(f"{where}: empty file, expected a frame count") from None
        if at < len(text) and not text.lines(at).strip():
            raise InputError(f"{where}: empty line {at + 1} in frame {frame}, expected a body") from None
        raise InputError(f"{where}: truncated in frame {frame} of {frames}, after {len(text)} lines") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        place = f"in frame {frame} (line {at + 1})" if at else "in line 1"
        raise InputError(f"{where}: {_shown(text.lines(at))} {place}, expected a whole number") from None
    if frames < 0:
        raise InputError(f"{where}: frame count is {frames}, expected 0 or more")
    if text.lines(at, len(text) - at).strip():
        raise InputError(f"{where}: more lines after frame {frame}, the last of {frames} (line {at + 1})")
    return frames, _told_apart(*found)


def _numbers(text: _Text, bodies: list[Body], columns: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (B, 25, C) float64 and tracking states (B, 25)."""
    rows = [line for _, _, at in bodies for line in text.lines(at, JOINTS).split(b"\n")[:JOINTS]]
    table = np.empty((len(rows), JOINT))
    for i, line in enumerate(rows):
        try:
            row = [float(value) for value in line.split()]
            if len(row) != JOINT:
                raise ValueError
        except ValueError:
            frame, _, at = bodies[i // JOINTS]
            joint = i % JOINTS
            raise InputError(
                f"{where}: {_shown(line)} as joint {joint} in frame {frame} (line {at + joint + 1}), "
                f"expected {JOINT} numbers"
            ) from None
        table[i] = row
    values = table.reshape(len(bodies), JOINTS, JOINT)
    return values[..., slice(*columns)], values[..., _STATE]


def _shown(line: bytes) -> str:
    text = line.decode("ascii", "replace").strip()
    return repr(text if len(text) <= 40 else text[:40] + "...")


FORMAT = Format(
    "ntu", "NTU RGB+D: one .skeleton text a clip, Kinect v2, metres or colour pixels", items, read, unit="m"
)

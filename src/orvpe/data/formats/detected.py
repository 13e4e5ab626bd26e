"""People found picture by picture, to a clip: what each detector's reader hands over, and files that are frames."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.detections import UNSURE, frames_of, hide_missing, people_clip
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note
from orvpe.poses.people import link_people
from orvpe.poses.skeleton import Layout
from orvpe.runtime.room import check_room

# y up out of -y up and z up: proper rotations, so that left stays left
TURNS = {"-y": np.diag([1.0, -1.0, -1.0]), "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])}
_FRAME = re.compile(r"(.*?)[._ -]?(\d{1,15})\Z", re.DOTALL)


@dataclass(frozen=True)
class Detection:
    """A person in a picture.

    Args:
        frame: number of the picture.
        joints: (V, C) pixels or metres.
        confidence: (V,), None where the detector gives none.
        track: who it is, where a tracker says so.
        score: how sure the detector is that this is a person.
    """

    frame: int
    joints: np.ndarray
    confidence: np.ndarray | None = None
    track: Hashable | None = None
    score: float | None = None

    def placed(self, layout: Layout, order: np.ndarray) -> Detection:
        """The same with its joints in the layout's order; ``order`` (V,) says where each of them goes."""
        joints = np.full((len(layout), self.joints.shape[1]), np.nan)
        joints[order] = self.joints
        confidence = None
        if self.confidence is not None:
            confidence = np.zeros(len(layout))
            confidence[order] = self.confidence
        return replace(self, joints=joints, confidence=confidence)


def turned(joints: np.ndarray, up: str, options: Options) -> np.ndarray:
    """(..., 3) with y up, for a format that says which axis points up; left alone where ``--up`` was given."""
    return joints @ TURNS[up].T if options.up == Options.up else joints


def in_metres(joints: np.ndarray, unit: float, options: Options) -> np.ndarray:
    """Times ``unit`` metres, as a format or its header says; left alone where ``--units`` says something else."""
    return joints * unit if options.units == "auto" else joints


def whole_number(value: Any) -> int | None:
    """A frame number or identity as JSON and tables have it; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int):  # time stamps in nanoseconds are longer than a float's digits
        return value if abs(value) < 2**61 else None
    try:
        number = float(value)
        return int(number) if number == int(number) and abs(number) < 1e15 else None
    except (ValueError, OverflowError):
        return None


def detected_clip(
    found: Sequence[Detection],
    layout: Layout,
    options: Options,
    where: str,
    *,
    frames: Iterable[int] = (),
    origin_is_missing: bool = True,
    **info: Any,
) -> Clip:
    """The clip of these detections: people are who the tracks say, or linked here where there are none.

    Args:
        frames: numbers of pictures in which nobody may have been found.
        origin_is_missing: whether a joint at 0 0 is one that was not found.
        info: name, fps, image_size, label and so on of the clip.

    Raises:
        NoSkeleton: nobody.
        InputError: joints that differ in number, infinite coordinates, frame numbers far apart.
    """
    sure = [d for d in found if d.score is None or not d.score < options.min_confidence]
    if not sure:
        raise NoSkeleton(f"{where}: nobody in any frame")
    if len(sure) < len(found):
        info["notes"] = [*info.get("notes", ()), Note(UNSURE, len(found) - len(sure), len(found))]
    found = sure
    shapes = {d.joints.shape for d in found}
    if len(shapes) > 1 or next(iter(shapes))[0] != len(layout):
        counts = " and ".join(sorted({str(s[0]) for s in shapes}))
        raise InputError(f"{where}: people with {counts} joints, expected the {len(layout)} of layout {layout.name!r}")
    confidence = None
    if any(d.confidence is not None for d in found):
        confidence = np.stack([np.ones(len(layout)) if d.confidence is None else d.confidence for d in found])
    joints = hide_missing(
        np.stack([d.joints for d in found]), confidence, options.min_confidence, where,
        origin_is_missing=origin_is_missing,
    )  # fmt: skip
    numbers = [d.frame for d in found]
    numbered = frames_of([*numbers, *frames], where)
    at, count = numbered.at[: len(numbers)], numbered.count
    identities = {d.track for d in found}
    told_apart = None not in identities and len({(d.track, d.frame) for d in found}) == len(found)
    if told_apart:
        person = {identity: i for i, identity in enumerate(dict.fromkeys(d.track for d in found))}
        check_room(len(person), count, joints.shape[1], where)
        people = np.full((len(person), count, *joints.shape[1:]), np.nan, dtype=np.float32)
        people[[person[d.track] for d in found], at] = joints
    else:
        order = np.argsort(at, kind="stable")
        people = link_people(np.split(joints[order], np.searchsorted(at[order], np.arange(1, count))))
    return people_clip(people, layout, options, where, step=numbered.step, **info)


def json_documents(source: Source, name: str) -> list[Any]:
    """The JSON documents of a file: one over several lines, or one a line.

    Raises:
        InputError: neither.
    """
    data, where = source.read(name), source.where(name)
    try:
        return [json.loads(data)]
    except (ValueError, RecursionError) as error:
        whole = error
    lines = [(n, line) for n, line in enumerate(data.splitlines(), start=1) if line.strip()]
    documents = []
    for number, line in lines:
        try:
            documents.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if len(documents) < 2:  # not meant as one a line
                raise InputError(f"{where}: not valid JSON ({whole})") from None
            raise InputError(f"{where}: line {number} is not valid JSON ({error})") from None
    return documents


def frame_groups(names: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Files that are frames of videos: what stands before the last number of a name -> (number, name) in order."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        folder, slash, file = name.rpartition("/")
        match = _FRAME.match(file.split(".json")[0] if ".json" in file else file.rsplit(".", 1)[0])
        video = folder + slash + (match[1] if match else file)
        groups.setdefault(video, []).append((int(match[2]) if match else 0, name))
    return {video: sorted(frames) for video, frames in groups.items()}


def video_name(video: str, source: Source) -> str:
    """What to call a group of `frame_groups`: the words before the number, or the folder where there are none."""
    folder, _, words = video.rpartition("/")
    return words or folder or source.path.stem


def numbers(values: Any, what: str, where: str, width: int | None = None) -> np.ndarray:
    """Numbers of a file as float64.

    Args:
        values: nested lists.
        what: names them in a message.
        width: how many numbers a row has, (N, width) then.

    Raises:
        InputError: text among them, or rows of another length.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {what} differ in length or hold something that is no number") from None
    if width is not None and (array.ndim != 2 or array.shape[1] != width):
        raise InputError(f"{where}: {what} have shape {array.shape}, expected {width} numbers each")
    return array

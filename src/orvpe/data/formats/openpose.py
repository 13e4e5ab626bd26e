"""OpenPose: a folder of ``<video>_000000000000_keypoints.json``, one a frame, 25 or 18 joints in pixels.

Other tools write the same under other names that hold a number (Pose2Sim ``cam01.0004.json``, Sports2D, AlphaPose),
with COCO's 17 or Halpe's 26 joints too.  A clip is all frames of one video: the files of one folder whose names
begin alike, ordered by their number.  A number that is left out is a frame with nobody.  OpenPose lists people again
in every frame; they are linked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detected import frame_groups, video_name
from orvpe.data.formats.detections import FRAME_FILE, frames_of, hide_missing, layout_for, people_clip
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.people import link_people
from orvpe.poses.skeleton import layouts_by_count
from orvpe.runtime.room import check_room

_KNOWN = {n: k for n, k in layouts_by_count(2).items() if k.name != "mediapipe"}
_MPI_JOINTS = 15
_KEY, _OLD_KEY = "pose_keypoints_2d", "pose_keypoints"


def items(source: Source) -> list[Item]:
    """All frame files of one video, in the order of their numbers."""
    videos: dict[str, list[tuple[int, str]]] = {}
    for name in source.names:
        if match := FRAME_FILE.match(name):
            videos.setdefault(match[1], []).append((int(match[2]), name))
    found = [tuple(name for _, name in sorted(frames)) for frames in videos.values()]
    if not found:  # frames by other names: Pose2Sim, Sports2D, AlphaPose --format open
        named = frame_groups(_numbered(json_of(source, "openpose")))
        found = [tuple(name for _, name in frames) for frames in named.values()]
    return _last_stage(found)


_STAGES = (
    "pose",
    "pose-sync",
    "pose-associated",
)  # of a Pose2Sim project: the same videos, further worked on each time


def _last_stage(items: list[Item]) -> list[Item]:
    """Of the same video in several stages of a project, the last."""
    kept: dict[tuple[str, ...], tuple[int, Item]] = {}
    for item in items:
        folders = item[0].split("/")[:-1]
        stage = max((_STAGES.index(f) for f in folders if f in _STAGES), default=-1)
        video = tuple(f for f in folders if f not in _STAGES)
        key = video if stage >= 0 else (*folders, item[0])
        if stage >= kept.get(key, (-1, item))[0]:
            kept[key] = (stage, item)
    return [item for _, item in kept.values()]


def _numbered(names: list[str]) -> list[str]:
    """The files that are frames: their names hold a number."""
    return [n for n in names if any(c.isdecimal() for c in n.rpartition("/")[2])]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    numbers, video = _numbers_of(item, source)
    where = source.where(item[0]) + (f" and {len(item) - 1} more frames" if len(item) > 1 else "")
    numbered = frames_of(numbers, where)
    count = numbered.count
    by_frame: dict[int, np.ndarray] = {}
    who: dict[int, list[int] | None] = {}
    own: dict[str, Any] = {}
    for frame, name in zip(numbered.at, item, strict=True):
        data = read_json(source, name)
        people = _people(data, source.where(name))
        if len(people):
            by_frame[int(frame)] = people
            who[int(frame)] = _identities(data, len(people))
            own = own or _written_here(data)
    if not by_frame:
        raise NoSkeleton(f"{where}: nobody in {count} frames")
    widths = {people.shape[1] for people in by_frame.values()}
    if len(widths) > 1:
        raise InputError(f"{where}: people with {' and '.join(map(str, sorted(widths)))} joints, expected one layout")
    joints = widths.pop()
    if joints == _MPI_JOINTS and options.layout is None:
        raise InputError(f"{where}: 15 joints a person, OpenPose's MPI model; run its BODY_25 or COCO model instead")
    layout = layout_for(joints, _KNOWN, options, where)
    frames = [
        hide_missing(people[..., :2], people[..., 2], options.min_confidence, where)
        for people in (by_frame.get(t, np.zeros((0, joints, 3))) for t in range(count))
    ]
    linked = _by_identity(frames, who) if all(who.values()) else link_people(frames)
    return [people_clip(linked, layout, options, where, name=video, step=numbered.step, **own)]


def _identities(data: Any, people: int) -> list[int] | None:
    """``person_id`` of everybody in a frame, where it is different for each; OpenPose itself writes -1 for all."""
    ids = [p.get("person_id") for p in data["people"]]
    known = [i[0] for i in ids if isinstance(i, list) and len(i) == 1 and isinstance(i[0], int) and i[0] >= 0]
    return known if len(set(known)) == len(ids) == people else None


def _by_identity(frames: list[np.ndarray], who: dict[int, list[int] | None]) -> np.ndarray:
    """(M, T, V, 2) of people who are known by a number in every frame."""
    person = {i: m for m, i in enumerate(sorted({i for ids in who.values() for i in ids or ()}))}
    check_room(len(person), len(frames), frames[0].shape[1])
    linked = np.full((len(person), len(frames), *frames[0].shape[1:]), np.nan, dtype=np.float32)
    for t, ids in who.items():
        linked[[person[i] for i in ids or ()], t] = frames[t]
    return linked


def _written_here(data: Any) -> dict[str, Any]:
    """Rate and image size, which `orvpe.data.writers.openpose` adds."""
    more = data.get("orvpe")
    if not isinstance(more, dict):
        return {}
    fps, size = more.get("fps"), more.get("image_size")
    sized = isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
    return {
        "fps": float(fps) if isinstance(fps, (int, float)) and 0 < fps <= 1e5 else None,
        "image_size": (size[0], size[1]) if sized and size else None,
    }


def _numbers_of(item: Item, source: Source) -> tuple[list[int], str]:
    """Each file's frame number, and their video's name: the folder, where a file's name is the number alone."""
    if FRAME_FILE.match(item[0]):
        folder, _, words = FRAME_FILE.sub(r"\1", item[0]).rpartition("/")
        return [int(FRAME_FILE.sub(r"\2", name)) for name in item], words or folder
    ((video, frames),) = frame_groups(item).items()
    return [number for number, _ in frames], video_name(video, source)


def _people(data: Any, where: str) -> np.ndarray:
    """(P, V, 3): x, y, confidence of everybody in a frame."""
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise InputError(f"{where}: no 'people' list in it, expected OpenPose's JSON of one frame")
    try:
        rows = [np.array(person[_key(person)], dtype=np.float64) for person in people]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: a person without a plain list 'pose_keypoints_2d'") from None
    rows = [row for row in rows if row.size]  # only a face or a hand was found
    if not rows:
        return np.zeros((0, 0, 3))
    sizes = {row.shape for row in rows}
    if len(sizes) > 1 or rows[0].ndim != 1 or rows[0].size % 3:
        found = " and ".join(str(n) for shape in sorted(sizes) for n in shape)
        raise InputError(f"{where}: 'pose_keypoints_2d' has {found} numbers, expected 3 a joint (75 or 54)")
    return np.stack(rows).reshape(len(rows), -1, 3)


def _key(person: dict[str, Any]) -> str:
    """Before version 1.2 it had another name."""
    return _OLD_KEY if _OLD_KEY in person and _KEY not in person else _KEY


FORMAT = Format("openpose", "OpenPose: a folder of <video>_<frame>_keypoints.json, pixels", items, read)

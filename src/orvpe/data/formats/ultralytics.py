"""Ultralytics pose models: ``to_json``, ``to_csv``, and the text files of ``save_txt``, COCO's 17 joints by default.

``to_json`` and ``to_csv`` of a picture list its people, each with ``keypoints`` {x, y, visible} and, where a
tracker ran, ``track_id``.  A file is a picture, numbered by its name, or holds the pictures of a video as a list of
such lists.

``save_txt`` writes a file a picture with a line a person: class, box (4), then x, y and (with a model that has it)
a confidence for each joint, all as fractions of the image, then the confidence of the person and the track, where
asked for.  ``--image-size`` makes pixels of fractions.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix, those_that
from orvpe.data.formats.detected import (
    Detection,
    detected_clip,
    frame_groups,
    json_documents,
    numbers,
    video_name,
    whole_number,
)
from orvpe.data.formats.detections import layout_for
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import layouts_by_count

_FRAME_COLUMNS = ("frame", "frame_number", "frame_id", "frame_idx", "image", "image_id")


def items(source: Source) -> list[Item]:
    names = json_of(source, "ultralytics")
    names = names or those_that(by_suffix(source, ".csv"), lambda n: _is_csv(source.head(n)))
    if not names:
        texts = by_suffix(source, ".txt")
        shape = next((s for n in texts[:8] if (s := line_shape(source.head(n)))), None)
        names = texts if shape else []
    return [tuple(n for _, n in frames) for frames in frame_groups(names).values()]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    numbered = [(t, n) for group in frame_groups(item).values() for t, n in group]
    where = source.where(item[0]) + (f" and {len(item) - 1} more frames" if len(item) > 1 else "")
    found: list[Detection] = []
    frames: list[int] = []
    for number, file in numbered:
        if file.lower().endswith(".txt"):
            pictures = [(0, _lines(source.read(file), source.where(file)))]
        elif file.lower().endswith(".csv"):
            pictures = _rows(source.read(file), source.where(file))
        else:
            documents = json_documents(source, file)  # a picture a line, where results were appended
            pictures = _pictures(documents if len(documents) > 1 else documents[0], source.where(file))
        base = number if len(item) > 1 else 0
        if len(pictures) > 1 and len(item) > 1:
            raise InputError(f"{source.where(file)}: {len(pictures)} pictures in one file of many, expected one each")
        frames += [base + t for t, _ in pictures]
        found += [_shifted(d, base + t) for t, people in pictures for d in people]
    if not found:
        raise NoSkeleton(f"{where}: nobody in {len(frames)} frames")
    layout = layout_for(len(found[0].joints), layouts_by_count(2), options, where)
    size = options.image_size
    fractions = all(np.nanmax(np.abs(d.joints), initial=0.0) <= 2 for d in found)
    if fractions and size is not None:
        found = [_shifted(d, d.frame, np.array(size, dtype=np.float64)) for d in found]
    name = video_name(next(iter(frame_groups(item))), source) if len(item) > 1 else stem(item[0])
    return [detected_clip(found, layout, options, where, frames=frames, name=name)]


def _shifted(d: Detection, frame: int, scale: np.ndarray | float = 1.0) -> Detection:
    return Detection(frame, d.joints * scale, d.confidence, d.track, d.score)


def _pictures(data: Any, where: str) -> list[tuple[int, list[Detection]]]:
    """(frame, people) of a JSON: the people of one picture, a list of pictures, or pictures by their number."""
    if isinstance(data, dict):
        if "keypoints" in data:
            data = [data]
        elif isinstance(data.get("results", data.get("frames")), list):
            data = data.get("results", data.get("frames"))
        else:
            listed = [(whole_number(k), v) for k, v in data.items()]
            if any(k is None or not isinstance(v, list) for k, v in listed):
                raise InputError(f"{where}: expected a list of people with 'keypoints', as Ultralytics' to_json writes")
            return [(int(k or 0), [_person(p, where) for p in v]) for k, v in listed]
    if not isinstance(data, list):
        raise InputError(f"{where}: expected a list of people with 'keypoints', as Ultralytics' to_json writes")
    if any(isinstance(p, list) for p in data):
        if not all(people is None or isinstance(people, list) for people in data):
            raise InputError(f"{where}: pictures that are no lists of people among those that are")
        return [(t, [_person(p, where) for p in people or []]) for t, people in enumerate(data)]
    return [(0, [_person(p, where) for p in data])]


def _person(person: Any, where: str) -> Detection:
    points = person.get("keypoints") if isinstance(person, dict) else None
    if not isinstance(points, dict) or "x" not in points or "y" not in points:
        raise InputError(f"{where}: a person without 'keypoints' {{x, y}}")
    x, y = (numbers(points[a], f"'{a}' of 'keypoints'", where) for a in "xy")
    seen = points.get("visible")
    sure = None if seen is None else numbers(seen, "'visible' of 'keypoints'", where)
    if x.ndim != 1 or x.shape != y.shape or (sure is not None and sure.shape != x.shape) or not len(x):
        raise InputError(f"{where}: 'keypoints' with {x.size} x, {y.size} y, expected as many")
    score = person.get("confidence")
    return Detection(
        0, np.stack([x, y], axis=1), sure, track=whole_number(person.get("track_id")),
        score=float(score) if isinstance(score, (int, float)) else None,
    )  # fmt: skip


# --- to_csv ---


def _is_csv(head: bytes) -> bool:
    first = head.split(b"\n", 1)[0]
    return b"keypoints" in first and b"box" in first and b"'x'" in head.replace(b'"', b"'")


def _rows(data: bytes, where: str) -> list[tuple[int, list[Detection]]]:
    """(frame, people); the cells of ``keypoints`` hold a mapping as Python or JSON writes it."""
    try:
        rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where}: not readable as CSV ({error})") from None
    pictures: dict[int, list[Detection]] = {}
    for place, row in enumerate(rows):
        column = next((c for c in _FRAME_COLUMNS if c in row), None)
        frame = whole_number(row[column]) if column else 0
        if frame is None:
            raise InputError(
                f"{where}: {column} is {str(row[str(column)])[:40]!r} in row {place + 1}, expected a number"
            )
        try:
            points = json.loads((row.get("keypoints") or "").replace("'", '"'))
            score = float(row["confidence"]) if row.get("confidence") else None
        except (ValueError, RecursionError):
            raise InputError(f"{where}: row {place + 1} has no readable 'keypoints'") from None
        person = {"keypoints": points, "confidence": score, "track_id": row.get("track_id") or None}
        pictures.setdefault(frame, []).append(_person(person, where))
    return sorted(pictures.items())


# --- save_txt ---


def line_shape(data: bytes) -> tuple[int, int, int] | None:
    """(joints, numbers a joint, further numbers) of a line of ``save_txt``; None where the text is something else."""
    line = data.lstrip().split(b"\n", 1)[0]
    try:
        values = [float(v) for v in line.split()]
    except ValueError:
        return None
    if len(values) < 5 + 2 * 5 or values[0] != int(values[0]) or not all(-0.5 <= v <= 1.5 for v in values[1:15]):
        return None
    points = len(values) - 5
    known = sorted(layouts_by_count(2), key=lambda v: v != 17)
    for joints in known:
        for width in (3, 2):
            if 0 <= (more := points - joints * width) <= 2:
                return joints, width, more
    for width in (3, 2):
        if points % width == 0:
            return points // width, width, 0
    return None


def _lines(data: bytes, where: str) -> list[Detection]:
    text = data.strip()
    if not text:
        return []
    shape = line_shape(text)
    if shape is None:
        raise InputError(f"{where}: expected class, box and joints as fractions of the image, as save_txt writes")
    joints, width, more = shape
    try:
        rows = np.array([[float(v) for v in line.split()] for line in text.split(b"\n") if line.strip()])
    except ValueError:
        raise InputError(f"{where}: lines differ in length or hold something that is no number") from None
    if rows.ndim != 2 or rows.shape[1] != 5 + joints * width + more:
        raise InputError(f"{where}: lines differ in length")
    people = []
    for row in rows:
        points = row[5 : 5 + joints * width].reshape(joints, width)
        rest = row[5 + joints * width :]
        # of one further number, a whole one above 0 is a track: a person is hardly ever found with confidence 1
        alone_track = more == 1 and rest[0] >= 1 and rest[0] == int(rest[0])
        track = int(rest[-1]) if more == 2 or alone_track else None
        score = float(rest[0]) if more == 2 or (more == 1 and not alone_track) else None
        people.append(Detection(0, points[:, :2], points[:, 2] if width == 3 else None, track, score))
    return people


FORMAT = Format("ultralytics", "Ultralytics pose: to_json, to_csv, save_txt; a file a picture or video", items, read)

"""COCO keypoints: result lists (AlphaPose and others) and annotation files, pixels.

A result list holds ``{"image_id": ..., "keypoints": [x, y, confidence, ...], "score": ...}`` a detection; an
annotation file ``{"images": [...], "annotations": [...]}``, whose third number is 0 for a joint not labelled.  One
file is one clip, or one a video where the images say so (``video_id``, or the folder of ``image_id`` or
``file_name``).  Track identities (AlphaPose ``idx``, ``track_id``) are kept where they tell the people of every
frame apart; otherwise people are linked here.  The joints are those that ``categories`` name; without names 17 are
COCO's and 26 Halpe's, and of whole-body models (133, 136 joints) the body's 17 or 26 are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detections import (
    UNSURE,
    frames_of,
    hide_missing,
    json_files_with,
    layout_for,
    named_layout,
    other_kind,
    people_clip,
)
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note
from orvpe.poses.people import link_people
from orvpe.poses.skeleton import LAYOUTS, Layout
from orvpe.runtime.room import check_room

_KNOWN = {17: LAYOUTS["coco"], 26: LAYOUTS["halpe"]}
_WHOLE_BODY = {133: 17, 136: 26}
_NUMBER = re.compile(r"(\d{1,15})\D*\Z")


@dataclass(frozen=True)
class _Image:
    """Where a detection's picture belongs: its video ('' for the only one), frame number, (width, height).

    ``words`` are what stands around the number in the file's name: where they differ, so do the videos.
    """

    video: str
    frame: int
    size: tuple[int, int] | None
    words: str = ""


def items(source: Source) -> list[Item]:
    return json_files_with(source, b'"keypoints"', b'"image_id"')


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = read_json(source, name)
    detections = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(detections, list) or not all(isinstance(d, dict) for d in detections):
        raise other_kind(source, f"{where}: no list of detections or 'annotations' in it")
    detections = [d for d in detections if d.get("keypoints")]
    if not detections:
        raise NoSkeleton(f"{where}: no detection with 'keypoints' in it")
    total = len(detections)
    detections = [d for d in detections if not _unsure(d, options.min_confidence)]
    if not detections:
        raise NoSkeleton(f"{where}: no detection has a score of {options.min_confidence:g} (--min-confidence)")
    notes = [Note(UNSURE, total - len(detections), total)] if len(detections) < total else []
    names = _names(data, detections)
    keypoints = _keypoints(detections, where, options.layout)
    images = _told_apart(_images(data, detections, where), [d.get("image_id") for d in detections], where)
    videos: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        videos.setdefault(image.video, []).append(row)

    about = _about(data)
    shown = _shown(data, where) if about else {}
    clips = []
    for video, rows in videos.items():
        place = f"{where}: video {video!r}" if video else where
        try:
            clips.append(
                _clip(keypoints[rows], [detections[r] for r in rows], [images[r] for r in rows],
                      names, options, place, shown.get(video, ()), notes,
                      **{"name": video or stem(name), **about.get(video, {})})
            )  # fmt: skip
        except NoSkeleton:
            continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in any frame")
    return clips


def _clip(
    keypoints: np.ndarray,
    detections: list[dict[str, Any]],
    images: list[_Image],
    names: list[str] | None,
    options: Options,
    where: str,
    shown: Iterable[int],
    notes: list[Note],
    **info: Any,
) -> Clip:
    """One video's detections (N, V, 3)."""
    found = hide_missing(keypoints[..., :2], keypoints[..., 2], options.min_confidence, where)  # (N, V, 2)
    if names is not None and len(names) == keypoints.shape[1]:
        layout, order = named_layout(names, options.layout, where)
        joints = np.full((len(found), len(layout), 2), np.nan, dtype=np.float32)
        joints[:, order] = found
    else:
        layout, joints = layout_for(keypoints.shape[1], _KNOWN, options, where), found
    numbered = frames_of([*(image.frame for image in images), *shown], where)
    at, count = numbered.at[: len(images)], numbered.count
    tracks = _tracks(detections, at)
    if tracks is None:
        order = np.argsort(at, kind="stable")
        edges = np.searchsorted(at[order], np.arange(1, count))
        people = link_people(np.split(joints[order], edges))
    else:
        check_room(max(tracks) + 1, count, joints.shape[1], where)
        people = np.full((max(tracks) + 1, count, *joints.shape[1:]), np.nan, dtype=np.float32)
        people[tracks, at] = joints
    return people_clip(
        people, layout, options, where, image_size=images[0].size, step=numbered.step, notes=notes, **info
    )


def _about(data: Any) -> dict[str, dict[str, Any]]:
    """What ``videos`` say of each video by its id: name, rate, label, subject, camera, split."""
    videos = data.get("videos") if isinstance(data, dict) else None
    found: dict[str, dict[str, Any]] = {}
    for video in videos if isinstance(videos, list) else []:
        if isinstance(video, dict) and "id" in video:
            info = {k: str(video[k]) for k in ("label", "subject", "camera", "split") if video.get(k) is not None}
            name = video.get("name") or str(video.get("file_name") or video["id"]).rsplit(".", 1)[0]
            fps = video.get("fps")
            rate = float(fps) if isinstance(fps, (int, float)) and 0 < fps <= 1e5 else None
            found[str(video["id"])] = {"name": str(name), "fps": rate, **info}
    return found


def _shown(data: Any, where: str) -> dict[str, list[int]]:
    """The frames of each video, those with nobody included."""
    found: dict[str, list[int]] = {}
    for image in data.get("images") or []:
        listed = _listed_image(image, where)
        found.setdefault(listed.video, []).append(listed.frame)
    return found


def _unsure(detection: dict[str, Any], least: float) -> bool:
    """Whether the detection as a whole, not only its joints, has a score that is too low."""
    score = detection.get("score")
    return isinstance(score, (int, float)) and not isinstance(score, bool) and score < least


def _told_apart(images: list[_Image], ids: list[Any], where: str) -> list[_Image]:
    """Images whose videos have names of their own where the names of the files say so.

    Raises:
        InputError: two images that are the same frame of a video.
    """
    words: dict[str, set[str]] = {}
    for image in images:
        words.setdefault(image.video, set()).add(image.words)
    named = [
        replace(i, video="/".join(w for w in (i.video, i.words) if w)) if len(words[i.video]) > 1 else i for i in images
    ]
    first: dict[tuple[str, int], str] = {}
    for image, image_id in zip(named, ids, strict=True):
        other = first.setdefault((image.video, image.frame), str(image_id))
        if other != str(image_id):
            raise InputError(
                f"{where}: images {other[:60]!r} and {str(image_id)[:60]!r} are both frame {image.frame} of one video; "
                "expected a folder or a beginning of its own for the images of each"
            )
    return named


def _names(data: Any, detections: list[dict[str, Any]]) -> list[str] | None:
    """The joints' names, where the categories of all detections say the same ones."""
    categories = data.get("categories") if isinstance(data, dict) else None
    if not isinstance(categories, list):
        return None
    named = {
        str(c.get("id")): [str(n) for n in c["keypoints"]]
        for c in categories
        if isinstance(c, dict) and isinstance(c.get("keypoints"), list) and c["keypoints"]
    }
    used = {str(d.get("category_id", next(iter(named), ""))) for d in detections}
    of_these = [names for category, names in named.items() if category in used] or list(named.values())
    return of_these[0] if of_these and all(names == of_these[0] for names in of_these) else None


def _keypoints(detections: list[dict[str, Any]], where: str, wanted: Layout | None) -> np.ndarray:
    """(N, V, 3): x, y and confidence; the body's joints of a whole-body model, unless its whole layout is given."""
    try:
        flat = np.array([d["keypoints"] for d in detections], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: 'keypoints' differ in length or hold something that is no number") from None
    if flat.ndim == 3 and flat.shape[2] in (2, 3):  # [[x, y, c], ...] says the same
        sure = np.ones((*flat.shape[:2], 3 - flat.shape[2]))
        flat = np.concatenate([flat, sure], axis=2).reshape(len(flat), -1)
    if flat.ndim != 2 or flat.shape[1] % 3:
        raise InputError(f"{where}: 'keypoints' has shape {flat.shape[1:]}, expected 3 numbers a joint")
    keypoints = flat.reshape(len(flat), -1, 3)
    count = keypoints.shape[1]
    whole = wanted is not None and len(wanted) == count
    return keypoints[:, : count if whole else _WHOLE_BODY.get(count, count)]


def _images(data: Any, detections: list[dict[str, Any]], where: str) -> list[_Image]:
    """The picture of every detection."""
    listed: dict[Hashable, _Image] = {}
    try:
        if isinstance(data, dict):
            for image in data.get("images") or []:
                listed[image["id"]] = _listed_image(image, where)
        return [
            listed[d["image_id"]] if d["image_id"] in listed else _named_image(d["image_id"], where) for d in detections
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: an image or detection without 'id' or 'image_id'") from None


def _named_image(image_id: Any, where: str) -> _Image:
    """A frame number, or a file name that ends in one."""
    folder, _, file = str(image_id).replace("\\", "/").rpartition("/")
    number = _NUMBER.search(stem(file))
    if number is None:
        raise InputError(f"{where}: image_id {str(image_id)[:60]!r} has no frame number")
    words = (stem(file)[: number.start(1)] + stem(file)[number.end(1) :]).strip("_-. ")
    return _Image(folder, int(number[1]), None, words)


def _listed_image(image: dict[str, Any], where: str) -> _Image:
    named = _named_image(image.get("file_name") or image["id"], where)
    video = str(image["video_id"]) if "video_id" in image else named.video
    size = (int(image["width"]), int(image["height"])) if "width" in image and "height" in image else None
    words = "" if "video_id" in image else named.words
    return _Image(video, int(image.get("frame_id", named.frame)), size, words)


def _tracks(detections: list[dict[str, Any]], at: np.ndarray) -> list[int] | None:
    """Each detection's person as an index; None where the file has no identities that tell people apart."""
    people: dict[str, int] = {}
    tracks = []
    for detection in detections:
        identity = detection.get("track_id", detection.get("idx"))
        while isinstance(identity, list) and identity:
            identity = identity[0]
        if not isinstance(identity, (int, float)) or not math.isfinite(identity):
            return None
        tracks.append(people.setdefault(str(int(identity)), len(people)))
    if len(set(zip(tracks, at.tolist(), strict=True))) < len(tracks):
        return None  # AlphaPose without tracking numbers everybody 0
    return tracks


FORMAT = Format("coco", "COCO keypoints: AlphaPose and other result lists, annotation files, pixels", items, read)

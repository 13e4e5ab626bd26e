"""What pose estimators return in Python, as the arguments of a clip.

Ultralytics, MediaPipe, MMPose, rtmlib, supervision and pose-format.

None of these packages is imported: an object is read by the attributes that its library documents.  All functions take
the results of one video in order, one a frame (pose-format: the whole), and link people over the frames where no
tracker has separated them.  `orvpe.poses.clip.Clip` has a method for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.people import link_people
from orvpe.poses.skeleton import Layout, get_layout, layout_for_names, layouts_by_count, unified_sources

MIN_CONFIDENCE = 0.1


@dataclass(frozen=True)
class Found:
    """The people of one frame: joints (P, V, C), confidence (P, V) or None, identities (P,) or None."""

    joints: np.ndarray
    confidence: np.ndarray | None = None
    ids: Sequence[int] | None = None


def from_ultralytics(
    results: Any, layout: str | Layout | None = None, min_confidence: float = MIN_CONFIDENCE
) -> dict[str, Any]:
    """Of Ultralytics' ``Results`` (``keypoints.xy``, ``keypoints.conf``, ``boxes.id``, ``orig_shape``), pixels."""
    frames: list[Found] = []
    size: tuple[int, int] | None = None
    for result in _listed(results, "keypoints"):
        height, width = result.orig_shape
        size = size or (int(width), int(height))
        points = getattr(result, "keypoints", None)
        joints = np.zeros((0, 0, 2)) if points is None else _array(points.xy)
        sure = None if points is None or points.conf is None else _array(points.conf)
        boxes = getattr(result, "boxes", None)
        ids = getattr(boxes, "id", None)
        frames.append(Found(joints, sure, None if ids is None else [int(i) for i in _array(ids)]))
    return {**_people(frames, layout, min_confidence, "Ultralytics' results"), "image_size": size}


def from_mediapipe(
    results: Any,
    world: bool = True,
    image_size: tuple[int, int] | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> dict[str, Any]:
    """Of MediaPipe's pose results (tasks, or the older solutions), ``pose_world_landmarks`` or ``pose_landmarks``.

    World landmarks are metres, turned so that y is up; those in the image are fractions, made pixels by ``image_size``.
    """
    if not world and image_size is None:
        raise InputError("image_size is not given; MediaPipe's landmarks in the image are fractions of its size")
    key = "pose_world_landmarks" if world else "pose_landmarks"
    frames = []
    for result in _listed(results, "pose_landmarks"):
        people = getattr(result, key) or []
        people = [people.landmark] if hasattr(people, "landmark") else people  # the older solutions know one person
        points = np.array([[(p.x, p.y, p.z) for p in person] for person in people], dtype=np.float64)
        sure = np.array([[_or_one(p.visibility) for p in person] for person in people], dtype=np.float64)
        points = points.reshape(len(people), points.shape[1] if points.ndim > 1 else 0, 3)
        joints = points * (1.0, -1.0, -1.0) if world else points[..., :2] * np.array(image_size)
        frames.append(Found(joints, sure))
    found = _people(frames, "mediapipe", min_confidence, "MediaPipe's results", origin_is_missing=False)
    return {**found, "image_size": None if world else image_size}


def from_mmpose(
    results: Any, layout: str | Layout | Sequence[str] | None = None, min_confidence: float = MIN_CONFIDENCE
) -> dict[str, Any]:
    """Of MMPose: ``PoseDataSample`` (``pred_instances``), or what an inferencer yields (``predictions``), pixels.

    Args:
        layout: a layout, or the joints' names in the model's order (``dataset_meta["keypoint_id2name"].values()``).
    """
    frames = []
    for result in _listed(results, "pred_instances"):
        if hasattr(result, "pred_instances"):
            people = result.pred_instances
            joints, sure = _array(people.keypoints), _array(people.keypoint_scores)
            ids = getattr(result, "track_id", None)
            frames.append(Found(joints, sure, None if ids is None else [int(i) for i in np.atleast_1d(_array(ids))]))
            continue
        listed = result["predictions"] if isinstance(result, dict) else result
        if len(listed) and isinstance(listed[0], list):  # an inferencer's batch of one picture
            listed = listed[0]
        joints = np.array([p["keypoints"] for p in listed], dtype=np.float64)
        sure = np.array([p["keypoint_scores"] for p in listed], dtype=np.float64)
        ids = [p["track_id"] for p in listed] if listed and all("track_id" in p for p in listed) else None
        frames.append(Found(joints, sure, ids))
    return _people(frames, layout, min_confidence, "MMPose's results")


def from_rtmlib(
    keypoints: Any, scores: Any, layout: str | Layout | None = None, min_confidence: float = MIN_CONFIDENCE
) -> dict[str, Any]:
    """Of rtmlib's ``keypoints`` (P, V, 2) and ``scores`` (P, V) of each frame, in lists or stacked, pixels."""
    if len(keypoints) != len(scores):
        raise InputError(f"rtmlib's results: {len(keypoints)} frames of keypoints, but {len(scores)} of scores")
    frames = [Found(_array(k), _array(s)) for k, s in zip(keypoints, scores, strict=True)]
    return _people(frames, layout, min_confidence, "rtmlib's results")


def from_supervision(
    key_points: Any,
    tracker_ids: Sequence[Any] | None = None,
    layout: str | Layout | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> dict[str, Any]:
    """Of supervision's ``KeyPoints`` (``xy``, ``confidence`` or ``keypoint_confidence``), pixels.

    Args:
        tracker_ids: ``Detections.tracker_id`` of each frame, where the people were tracked.
    """
    listed = list(_listed(key_points, "xy"))
    if tracker_ids is not None and len(tracker_ids) != len(listed):
        raise InputError(f"tracker_ids of {len(tracker_ids)} frames for {len(listed)} frames of key points")
    frames = []
    for t, found in enumerate(listed):
        sure = getattr(found, "keypoint_confidence", None)
        sure = getattr(found, "confidence", None) if sure is None else sure
        ids = None if tracker_ids is None or tracker_ids[t] is None else [int(i) for i in _array(tracker_ids[t])]
        frames.append(Found(_array(found.xy), None if sure is None else _array(sure), ids))
    return _people(frames, layout, min_confidence, "supervision's key points")


def from_pose_format(pose: Any, world: bool = False, min_confidence: float = MIN_CONFIDENCE) -> dict[str, Any]:
    """Of pose-format's ``Pose``: its component with most joints of the body, in pixels, or in the world in metres.

    Args:
        world: take ``POSE_WORLD_LANDMARKS``, turned so that y is up, instead of the landmarks in the image.
    """
    parts = []  # (joints of the body, component's first point, layout)
    begin = 0
    for component in pose.header.components:
        names = [str(p) for p in component.points]
        if ("WORLD" in component.name.upper()) == world and (layout := _body(names)):
            parts.append((len(unified_sources(layout)), begin, layout))
        begin += len(names)
    if not parts:
        known = ", ".join(str(c.name) for c in pose.header.components)
        raise InputError(f"pose-format: no component with joints of a body, found {known or 'none'}")
    _, begin, layout = max(parts, key=lambda p: p[0])
    own = slice(begin, begin + len(layout))
    data = np.ma.filled(np.ma.asarray(pose.body.data).astype(np.float64), np.nan)[:, :, own]  # (T, P, V, C)
    sure = _array(pose.body.confidence)[:, :, own].astype(np.float64)
    sure = np.where(np.isnan(data).any(axis=-1), 0.0, sure)
    joints = data[..., :3] * (1.0, -1.0, -1.0) if world else data[..., :2]
    # the file's people are tracks already
    hidden = ~(sure >= min_confidence) | ~(sure > 0) | ~np.isfinite(joints).all(axis=-1)
    joints = np.where(hidden[..., None], np.nan, joints).transpose(1, 0, 2, 3)
    size = pose.header.dimensions
    image = (int(size.width), int(size.height)) if not world and size.width and size.height else None
    return {**_arguments(joints, layout, "pose-format"), "image_size": image, "fps": float(pose.body.fps) or None}


def _body(names: list[str]) -> Layout | None:
    """The layout of these names, if there are legs or arms among them."""
    layout = layout_for_names(names)
    return layout if len(unified_sources(layout)) >= 6 else None


# --- from frames to a clip ---


def _people(
    frames: Sequence[Found],
    layout: str | Layout | Sequence[str] | None,
    min_confidence: float,
    what: str,
    *,
    origin_is_missing: bool = True,
) -> dict[str, Any]:
    """The arguments of a clip with the people of these frames."""
    shapes = {f.joints.shape[1:] for f in frames if len(f.joints)}
    if len(shapes) != 1:
        there = "nobody in any frame" if not shapes else f"people of shapes {sorted(shapes)}"
        raise InputError(f"{what}: {there}, expected people with the same joints")
    ((count, dims),) = shapes
    known = _layout(layout, count, dims, what)
    poses = []
    for t, f in enumerate(frames):
        joints: np.ndarray = np.array(f.joints, dtype=np.float64).reshape(-1, count, dims)
        missing: np.ndarray = ~np.isfinite(joints).all(axis=-1)
        if origin_is_missing:
            missing |= (joints == 0).all(axis=-1)
        if f.confidence is not None:
            sure = np.array(f.confidence, dtype=np.float64)
            if sure.size != joints.size // dims:
                raise InputError(f"{what}: frame {t} has scores of shape {sure.shape}, expected {joints.shape[:2]}")
            sure = sure.reshape(joints.shape[:2])
            missing |= ~(sure >= min_confidence) | ~(sure > 0)
        poses.append(np.where(missing[..., None], np.nan, joints))
    tracked = all(not len(p) or (f.ids is not None and len(set(f.ids)) == len(p) == len(f.ids))
                  for f, p in zip(frames, poses, strict=True))  # fmt: skip
    if tracked:
        person = {i: m for m, i in enumerate(dict.fromkeys(i for f in frames for i in f.ids or ()))}
        people = np.full((len(person), len(frames), count, dims), np.nan)
        for t, (f, found) in enumerate(zip(frames, poses, strict=True)):
            people[[person[i] for i in f.ids or ()], t] = found
    else:
        people = link_people(poses)
    return _arguments(people, known, what)


def _arguments(people: np.ndarray, layout: Layout, what: str) -> dict[str, Any]:
    visible: np.ndarray = np.isfinite(people).all(axis=-1)  # (M, T, V)
    there = visible.any(axis=(1, 2))
    if not there.any():
        raise InputError(f"{what}: nobody in any frame")
    joints = np.where(visible[..., None], people, 0.0)[there].astype(np.float32)
    return {"joints": joints, "visible": visible[there], "layout": layout}


def _layout(layout: str | Layout | Sequence[str] | None, count: int, dims: int, what: str) -> Layout:
    if layout is None:
        known = layouts_by_count(dims).get(count)
        if known is None:
            raise InputError(f"{what}: {count} joints a person, which several layouts have or none; give layout")
        return known
    found = get_layout(layout) if isinstance(layout, (str, Layout)) else layout_for_names([str(n) for n in layout])
    if len(found) != count:
        raise InputError(f"{what}: {count} joints a person, but layout {found.name!r} has {len(found)}")
    return found


def _array(values: Any) -> np.ndarray:
    """Of a torch tensor on any device, or whatever numpy takes."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def _listed(results: Any, attribute: str) -> Iterable[Any]:
    """The results of the frames; a single one counts as a video of one frame."""
    return [results] if hasattr(results, attribute) else results


def _or_one(value: float | None) -> float:
    return 1.0 if value is None else float(value)

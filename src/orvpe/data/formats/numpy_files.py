"""Arrays of poses as people save them: npy or npz of keypoints and scores, VideoPose3D's and HumanML3D's files.

``keypoints`` (frames, [people,] joints, 2 or 3) and optionally ``scores`` (the same without the last) in an npz, as
arrays of rtmlib are saved; an npy of that shape, with ``<name>_scores.npy`` or ``scores.npy`` next to it; a third
number between 0 and 1 next to pixels is a score.  HumanML3D's ``new_joints/*.npy`` are (frames, 22, 3) at 20 frames
per second in metres.  VideoPose3D's npz map subjects and actions to arrays (``positions_2d`` with cameras,
``positions_3d``).

The number of joints says the layout where it means one; 17 joints in space need ``--joints h36m`` or another.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from orvpe.data.formats import npy
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix, those_that
from orvpe.data.formats.detected import Detection, detected_clip
from orvpe.data.formats.detections import layout_for
from orvpe.data.formats.gate import SCORE, third_is_score
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, Layout, layouts_by_count

_KEYS = ("keypoints", "kpts", "keypoint", "poses", "pose", "arr_0")
_SCORES = ("scores", "score", "keypoint_scores", "keypoint_score", "confidence", "conf")
_NESTED = ("positions_2d", "positions_3d")
_FEATURES = {263: "HumanML3D's features, not joints; give its folder new_joints",
             251: "KIT-ML's features, not joints; give its folder new_joints"}  # fmt: skip
_HOLISTIC = (543, 553)  # MediaPipe's body, hands and face, as FreeMoCap and others save them: the body comes first
_HUMANML_FPS = 20.0
_H36M_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)  # of Human3.6M's 32, h36m's 17


def items(source: Source) -> list[Item]:
    """(file[, its scores])."""
    arrays = [n for n in by_suffix(source, ".npy") if not _is_scores(n)]
    found: list[Item] = []
    for name in those_that(arrays, lambda n: _is_poses(source, n)):
        beside = _beside(source, name)
        found.append((name, beside) if beside else (name,))
    return found + [(n,) for n in those_that(by_suffix(source, ".npz"), lambda n: _has_poses(source, n))]


def _is_poses(source: Source, name: str) -> bool:
    head = npy.header(source, name)
    if head is None or head[1].kind not in "iuf":
        return False
    shape = head[0]
    return (len(shape) in (3, 4) and shape[-1] in (2, 3)) or (len(shape) == 2 and shape[1] in _FEATURES)


def _has_poses(source: Source, name: str) -> bool:
    keys = npy.members(source, name)
    return any(k in keys for k in (*_KEYS, *_NESTED)) and "joints" not in keys


def _is_scores(name: str) -> bool:
    last = stem(name).lower()
    return any(last == s or last.endswith(f"_{s}") for s in _SCORES)


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    if name.lower().endswith(".npy"):
        array = npy.load(source, name)
        score = npy.load(source, item[1]) if len(item) > 1 else None
        fps = _HUMANML_FPS if array.ndim == 3 and array.shape[1:] in ((22, 3), (21, 3)) else None
        return [_clip(array, score, options, where, name=stem(name), fps=options.fps or fps)]
    keys = npy.members(source, name)
    nested = next((k for k in _NESTED if k in keys), None)
    if nested:
        return _subjects(npy.load(source, name, nested), 2 if nested == "positions_2d" else 3, options, where)
    key = next((k for k in _KEYS if k in keys), None)
    if key is None:
        raise InputError(f"{where}: no 'keypoints' in it, found {', '.join(map(repr, keys[:6])) or 'nothing'}")
    scored = next((k for k in _SCORES if k in keys), None)
    score = npy.load(source, name, scored) if scored else None
    return [_clip(npy.load(source, name, key), score, options, where, name=stem(name))]


_names_of: WeakKeyDictionary[Source, frozenset[str]] = WeakKeyDictionary()


def _names(source: Source) -> frozenset[str]:
    if source not in _names_of:
        _names_of[source] = frozenset(source.names)
    return _names_of[source]


def _beside(source: Source, name: str) -> str | None:
    folder, slash, _ = name.rpartition("/")
    names = _names(source)
    own = stem(name).removesuffix("_keypoints").removesuffix("keypoints")
    for s in _SCORES:
        for candidate in (f"{stem(name)}_{s}", f"{own}_{s}" if own else s, *([s] if not own else [])):
            path = f"{folder}{slash}{candidate}.npy"
            if path != name and path in names:
                return path
    return None


def _clip(array: Any, score: Any, options: Options, where: str, *, name: str, **info: Any) -> Clip:
    """A clip of (T, V, C) or (T, M, V, C); people are linked, as estimators list them again in each frame."""
    if isinstance(array, list) or (isinstance(array, np.ndarray) and array.dtype == object):
        array, score = _ragged(array, score, where)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise InputError(f"{where}: expected an array of numbers (frames, [people,] joints, 2 or 3)")
    if array.ndim == 2 and array.shape[1] in _FEATURES:
        raise InputError(f"{where}: {array.shape[1]} numbers a frame are {_FEATURES[array.shape[1]]}")
    joints = array[:, None] if array.ndim == 3 else array
    if joints.ndim != 4 or joints.shape[-1] not in (2, 3) or not joints.size:
        raise InputError(f"{where}: shape {array.shape}, expected (frames, [people,] joints, 2 or 3)")
    if joints.shape[2] in _HOLISTIC and options.layout is None:
        joints = joints[:, :, :33]
    joints = joints.astype(np.float64)
    notes = []
    if score is None and third_is_score(joints):
        joints, score = joints[..., :2], joints[..., 2]
        notes.append(SCORE)
    if score is not None:
        score = np.asarray(score)
        if score.dtype.kind not in "biuf" or score.size != joints.size // joints.shape[-1]:
            raise InputError(f"{where}: scores have shape {score.shape}, expected {joints.shape[:-1]}")
        score = score.astype(np.float64).reshape(joints.shape[:-1])
    layout = layout_for(joints.shape[2], layouts_by_count(joints.shape[3]), options, where)
    if joints.shape[1] == 1:  # one person: nothing to link
        found = [
            Detection(t, joints[t, 0], None if score is None else score[t, 0], track=0) for t in range(len(joints))
        ]
    else:
        there = np.isfinite(joints).any(axis=(2, 3)) & (np.nan_to_num(joints) != 0).any(axis=(2, 3))
        found = [Detection(int(t), joints[t, m], None if score is None else score[t, m]) for t, m in np.argwhere(there)]
    in_pixels = joints.shape[-1] == 2
    return detected_clip(
        found,
        layout,
        options,
        where,
        frames=range(len(joints)),
        origin_is_missing=in_pixels,
        name=name,
        notes=notes,
        **info,
    )


def _ragged(array: Any, score: Any, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A list of (people, joints, C), one a frame, as one array with NaN for who is not there."""
    try:
        frames = [np.atleast_3d(np.asarray(f, dtype=np.float64)) for f in list(array)]
        scores = None if score is None else [np.atleast_2d(np.asarray(s, dtype=np.float64)) for s in list(score)]
        most = max((len(f) for f in frames), default=0)
        tail = next(f.shape[1:] for f in frames if f.size)
        full = np.full((len(frames), max(most, 1), *tail), np.nan)
        for t, f in enumerate(frames):
            if f.size:
                full[t, : len(f)] = f
        if scores is None:
            return full, None
        sure = np.zeros(full.shape[:3])
        for t, s in enumerate(scores):
            if s.size:
                sure[t, : len(s)] = s
        return full, sure
    except (ValueError, TypeError, StopIteration, IndexError):
        raise InputError(f"{where}: expected for each frame an array (people, joints, 2 or 3)") from None


def _subjects(data: Any, dims: int, options: Options, where: str) -> list[Clip]:
    """VideoPose3D: {subject: {action: (T, V, 3), or [a camera each: (T, V, 2)]}}."""
    if isinstance(data, np.ndarray) and data.shape == ():
        data = data.item()
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected subjects, each with actions, as VideoPose3D writes")
    clips = []
    for subject, actions in data.items():
        if not isinstance(actions, dict):
            raise InputError(f"{where}: subject {str(subject)[:40]!r} is no mapping of actions")
        for action, views in actions.items():
            several = isinstance(views, (list, tuple))
            for camera, view in enumerate(views if several else [views]):
                place = f"{where}: {subject} {action}" + (f", camera {camera}" if several else "")
                joints = np.asarray(view)
                if joints.dtype.kind not in "iuf" or joints.ndim != 3 or joints.shape[-1] not in (2, 3):
                    raise InputError(f"{place}: shape {joints.shape}, expected (frames, joints, {dims})")
                own, layout = _h36m(joints[..., :dims], options)
                info = {"subject": str(subject), "camera": str(camera) if several else None, "label": str(action)}
                known = options if layout is None else _with_layout(options, layout)
                name = f"{subject}_{action}" + (f"_{camera}" if several else "")
                try:
                    clips.append(_clip(own, None, known, place, name=name, **info))
                except NoSkeleton:
                    continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in it")
    return clips


def _h36m(joints: np.ndarray, options: Options) -> tuple[np.ndarray, Layout | None]:
    """Human3.6M's 32 or 17 joints in space; keypoints in images are COCO's 17, by the number."""
    if options.layout is None and joints.shape[-1] == 3:
        if joints.shape[1] == 32:
            return joints[:, _H36M_32], LAYOUTS["h36m"]
        if joints.shape[1] == 17:
            return joints, LAYOUTS["h36m"]
    return joints, None


def _with_layout(options: Options, layout: Layout) -> Options:
    from dataclasses import replace

    return replace(options, layout=layout)


FORMAT = Format("numpy", "npy or npz of keypoints and scores; VideoPose3D's and HumanML3D's arrays", items, read)

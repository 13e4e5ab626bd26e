"""pyskl and MMAction2 skeleton pickles: ``{"split": {name: [frame_dir, ...]}, "annotations": [...]}``.

An annotation holds ``frame_dir``, ``label``, ``keypoint`` (M, T, V, C) and often ``keypoint_score`` (M, T,
V), ``img_shape`` (height, width).  C = 2 are pixels, C = 3 metres.  A bare list of annotations is read too.

A file may hold several splits (``xsub_train``, ``xsub_val``, ``xset_train``, ...).  A clip has one: that of
the first name ending in "train" and of those that begin alike.  Where there is only one other half it is
called "test", since "val" is what these files call the part on which results are reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import safe_pickle
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix, those_that
from orvpe.data.formats.detections import hide_missing, in_layout, layout_for, named_layout, people_clip
from orvpe.data.formats.gate import SCORE, third_is_score
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note
from orvpe.poses.skeleton import LAYOUTS, layouts_by_count

PART_BYTES = 8_000_000  # what one item covers; NTU's 2D pickle of 1 GB makes 130 of them
_KNOWN = {
    2: {len(LAYOUTS[n]): LAYOUTS[n] for n in ("coco", "openpose_18", "halpe", "coco_wholebody", "halpe_136")},
    3: layouts_by_count(3),
}
_OURS = re.compile(rb"keypoint|annotations|split|frame_dir")  # keys of it, of which one is in the first bytes
_OPENCAP = "OutputPkl/"  # of OpenCap: detections as a list of lists, whose joints are in the TRC next to it
_NTU_NAME = re.compile(r"S\d{3}(C\d{3})(P\d{3})R\d{3}A\d{3}")


def items(source: Source) -> list[Item]:
    """(file, part, parts): a file is cut by its size, so that it need not be unpickled to be listed."""
    found: list[Item] = []
    names = by_suffix(source, ".pkl", ".pickle")
    for name in names if len(source.names) == 1 else those_that(names, lambda n: _is_ours(source, n)):
        parts = 1 + source.size(name) // PART_BYTES
        found += [(name, str(part), str(parts)) for part in range(parts)]
    return found


def _is_ours(source: Source, name: str) -> bool:
    """Whether a pickle among other files may be one; a damaged one is, and reading it says what is wrong."""
    head = source.head(name)
    return _OPENCAP not in name and (_OURS.search(head) is not None or not head.startswith(b"\x80"))


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name, part, parts = item[0], int(item[1]), int(item[2])
    where = source.where(name)
    stat = source.path.stat() if source.path.is_file() else (source.path / name).stat()
    annotations, split, names = _contents(source.path, name, stat.st_mtime_ns, stat.st_size)
    start, stop = (len(annotations) * edge // parts for edge in (part, part + 1))
    clips = []
    for number in range(start, stop):
        try:
            clips.append(_clip(annotations[number], split, names, f"{where}: annotation {number}", options))
        except NoSkeleton:
            continue
    if start < stop and not clips:
        raise NoSkeleton(f"{where}: nobody in annotations {start} to {stop - 1}")
    return clips


@dataclass(frozen=True)
class _Names:
    """What `orvpe.data.writers.pyskl` adds to the file: names of the joints, and of the labels' numbers."""

    joints: list[str] | None
    labels: list[str] | None

    def label(self, value: Any) -> str | None:
        if self.labels is not None and isinstance(value, int) and 0 <= value < len(self.labels):
            return self.labels[value]
        return None if value is None else str(value)


@lru_cache(maxsize=1)
def _contents(path: Path, name: str, mtime_ns: int, size: int) -> tuple[list[Any], dict[str, str], _Names]:
    """Annotations, {frame_dir: split} and names; the last file stays loaded for the other parts a process reads."""
    source = Source(path)
    where = source.where(name)
    data = safe_pickle.load(source.read(name), where)
    annotations = data.get("annotations") if isinstance(data, dict) else data
    if isinstance(data, dict) and annotations is None and "keypoint" in data:
        annotations = [data]  # one video alone, as MMAction2's extraction writes it
    elif isinstance(data, dict) and annotations is None and data and all(map(_is_annotation, data.values())):
        annotations = [{"frame_dir": str(name), **one} for name, one in data.items()]
    elif isinstance(data, np.ndarray) or (isinstance(data, dict) and annotations is None and "keypoints" in data):
        annotations = [_bare(data, stem(name))]
    if not isinstance(annotations, list):
        held = f"keys {', '.join(map(repr, list(data)[:6]))}" if isinstance(data, dict) else type(data).__name__
        raise InputError(f"{where}: no list of 'annotations', found {held}")
    if not annotations:
        raise InputError(f"{where}: empty, no annotation in it")
    more = data if isinstance(data, dict) else {}
    return (
        annotations,
        _splits(more.get("split"), where),
        _Names(*(_texts(more, k) for k in ("joint_names", "label_names"))),
    )


def _bare(data: Any, name: str) -> dict[str, Any]:
    """An annotation of an array alone, or of ``keypoints`` and ``scores``, frames before people."""
    score = None
    if isinstance(data, dict):
        score = data.get("scores", data.get("keypoint_scores"))
        data = data["keypoints"]
    keypoint = np.asarray(data)
    if keypoint.ndim == 4 and keypoint.shape[0] > keypoint.shape[1]:
        keypoint = keypoint.swapaxes(0, 1)
        score = None if score is None else np.asarray(score).swapaxes(0, 1)
    return {"frame_dir": name, "keypoint": keypoint, **({} if score is None else {"keypoint_score": score})}


def _texts(data: dict[str, Any], key: str) -> list[str] | None:
    values = data.get(key)
    return [str(v) for v in values] if isinstance(values, (list, tuple)) and values else None


def _splits(split: Any, where: str) -> dict[str, str]:
    if split is None:
        return {}
    if not isinstance(split, dict) or not all(isinstance(v, (list, tuple, set)) for v in split.values()):
        raise InputError(f"{where}: 'split' is no mapping of names to lists of frame_dir")
    lists = {str(key): names for key, names in split.items()}
    first = next((key for key in lists if key.endswith("train")), None)
    if first is None:
        return {}
    begin = first[: -len("train")]
    halves = {half: lists[begin + half] for half in ("train", "val", "test") if begin + half in lists}
    if set(halves) == {"train", "val"}:
        halves["test"] = halves.pop("val")
    return {str(name): half for half, names in halves.items() for name in names}


def _clip(annotation: Any, split: dict[str, str], names: _Names, where: str, options: Options) -> Clip:
    if not isinstance(annotation, dict) or "keypoint" not in annotation:
        raise InputError(f"{where}: no 'keypoint' in it")
    name = str(annotation.get("frame_dir", ""))
    where = f"{where} ({name!r})"
    keypoint = _floats(annotation["keypoint"], "keypoint", where)
    score = annotation.get("keypoint_score")
    score = None if score is None else _floats(score, "keypoint_score", where)
    notes: list[Note] = []
    keypoint, score = _in_order(keypoint, score, annotation.get("total_frames"), where, notes)
    if keypoint.ndim != 4 or keypoint.shape[-1] not in (2, 3):
        raise InputError(f"{where}: 'keypoint' has shape {keypoint.shape}, expected (people, frames, joints, 2 or 3)")
    if not all(keypoint.shape[:2]):
        raise NoSkeleton(f"{where}: 'keypoint' has shape {keypoint.shape}")
    if score is not None and score.shape != keypoint.shape[:3]:
        raise InputError(f"{where}: 'keypoint_score' has shape {score.shape}, expected {keypoint.shape[:3]}")
    if score is None and third_is_score(keypoint):
        keypoint, score = keypoint[..., :2], keypoint[..., 2]
        notes.append(SCORE)
    size = annotation.get("img_shape", annotation.get("original_shape"))
    ntu = _NTU_NAME.search(name)
    label = annotation.get("label")
    joints = hide_missing(keypoint, score, options.min_confidence, where)
    if names.joints is not None and len(names.joints) == keypoint.shape[2]:
        layout, order = named_layout(names.joints, options.layout, where)
        joints = in_layout(joints, layout, order)
    else:
        layout = layout_for(keypoint.shape[2], _KNOWN[keypoint.shape[3]], options, where)
    fps = annotation.get("fps")
    return people_clip(
        joints,
        layout,
        options,
        where,
        name=name,
        image_size=_image_size(size, where) if size is not None else None,
        fps=float(fps) if isinstance(fps, (int, float)) and 0 < fps <= 1e5 else None,
        label=names.label(label),
        subject=ntu[2] if ntu else None,
        camera=ntu[1] if ntu else None,
        split=split.get(name),
        notes=notes,
    )


def _is_annotation(value: Any) -> bool:
    return isinstance(value, dict) and "keypoint" in value


def _in_order(
    keypoint: np.ndarray, score: np.ndarray | None, total: Any, where: str, notes: list[Note]
) -> tuple[np.ndarray, np.ndarray | None]:
    """(M, T, V, C) and (M, T, V), whatever the order and the padding in the file; ``total`` is its total_frames."""
    frames = int(total) if isinstance(total, (int, np.integer)) and total > 0 else None
    if keypoint.ndim == 4 and keypoint.shape[-1] not in (2, 3) and keypoint.shape[0] in (2, 3):  # ST-GCN's order
        keypoint = keypoint.transpose(3, 1, 2, 0)
        notes.append(Note("keypoint is in the order coordinate, frame, joint, person"))
    if keypoint.ndim == 3:
        keypoint = keypoint[None]
        score = score[None] if score is not None and score.ndim == 2 else score
    if keypoint.ndim == 4 and frames is None and keypoint.shape[1]:  # zeros at the end are padding
        there = np.flatnonzero(np.nan_to_num(keypoint).any(axis=(0, 2, 3)))
        last = int(there[-1]) + 1 if len(there) else keypoint.shape[1]
        if last < keypoint.shape[1]:
            notes.append(Note("frames of zeros at the end, of padding, are left out"))
            keypoint, score = keypoint[:, :last], score if score is None else score[:, :last]
    if keypoint.ndim != 4 or frames is None:
        return keypoint, score
    shape = keypoint.shape
    if shape[1] != frames and frames in (shape[0], shape[2]):
        axes = (1, 0, 2) if shape[0] == frames else (0, 2, 1)
        keypoint = keypoint.transpose(*axes, 3)
        score = score.transpose(axes) if score is not None and score.shape == shape[:3] else score
        order = "frame, person, joint" if shape[0] == frames else "person, joint, frame"
        notes.append(Note(f"keypoint is in the order {order}, as total_frames says"))
    elif shape[1] > frames:
        rest = np.nan_to_num(keypoint[:, frames:])
        keypoint, score = keypoint[:, :frames], score if score is None else score[:, :frames]
        kind = "with people in them" if rest.any() else "of padding"
        notes.append(Note(f"frames after total_frames, {kind}, are left out"))
    elif shape[1] < frames:
        notes.append(Note("fewer frames than total_frames says"))
    return keypoint, score


def _floats(values: Any, key: str, where: str) -> np.ndarray:
    try:
        return np.asarray(np.asarray(values), dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {key!r} is ragged or holds something that is no number") from None


def _image_size(size: Any, where: str) -> tuple[int, int]:
    try:
        height, width = (int(n) for n in size)
    except (TypeError, ValueError):
        raise InputError(f"{where}: 'img_shape' is {str(size)[:40]}, expected (height, width)") from None
    return width, height


FORMAT = Format("pyskl", "pyskl or MMAction2 pickle of many clips (restricted unpickler)", items, read)

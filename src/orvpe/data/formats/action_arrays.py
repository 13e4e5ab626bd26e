"""The padded arrays that graph-convolution code trains on: CTR-GCN's npz, and 2s-AGCN's and ST-GCN's npy with labels.

CTR-GCN: ``x_train``, ``x_test`` (N, T, people x joints x 3) and ``y_train``, ``y_test`` (N, classes), one-hot.
2s-AGCN, ST-GCN: ``train_data_joint.npy`` or ``train_data.npy`` (N, 3, T, joints, people) and ``train_label.pkl``,
the pair (names, labels); ``val`` is what these call the half on which results are reported.  Of its derived streams
(bone, motion) nothing is read.

The end of a clip is where the last person is.  A joint at 0 0 0 is missing, unless it is so in all frames of
somebody: then the data was centred on it.  18 joints are Kinetics-skeleton: fractions of the image minus a half,
and a score.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import npy, safe_pickle
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix, those_that
from orvpe.data.formats.detections import hide_missing, layout_for, people_clip
from orvpe.data.formats.kinetics import IMAGE_SIZE
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, layouts_by_count

CLIPS = 200  # an item
_NPY = re.compile(r"(?:.*[/_])?(train|val|test|eval)_?(?:data(?:_joint)?|joint|x)\.npy\Z", re.IGNORECASE)
_DERIVED = re.compile(r"(bone|motion)[^/]*\.npy\Z", re.IGNORECASE)
_SPLITS = {"val": "test", "eval": "test"}
_NTU_NAME = re.compile(r"S\d{3}(C\d{3})(P\d{3})R\d{3}A\d{3}")
_KINETICS = 18


def items(source: Source) -> list[Item]:
    """(file, key or '', first, stop[, its pickle of labels])."""
    found: list[Item] = []
    for name in those_that(by_suffix(source, ".npy"), lambda n: _is_padded(source, n)):
        head = npy.header(source, name)
        if head:
            labels = _labels_beside(source, name)
            found += [(*run, labels) if labels else run for run in _runs(name, "", head[0][0])]
    for name in those_that(by_suffix(source, ".npz"), lambda n: any(map(_is_clips, npy.members(source, n)))):
        for key in npy.members(source, name):
            if _is_clips(key):
                array = _member(source, name, key)
                found += _runs(name, key, len(array)) if array is not None else []
    return found


def _is_padded(source: Source, name: str) -> bool:
    """Whether an npy is (N, 2 or 3, T, joints, people), and not a derived stream."""
    head = npy.header(source, name)
    return head is not None and len(head[0]) == 5 and head[0][1] in (2, 3) and not _DERIVED.search(name)


def _is_clips(key: str) -> bool:
    return key.lower().startswith("x_")


def _member(source: Source, name: str, key: str) -> np.ndarray | None:
    try:
        array = npy.load(source, name, key)
    except InputError:
        return None
    return array if isinstance(array, np.ndarray) and array.ndim in (3, 5) else None


def _runs(name: str, key: str, count: int) -> list[Item]:
    return [(name, key, str(i), str(min(i + CLIPS, count))) for i in range(0, count, CLIPS)]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name, key, first, stop = item[0], item[1], int(item[2]), int(item[3])
    where = source.where(name)
    array = npy.load(source, name, key or None)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise InputError(f"{where}: expected an array of numbers")
    half = key.split("_", 1)[-1].lower() if key else _half(name)
    labels, names = _labels_of(source, name, key, item[4] if len(item) > 4 else None, len(array))
    split = _SPLITS.get(half, half) if half in ("train", "val", "test", "eval") else None
    clips = []
    for i in range(first, min(stop, len(array))):
        known = str(names[i]).removesuffix(".skeleton") if names is not None else ""
        ntu = _NTU_NAME.search(known)
        place = f"{where}: clip {i}"
        joints, score = _joints(np.asarray(array[i], dtype=np.float64), place)  # (M, T, V, C)
        size = None
        if joints.shape[2] == _KINETICS and score is not None:
            size = options.image_size or IMAGE_SIZE
            joints = (joints + 0.5) * np.array(size, dtype=np.float64)
        layout = layout_for(joints.shape[2], {**layouts_by_count(joints.shape[3]), **_EXTRA}, options, place)
        try:
            clips.append(
                people_clip(
                    _hidden(joints, score, options, place), layout, options, place,
                    name=known or f"{half or 'clip'}_{i:06d}", image_size=size, split=split,
                    label=None if labels is None else str(labels[i]),
                    subject=ntu[2] if ntu else None, camera=ntu[1] if ntu else None,
                )
            )  # fmt: skip
        except NoSkeleton:
            continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in clips {first} to {stop - 1}")
    return clips


_EXTRA = {_KINETICS: LAYOUTS["openpose_18"]}


def _joints(one: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(M, T, V, C) and a score (M, T, V), of (C, T, V, M) or (T, M V 3); without the padding at the end."""
    if one.ndim == 4:
        joints = one.transpose(3, 1, 2, 0)
    else:
        per_person = next((v * 3 for v in (25, 20, 22, 24) if one.shape[1] in (v * 3, v * 6)), one.shape[1])
        if per_person % 3:
            raise InputError(f"{where}: {one.shape[1]} numbers a frame, expected people x joints x 3")
        joints = one.reshape(len(one), -1, per_person // 3, 3).transpose(1, 0, 2, 3)
    there = np.flatnonzero((np.nan_to_num(joints) != 0).any(axis=(0, 2, 3)))
    joints = joints[:, : there[-1] + 1] if len(there) else joints[:, :1]
    if joints.shape[2] == _KINETICS and joints.shape[3] == 3:
        return joints[..., :2], joints[..., 2]
    return joints, None


def _hidden(joints: np.ndarray, score: np.ndarray | None, options: Options, where: str) -> np.ndarray:
    if score is not None:
        return hide_missing(joints, score, options.min_confidence, where, origin_is_missing=False)
    zero = (joints == 0).all(axis=-1)  # (M, T, V)
    absent = zero.all(axis=2, keepdims=True)  # (M, T, 1)
    centre = (zero | absent).all(axis=1, keepdims=True)  # (M, 1, V)
    hidden = hide_missing(joints, None, options.min_confidence, where, origin_is_missing=False)
    hidden[absent | (zero & ~centre)] = np.nan
    return hidden


def _half(name: str) -> str:
    """'train', 'val' ... of ``train_data_joint.npy``; '' where the name says none."""
    match = _NPY.match(name)
    return match[1].lower() if match else ""


def _labels_beside(source: Source, name: str) -> str | None:
    """``train_label.pkl`` in the folder of ``train_data_joint.npy``."""
    folder, half = name.rpartition("/")[0], _half(name)
    ours = (n for n in source.names if n.rpartition("/")[0] == folder and n.lower().endswith(f"{half}_label.pkl"))
    return next(ours, None) if half else None


def _labels_of(
    source: Source, name: str, key: str, labels_file: str | None, count: int
) -> tuple[np.ndarray | list[Any] | None, list[Any] | None]:
    """(labels, names) of a data file's clips, each None where nothing says them."""
    if not key:
        return _pair(source.path, labels_file, count) if labels_file else (None, None)
    beside = f"y_{key.split('_', 1)[-1]}"
    if beside not in npy.members(source, name):
        return None, None
    values = np.asarray(npy.load(source, name, beside))
    labels = values.argmax(axis=1) if values.ndim == 2 else values.ravel()
    if len(labels) != count:
        raise InputError(f"{source.where(name)}: {len(labels)} rows of {beside!r} for {count} of {key!r}")
    return labels, None


@lru_cache(maxsize=2)
def _pair(path: Path, name: str, count: int) -> tuple[list[Any], list[Any]]:
    source = Source(path)
    where = source.where(name)
    data = safe_pickle.load(source.read(name), where)
    try:
        names, labels = (list(part) for part in data[:2])
    except (TypeError, ValueError, KeyError):
        raise InputError(f"{where}: expected the pair (names, labels)") from None
    if not len(names) == len(labels) == count:
        raise InputError(f"{where}: {len(names)} names and {len(labels)} labels for {count} clips")
    return labels, names


FORMAT = Format("action-arrays", "CTR-GCN npz, 2s-AGCN and ST-GCN npy with label pickles: padded clips", items, read)

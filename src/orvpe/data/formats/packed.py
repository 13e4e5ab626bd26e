"""Packed npz: many recordings of one skeleton in one file, as whole millimetres or as floats.

``joints_mm`` (sum of T, V, 3) int16, recording i in rows ``start[i]:start[i+1]``; ``joint_names`` (V),
``fps``, and per recording ``name``, ``subject`` and ``label``; optionally ``camera`` and ``split``.  Other
keys are left alone.

Or ``joints`` (sum of T, V, 2 or 3) as floats, NaN for a missing joint, with ``start`` and ``joint_names``; the rest is
optional then, and so are ``visible`` (sum of T, V) and ``image_size`` (2) or (recordings, 2).

What 0 0 0 means was measured on the four corpora written so.  A depth sensor writes it for what it lost:
PRECOG-16 has two recordings with nobody in any frame, MSRC-12 a frame without four joints.  A
motion-capture rig's root rests there (Bandai-Namco, 99.98 % of the frames), and no other joint of the rig
ever does.  So for a known layout a joint at 0 0 0 is missing; for any other rig it is data, unless all
joints of the frame are there.

An item is (file, first, stop): a run of recordings, so that several processes can share a file.  A
recording without anybody is an item of its own, which `read` answers with NoSkeleton.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, Layout, layout_for_names

CHUNK = 200  # recordings an item
_TEXT = ("name", "subject", "label")
_MORE_TEXT = ("camera", "split")


@dataclass(frozen=True, eq=False)
class _Packed:
    joints: np.ndarray  # (sum of T, V, 3) int16 millimetres, or float
    visible: np.ndarray  # (sum of T, V) bool
    start: np.ndarray  # (N + 1,)
    layout: Layout
    fps: float | None
    sizes: np.ndarray | None  # (N, 2) width and height
    text: dict[str, np.ndarray]  # (N,) each


def items(source: Source) -> list[Item]:
    found: list[Item] = []
    for name in by_suffix(source, ".npz"):
        try:
            members = _members(source, name)
            if "joints_mm.npy" not in members and not {"joints.npy", "start.npy"} <= set(members):
                continue  # another format's npz
            packed = _load(source, name)
        except InputError:
            found.append((name,))  # the read says what is wrong with it
            continue
        empty = {i for i in range(len(packed.start) - 1) if not packed.visible[_rows(packed, i)].any()}
        run: list[int] = []
        for i in range(len(packed.start)):
            if run and (i in empty or len(run) == CHUNK or i == len(packed.start) - 1):
                found.append((name, str(run[0]), str(run[-1] + 1)))
                run = []
            if i in empty:
                found.append((name, str(i), str(i + 1)))
            elif i < len(packed.start) - 1:
                run.append(i)
    return found


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    packed = _load(source, item[0])
    count = len(packed.start) - 1
    first, stop = (int(item[1]), int(item[2])) if len(item) == 3 else (0, count)
    if not 0 <= first < stop <= count:
        raise InputError(f"{where}: recordings {first} to {stop} asked for, it holds {count}")
    clips = []
    for i in range(first, stop):
        rows = _rows(packed, i)
        visible = packed.visible[rows]
        if not visible.any():
            continue
        text: dict[str, Any] = {key: str(column[i]) or None for key, column in packed.text.items()}
        name = text.pop("name", None) or f"{i:05d}"
        metres = packed.joints[rows].astype(np.float32)
        if packed.joints.dtype == np.int16:
            metres /= 1000.0
        size = options.image_size if packed.sizes is None else (int(packed.sizes[i, 0]), int(packed.sizes[i, 1]))
        clips.append(
            Clip(
                np.where(visible[..., None], metres, 0.0)[None],
                visible[None],
                options.layout or packed.layout,
                fps=options.fps or packed.fps,
                image_size=size if metres.shape[-1] == 2 else None,
                name=name,
                **text,
            )
        )
    if not clips:
        raise NoSkeleton(f"{where}: nobody in recordings {first} to {stop - 1}")
    return clips


def _rows(packed: _Packed, i: int) -> slice:
    return slice(int(packed.start[i]), int(packed.start[i + 1]))


def _members(source: Source, name: str) -> list[str]:
    """What an npz holds; of a file on disk only its last few bytes are read."""
    place = io.BytesIO(source.read(name)) if source.is_zip else _path(source, name)
    try:
        with zipfile.ZipFile(place) as archive:
            return archive.namelist()
    except Exception as error:  # a damaged archive fails in many ways
        raise _unreadable(source, name, error) from None


def _unreadable(source: Source, name: str, error: Exception) -> InputError:
    return InputError(f"{source.where(name)}: not a readable npz ({' '.join(str(error).split())})")


def _path(source: Source, name: str) -> Path:
    """The file on disk that holds it: itself, or the zip around it."""
    return source.path / name if source.path.is_dir() else source.path


def _load(source: Source, name: str) -> _Packed:
    path = _path(source, name)
    return _load_version(source.path, source.is_zip, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # a process is given many items of one file after another
def _load_version(path: Path, is_zip: bool, name: str, version: int) -> _Packed:
    source = Source(path)
    where = source.where(name)
    try:
        with np.load(io.BytesIO(source.read(name)), allow_pickle=False) as data:
            keys = set(data.files)
            if "joints" in keys and "joints_mm" not in keys:
                return _floating({key: data[key] for key in keys & _FLOAT_KEYS}, name, where)
            wanted = ("joints_mm", "start", "joint_names", "fps", *_TEXT)
            lost = [key for key in wanted if key not in keys]
            if lost:
                raise InputError(f"{where}: no {lost[0]!r} in it, expected {', '.join(wanted)}")
            arrays = {key: data[key] for key in (*wanted, *(k for k in _MORE_TEXT if k in keys))}
    except InputError:
        raise
    except Exception as error:  # a truncated or damaged archive, or one that holds pickled objects
        raise _unreadable(source, name, error) from None

    joints, start, names = arrays["joints_mm"], arrays["start"], arrays["joint_names"]
    if joints.dtype != np.int16 or joints.ndim != 3 or joints.shape[-1] != 3:
        raise InputError(f"{where}: joints_mm is {joints.dtype} {joints.shape}, expected int16 (frames, joints, 3)")
    if names.dtype.kind != "U" or names.shape != joints.shape[1:2]:
        raise InputError(f"{where}: joint_names is {names.dtype} {names.shape}, expected {joints.shape[1]} texts")
    if start.dtype.kind not in "iu" or start.ndim != 1 or len(start) < 2:
        raise InputError(f"{where}: start is {start.dtype} {start.shape}, expected whole numbers (recordings + 1,)")
    if start[0] != 0 or start[-1] != len(joints) or (np.diff(start.astype(np.int64)) <= 0).any():
        raise InputError(f"{where}: start must rise from 0 to the {len(joints)} frames, and no recording be empty")
    fps = arrays["fps"]
    if fps.size != 1 or fps.dtype.kind not in "iuf" or not (np.isfinite(fps.item()) and fps.item() > 0):
        raise InputError(f"{where}: fps is {fps.tolist()}, expected one positive number")
    text = {key: arrays[key] for key in (*_TEXT, *_MORE_TEXT) if key in arrays}
    for key, column in text.items():
        if column.dtype.kind != "U" or column.shape != (len(start) - 1,):
            raise InputError(f"{where}: {key} is {column.dtype} {column.shape}, expected {len(start) - 1} texts")

    layout = layout_for_names([str(n) for n in names], name=_layout_name(name))
    visible = (joints != 0).any(axis=-1)
    if layout.name not in LAYOUTS:
        visible = np.repeat(visible.any(axis=1, keepdims=True), len(layout), axis=1)
    return _Packed(joints, visible, start, layout, float(fps.item()), None, text)


_FLOAT_KEYS = {"joints", "start", "joint_names", "fps", "visible", "image_size", *_TEXT, *_MORE_TEXT}


def _floating(arrays: dict[str, np.ndarray], name: str, where: str) -> _Packed:
    """Recordings as floats."""
    if "joint_names" not in arrays:
        raise InputError(f"{where}: no 'joint_names' in it, expected the names of the joints next to joints and start")
    joints, start, names = arrays["joints"], arrays["start"], arrays["joint_names"]
    if joints.dtype.kind not in "iuf" or joints.ndim != 3 or joints.shape[-1] not in (2, 3):
        raise InputError(f"{where}: joints is {joints.dtype} {joints.shape}, expected floats (frames, joints, 2 or 3)")
    if names.dtype.kind != "U" or names.shape != joints.shape[1:2]:
        raise InputError(f"{where}: joint_names is {names.dtype} {names.shape}, expected {joints.shape[1]} texts")
    if start.dtype.kind not in "iu" or start.ndim != 1 or not len(start):
        raise InputError(f"{where}: start is {start.dtype} {start.shape}, expected whole numbers (recordings + 1,)")
    start = start.astype(np.int64)
    if start[-1] != len(joints):  # first frames alone say the same
        start = np.append(start, len(joints))
    if start[0] != 0 or (np.diff(start) <= 0).any():
        raise InputError(f"{where}: start must rise from 0 to the {len(joints)} frames, and no recording be empty")
    with np.errstate(over="ignore"):
        joints = joints.astype(np.float32)
    if np.isinf(joints).any():
        raise InputError(f"{where}: infinite coordinate in frame {int(np.argwhere(np.isinf(joints))[0][0])}; use NaN")
    visible = ~np.isnan(joints).any(axis=-1)
    if "visible" in arrays:
        if arrays["visible"].shape != visible.shape or arrays["visible"].dtype.kind not in "biuf":
            raise InputError(f"{where}: visible has shape {arrays['visible'].shape}, expected {visible.shape}")
        visible &= arrays["visible"] > 0
    fps = arrays["fps"].ravel() if "fps" in arrays else np.zeros(0)
    if len(fps) > 1 or fps.dtype.kind not in "iuf" or not np.isfinite(fps).all():
        raise InputError(f"{where}: fps is {str(fps.tolist())[:40]}, expected one number")
    sizes = arrays.get("image_size")
    if sizes is not None:
        if sizes.dtype.kind not in "iuf" or sizes.shape not in ((2,), (len(start) - 1, 2)):
            raise InputError(f"{where}: image_size has shape {sizes.shape}, expected (2,) or (recordings, 2)")
        if not np.isfinite(sizes).all():
            raise InputError(f"{where}: image_size is not a number, expected width and height")
        sizes = np.broadcast_to(sizes, (len(start) - 1, 2))
    text = {}
    for key in (*_TEXT, *_MORE_TEXT):
        if key in arrays:
            text[key] = arrays[key].astype(str)
            if text[key].shape != (len(start) - 1,):
                raise InputError(f"{where}: {key} has shape {text[key].shape}, expected {len(start) - 1} texts")
    layout = layout_for_names([str(n) for n in names], name=_layout_name(name))
    return _Packed(joints, visible, start, layout, float(fps[0]) or None if len(fps) else None, sizes, text)


def _layout_name(name: str) -> str:
    return name.rsplit("/", 1)[-1].removesuffix(".npz")


FORMAT = Format("packed", "packed npz: many recordings of one skeleton", items, read, unit="m")

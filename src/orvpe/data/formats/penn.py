"""Penn Action: one ``.mat`` a clip: x, y, visibility (n, 13), train (+1 / -1), action, dimensions (h, w, n).

The files do not say the frame rate; 30 is assumed where the options do not say it either.  Coordinates
under an invisible joint are meaningless and not read, with one exception: a clip (one of 2,326, number
1516) flags no joint in any frame.  It has coordinates all the same, so its flags are taken as never set and
its joints as visible where they lie in the image; the annotation tool leaves a joint nobody placed within
one pixel of the corner.
"""

from __future__ import annotations

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix
from orvpe.data.formats.detections import other_kind
from orvpe.data.formats.matfile import read_mat
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS

FPS = 30.0
JOINTS = 13
_KEYS = ("x", "y", "visibility", "train", "action", "dimensions")


def items(source: Source) -> list[Item]:
    """All .mat files, if one of a few that are looked into is an annotation, or nothing else is there to be read."""
    names = by_suffix(source, ".mat")
    if len(source.names) == 1:
        return [(n,) for n in names]
    for i in dict.fromkeys([0, len(names) // 2, len(names) - 1] if names else []):
        try:
            if set(_KEYS) <= set(read_mat(source.read(names[i]))):
                return [(n,) for n in names]
        except (ValueError, InputError):  # damaged, or of a newer MATLAB
            if len(names) == len(source.names):
                return [(n,) for n in names]
    return []


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    data = _load(source, name, where)
    x, y, flags = (_table(data[key], key, where) for key in ("x", "y", "visibility"))
    if not x.shape == y.shape == flags.shape:
        raise InputError(f"{where}: x {x.shape}, y {y.shape} and visibility {flags.shape} differ in shape")
    if not x.size:
        raise InputError(f"{where}: empty, x has shape {x.shape}")
    if x.shape[1] != JOINTS:
        raise InputError(f"{where}: {x.shape[1]} joints, expected {JOINTS}")
    size = _table(data["dimensions"], "dimensions", where).ravel()
    if size.size < 2 or not np.isfinite(size).all() or size[:2].min() < 1:
        shown = " x ".join(f"{n:g}" for n in size[1::-1])
        raise InputError(f"{where}: image size {shown or 'empty'}, expected width and height above 0")
    height, width = int(size[0]), int(size[1])
    if size.size > 2 and int(size[2]) != len(x):
        raise InputError(f"{where}: {len(x)} frames, but dimensions says {int(size[2])}")

    joints = np.stack([x, y], axis=-1)  # (n, 13, 2)
    visible: np.ndarray = flags > 0
    if not visible.any():
        visible[:] = (joints > 1).all(axis=-1) & (joints < (width, height)).all(axis=-1)
    if not visible.any():
        raise InputError(f"{where}: all joints are missing in all {len(x)} frames")
    if not np.isfinite(joints[visible]).all():
        frame = int(np.argwhere(visible & ~np.isfinite(joints).all(axis=-1))[0][0])
        raise InputError(f"{where}: NaN or infinite coordinate of a visible joint in frame {frame}, expected pixels")
    train = _table(data["train"], "train", where).ravel()
    if train.size != 1 or train[0] not in (1, -1):
        raise InputError(f"{where}: train is {train.tolist()}, expected 1 or -1")
    action = data["action"]
    if not isinstance(action, str) or not action:
        raise InputError(f"{where}: action is {action!r}, expected the name of a class")
    clip = Clip(
        np.where(visible[..., None], joints, 0.0)[None], visible[None], options.layout or LAYOUTS["penn"],
        fps=options.fps or FPS, image_size=(width, height), name=stem(name),
        label=action, split="train" if train[0] == 1 else "test",
    )  # fmt: skip
    return [clip]


def _load(source: Source, name: str, where: str) -> dict[str, np.ndarray | str]:
    try:
        data = read_mat(source.read(name))
    except ValueError as error:
        raise InputError(f"{where}: not a readable MATLAB file ({error})") from None
    lost = [key for key in _KEYS if key not in data]
    if lost:
        message = f"{where}: no {lost[0]!r} in it, expected {', '.join(_KEYS)}"
        raise InputError(message) if len(lost) < len(_KEYS) else other_kind(source, message)
    return data


def _table(value: np.ndarray | str, key: str, where: str) -> np.ndarray:
    """(n, m) float64; the files hold x and y as doubles, or in one or two bytes where all are whole numbers."""
    if isinstance(value, str):
        raise InputError(f"{where}: {key} is text, expected numbers")
    return value.astype(np.float64)


FORMAT = Format("penn", "Penn Action: one .mat a clip, 13 joints, pixels", items, read)

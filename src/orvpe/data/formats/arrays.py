"""A custom npz: one clip as an array.

``joints`` (T, V, C) or (M, T, V, C), NaN for a missing joint; C = 2 pixels, 3 metres.  Optional: ``visible``
(the same without C), ``joint_names`` (V) (else the layout must be given), ``fps``, ``image_size`` (width,
height), and ``name``, ``label``, ``subject``, ``camera``, ``split``.  Read without pickle.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix
from orvpe.data.formats.detections import layout_for, named_layout, people_clip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout


def items(source: Source) -> list[Item]:
    names = by_suffix(source, ".npz")
    for name in names[:1]:
        try:
            keys = zipfile.ZipFile(io.BytesIO(source.read(name))).namelist()
        except (InputError, zipfile.BadZipFile):
            return []
        if "joints.npy" not in keys:
            return []
    return [(n,) for n in names]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    arrays = _load(source, name)
    if "joints" not in arrays:
        raise InputError(f"{where}: no 'joints' in it, found {', '.join(map(repr, list(arrays)[:6])) or 'nothing'}")
    joints = _floats(arrays["joints"], "joints", where)
    if joints.ndim == 3:
        joints = joints[None]
    if joints.ndim != 4 or joints.shape[-1] not in (2, 3):
        raise InputError(f"{where}: 'joints' has shape {joints.shape}, expected ([people,] frames, joints, 2 or 3)")
    if not joints.size:
        raise InputError(f"{where}: empty, 'joints' has shape {joints.shape}")
    if "visible" in arrays:
        visible = _floats(arrays["visible"], "visible", where)
        visible = visible[None] if visible.ndim == 2 else visible
        if visible.shape != joints.shape[:3]:
            raise InputError(f"{where}: 'visible' has shape {visible.shape}, expected {joints.shape[:3]}")
        joints = np.where((visible > 0)[..., None], joints, np.float32(np.nan))
    if np.isinf(joints).any():
        person, frame, joint, _ = np.argwhere(np.isinf(joints))[0]
        raise InputError(
            f"{where}: infinite coordinate of person {person}, frame {frame}, joint {joint}; "
            "use NaN for a missing joint"
        )
    if np.isnan(joints).any(axis=-1).all():
        raise InputError(f"{where}: all joints are missing in all {joints.shape[1]} frames")
    layout, order = _layout(arrays, joints.shape[2], options, where)
    placed = np.full((*joints.shape[:2], len(layout), joints.shape[3]), np.nan, dtype=np.float32)
    placed[:, :, order] = joints
    size = _floats(arrays["image_size"], "image_size", where).ravel() if "image_size" in arrays else None
    if size is not None and len(size) != 2:
        raise InputError(f"{where}: 'image_size' has {len(size)} numbers, expected (width, height)")
    fps = _floats(arrays["fps"], "fps", where).ravel() if "fps" in arrays else None
    return [
        people_clip(
            placed, layout, options, where,
            name=_text(arrays, "name", where) or stem(name),
            fps=float(fps[0]) if fps is not None and len(fps) else None,
            image_size=(int(size[0]), int(size[1])) if size is not None else None,
            label=_text(arrays, "label", where), subject=_text(arrays, "subject", where),
            camera=_text(arrays, "camera", where), split=_text(arrays, "split", where),
        )
    ]  # fmt: skip


def _load(source: Source, name: str) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(source.read(name)), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except InputError:
        raise
    except Exception as error:  # a damaged zip, a header of nonsense, an array of objects
        raise InputError(f"{source.where(name)}: not a readable npz ({' '.join(str(error).split())[:200]})") from None


def _layout(arrays: dict[str, np.ndarray], count: int, options: Options, where: str) -> tuple[Layout, np.ndarray]:
    """The layout, and where in it each column of ``joints`` goes."""
    if "joint_names" not in arrays:
        if options.layout is None:
            raise InputError(f"{where}: no 'joint_names' in it; name the layout of its {count} joints with --joints")
        return layout_for(count, {}, options, where), np.arange(count)
    names = [str(n) for n in arrays["joint_names"].ravel()]
    if len(names) != count:
        raise InputError(f"{where}: {len(names)} 'joint_names' for {count} joints")
    return named_layout(names, options.layout, where)


def _floats(values: np.ndarray, key: str, where: str) -> np.ndarray:
    # complex numbers and texts that read as numbers are a mistake; truth values are meant only for visibility
    if values.dtype.kind not in ("biuf" if key == "visible" else "iuf"):
        raise InputError(f"{where}: {key!r} holds {values.dtype}, expected numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused
        return np.asarray(values, dtype=np.float32)


def _text(arrays: dict[str, np.ndarray], key: str, where: str) -> str | None:
    if key not in arrays or not arrays[key].size:
        return None
    found = list(dict.fromkeys(str(v) for v in arrays[key].ravel()))
    if len(found) > 1:
        raise InputError(f"{where}: {key!r} is {found[0]!r} and {found[1]!r}, expected one a clip")
    return found[0]


FORMAT = Format("arrays", "a custom npz: joints (people, frames, joints, 2 or 3), NaN for missing", items, read)

"""TRC: marker tables of OpenSim, OpenCap, Pose2Sim, Sports2D and motion-capture systems, one recording a file.

Tab-separated: a line that begins ``PathFileType``, names and values of ``DataRate``, ``Units`` and so on, the
markers' names (one every three columns), the axes, and a row a frame: number, time, coordinates.  An empty cell is
a missing marker.  ``Units`` says millimetres or metres; Sports2D writes pixels (``px``), which are 2D.
"""

from __future__ import annotations

import re

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix
from orvpe.data.formats.detected import in_metres
from orvpe.data.formats.detections import hide_missing, in_layout, named_layout, people_clip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, unified_sources

_METRES = {"m": 1.0, "meters": 1.0, "metres": 1.0, "meter": 1.0, "mm": 0.001, "millimeters": 0.001, "cm": 0.01,
           "centimeters": 0.01, "in": 0.0254, "inches": 0.0254}  # fmt: skip
_PIXELS = ("px", "pixel", "pixels")


def items(source: Source) -> list[Item]:
    return [(n,) for n in one_of_each(by_suffix(source, ".trc"))]


_FURTHER = re.compile(r"(_filt(_\w+?)?)?(_LSTM)?(?=\.trc\Z)", re.IGNORECASE)


def one_of_each(names: list[str]) -> list[str]:
    """Of several files of one recording, as Pose2Sim, Sports2D and OpenCap write them, one.

    Filtered ones before raw ones and those with augmented markers, metres before pixels, what came after OpenCap's
    augmentation before what came before.
    """
    best: dict[str, tuple[tuple[bool, ...], str]] = {}
    for name in names:
        low = name.lower()
        pixels, before = "_px_" in low or low.endswith("_px.trc"), "preaugmentation/" in low
        recording = re.sub(r"_(px|m)(?=[_.])", "", _FURTHER.sub("", name), flags=re.IGNORECASE)
        recording = re.sub(r"(pre|post)augmentation/", "", recording, flags=re.IGNORECASE)
        rank = (not pixels, not before, "_lstm" not in low, "_filt" in low)
        if recording not in best or rank > best[recording][0]:
            best[recording] = (rank, name)
    return sorted(name for _, name in best.values())


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    lines = source.read(name).decode("utf-8-sig", "replace").splitlines()
    if len(lines) < 5 or not lines[0].lstrip().lower().startswith("pathfiletype"):
        raise InputError(f"{where}: does not begin with PathFileType, expected TRC")
    keys, values = lines[1].split(), lines[2].split()
    meta = {k.lower(): v for k, v in zip(keys, values, strict=False)}
    markers = [m.strip() for m in lines[3].split("\t")[2:] if m.strip()]
    if not markers:  # written with spaces
        markers = lines[3].split()[2:]
    if not markers:
        raise InputError(f"{where}: no marker's name in line 4")
    table = _table(lines[5:], 2 + 3 * len(markers), where)
    if not len(table):
        raise InputError(f"{where}: empty, no frame below the header")
    unit = meta.get("units", "").lower()
    joints = table[:, 2:].reshape(len(table), len(markers), 3)  # (T, V, 3)
    joints = hide_missing(joints, None, options.min_confidence, where).astype(np.float64)
    layout, order = named_layout(_distinct(markers), options.layout, where)
    if unit in _PIXELS:
        joints = joints[..., :2]
    elif _flat(joints):
        joints = _downwards(joints[..., :2], layout, order)
    elif unit in _METRES:
        joints = in_metres(joints, _METRES[unit], options)
    elif unit:
        raise InputError(f"{where}: Units is {unit[:20]!r}, expected one of {', '.join(_METRES)} or px")
    placed = in_layout(joints, layout, order)[None]
    return [people_clip(placed, layout, options, where, name=stem(name), fps=_rate(meta, table[:, 1], where))]


def _table(lines: list[str], width: int, where: str) -> np.ndarray:
    """(T, width), NaN for an empty cell."""
    rows = []
    for number, line in enumerate(lines, start=6):
        if not line.strip():
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) == 1:
            cells = line.split()
        if len(cells) > width and any(c.strip() for c in cells[width:]):
            raise InputError(f"{where}: line {number} has {len(cells)} cells, expected {width}")
        cells = [*cells[:width], *[""] * (width - len(cells))]
        try:
            rows.append([float(c) if c.strip() else np.nan for c in cells])
        except ValueError:
            if number == 6 and not rows:  # a second line of axes
                continue
            raise InputError(f"{where}: line {number} holds something that is no number") from None
    return np.array(rows, dtype=np.float64).reshape(-1, width)


def _flat(joints: np.ndarray) -> bool:
    """Whether these are pixels, whatever the header says: Sports2D writes them with z = 0 and the unit m."""
    known = joints[np.isfinite(joints).all(axis=-1)]
    return bool(len(known) and (known[:, 2] == 0).all() and np.abs(known[:, :2]).max() > 50)


def _downwards(joints: np.ndarray, layout: Layout, order: np.ndarray) -> np.ndarray:
    """Pixels (T, V, 2) with y pointing down, as in an image: turned over where the head lies above the feet."""
    place = {layout.joints[v]: i for i, v in enumerate(order)}
    sources = unified_sources(layout)
    upper, lower = (
        [place[s] for joint in wanted for s in sources.get(joint, ()) if s in place]
        for wanted in (
            ("head", "nose", "neck", "left_shoulder"),
            ("left_ankle", "right_ankle", "left_hip", "right_hip"),
        )
    )
    if not upper or not lower or not np.nanmedian(joints[:, upper, 1]) > np.nanmedian(joints[:, lower, 1]):
        return joints
    top = np.nanmax(joints[..., 1])
    return np.stack([joints[..., 0], max(top, 0.0) - joints[..., 1]], axis=-1)


def _rate(meta: dict[str, str], seconds: np.ndarray, where: str) -> float | None:
    try:
        rate = float(meta.get("datarate", "nan"))
    except ValueError:
        raise InputError(f"{where}: DataRate is {meta['datarate'][:20]!r}, expected frames per second") from None
    if np.isfinite(rate) and 0 < rate <= 1e5:
        return rate
    step = np.nanmedian(np.diff(seconds)) if len(seconds) > 1 and np.isfinite(seconds).any() else 0.0
    return float(1.0 / step) if step > 0 else None


def _distinct(names: list[str]) -> list[str]:
    """A name that is there twice gets its place as a number."""
    return [f"{n}_{i}" if n in names[:i] else n for i, n in enumerate(names)]


FORMAT = Format("trc", "TRC: markers or joints by name (OpenSim, OpenCap, Pose2Sim, Sports2D)", items, read)

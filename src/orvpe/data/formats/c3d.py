"""C3D: markers of motion-capture systems, one recording a file, read by ezc3d (``orvpe[c3d]``).

Joints are found by the markers' labels; of a set of markers on the skin (Plug-in Gait) a joint is the marker
nearest to it or the mean of several.  Labels ``Subject:LKNE`` of several subjects are several people.  A point
whose residual is negative was not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix
from orvpe.data.formats.detected import in_metres
from orvpe.data.formats.detections import hide_missing, named_layout, people_clip
from orvpe.data.formats.extras import library, on_disk, said
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip

_METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254, "inches": 0.0254}
_MAGIC = 0x50  # the second byte of every C3D


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".c3d")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    head = source.head(item[0])
    if len(head) < 512 or head[1] != _MAGIC:
        raise InputError(f"{where}: not a C3D file")
    ezc3d = library("ezc3d", "c3d", where, "convert it to TRC (ezc3d, OpenSim, Mokka)")
    try:
        with on_disk(source, item[0]) as path:
            data = ezc3d.c3d(str(path))
        parameters: Any = data["parameters"]["POINT"]
        labels = [str(n) for key in parameters if key.startswith("LABELS") for n in parameters[key]["value"]]
        units = [str(u) for u in parameters.get("UNITS", {"value": []})["value"]]
        rate = float(np.ravel(parameters["RATE"]["value"])[0])
        points = np.asarray(data["data"]["points"], dtype=np.float64)[:3].transpose(2, 1, 0)  # (T, N, 3)
        meta = data["data"].get("meta_points", {})
        residuals = np.asarray(meta["residuals"])[0].T if "residuals" in meta else np.zeros(points.shape[:2])
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{where}: not readable as C3D ({said(error)})") from None
    if not points.size:
        raise InputError(f"{where}: empty, no point in it")
    labels = labels[: points.shape[1]]
    points[residuals < 0] = np.nan
    unit = units[0].strip().lower() if units else "mm"
    if unit not in _METRES:
        raise InputError(f"{where}: UNITS is {unit[:20]!r}, expected one of {', '.join(_METRES)}")
    people = _by_subject(labels)
    layout, order = named_layout([m for m, _ in people[0]], options.layout, where)
    placed = np.full((len(people), len(points), len(layout), 3), np.nan)
    for person, markers in enumerate(people):
        place = {m: v for (m, _), v in zip(people[0], order, strict=True)}
        for marker, column in markers:
            if marker in place:
                placed[person, :, place[marker]] = in_metres(points[:, column], _METRES[unit], options)
    hidden = hide_missing(placed, None, options.min_confidence, where)
    return [people_clip(hidden, layout, options, where, name=stem(item[0]), fps=rate if 0 < rate < 1e5 else None)]


def _by_subject(labels: list[str]) -> list[list[tuple[str, int]]]:
    """For each subject (marker, column), by what stands before a colon; unnamed markers ('*12', 'C_4') are left out."""
    subjects: dict[str, list[tuple[str, int]]] = {}
    for column, label in enumerate(labels):
        if label.strip().strip("*") and not label.startswith("*"):
            subject, _, marker = label.rpartition(":")
            if marker not in [m for m, _ in subjects.get(subject, [])]:
                subjects.setdefault(subject, []).append((marker, column))
    shared = [s for s in subjects.values() if len(s) >= 5]
    several = len(shared) > 1 and len({m for m, _ in shared[0]} & {m for m, _ in shared[1]}) >= 5
    return shared if several else [[pair for s in subjects.values() for pair in s]]


FORMAT = Format("c3d", "C3D (by ezc3d): markers by name, metres", items, read)

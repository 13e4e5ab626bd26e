"""DeepLabCut (CSV, h5) and SLEAP's analysis CSV, pixels; joints by the names that the project gave them.

DeepLabCut's tables have three header rows (``scorer``, ``bodyparts``, ``coords``), with several animals four
(``individuals`` above ``bodyparts``), and a first column of frame numbers.  ``likelihood`` is the confidence.  The
h5 file next to the CSV says the same and is read where there is no CSV (by pandas and pytables:
``orvpe[deeplabcut]``).

SLEAP's table has a row a person and frame: ``track``, ``frame_idx``, ``instance.score``, and ``<joint>.x``, ``.y``,
``.score``.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, Options, by_suffix, those_that
from orvpe.data.formats.detected import Detection, detected_clip, whole_number
from orvpe.data.formats.detections import hide_missing, named_layout, people_clip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_SCORE = "likelihood"


def items(source: Source) -> list[Item]:
    names = those_that(by_suffix(source, ".csv"), lambda n: kind_of(source.head(n)) is not None)
    tables = {n.rsplit(".", 1)[0] for n in names}
    names += [n for n in by_suffix(source, ".h5") if "dlc" in n.lower() and n.rsplit(".", 1)[0] not in tables]
    return [(n,) for n in names]


def kind_of(head: bytes) -> str | None:
    """'deeplabcut' or 'sleap' by the first lines of a CSV."""
    lines = head[:20_000].decode("utf-8-sig", "replace").splitlines()[:4]
    first = [line.split(",", 1)[0].strip().strip('"').lower() for line in lines]
    if first[:1] == ["scorer"] and "bodyparts" in first and "coords" in first:
        return "deeplabcut"
    columns = [c.strip() for c in lines[0].split(",")] if lines else []
    if {"frame_idx", "instance.score"} <= set(columns):
        return "sleap"
    return None


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    if name.lower().endswith(".h5"):
        header, frames, values = _h5(source, name, where)
    else:
        data = source.read(name)
        rows = _rows(data, where)
        if kind_of(data) == "sleap":
            return [_sleap(rows, options, where, stem(name))]
        header, frames, values = _table(rows, where)
    return [_clip(header, frames, values, options, where, stem(name))]


def _rows(data: bytes, where: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"))) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where}: not readable as CSV ({error})") from None


def _table(rows: list[list[str]], where: str) -> tuple[dict[str, list[str]], np.ndarray, np.ndarray]:
    """Header rows by their name, frame numbers (T,), values (T, columns)."""
    header: dict[str, list[str]] = {}
    begin = 0
    for row in rows[:4]:
        level = row[0].strip().lower()
        if level not in _LEVELS:
            break
        header[level] = [c.strip() for c in row[1:]]
        begin += 1
    widths = {len(v) for v in header.values()} | {len(r) - 1 for r in rows[begin:]}
    if not {"bodyparts", "coords"} <= set(header) or len(widths) > 1:
        raise InputError(f"{where}: header rows 'bodyparts' and 'coords' and the rows below differ in length")
    body = rows[begin:]
    if not body:
        raise InputError(f"{where}: empty, no row below the header")
    try:
        values = np.array([[float(c) if c.strip() else np.nan for c in row[1:]] for row in body])
    except ValueError:
        raise InputError(f"{where}: a cell below the header holds something that is no number") from None
    frames = [whole_number(row[0]) for row in body]
    # rows of labelled images begin with a file's name and follow each other
    return header, np.array([t if f is None else f for t, f in enumerate(frames)]), values


def _h5(source: Source, name: str, where: str) -> tuple[dict[str, list[str]], np.ndarray, np.ndarray]:
    try:
        import pandas
        import tables  # noqa: F401
    except ImportError:
        raise InputError(
            f"{where}: HDF5 of DeepLabCut, which needs pandas and pytables: pip install 'orvpe[deeplabcut]'; or save "
            "as CSV (deeplabcut.analyze_videos(..., save_as_csv=True))"
        ) from None
    if source.is_zip:
        raise InputError(f"{where}: HDF5 inside a zip is not read; unpack it")
    try:
        frame = pandas.read_hdf(source.path / name if source.is_folder else source.path)
        header = {str(n): [str(v) for v in frame.columns.get_level_values(n)] for n in frame.columns.names}
        values = frame.to_numpy(dtype=np.float64)
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{where}: not readable as HDF5 ({' '.join(str(error).split())[:200]})") from None
    if not {"bodyparts", "coords"} <= set(header):
        raise InputError(f"{where}: no levels 'bodyparts' and 'coords', expected DeepLabCut's table")
    return header, np.arange(len(values)), values


def _clip(
    header: dict[str, list[str]], frames: np.ndarray, values: np.ndarray, options: Options, where: str, name: str
) -> Clip:
    parts = header["bodyparts"]
    who = header.get("individuals", [""] * len(parts))
    coords = [c.lower() for c in header["coords"]]
    people = list(dict.fromkeys(who))
    joints = list(dict.fromkeys(parts))
    axes = [a for a in ("x", "y", "z") if a in coords]
    if axes[:2] != ["x", "y"]:
        raise InputError(f"{where}: 'coords' are {', '.join(dict.fromkeys(coords))[:80]}, expected x, y and likelihood")
    layout, order = named_layout(joints, options.layout, where)
    lowest = int(frames.min())
    count = int(frames.max()) - lowest + 1
    if count > 1000 + 100 * len(frames):
        raise InputError(f"{where}: frames {lowest} to {int(frames.max())} in {len(frames)} rows, expected one video")
    found = np.full((len(people), count, len(joints), len(axes)), np.nan)
    sure = np.ones(found.shape[:3])
    at = frames - lowest
    for column, (person, part, coord) in enumerate(zip(who, parts, coords, strict=True)):
        m, v = people.index(person), joints.index(part)
        if coord in axes:
            found[m, at, v, axes.index(coord)] = values[:, column]
        elif coord == _SCORE:
            sure[m, at, v] = values[:, column]
    # multi-animal tables hold single parts of a scene next to the animals
    hidden = hide_missing(found, sure, options.min_confidence, where, origin_is_missing=len(axes) == 2)
    placed = np.full((len(people), count, len(layout), len(axes)), np.nan, dtype=np.float32)
    placed[:, :, order] = hidden
    return people_clip(placed, layout, options, where, name=name)


def _sleap(rows: list[list[str]], options: Options, where: str, name: str) -> Clip:
    columns = [c.strip() for c in rows[0]]
    joints = [c[:-2] for c in columns if c.endswith(".x") and c[:-2] + ".y" in columns]
    layout, order = named_layout(joints, options.layout, where)
    found = []
    for number, row in enumerate(rows[1:], start=1):
        cells: dict[str, Any] = dict(zip(columns, row, strict=False))
        frame = whole_number(cells.get("frame_idx"))
        if frame is None or len(row) != len(columns):
            raise InputError(f"{where}: row {number} without a whole number in 'frame_idx', or of another length")
        try:
            values = np.array(
                [[float(cells[f"{j}.{a}"] or "nan") for a in ("x", "y")] for j in joints], dtype=np.float64
            )
            sure = np.array([float(cells.get(f"{j}.score") or (1 if f"{j}.score" not in cells else 0)) for j in joints])
            score = float(cells["instance.score"]) if cells["instance.score"] else None
        except ValueError:
            raise InputError(f"{where}: row {number} holds something that is no number") from None
        # SLEAP's own scores of joints are not probabilities that fall to 0 where a joint is missing: those are empty
        seen = np.where(np.isfinite(values).all(axis=1), np.maximum(sure, options.min_confidence), 0.0)
        found.append(Detection(frame, values, seen, track=cells.get("track") or None, score=_score(score)))
    return detected_clip([d.placed(layout, order) for d in found], layout, options, where, name=name)


def _score(value: float | None) -> float | None:
    """An instance's score; 0 is what SLEAP writes for instances that a person labelled."""
    return None if value is None or value == 0 else value


FORMAT = Format("deeplabcut", "DeepLabCut CSV or h5, SLEAP's CSV: joints by name, pixels", items, read)

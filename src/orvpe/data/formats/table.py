"""A custom table: CSV or Parquet with a row per joint (long) or a column per coordinate (wide).

Long: columns ``frame, joint, x, y`` and optionally ``z``.  Wide: columns ``<joint>_x, <joint>_y`` and
optionally ``<joint>_z``, a row per frame.  Optional in both: a confidence (``confidence``, ``visibility``,
``likelihood`` or ``score``, in a wide table after the joint's name), ``person``, ``clip``, and ``label,
subject, camera, split``, which must not change within a clip.  An empty cell or NaN is a missing joint; with
z the table is in metres, without in pixels.  Joints are found by name (`orvpe.poses.skeleton.layout_for_names`), or
are numbers into the layout given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from orvpe.data.formats.base import Format, Item, NoBody, NoSkeleton, Options, by_suffix
from orvpe.data.formats.columns import IGNORED, numbers_of, our_columns, roles
from orvpe.data.formats.detections import FrameNumbers, frames_of, hide_missing, named_layout, other_kind, people_clip
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError, unknown
from orvpe.poses.clip import Clip, Note
from orvpe.poses.skeleton import LAYOUTS, Layout, layouts_by_count
from orvpe.runtime.room import check_room

_CONFIDENCE = ("confidence", "visibility", "likelihood", "score")
_TEXT = ("label", "subject", "camera", "split")
_AXES = ("x", "y", "z")
_RATE, _SIZE = "fps", ("image_width", "image_height")  # of a clip, as `orvpe.data.writers.table` writes them
_OUR_JOINTS = {joint for layout in LAYOUTS.values() for joint in layout.joints}


def items(source: Source) -> list[Item]:
    names = by_suffix(source, ".csv", ".parquet")
    if not names:
        return []
    if len(source.names) > 1:  # a folder may hold a table about its files; a single file can only mean itself
        try:
            columns = _columns(source, names[0])
        except InputError:
            return []
        if not (_is_long(columns) or _wide_joints(columns)):
            return []
    return [(n,) for n in names]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    name = item[0]
    where = source.where(name)
    table = _load(source, name)
    if not table.num_rows:
        raise InputError(f"{where}: empty, no row below the column names")
    said = table.column_names
    table, notes = _with_roles(table, options.columns, where)
    columns = table.column_names
    try:
        shape = _long if _is_long(columns) else _wide if _wide_joints(columns) else None
        entries, layout = shape(table, options.layout, where) if shape else (None, None)
    except NoBody as error:  # a table of hands or a face next to the body's
        raise other_kind(source, str(error)) from None
    if entries is None or layout is None:
        missing = [c for c in ("frame", "joint", "x", "y") if c not in columns]
        raise InputError(
            f"{where}: columns {', '.join(columns[:8])[:200]} ...; expected frame, joint, x, y (missing: "
            f"{', '.join(missing)}) or <joint>_x, <joint>_y"
        )
    table = _parted(table, stem(name), said, notes, where)
    notes += _unused(table)
    return _clips(table, entries, layout, options, name, notes, where)


@dataclass(frozen=True)
class _Entries:
    """A value for each joint, frame and person that the table gives; ``row`` is its row in the table."""

    row: np.ndarray  # (N,)
    joint: np.ndarray  # (N,)
    values: np.ndarray  # (N, C)
    confidence: np.ndarray | None  # (N,)

    def take(self, which: np.ndarray) -> _Entries:
        confidence = None if self.confidence is None else self.confidence[which]
        return _Entries(self.row[which], self.joint[which], self.values[which], confidence)


def _clips(
    table: pa.Table, entries: _Entries, layout: Layout, options: Options, name: str, notes: list[Note], where: str
) -> list[Clip]:
    infinite = (np.abs(entries.values) > np.finfo(np.float32).max).any(axis=1)  # too large for it becomes infinite
    if infinite.any():
        first = int(np.argmax(infinite))
        raise InputError(
            f"{where}: infinite coordinate in row {entries.row[first] + 1} (joint "
            f"{layout.joints[entries.joint[first]]!r}), expected a number, or nothing for a missing joint"
        )
    values = hide_missing(entries.values, entries.confidence, options.min_confidence, where, origin_is_missing=False)
    entries = replace(entries, values=values)
    clip_of, clip_names = _codes(table, "clip", stem(name), where)
    person_of, _ = _codes(table, "person", "0", where)
    frame_of = _frames(table, clip_of, person_of, where)
    text = {key: _codes(table, key, "", where) for key in _TEXT if key in table.column_names}

    by_clip = np.argsort(clip_of[entries.row], kind="stable")
    edges = np.searchsorted(clip_of[entries.row][by_clip], np.arange(len(clip_names) + 1))
    clips = []
    for number, clip_name in enumerate(clip_names):
        own = entries.take(by_clip[edges[number] : edges[number + 1]])
        place = f"{where}: clip {clip_name!r}" if "clip" in table.column_names else where
        info: dict[str, Any] = {key: _one(codes[own.row], words, key, place) for key, (codes, words) in text.items()}
        numbered = frames_of(frame_of[own.row], place)
        joints = _grid(own, person_of[own.row], frame_of[own.row], numbered, layout, place)
        try:
            clips.append(
                people_clip(
                    joints,
                    layout,
                    options,
                    place,
                    name=clip_name,
                    step=numbered.step,
                    notes=notes,
                    **info,
                    **_rate_and_size(table, own.row, place),
                )
            )
        except NoSkeleton:
            continue
    if not clips:
        raise InputError(f"{where}: all joints are missing in all frames")
    return clips


def _rate_and_size(table: pa.Table, rows: np.ndarray, where: str) -> dict[str, Any]:
    """fps and image size, where the table says them."""
    if not {_RATE, *_SIZE} & set(table.column_names):
        return {}
    first = table.take(pa.array(rows[:1]))
    have = {c: float(_numbers(first, c, where)[0]) for c in (_RATE, *_SIZE) if c in table.column_names}
    width, height = (have.get(c, np.nan) for c in _SIZE)
    return {
        "fps": have[_RATE] if have.get(_RATE, 0.0) > 0 else None,
        "image_size": (int(width), int(height)) if width >= 1 and height >= 1 else None,
    }


def _grid(
    entries: _Entries, person: np.ndarray, frame: np.ndarray, numbered: FrameNumbers, layout: Layout, where: str
) -> np.ndarray:
    """(people, frames, joints, C) float32 of one clip; NaN where the table has no row."""
    at, count = numbered.at, numbered.count
    people, index = np.unique(person, return_inverse=True)
    shape = len(people), count, len(layout)
    check_room(*shape, where)
    flat = np.ravel_multi_index((index, at, entries.joint), shape)
    order = np.argsort(flat, kind="stable")
    again = np.flatnonzero(np.diff(flat[order]) == 0)
    if len(again):
        second = order[again[0] + 1]
        joint = layout.joints[entries.joint[second]]
        raise InputError(
            f"{where}: row {entries.row[second] + 1} gives joint {joint!r} of frame {frame[second]} a second time"
        )
    joints = np.full((int(np.prod(shape)), entries.values.shape[1]), np.nan, dtype=np.float32)
    joints[flat] = entries.values
    return joints.reshape(*shape, -1)


# --- the two shapes ---


def _is_long(columns: list[str]) -> bool:
    return {"joint", "x", "y"} <= set(columns)


def _wide_joints(columns: list[str]) -> list[str]:
    """Joints that have an x and a y column, in the order of the columns."""
    known = set(columns)
    return [c[:-2] for c in columns if c.endswith("_x") and len(c) > 2 and c[:-2] + "_y" in known]


def _long(table: pa.Table, wanted: Layout | None, where: str) -> tuple[_Entries, Layout]:
    if "frame" not in table.column_names:
        raise InputError(f"{where}: columns joint, x, y but no 'frame'")
    column = table["joint"]
    axes = [a for a in _AXES if a in table.column_names]
    if pa.types.is_integer(column.type):
        joint = _whole(table, "joint", where)
        known = np.unique(joint)
        layout = wanted or layouts_by_count(len(axes)).get(len(known))
        if layout is None:
            raise InputError(
                f"{where}: joints are numbers, {len(known)} of them, which needs a layout; name it with --joints"
            )
        if len(known) == len(layout) and known[0] == 1 and known[-1] == len(layout):  # counted from 1
            joint = joint - 1
        outside = joint[(joint < 0) | (joint >= len(layout))]
        if len(outside):
            raise InputError(f"{where}: joint {outside[0]}, but {layout.name!r} has joints 0 to {len(layout) - 1}")
    else:
        codes, names = _codes(table, "joint", "", where)
        layout, index = named_layout(names, wanted, where)
        joint = index[codes]
    values = np.stack([_numbers(table, a, where) for a in axes], axis=1)  # (N, C)
    sure = next((c for c in _CONFIDENCE if c in table.column_names), None)
    confidence = _numbers(table, sure, where) if sure else None
    return _Entries(np.arange(table.num_rows), joint, values, confidence), layout


def _wide(table: pa.Table, wanted: Layout | None, where: str) -> tuple[_Entries, Layout]:
    columns = set(table.column_names)
    names = _wide_joints(table.column_names)
    layout, index = _joints(names, 3 if f"{names[0]}_z" in columns else 2, wanted, where)
    for column in table.column_names:  # of a joint whose other column is misspelt, say
        name, axis = column[:-2], column[-2:]
        ours = name in _OUR_JOINTS or (wanted is not None and name in wanted.joints)
        if axis in ("_x", "_y", "_z") and name not in names and ours:
            lacking = next(a for a in ("_x", "_y") if name + a not in columns)
            raise InputError(f"{where}: {column} but no {name}{lacking}, expected x and y of each joint")
    with_z = [n for n in names if f"{n}_z" in columns]
    if with_z and len(with_z) < len(names):
        without = next(n for n in names if n not in with_z)
        raise InputError(f"{where}: {with_z[0]}_z but no {without}_z, expected z for all joints or none")
    rows = np.arange(table.num_rows)
    values, confidence = [], []
    for n in names:
        values.append(np.stack([_numbers(table, f"{n}_{a}", where) for a in (_AXES if with_z else _AXES[:2])], axis=1))
        sure = next((f"{n}_{c}" for c in _CONFIDENCE if f"{n}_{c}" in columns), None)
        confidence.append(_numbers(table, sure, where) if sure else np.ones(len(rows)))
    return _Entries(
        np.tile(rows, len(names)),
        np.repeat(index, len(rows)),
        np.concatenate(values),
        np.concatenate(confidence),
    ), layout


def _joints(names: list[str], dims: int, wanted: Layout | None, where: str) -> tuple[Layout, np.ndarray]:
    """The layout, and where in it each joint of a wide table is; numbers are places in the layout."""
    numbers = numbers_of(names)
    if numbers is None:
        return named_layout(names, wanted, where)
    layout = wanted or layouts_by_count(dims).get(len(names))
    if layout is None:
        raise InputError(f"{where}: joints are numbers, {len(names)} of them, which needs a layout; give --joints")
    outside = next((n for n in numbers if not 0 <= n < len(layout)), None)
    if outside is not None:
        raise InputError(f"{where}: joint {outside}, but {layout.name!r} has joints 0 to {len(layout) - 1}")
    return layout, np.array(numbers)


# --- what the columns are ---


def _with_roles(table: pa.Table, given: tuple[tuple[str, str], ...], where: str) -> tuple[pa.Table, list[Note]]:
    """The table with our names for the columns that ``--column`` names, or that are called as people call them.

    Raises:
        InputError: a column that is not there, or a name that is no column of ours.
    """
    names, notes = list(table.column_names), []
    for ours, theirs in given:
        if ours not in (*_ROLES, "ignore"):
            raise InputError(unknown("column", ours, (*_ROLES, "ignore"), f"--column {ours}={theirs}"))
        lower = [n.lower() for n in names]
        if theirs.lower() not in lower:
            raise InputError(f"{where}: {unknown('column', theirs, names, f'--column {ours}={theirs}')}")
        if ours in lower and ours not in ("ignore", theirs.lower()):
            names[lower.index(ours)] = f"{ours} of the file"
        names[lower.index(theirs.lower())] = "ignore" if ours == "ignore" else ours
    for ours, theirs in roles(names).items():
        names[names.index(theirs)] = ours
        notes.append(Note(f"column {theirs!r} is taken as the {ours} (--column says otherwise)"))
    drop = [i for i, n in enumerate(names) if n == "ignore"]
    table = table.rename_columns([f"ignore {i}" if i in drop else n for i, n in enumerate(names)])
    return table.drop_columns([f"ignore {i}" for i in drop]) if drop else table, notes


_ROLES = ("clip", "label", "subject", "camera", "split", "person", "frame", "joint")


def _parted(table: pa.Table, name: str, said: list[str], notes: list[Note], where: str) -> pa.Table:
    """A table whose rows say neither clip nor frame, cut where the label changes; but for a label that is ``said``
    to be of a whole clip by our name for it.

    Raises:
        InputError: another text changes within it, so that these rows are hardly one clip.
    """
    columns = table.column_names
    if "clip" in columns or "frame" in columns:
        return table
    rows = table.num_rows
    for column in columns:
        is_text = pa.types.is_string(table[column].type) or pa.types.is_large_string(table[column].type)
        if not is_text or column in _ROLES:
            continue
        codes, words = _codes(table, column, "", where)
        if 1 < len(words) <= rows // 2:
            at = int(np.flatnonzero(np.diff(codes))[0]) + 1
            raise InputError(
                f"{where}: column {column!r} changes from {words[codes[at - 1]]!r} to {words[codes[at]]!r} in row "
                f"{at + 1}, and no column says the clip or the frame; give --column clip={column}, or label= or ignore="
            )
    if "label" not in columns or "label" in said:
        return table
    codes, words = _codes(table, "label", "", where)
    run = np.concatenate([[0], np.cumsum(np.diff(codes) != 0)])
    if run[-1] == 0:
        return table
    notes.append(Note("no column says the clip or the frame: each run of rows with one label is taken as a clip"))
    return table.append_column("clip", pa.array([f"{name}-{r}" for r in run]))


def _unused(table: pa.Table) -> list[Note]:
    """Columns of unknown meaning."""
    columns = table.column_names
    known = {*_ROLES, *IGNORED, _RATE, *_SIZE}
    if _is_long(columns):
        known |= {*_AXES, *_CONFIDENCE}
    else:
        known |= {f"{n}_{end}" for n in _wide_joints(columns) for end in (*_AXES, *_CONFIDENCE)}
    rest = [c for c in columns if c.lower() not in known and c not in known and not c.endswith(" of the file")]
    if not rest:
        return []
    shown = ", ".join(rest[:6]) + (f" and {len(rest) - 6} more" if len(rest) > 6 else "")
    return [
        Note(f"columns that are not used: {shown} (--column label={rest[0]}, clip=, subject= ... gives them a meaning)")
    ]


# --- columns ---


def _load(source: Source, name: str) -> pa.Table:
    data = pa.py_buffer(source.read(name))
    try:
        if name.lower().endswith(".csv"):
            _check_text(bytes(data), source.where(name))
            table = pa.csv.read_csv(pa.BufferReader(data))
        else:
            table = pa.parquet.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        kind = "CSV" if name.lower().endswith(".csv") else "Parquet"
        raise InputError(
            f"{source.where(name)}: not readable as {kind} ({' '.join(str(error).split())[:200]})"
        ) from None
    return _renamed(table, source.where(name))


def _check_text(data: bytes, where: str) -> None:
    """Tells an encoding and a separator that a spreadsheet may have chosen; pyarrow would speak of binary and columns.

    Raises:
        InputError: text that is not UTF-8, or whose first line has semicolons or tabs and no comma.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{where}: byte {data[error.start]:#04x} in line {line}, expected text in UTF-8") from None
    first = data[:100_000].split(b"\n", 1)[0]
    if b"," not in first and (other := next((c for c in (";", "\t") if c.encode() in first), None)):
        raise InputError(f"{where}: no ',' in the first line; is the separator {other!r}? expected ','")


def _columns(source: Source, name: str) -> list[str]:
    """The first line of a CSV, the schema of a Parquet file."""
    if not name.lower().endswith(".csv"):
        return _load(source, name).column_names
    line = source.read(name)[:100_000].split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    return [_column(c) for c in our_columns([c.strip().strip('"') for c in line.split(",")])]


def _column(raw: str) -> str:
    """Lower case, but for the joint of a rig: the capitals of 'LeftUpLeg_x' part its words."""
    name = raw.strip().lower()
    joint, _, last = name.rpartition("_")
    if last in (*_AXES, *_CONFIDENCE) and joint not in _OUR_JOINTS:
        return raw.strip()[: len(joint)] + name[len(joint) :]
    return name


def _renamed(table: pa.Table, where: str) -> pa.Table:
    names = [_column(c) for c in our_columns(table.column_names)]
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise InputError(f"{where}: column {twice!r} is there twice")
    return table.rename_columns(names)


def _numbers(table: pa.Table, column: str, where: str) -> np.ndarray:
    """(rows,) float64, NaN for an empty cell."""
    try:
        whole = pa.types.is_integer(table[column].type)  # beyond 2^53 they are rounded
        values = pc.cast(table[column], pa.float64(), safe=not whole)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = enumerate(table[column].to_pylist())
        row, bad = next(((i, v) for i, v in values if v is not None and not _is_number(v)), (0, "no decimal"))
        raise InputError(f"{where}: {column} is {str(bad)[:40]!r} in row {row + 1}, expected a number") from None
    return np.asarray(values.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _is_number(value: object) -> bool:
    """As Arrow reads numbers: ASCII, without underscores."""
    text = str(value).strip()
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text and not isinstance(value, (list, dict, bytes))


def _whole(table: pa.Table, column: str, where: str) -> np.ndarray:
    """(rows,) int64."""
    values = _numbers(table, column, where)
    wrong = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > 2**53)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{where}: {column} is {values[row]} in row {row + 1}, expected a whole number")
    return values.astype(np.int64)


def _frames(table: pa.Table, clip_of: np.ndarray, person_of: np.ndarray, where: str) -> np.ndarray:
    """(rows,) frame numbers; without the column the rows of a person follow each other."""
    if "frame" in table.column_names:
        return _whole(table, "frame", where)
    order = np.lexsort((np.arange(len(clip_of)), person_of, clip_of))
    changed = np.flatnonzero(np.diff(clip_of[order]) | np.diff(person_of[order])) + 1
    starts = np.concatenate([[0], changed])
    lengths = np.diff(np.concatenate([starts, [len(order)]]))
    frame = np.empty(len(order), dtype=np.int64)
    frame[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return frame


def _codes(table: pa.Table, column: str, default: str, where: str) -> tuple[np.ndarray, list[str]]:
    """(rows,) indices into the distinct texts of a column, in order of appearance."""
    if column not in table.column_names:
        return np.zeros(table.num_rows, dtype=np.int64), [default]
    try:
        text = pc.cast(table[column], pa.string()).fill_null(default).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(f"{where}: column {column!r} holds {table[column].type}, expected text or numbers") from None
    coded = text.dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return np.asarray(coded.indices.to_numpy(), dtype=np.int64), [str(w) for w in coded.dictionary.to_pylist()]


def _one(codes: np.ndarray, words: list[str], key: str, where: str) -> str | None:
    found = [words[c] for c in np.unique(codes) if words[c]]
    if len(found) > 1:
        raise InputError(f"{where}: {key} is {found[0]!r} and {found[1]!r}, expected one a clip")
    return found[0] if found else None


FORMAT = Format("table", "a custom table: CSV or Parquet, a row per joint or a column per coordinate", items, read)

"""Labels for clips whose format has none: the folders that they lie in, or a CSV with a row a clip."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path, PurePosixPath

from orvpe.data.formats.source import stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip, Note

FOLDERS = "folders"
_COLUMNS = ("label", "subject", "camera", "split")
NO_ROW = Note("clips without a row in the table of labels keep what their file says")


class Labels:
    """What is said about clips outside of their files.

    Args:
        what: "folders" (the first folder in which the files of a source differ is the label), or a CSV with the columns
            name and label, and optionally subject, camera and split; a name is that of the clip or of its file.

    Raises:
        InputError: no such file, no such column, a name twice.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.rows: dict[str, dict[str, str]] = {} if what == FOLDERS else _rows(Path(what))

    def applied(self, clip: Clip, file: str, names: tuple[str, ...]) -> Clip:
        """The clip with what is said about it.

        Args:
            file: the file it comes from, as its source names it.
            names: all files of that source.

        Raises:
            InputError: a file outside of any folder, where folders are the labels.
        """
        if self.what == FOLDERS:
            below = file.split("/")[_common(names) :]
            if len(below) < 2:
                raise InputError(f"{file}: lies in no folder that could be its label, expected a folder for each class")
            return clip.with_(label=below[0])
        keys = (clip.name, file, PurePosixPath(file).name, stem(file))
        row = next((self.rows[k] for k in keys if k in self.rows), None)
        return clip.with_(**row) if row is not None else clip.with_(notes=(*clip.notes, NO_ROW))

    def of_files(self, paths: dict[str, str]) -> dict[str, dict[str, str]]:
        """What is said of files, videos say: name -> path to name -> {"label": ...}; {} where nothing is."""
        if self.what == FOLDERS:
            common = _common(tuple(paths.values()))
            return {n: {"label": p.split("/")[common]} if p.count("/") > common else {} for n, p in paths.items()}
        keys = {n: (n, p, PurePosixPath(p).name, stem(p)) for n, p in paths.items()}
        return {n: next((self.rows[k] for k in some if k in self.rows), {}) for n, some in keys.items()}

    def to_list(self) -> list[object]:
        """What decides the result, for fingerprints."""
        return [self.what, sorted((k, sorted(v.items())) for k, v in self.rows.items())]


@lru_cache(maxsize=4)
def _common(names: tuple[str, ...]) -> int:
    """Folders that all files lie in."""
    parts = [n.split("/")[:-1] for n in names]
    depth = 0
    while all(len(p) > depth and p[depth] == parts[0][depth] for p in parts):
        depth += 1
    return depth


def _rows(path: Path) -> dict[str, dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: no table of labels that can be read ({error}); expected a CSV, or 'folders'"
        ) from None
    columns = [c for c in (table[0] if table else {}) if c]
    if "name" not in columns or "label" not in columns:
        raise InputError(f"{path}: columns {', '.join(columns)[:80] or 'none'}, expected name, label, and optionally "
                         "subject, camera, split")  # fmt: skip
    rows: dict[str, dict[str, str]] = {}
    for number, row in enumerate(table, start=2):
        name = (row["name"] or "").strip()
        if name in rows:
            raise InputError(f"{path}: name {name!r} in line {number} is there twice")
        rows[name] = {c: row[c].strip() for c in _COLUMNS if row.get(c)}
    return rows


def column_pairs(column: list[str] | None) -> tuple[tuple[str, str], ...]:
    """``["label=shot"]`` as (ours, theirs) pairs.

    Raises:
        InputError: a word without '='.
    """
    pairs = []
    for word in column or []:
        ours, equals, theirs = word.partition("=")
        if not equals or not ours or not theirs:
            raise InputError(f"column is {word!r}, expected OURS=THEIRS, as in label=shot")
        pairs.append((ours.strip(), theirs.strip()))
    return tuple(pairs)

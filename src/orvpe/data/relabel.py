"""Custom classes made of a store's labels, by a YAML file: several labels one class, others left out.

walk: [set2/0/*, "*/Walk-in-place*"]
jump: ["*/Jump"]
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np

from orvpe.errors import InputError, unknown
from orvpe.runtime.plain import read_scalars, read_text

_SHOWN = 12  # labels of a store in a message


def read_classes(path: str) -> dict[str, list[str]]:
    """Class -> patterns of labels, from a YAML file.

    Raises:
        InputError: no such file, no YAML, or something else in it.
    """
    # every scalar as it is written: a label 1 or yes is text, not a number or a truth
    data = read_scalars(read_text(path, f"classes {path}"), f"classes {path}")
    if not isinstance(data, dict) or not data:
        raise InputError(f'classes {path}: expected lines like \'jump: ["*/Jump", "*/hop"]\'')
    found = {}
    for name, patterns in data.items():
        patterns = [patterns] if isinstance(patterns, str) else patterns
        if not name.strip():
            raise InputError(f"classes {path}: a class without a name, expected lines like 'jump: [hop]'")
        if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) and p for p in patterns):
            raise InputError(f"classes {path}: {name!r} is {patterns!r}, expected a list of labels or patterns")
        found[name] = patterns
    return found


def relabel(labels: np.ndarray, classes: dict[str, list[str]], where: str = "classes") -> np.ndarray:
    """The class of each label, '' where it belongs to none.

    Args:
        labels: (N,) text.
        classes: class -> patterns with ``*``, ``?`` and ``[...]``, case-sensitive.
        where: what to call the file in a message.

    Returns:
        (N,) text.

    Raises:
        InputError: a pattern that fits no label; a label of two classes.
    """
    known = [str(label) for label in np.unique(labels) if label]
    place: dict[str, str] = {}
    for name, patterns in classes.items():
        for pattern in patterns:
            fits = [label for label in known if fnmatchcase(label, pattern)]
            if not fits:
                raise InputError(f"{where}: class {name!r}: {_unknown_label(pattern, known)}")
            for label in fits:
                if place.setdefault(label, name) != name:
                    raise InputError(f"{where}: label {label!r} is of two classes, {place[label]!r} and {name!r}")
    return np.array([place.get(str(label), "") for label in labels], dtype=object)


def _unknown_label(pattern: str, known: list[str]) -> str:
    if not known:
        return f"unknown label {pattern!r}; the store has none"
    few = known[:_SHOWN]
    text = unknown("label", pattern, known)
    if "known: " in text and len(known) > _SHOWN:  # a store of motion capture has hundreds
        text = f"{text.partition('known: ')[0]}known: {', '.join(few)} and {len(known) - _SHOWN} more"
    return text

"""Classes of one's own made of a store's labels, by a YAML file: several labels one class, others left out.

walk: [set2/0/*, "*/Walk-in-place*"]
jump: ["*/Jump"]
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.errors import InputError, unknown

_SHOWN = 12  # labels of a store in a message


def read_classes(path: str) -> dict[str, list[str]]:
    """Class -> patterns of labels, from a YAML file.

    Raises:
        InputError: no such file, no YAML, or something else in it.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows editors put a byte-order mark first
        # every scalar as it is written: a label 1 or yes is text, not a number or a truth
        data = _plain(yaml.compose(text, Loader=yaml.SafeLoader), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"classes {path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"classes {path}: not YAML ({_reason(error)})") from None
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


def _plain(node: Any, path: str) -> Any:
    """A YAML node as dicts, lists and text, each scalar as it is written.

    Raises:
        InputError: a class that is named twice, of which YAML would silently keep one; one that is no text.
    """
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_plain(v, path) for v in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = _plain(key, path)
            if not isinstance(name, str):
                raise InputError(f"classes {path}: class {name!r}, expected a name")
            if name in found:
                raise InputError(f"classes {path}: class {name!r} stands there twice; give all its labels in one list")
            found[name] = _plain(value, path)
        return found
    return None if node is None else str(node.value)


def _reason(error: Exception) -> str:
    """What is wrong and where, in a few words."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or " ".join(str(error).split())
    return what if mark is None else f"line {mark.line + 1}: {what}"


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

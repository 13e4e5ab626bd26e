"""Plain data out of YAML and JSON that somebody handed us: no tags, no aliases, no classes to build, of bounded size.

A recipe, a card, a layout or a flag is text, lists and mappings, never an object.  YAML is taken from its events, so
nothing is ever constructed; the words by which other tools name classes to build are refused by name.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from orvpe.errors import InputError, one_line

MOST_BYTES = 256 << 10  # of YAML; the largest that comes with orvpe has 3,000
MOST_JSON_BYTES = 16 << 20
MOST_DEPTH = 20
_LARGEST = 2**63  # of whole numbers
MOST_SHOWN = 60  # characters of a value in a message
CLASS_WORDS = ("class_path", "init_args", "dict_kwargs")
_NULLS = ("", "~", "null", "Null", "NULL")


class Text(str):
    """A YAML scalar as it is written: ``bare`` without quotes, so that it may stand for a number or for nothing."""

    bare: bool

    def __new__(cls, text: str, bare: bool = True) -> Text:
        made = super().__new__(cls, text)
        made.bare = bare
        return made

    @property
    def is_null(self) -> bool:
        return self.bare and str(self) in _NULLS


def shown(value: Any) -> str:
    """A value for a message: its ``repr``, cut."""
    text = repr(str(value) if isinstance(value, Text) else value)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 4]}...{text[-1]}"


def read_text(path: str | Path, where: str, most: int = MOST_BYTES) -> str:
    """A small UTF-8 file; a byte-order mark is left out.

    Raises:
        InputError: cannot be read, not UTF-8, too large.
    """
    try:
        if (size := Path(path).stat().st_size) > most:
            raise InputError(f"{where}: {size:,} bytes, expected at most {most:,}")
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{where}: {error.strerror or error}") from None


def read_scalars(text: str, where: str) -> Any:
    """YAML as dicts, lists and `Text`; None when there is nothing in it.

    Raises:
        InputError: not YAML, a tag, an alias, a name twice, a name of `CLASS_WORDS`, too large or nested too deeply.
    """
    import yaml

    if len(text) > MOST_BYTES:
        raise InputError(f"{where}: {len(text):,} characters, expected at most {MOST_BYTES:,}")
    try:
        return _built(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), where)
    except (yaml.YAMLError, RecursionError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        reason = f"line {mark.line + 1}: {problem}" if mark is not None and problem else one_line(str(error))
        raise InputError(f"{where}: not YAML ({reason})") from None


def _built(events: Any, where: str) -> Any:
    import yaml

    top: list[Any] = []
    open_: list[tuple[Any, Any]] = [(top, None)]  # what is being filled, and the name whose value comes next
    documents = 0
    for event in events:
        line = event.start_mark.line + 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise InputError(f"{where}: line {line}: a second document, expected one")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{where}: line {line}: an anchor or alias (& or *), expected plain values")
        if getattr(event, "tag", None):
            raise InputError(f"{where}: line {line}: a tag ({event.tag[:MOST_SHOWN]}), expected plain values")
        if isinstance(event, yaml.ScalarEvent):
            _add(open_, Text(event.value, event.implicit[0]), where, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(open_) > MOST_DEPTH:
                raise InputError(f"{where}: line {line}: nested deeper than {MOST_DEPTH} levels")
            new: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            _add(open_, new, where, line)
            open_.append((new, None))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            open_.pop()
    return top[0] if top else None


def _add(open_: list[tuple[Any, Any]], value: Any, where: str, line: int) -> None:
    """A value into the innermost list, or as the next name or value of the innermost mapping."""
    target, name = open_[-1]
    if isinstance(target, list):
        target.append(value)
    elif name is not None:
        target[name] = value
        open_[-1] = (target, None)
    else:
        if not isinstance(value, Text):
            raise InputError(f"{where}: line {line}: a list or mapping as a name, expected text")
        _check_name(str(value), f"{where}: line {line}")
        if str(value) in target:
            raise InputError(f"{where}: line {line}: {shown(value)} stands there twice")
        if value == "<<" and value.bare:
            raise InputError(f"{where}: line {line}: a merge (<<), expected plain values")
        open_[-1] = (target, str(value))


def _check_name(name: str, where: str) -> None:
    if name in CLASS_WORDS:
        raise InputError(f"{where}: {name} is refused: this is plain data, and nothing in it is built or run")


def check_names(name: str, where: str) -> None:
    """Refuse a dotted name, such as a flag's, that names a class to build.

    Raises:
        InputError: one of `CLASS_WORDS` is in it.
    """
    for part in name.split("."):
        _check_name(part, where)


def meant(value: Any, where: str) -> Any:
    """What scalars stand for by YAML's rules: numbers, truths, nothing, else text; names stay text.

    Numbers as in JSON are read too: 1e-3 is a number.
    """
    import yaml

    if isinstance(value, dict):
        return {name: meant(v, f"{where}: {name}") for name, v in value.items()}
    if isinstance(value, list):
        return [meant(v, where) for v in value]
    if not isinstance(value, Text) or not value.bare:
        return str(value) if isinstance(value, Text) else value
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, str(value), (True, False)).rpartition(":")[2]
    text = str(value)
    try:
        if tag in ("null", "bool", "int", "float"):
            found = yaml.safe_load(text)
        else:
            found = float(text) if any(c.isdigit() for c in text) and "_" not in text else text
    except (ValueError, OverflowError, yaml.YAMLError):
        if tag == "str":
            return text
        found = math.inf
    if (isinstance(found, int) and abs(found) > _LARGEST) or (isinstance(found, float) and not math.isfinite(found)):
        raise InputError(f"{where}: {shown(value)} is no number that can be used")
    return found


def load_yaml(text: str, where: str) -> Any:
    """YAML as plain Python values.

    Raises:
        InputError: as `read_scalars`.
    """
    return meant(read_scalars(text, where), where)


def load_json(text: str, where: str) -> Any:
    """JSON as plain Python values: finite numbers, no name twice, none of `CLASS_WORDS`, of bounded depth.

    Raises:
        InputError: otherwise.
    """
    if len(text) > MOST_JSON_BYTES:
        raise InputError(f"{where}: {len(text):,} characters, expected at most {MOST_JSON_BYTES:,}")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, _ in found:
            _check_name(name, where)
        if len(made := dict(found)) < len(found):
            raise InputError(f"{where}: a name stands there twice: {', '.join(made)[:MOST_SHOWN]}")
        return made

    def constant(word: str) -> Any:
        raise InputError(f"{where}: {word}, expected finite numbers")

    try:
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # also a number of more than 4,300 digits
        raise InputError(f"{where} is not valid JSON ({error})") from None
    level: list[Any] = [data]
    for _ in range(MOST_DEPTH + 1):
        if not level:
            return data
        level = [inner for value in level for inner in _inside(value)]
    raise InputError(f"{where}: nested deeper than {MOST_DEPTH} levels")


def _inside(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []

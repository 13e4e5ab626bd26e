"""A typed function's arguments: what they are called, what they take, and how plain data fills them in.

The command line, recipes and Python callers all go by what a function's signature and docstring say.  Dataclasses
among the arguments are written with dots (``view.tau``); those derived from `Group` lie flat (``fps``), so that
functions can share them without their callers seeing it.  Nothing here builds anything but the dataclasses of the
signature: values are text, numbers, truths, lists and mappings.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from inspect import Parameter
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from orvpe.errors import InputError, unknown
from orvpe.runtime.plain import Text, check_names, meant, read_scalars, shown

R = TypeVar("R")
REQUIRED: Any = MISSING
_LARGEST = 2**63 - 1


class Group:
    """Base of dataclasses that several functions share and whose fields callers give as arguments of their own."""


@dataclass(frozen=True)
class Argument:
    """One thing that a caller can give.

    Args:
        name: as it is typed, ``view.tau`` or ``fps``.
        path: the parameter, then the fields of dataclasses that lead there.
        hint: its type.
        default: `REQUIRED` when there is none.
        about: what the docstring says of it.
        heading: of the dataclass it belongs to, else ''.
    """

    name: str
    path: tuple[str, ...]
    hint: Any
    default: Any
    about: str
    heading: str = ""

    @property
    def kind(self) -> Any:
        """Its type, without "or None"."""
        return next(h for h in _sides(self.hint) if h is not type(None))

    @property
    def may_be_none(self) -> bool:
        return type(None) in _sides(self.hint)

    @property
    def is_list(self) -> bool:
        return get_origin(self.kind) in (list, tuple)

    @property
    def of_numbers(self) -> bool:
        return self.is_list and get_args(self.kind)[0] in (int, float)


def _sides(hint: Any) -> tuple[Any, ...]:
    is_union = get_origin(hint) is Union or isinstance(hint, UnionType)
    return get_args(hint) if is_union else (hint,)


@functools.cache
def arguments_of(function: Callable[..., Any]) -> dict[str, Argument]:
    """Name -> argument, in the order of the signature; those of groups last."""
    function = inspect.unwrap(function)
    hints, about = get_type_hints(function), documented(function)
    own: dict[str, Argument] = {}
    shared: dict[str, Argument] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        default = REQUIRED if parameter.default is Parameter.empty else parameter.default
        for argument in _spread(name, (name,), hints[name], default, about.get(name, ""), ""):
            (shared if is_group(hints[name]) else own)[argument.name] = argument
    return own | shared


def is_group(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Group)


def _spread(name: str, path: tuple[str, ...], hint: Any, default: Any, about: str, heading: str) -> Iterator[Argument]:
    if not is_dataclass(hint):
        yield Argument(name, path, hint, default, about, heading)
        return
    inner_hints, inner_about = get_type_hints(hint), documented(hint)
    title = (hint.__doc__ or "").strip().splitlines()[0].rstrip(".") if is_group(hint) else about
    for field in dataclasses.fields(hint):
        value = _default(field) if default is REQUIRED else getattr(default, field.name)
        inner = field.name if is_group(hint) else f"{name}.{field.name}"
        yield from _spread(
            inner, (*path, field.name), inner_hints[field.name], value, inner_about.get(field.name, ""), title
        )


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def documented(of: Any) -> dict[str, str]:
    """Name -> text of the ``Args:`` of a docstring."""
    found: dict[str, str] = {}
    names: list[str] = []
    _, _, text = inspect.cleandoc(of.__doc__ or "").partition("\nArgs:\n")
    for line in text.splitlines():
        if not line.strip():
            continue
        if not line.startswith("    "):
            break
        if start := re.match(r"    (\w+(?:, \w+)*): (.*)", line):
            names = start[1].split(", ")
            found |= dict.fromkeys(names, start[2])
        else:
            found |= {n: f"{found[n]} {line.strip()}" for n in names}
    return found


# --- values ---


def converted(argument: Argument, raw: Any, said: str | None = None) -> Any:
    """Plain data as an argument's type.

    Args:
        argument: what it is for.
        raw: text as typed or `Text` of YAML, a list of such, or a mapping.
        said: the argument's name in messages; its flag when not given.

    Raises:
        InputError: something else was expected.
    """
    said = flag(argument.name) if said is None else said
    is_null = raw.is_null if isinstance(raw, Text) else raw == "null"
    if is_null and argument.may_be_none:
        return None
    if isinstance(raw, Text) and is_null:
        raise InputError(f"{said.lstrip('-').replace('-', '_')} is empty, expected a value")
    return _as(argument.kind, raw, said)


def _as(kind: Any, raw: Any, said: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        values = _items(raw, said, numbers=True)
        if len(values) != len(inner):
            raise InputError(f"{said} is {_written(raw)}, expected {len(inner)} values")
        return tuple(_as(k, v, said) for k, v in zip(inner, values, strict=True))
    if origin is list:
        return [_as(inner[0], v, said) for v in _items(raw, said, numbers=inner[0] in (int, float))]
    if origin is dict:
        found = read_scalars(raw, said) if isinstance(raw, str) else raw
        if not isinstance(found, dict):
            raise InputError(f"{said} is {_written(raw)}, expected {{name: value, ...}}")
        return {name: v if isinstance(v, (bool, int, float)) else meant(v, said) for name, v in found.items()}
    if kind in _READ:
        read, expected = _READ[kind]
        if isinstance(raw, str) and (value := read(str(raw).strip() if kind is not str else str(raw))) is not None:
            return value
        raise InputError(f"{said} is {_written(raw)}, expected {expected}")
    raise TypeError(f"{said}: nothing of type {kind} can be read")  # a signature of ours


def _items(raw: Any, said: str, numbers: bool) -> list[Any]:
    """The values of a list: as YAML has them, or words as typed, where 640x480, 640,480 and [640, 480] are two."""
    if isinstance(raw, Text):
        raise InputError(f"{said} is {_written(raw)}, expected [value, ...]")
    words = [raw] if isinstance(raw, str) else raw
    if not isinstance(words, list):
        raise InputError(f"{said} is {_written(raw)}, expected [value, ...]")
    if all(isinstance(w, str) and not isinstance(w, Text) for w in words):
        if numbers:
            return [v for w in words for v in re.sub(r"[x,\[\]]", " ", w).split()]
        if len(words) == 1 and words[0].startswith("["):
            return read_scalars(words[0], said)
    return words


def _written(raw: Any) -> str:
    """A value as a message shows it: lists as text, numbers as they were typed."""
    if isinstance(raw, list) and len(raw) == 1 and not isinstance(raw[0], Text):
        return shown(raw[0])
    return shown(raw if isinstance(raw, str) else str(meant(raw, "")))


def _integer(text: str) -> int | None:
    """ASCII digits that fit into 64 bits."""
    if re.fullmatch(r"[+-]?[0-9]{1,19}", text) is None:
        return None
    return value if abs(value := int(text)) <= _LARGEST else None


def _number(text: str) -> float | None:
    """A finite number in ASCII."""
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, flags=re.I | re.A) is None:
        return None
    return value if abs(value := float(text)) < float("inf") else None


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False, "yes": True, "no": False}.get(text.lower())


_READ: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (_integer, "a whole number"),
    float: (_number, "a number"),
    bool: (_truth, "true or false"),
}


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


# --- filling in ---


def filled(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """What to call a function with: dataclasses made of their fields, those of groups flat, the rest as it is.

    Args:
        function: typed; with `flat_arguments` where it has groups.
        values: by the names of `arguments_of`; what is missing has its default.

    Raises:
        InputError: a dataclass refuses a value.
    """
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = arguments_of(function)[name].path
        inside = tree
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[last] = value
    function = inspect.unwrap(function)
    hints, parameters = get_type_hints(function), inspect.signature(function).parameters
    called: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if is_dataclass(hints[name]):
            made = _made(hints[name], parameter.default, tree.get(name, {}))
            fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
            called |= fields if is_group(hints[name]) else {name: made}
        elif name in tree or parameter.default is not Parameter.empty:
            called[name] = tree.get(name, parameter.default)
    return called


def _made(hint: Any, default: Any, given: dict[str, Any]) -> Any:
    base: Any = default if is_dataclass(default) else hint()
    hints = get_type_hints(hint)
    return dataclasses.replace(
        base,
        **{n: _made(hints[n], getattr(base, n), v) if is_dataclass(hints[n]) else v for n, v in given.items()},
    )


def from_recipe(function: Callable[..., Any], data: Any, where: str) -> dict[str, Any]:
    """A recipe's values for the arguments of a function, by their names.

    Args:
        function: typed.
        data: of `orvpe.runtime.plain.read_scalars`.
        where: the recipe, for messages.

    Raises:
        InputError: a name that is no argument, a value of another type.
    """
    known = arguments_of(function)
    folders = {a.name.rpartition(".")[0] for a in known.values()} | {""}
    folders |= {f.rpartition(".")[0] for f in folders}
    found: dict[str, Any] = {}

    def take(name: str, value: Any) -> None:
        if name in folders:
            if not isinstance(value, dict):
                lines = "'argument: value' lines"
                value = meant(value, where)
                raise InputError(
                    f"{where}: " + (f"{name} is {value!r}, expected {lines} below it" if name else f"expected {lines}")
                )
            for inner, below in value.items():
                take(f"{name}.{inner}" if name else inner, below)
            return
        check_names(name, where)
        if name not in known:
            raise InputError(unknown("argument", name, [*known, *sorted(folders - {""})], where))
        try:
            found[name] = converted(known[name], value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    take("", data)
    return found


def flat_values(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `filled`: a function's keywords by the names of `arguments_of`; those not given are left out."""
    found: dict[str, Any] = {}
    for name, argument in arguments_of(function).items():
        if name in arguments:  # of a group, flat
            found[name] = arguments[name]
            continue
        value: Any = arguments.get(argument.path[0], REQUIRED)
        for part in argument.path[1:]:
            value = getattr(value, part, REQUIRED)
        if value is not REQUIRED:
            found[name] = value
    return found


def flat_arguments(function: Callable[..., R]) -> Callable[..., R]:
    """Let Python callers give the fields of a function's groups as keywords of their own, as the command line does."""
    groups = {n: h for n, h in get_type_hints(function).items() if is_group(h)}
    place = {f.name: n for n, h in groups.items() for f in dataclasses.fields(h)}
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> R:
        given: dict[str, dict[str, Any]] = {}
        for name in [n for n in kwargs if n in place]:
            given.setdefault(place[name], {})[name] = kwargs.pop(name)
        for group, values in given.items():
            kwargs[group] = dataclasses.replace(kwargs.get(group, parameters[group].default), **values)
        return function(*args, **kwargs)

    shown_: list[Parameter] = []
    for name, parameter in parameters.items():
        if name not in groups:
            shown_.append(parameter)
            continue
        hints = get_type_hints(groups[name])
        shown_ += [
            Parameter(
                f.name, Parameter.KEYWORD_ONLY, default=getattr(parameter.default, f.name), annotation=hints[f.name]
            )
            for f in dataclasses.fields(groups[name])
        ]
    call.__signature__ = inspect.Signature(sorted(shown_, key=lambda p: p.kind))  # type: ignore[attr-defined]
    return call

"""Parse a command line into the arguments of the command's function, as its signature defines them."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

from orvpe.cli.commands import COMMANDS, SHORT, function_of, takes_recipes
from orvpe.errors import InputError, unknown
from orvpe.runtime.plain import Text, check_names, load_yaml, meant
from orvpe.runtime.typed import REQUIRED, Argument, arguments_of, converted, filled, flag, flat_values
from orvpe.training.recipes import recipe_values

_LONG = {v: k for k, v in SHORT.items()}


class Shown(Exception):
    """``--help`` or ``--print-config`` was asked for; the text is what to print."""


def parse(command: str, argv: list[str]) -> dict[str, Any]:
    """The keywords to call a command's function with.

    Raises:
        InputError: a word that belongs to no argument, a value that does not fit, an argument that is missing.
        Shown: help or the configuration was asked for.
    """
    function = function_of(command)
    known = arguments_of(function)
    words = _Words(command, known)
    words.read(argv)
    values: dict[str, Any] = {}
    source: dict[str, str] = {}
    for recipe in words.recipes:  # what is typed has the last word, wherever it stands
        found = recipe_values(function, recipe, command)
        values |= found
        source |= dict.fromkeys(found, f"recipe {recipe}: ")
    for name, raw in words.given.items():
        values[name] = converted(known[name], raw, words.typed_as[name])
        source.pop(name, None)
    for name, inside in words.inside.items():
        base = values.get(name, known[name].default)
        typed = {inner: _any_value(raw, f"{flag(name)}.{inner}") for inner, raw in inside.items()}
        values[name] = {**(base or {}), **typed}
    if not words.print_config:
        _check_needed(command, known, values)
    try:
        arguments = filled(function, values)
    except InputError as error:  # of a dataclass, which does not know who gave the value
        named = re.match(r"(?:unknown )?([\w.]+) ", str(error))
        raise InputError((source.get(named[1], "") if named else "") + str(error)) from None
    if words.print_config:
        raise Shown(_as_recipe(flat_values(function, arguments)))
    return arguments


def _any_value(raw: str, typed: str) -> Any:
    """A value of no known type: a list or mapping of YAML, a number, a truth, or text."""
    return load_yaml(raw, typed) if raw.startswith(("[", "{")) else meant(Text(raw), typed)


class _Words:
    """Words sorted into arguments: positionals, ``-o``, ``--batch-size 8``, ``--seed=-1``, switches, lists."""

    def __init__(self, command: str, known: dict[str, Argument]) -> None:
        self.command, self.known = command, known
        self.given: dict[str, Any] = {}
        self.typed_as: dict[str, str] = {}
        self.inside: dict[str, dict[str, str]] = {}  # --encoder.options.width 0.5
        self.recipes: list[str] = []
        self.print_config = False

    def read(self, argv: list[str]) -> None:
        positional = list(COMMANDS[self.command].positional)
        placed: dict[str, list[str]] = {}
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if is_flag(word):
                rest = self._read_flag(word, rest)
                continue
            target = next((p for p in positional if p not in placed or self.known[p].is_list), None)
            if target is None:
                raise InputError(f"unexpected argument {word!r}")
            placed.setdefault(target, []).append(word)
        for name, words in placed.items():
            self._give(name, words, name.upper())

    def _read_flag(self, word: str, rest: list[str]) -> list[str]:
        """Read a flag and its values; return the remaining words."""
        typed, equals, value = word.partition("=")
        name = _LONG.get(typed, typed.lstrip("-").replace("-", "_"))
        if name in ("h", "help"):
            from orvpe.cli.help_pages import help_page

            raise Shown(help_page(self.command))
        if name == "print_config":
            self.print_config = True
            return rest
        check_names(name, typed)
        argument = self.known.get(name)
        outer, _, inner = name.rpartition(".")
        is_inside = argument is None and outer in self.known and self.known[outer].kind == dict[str, Any]
        is_recipe = name == "recipe" and takes_recipes(self.command)
        if argument is None and not is_inside and not is_recipe:
            flags = [flag(n) for n in sorted([*self.known, *(["recipe"] if takes_recipes(self.command) else [])])]
            raise InputError(unknown("argument", typed, flags))
        values = [value] if equals else self._values(argument, rest)
        if not values:
            raise InputError(self._without_value(typed, argument, rest))
        taken = 0 if equals or (argument and argument.kind is bool and values == [""]) else len(values)
        if is_recipe:
            self.recipes.append(values[0])
        elif is_inside:
            self.inside.setdefault(outer, {})[inner] = values[0]
        elif argument is not None:
            is_switch = argument.kind is bool and not equals and taken == 0
            self._give(name, ["true"] if is_switch else values, flag(name))
        return rest[taken:]

    def _values(self, argument: Argument | None, rest: list[str]) -> list[str]:
        """The words after a flag that are its values; [""] for a switch without one."""
        if argument is not None and argument.is_list:
            return list(takewhile(lambda w: _belongs(w, argument), rest))
        if argument is not None and argument.kind is bool and (not rest or rest[0].lower() not in ("true", "false")):
            return [""]
        return [w for w in rest[:1] if not is_flag(w) or w in ("-x", "-y", "-z")]  # of --up

    @staticmethod
    def _without_value(typed: str, argument: Argument | None, rest: list[str]) -> str:
        if argument is not None and argument.is_list and rest and not is_flag(rest[0]):
            expected = "width and height in pixels, as in 640x480" if argument.name == "image_size" else "numbers"
            return f"{typed} is {rest[0]!r}, expected {expected}"
        return f"{typed} needs a value"

    def _give(self, name: str, words: list[str], typed: str) -> None:
        self.given[name] = words if self.known[name].is_list else words[0]
        self.typed_as[name] = typed


def _check_needed(command: str, known: dict[str, Argument], values: dict[str, Any]) -> None:
    for name, argument in known.items():
        if argument.default is REQUIRED and name not in values:
            typed = name.upper() if name in COMMANDS[command].positional else flag(name)
            short = f" ({SHORT[name]})" if name in SHORT and typed.startswith("-") else ""
            raise InputError(f"{typed}{short} is missing: {argument.about.rstrip('.')}")


def _as_recipe(values: dict[str, Any]) -> str:
    """All arguments as YAML that ``--recipe`` reads."""
    import yaml

    tree: dict[str, Any] = {}
    for name, value in values.items():
        *folders, last = name.split(".")
        inside = tree
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[last] = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).rstrip()


def is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _is_number(word)


def _belongs(word: str, argument: Argument) -> bool:
    """Whether a word after the flag of a list is one of its values: of numbers, only numbers are."""
    if is_flag(word):
        return False
    pieces = re.sub(r"[x,\[\]]", " ", word).split()  # 640x480, [30,40]
    return not argument.of_numbers or all(_is_number(p) for p in pieces)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

"""Recipes: YAML files that fill in a command's arguments, shipped or of one's own."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

from orvpe.cli.commands import COMMANDS
from orvpe.errors import InputError, one_line, unknown

RECIPES = Path(__file__).parents[1] / "training" / "recipes"


def recipes(name: str | None = None) -> None:
    """List the shipped recipes, or print one of them.

    Args:
        name: the recipe to print.

    Raises:
        InputError: no recipe of that name.
    """
    if name is not None:
        print(recipe_path(name).read_text(encoding="utf-8"), end="")
        return
    for path in sorted(RECIPES.glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        print(f"{path.stem:<30}{first}")


def recipe_path(name: str) -> Path:
    """A shipped recipe by name, or a YAML file of one's own.

    Raises:
        InputError: neither.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise InputError(f"recipe {name}: no such file")
        return Path(name)
    path = RECIPES / f"{name}.yaml"
    if not path.exists() and Path(name).is_file():
        raise InputError(f"recipe {name}: expected a file whose name ends in .yaml, or the name of a shipped recipe")
    if not path.exists():
        raise InputError(unknown("recipe", name, sorted(p.stem for p in RECIPES.glob("*.yaml"))))
    return path


def recipe_for(command: str, name: str, hints: dict[str, Any]) -> Path:
    """The recipe's file, which says in a comment what command it is for.

    Raises:
        InputError: no such recipe, one for another command, or a name in it that is no argument.
    """
    path = recipe_path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"recipe {name}: not UTF-8 ({error.reason} at byte {error.start})") from None
    if not text.strip():
        raise InputError(f"recipe {name}: empty, expected 'argument: value' lines")
    for line in text.splitlines():
        meant = line.removeprefix("# command:").strip()
        if line.startswith("# command:") and meant in COMMANDS and meant != command:
            raise InputError(f"recipe {name} is for 'orvpe {meant}'")
    for given, value in _filled_in(name, text, hints):
        if given not in hints:
            raise InputError(unknown("argument", given, hints, f"recipe {name}"))
        if is_dataclass(hints[given]):
            raise InputError(f"recipe {name}: {given} is {value!r}, expected 'argument: value' lines below it")
        if value is None and type(None) not in get_args(hints[given]):
            raise InputError(f"recipe {name}: {given} is empty, expected a value")
    return path


_TOLD = re.compile(r"(?:--([\w.-]+) is|([\w.]+) is|unknown ([\w.]+)) ('.*?'|[^',;]+)(?:, expected |;)")


def where_from(words: list[str], error: str) -> str:
    """'recipe NAME: ' where a recipe among the words gives the argument that an error is about its value; else ''."""
    import yaml

    if (found := _TOLD.match(error)) is None or found[3] == "argument":
        return ""
    argument, told = (found[1] or found[2] or found[3]).replace("-", "_"), found[4]
    for i, word in enumerate(words):
        flag, equals, recipe = word.partition("=")
        if flag == "--recipe":
            recipe = recipe if equals else words[i + 1]
            value: Any = yaml.safe_load(recipe_path(recipe).read_text(encoding="utf-8"))
            for name in argument.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if told in (repr(value), repr(str(value))) or (isinstance(value, int) and told == repr(float(value))):
                return f"recipe {recipe}: "
    return ""


def _filled_in(recipe: str, text: str, hints: dict[str, Any]) -> list[tuple[str, Any]]:
    """The arguments a recipe fills in and their values, those of a dataclass as ``view.tau``."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"recipe {recipe}: not YAML ({one_line(str(error))})") from None
    if not isinstance(found, dict):
        raise InputError(f"recipe {recipe}: expected 'argument: value' lines")
    filled_in: list[tuple[str, Any]] = []
    todo = [(str(name), value) for name, value in found.items()]
    while todo:
        name, value = todo.pop(0)
        if isinstance(value, dict) and is_dataclass(hints.get(name)):
            todo += [(f"{name}.{inner}", below) for inner, below in value.items()]
        else:
            filled_in.append((name, value))
    return filled_in

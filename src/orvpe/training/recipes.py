"""Recipes: YAML files that fill in a command's arguments, shipped or custom."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orvpe.errors import InputError, unknown
from orvpe.runtime.plain import read_scalars, read_text
from orvpe.runtime.typed import filled, from_recipe

RECIPES = Path(__file__).parent / "recipes"


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
    """Path of a shipped recipe, by name, or of a custom YAML file.

    Raises:
        InputError: neither.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise InputError(f"recipe {name}: no such file")
        return Path(name)
    known = {p.stem: p for p in sorted(RECIPES.glob("*.yaml"))}
    if name not in known and Path(name).is_file():
        raise InputError(f"recipe {name}: expected a file whose name ends in .yaml, or the name of a shipped recipe")
    if name not in known:
        raise InputError(unknown("recipe", name, known))
    return known[name]


def recipe_values(function: Callable[..., Any], name: str, command: str = "") -> dict[str, Any]:
    """A recipe's values for a function, by the names of its arguments (``view.tau``).

    Args:
        function: typed, of a command.
        name: of a shipped recipe, or a YAML file.
        command: refuse a recipe whose ``# command:`` line names another one.

    Raises:
        InputError: no such recipe, one for another command, something in it that is no argument or no value for it.
    """
    text = read_text(recipe_path(name), f"recipe {name}")
    if not text.strip():
        raise InputError(f"recipe {name}: empty, expected 'argument: value' lines")
    for line in text.splitlines():
        of = line.removeprefix("# command:").strip()
        if command and line.startswith("# command:") and re.fullmatch("[a-z-]+", of) and of != command:
            raise InputError(f"recipe {name} is for 'orvpe {of}'")
    return from_recipe(function, read_scalars(text, f"recipe {name}"), f"recipe {name}")


def from_shipped(function: Callable[..., Any], name: str, **values: Any) -> dict[str, Any]:
    """Keyword arguments for a function: those of a recipe, overridden by ``values``."""
    return filled(function, recipe_values(function, name) | values)

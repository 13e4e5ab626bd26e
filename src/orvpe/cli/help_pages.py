"""``orvpe --help`` and ``orvpe COMMAND --help``."""

from __future__ import annotations

import shutil
import textwrap
from typing import Any, get_args, get_origin

from orvpe.cli.commands import COMMANDS, GROUPS, function_of

_WIDTH = 100
_COLUMN = 30
_SEVERAL = ("paths", "files", "parts", "videos")


def overview() -> str:
    """Every command in a line, in groups."""
    lines = ["usage: orvpe COMMAND [...]", "", "Occlusion-robust embeddings of human pose sequences."]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<12} {COMMANDS[name].about}" for name in commands]
    tail = "orvpe COMMAND --help lists a command's arguments; --recipe NAME or FILE.yaml fills them in."
    return "\n".join([*lines, "", tail])


def usage_line(command: str) -> str:
    """'usage: orvpe demo [VIDEO] [options]'."""
    from orvpe.runtime.typed import REQUIRED, arguments_of

    known = arguments_of(function_of(command))
    words = [
        (f"{p.upper()}..." if p in _SEVERAL else p.upper(), known[p].default is REQUIRED)
        for p in COMMANDS[command].positional
    ]
    shown = [word if needed else f"[{word}]" for word, needed in words]
    return " ".join([f"usage: orvpe {command}", *shown, "[options]"])


def help_page(command: str) -> str:
    """Usage, what the command does, an example, and every argument under its heading."""
    from orvpe.cli.commands import SHORT, takes_recipes
    from orvpe.runtime.typed import arguments_of, flag

    function, positional = function_of(command), COMMANDS[command].positional
    lines = [usage_line(command), "", (function.__doc__ or "").strip().splitlines()[0], ""]
    lines += ["example:", f"  {COMMANDS[command].example}", ""]
    headings: dict[str, list[str]] = {"arguments": []}
    for name, argument in arguments_of(function).items():
        typed = f"{SHORT[name]}, {flag(name)}" if name in SHORT else f"    {flag(name)}"
        if name in positional:
            typed = f"{name.upper()}..." if argument.is_list else name.upper()
        elif word := "true|false" if argument.default is True else _placeholder(argument.kind, name):
            typed += f" {word}"
        rows = headings.setdefault(argument.heading or "arguments", [])
        rows += _row(typed, _words(argument.about) + _default(argument))
    if takes_recipes(command):
        headings["arguments"] += _row(
            "    --recipe NAME|FILE.yaml", "fill in these arguments from a shipped recipe or a YAML file"
        )
        headings["arguments"] += _row("    --print-config", "print all arguments as a recipe, and stop")
    for heading, rows in headings.items():
        heading = _words(heading).rstrip(".")
        lines += [f"{heading[:1].lower()}{heading[1:]}:", *rows, ""]
    return "\n".join(lines).rstrip()


def _words(text: str) -> str:
    """A docstring's words without its marks."""
    return " ".join(text.replace("``", '"').replace("`", "").split())


def _row(typed: str, about: str) -> list[str]:
    width = min(_WIDTH, max(60, shutil.get_terminal_size((_WIDTH, 24)).columns))
    text = textwrap.wrap(about, width - _COLUMN) or [""]
    first = f"  {typed}"
    if len(first) > _COLUMN - 2:
        return [first, *(f"{'':{_COLUMN}}{line}" for line in text)]
    return [f"{first:<{_COLUMN}}{text[0]}", *(f"{'':{_COLUMN}}{line}" for line in text[1:])]


def _placeholder(kind: Any, name: str) -> str:
    """The placeholder for a value: N, X, 'N...'; empty for a switch."""
    last = name.rpartition(".")[2]
    if name == "image_size":
        return "WIDTHxHEIGHT"
    if get_origin(kind) is list:
        return f"{_placeholder(get_args(kind)[0], last.removesuffix('s'))}..."
    if get_origin(kind) is dict:
        return "{NAME: VALUE}"
    return {int: "N", float: "X", bool: ""}.get(kind, last.upper())


def _default(argument: Any) -> str:
    from orvpe.runtime.typed import REQUIRED

    value = argument.default
    if value is REQUIRED:
        return " (required)"
    if value is None or value is False or value in ("", [], {}):
        return ""
    if isinstance(value, (list, tuple)):
        return f" [default: {' '.join(map(str, value))}]" if len(value) <= 8 else ""
    return f" [default: {str(value).lower() if value is True else value}]"

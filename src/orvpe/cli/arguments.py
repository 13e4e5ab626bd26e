"""What is typed after a command, as its function's arguments: flags, help and recipes come from the signature."""

from __future__ import annotations

import re
from dataclasses import is_dataclass
from inspect import Parameter, signature
from itertools import takewhile
from typing import Any, get_args, get_origin, get_type_hints

from orvpe.cli.commands import COMMANDS, function_of
from orvpe.cli.recipe_files import recipe_for
from orvpe.errors import InputError, unknown

_WITHOUT_RECIPES = ("recipes", "models")
SHORT = {"run": "-r", "out": "-o", "weights": "-w", "protocol": "-p", "db": "-d"}


def build_parser(command: str) -> Any:
    """The argument parser of a command, made from its function's signature and docstring."""
    from jsonargparse import ActionConfigFile, ArgumentParser

    function, positional = function_of(command), COMMANDS[command][2]
    words = [f"{p.upper()}..." if p in ("paths", "files", "parts", "videos") else p.upper() for p in positional]
    optional = [signature(function).parameters[p].default is not Parameter.empty for p in positional]
    words = [f"[{word}]" if free else word for word, free in zip(words, optional, strict=True)]
    parser = ArgumentParser(
        prog=f"orvpe {command}",
        usage=" ".join([f"orvpe {command}", *words, "[options]"]),
        description=(function.__doc__ or "").strip().splitlines()[0],
        exit_on_error=False,
    )
    if command not in _WITHOUT_RECIPES:
        parser.add_argument(
            "--recipe",
            action=ActionConfigFile,
            help="a shipped recipe's name, or a YAML file, with these arguments",
        )
    parser.add_function_arguments(function, sub_configs=False)
    return parser


def canonical(command: str, argv: list[str]) -> list[str]:
    """What people type, as ``--name=value`` words: arguments without flag, dashes for underscores, ``-o``,
    switches without a value, lists as several words.

    Raises:
        InputError: a word that belongs to no argument, or a flag without its value.
    """
    hints = _arguments(function_of(command))
    positional = list(COMMANDS[command][2])
    short = {v: k for k, v in SHORT.items()}
    known = {*hints, "recipe"} if command not in _WITHOUT_RECIPES else {*hints}
    given: dict[str, list[str]] = {}
    out: list[str] = []
    filled_in: list[str] = []  # recipes come first: what is typed has the last word, wherever it stands
    i = 0
    while i < len(argv):
        word = argv[i]
        i += 1
        if not _is_flag(word):
            target = next((p for p in positional if p not in given or _is_list(hints[p])), None)
            if target is None:
                raise InputError(f"unexpected argument {word!r}")
            given.setdefault(target, []).append(word)
            continue
        flag, equals, value = word.partition("=")
        name = short.get(flag, flag.lstrip("-").replace("-", "_"))
        if name in ("h", "help"):
            return ["--help"]
        if name == "print_config":
            out.append("--print_config")
            continue
        hint = hints.get(name.removesuffix("+"))
        if name.removesuffix("+") not in known and get_origin(hints.get(name.rpartition(".")[0])) is not dict:
            raise InputError(unknown("argument", flag, [f"--{n.replace('_', '-')}" for n in sorted(known)]))
        if equals:
            values = [value]
        elif _is_list(hint):
            values = list(takewhile(lambda w: _belongs(w, hint), argv[i:]))  # noqa: B023  (used at once)
            i += len(values)
        elif hint is bool and (i == len(argv) or argv[i].lower() not in ("true", "false")):
            values = ["true"]
        else:
            values = [w for w in argv[i : i + 1] if not _is_flag(w) or w in ("-x", "-y", "-z")]  # of --up
            i += len(values)
        if not values and name == "image_size" and argv[i : i + 1] and not _is_flag(argv[i]):
            raise InputError(f"{flag} is {argv[i]!r}, expected width and height in pixels, as in 640x480")
        if not values and _is_list(hint) and i < len(argv) and not _is_flag(argv[i]):
            raise InputError(f"{flag} is {argv[i]!r}, expected numbers")  # "str" in hint would have taken it
        if not values:
            raise InputError(f"{flag} needs a value")
        if name == "recipe":
            filled_in.append(f"--recipe={recipe_for(command, values[0], hints)}")
        else:
            out.append(f"--{name}={_joined(values, hint)}")
    return filled_in + out + [f"--{p}={_joined(v, hints[p])}" for p, v in given.items()]


def _arguments(function: Any) -> dict[str, Any]:
    """Every argument and its type; a dataclass's own stand as ``view.tau``."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(function).items():
        found[name] = hint
        if is_dataclass(hint):
            found |= {f"{name}.{inner}": kind for inner, kind in _arguments(hint).items()}
    found.pop("return", None)
    return found


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _is_number(word)


def _belongs(word: str, hint: Any) -> bool:
    """Whether a word after the flag of a list is one of its values: of numbers, only numbers are."""
    if _is_flag(word):
        return False
    pieces = word.strip("[]").replace("x", " ").replace(",", " ").split()  # 640x480, [30,40]
    return "str" in str(hint) or all(_is_number(p) for p in pieces)


def _is_list(hint: Any) -> bool:
    """list[...] or tuple[...], also as one side of a union."""
    return any(get_origin(h) in (list, tuple) for h in (hint, *get_args(hint)))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _joined(values: list[str], hint: Any) -> str:
    import json

    if not _is_list(hint) or (len(values) == 1 and values[0].startswith("[")):
        return values[0]
    if get_origin(hint) is tuple or any(get_origin(h) is tuple for h in get_args(hint)):
        values = [v for w in values for v in w.replace("x", " ").replace(",", " ").split()]  # 640x480
    # numbers are left for the parser to judge
    return json.dumps(values) if "str" in str(hint) else f"[{', '.join(values)}]"


def parse(command: str, argv: list[str]) -> dict[str, Any]:
    """The arguments of a command's function."""
    parser = build_parser(command)
    config = parser.parse_args(canonical(command, argv))
    filled = parser.instantiate(config) if hasattr(parser, "instantiate") else parser.instantiate_classes(config)
    return {k: getattr(filled, k) for k in signature(function_of(command)).parameters}


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "dict": "{name: value, ...}",
          "list": "[value, ...]"}  # fmt: skip


def in_our_words(text: str) -> str:
    """'Parser key "batch_size": Expected a <class 'int'>. Got value: many' as people would say it."""
    found = re.search(
        r"""Parser key "([^"]+)": .*?Expected an? <class '(int|float|bool|dict|list)'>\. Got value:\s*(.*)""", text
    )
    # of a number or nothing: "... Union subtypes ... Expected a <class 'int'> ... Given value: 2.5"; of numbers or
    # nothing: "... Expected a <class 'float'>. Got value: x - Expected ... Given value: [1.0, 'x']"
    union = r"""Parser key "([^"]+)": .*?Union .*?Expected (?:an? )?<class '(int|float|bool|dict|list)'>"""
    found = re.search(union + r"\. Got value: (.+?) - Expected ", text) or found
    found = found or re.search(union + r".*?Given value:\s*(.*)", text)
    if found is None:
        return text
    name, kind, value = found.groups()
    return f"--{name.replace('_', '-')} is {value!r}, expected {_KINDS[kind]}"

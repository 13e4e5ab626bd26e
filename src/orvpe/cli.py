"""The command line: every command is a typed function; its flags, help and recipes come from its signature.

Only the chosen command's module is imported, so that ``orvpe --help`` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from orvpe import __version__
from orvpe.errors import InputError

# command -> (module:function, one line, arguments that may be given without their flag)
COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "inspect": (
        "orvpe.inspect:inspect",
        "what a path holds: format, clips, classes, what is missing; a picture",
        ("path",),
    ),
    "ingest": ("orvpe.ingest:ingest", "pose files, folders, zips -> a store", ("paths",)),
    "generate": ("orvpe.generated:write_generated", "a generated data set, for trying things out", ("out",)),
    "select": ("orvpe.select:select", "the training (or test) clips of a store as a store of their own", ("store",)),
    "pretrain": ("orvpe.pretrain:pretrain", "learn an encoder from a store without labels", ("store",)),
    "probe": (
        "orvpe.probe:probe",
        "test a frozen encoder with a linear or nearest-neighbour classifier",
        ("store",),
    ),
    "finetune": (
        "orvpe.finetune:finetune",
        "train encoder and classifier, pre-trained or from scratch",
        ("store",),
    ),
    "evaluate": ("orvpe.evaluate:evaluate", "accuracy of a model, clean and under occlusions", ("store",)),
    "embed": ("orvpe.embed:embed", "a store or pose files -> vectors in a Parquet table", ("path",)),
    "fuse": ("orvpe.fusion:fuse", "fuse score files of streams or of other models", ("files",)),
    "recipes": ("orvpe.cli:recipes", "list the shipped recipes, or print one", ("name",)),
}
SHORT = {"run": "-r", "out": "-o", "weights": "-w", "protocol": "-p"}
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
        print(f"{path.stem:<28}{first}")


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
    if not path.exists():
        from orvpe.skeleton import unknown

        raise InputError(unknown("recipe", name, sorted(p.stem for p in RECIPES.glob("*.yaml"))))
    return path


def usage() -> str:
    lines = [
        "usage: orvpe COMMAND [...]",
        "",
        "Occlusion-robust embeddings of human pose sequences.",
        "",
        *(f"  {name:<10} {about}" for name, (_, about, _) in COMMANDS.items()),
        "",
        "orvpe COMMAND --help tells a command's arguments; --recipe NAME or FILE.yaml fills them in.",
    ]
    return "\n".join(lines)


def _function(command: str) -> Callable[..., Any]:
    module, _, name = COMMANDS[command][0].partition(":")
    return getattr(import_module(module), name)


def build_parser(command: str) -> Any:
    """The argument parser of a command, made from its function's signature and docstring."""
    from jsonargparse import ActionConfigFile, ArgumentParser

    function, positional = _function(command), COMMANDS[command][2]
    words = " ".join(f"{p.upper()}..." if p in ("paths", "files") else p.upper() for p in positional)
    parser = ArgumentParser(
        prog=f"orvpe {command}",
        usage=f"orvpe {command} {words} [options]",
        description=(function.__doc__ or "").strip().splitlines()[0],
        exit_on_error=False,
    )
    if command != "recipes":
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
    hints = get_type_hints(_function(command))
    positional = list(COMMANDS[command][2])
    short = {v: k for k, v in SHORT.items()}
    given: dict[str, list[str]] = {}
    out: list[str] = []
    i = 0
    while i < len(argv):
        word = argv[i]
        i += 1
        if not word.startswith("-") or word == "-":
            target = next((p for p in positional if p not in given or _is_list(hints[p])), None)
            if target is None:
                raise InputError(f"unexpected argument {word!r}")
            given.setdefault(target, []).append(word)
            continue
        flag, equals, value = word.partition("=")
        name = short.get(flag, flag.lstrip("-").replace("-", "_"))
        if name in ("h", "help", "print_config"):
            out.append("--help" if name != "print_config" else word)
            continue
        if equals:
            values = [value]
        elif _is_list(hints.get(name)):
            values = []
            while i < len(argv) and not (argv[i].startswith("-") and not _is_number(argv[i])):
                values.append(argv[i])
                i += 1
        elif hints.get(name) is bool and (i == len(argv) or argv[i].lower() not in ("true", "false")):
            values = ["true"]
        else:
            values = argv[i : i + 1]
            i += 1
        if not values:
            raise InputError(f"{flag} needs a value")
        if name == "recipe":
            values = [str(recipe_path(values[0]))]
        out.append(f"--{name}={_joined(values, hints.get(name))}")
    return out + [f"--{p}={_joined(v, hints[p])}" for p, v in given.items()]


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
    return {k: getattr(filled, k) for k in signature(_function(command)).parameters}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 128 + signal for an interrupted run."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        print(f"orvpe {__version__}")
        return 0
    command = argv[0]
    try:
        if command not in COMMANDS:
            from orvpe.skeleton import unknown

            raise InputError(unknown("command", command, COMMANDS))
        return _run(command, argv[1:])
    except InputError as error:
        print(f"orvpe{' ' + command if command in COMMANDS else ''}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(command: str, argv: list[str]) -> int:
    from argparse import ArgumentError

    try:
        arguments = parse(command, argv)
    except ArgumentError as error:
        raise InputError(_one_line(str(error))) from None
    from orvpe.run import Interrupted

    try:
        result = _function(command)(**arguments)
    except Interrupted as stop:
        print(f"orvpe {command}: {stop}", file=sys.stderr)
        return 128 + stop.signal
    if is_dataclass(result):  # a report that knows how to read as text
        print(result)
    return 0


def _one_line(text: str) -> str:
    """jsonargparse explains over several lines; what went wrong is what a person needs."""
    return " ".join(text.split()).removeprefix("error: ")


if __name__ == "__main__":
    sys.exit(main())

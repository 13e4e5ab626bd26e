"""The command line: every command is a typed function; its flags, help and recipes come from its signature.

Only the chosen command's module is imported, so that ``orvpe --help`` is quick.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from inspect import Parameter, signature
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from orvpe import __version__
from orvpe.errors import InputError, Interrupted, unknown

# command -> (module:function, one line, arguments that may be given without their flag)
COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "inspect": (
        "orvpe.inspect:inspect",
        "what a path holds: format, clips, classes, what is missing; a picture",
        ("path",),
    ),
    "ingest": ("orvpe.ingest:ingest", "pose files, folders, zips -> a store", ("paths",)),
    "pose": ("orvpe.video.command:pose", "videos, folders of images, a camera -> a store", ("videos",)),
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
    "learn": ("orvpe.learn:learn", "a folder of clips a class -> a classifier, and how well it does", ("folder",)),
    "classify": (
        "orvpe.classify:classify",
        "videos, pose files, stores -> who does what when, and videos that show it",
        ("paths",),
    ),
    "live": ("orvpe.live:live", "the same from a camera or a file, in real time", ("source",)),
    "evaluate": ("orvpe.evaluate:evaluate", "accuracy of a model, clean and under occlusions", ("store",)),
    "robustness": (
        "orvpe.robustness:robustness",
        "several models under every occlusion: accuracy, similarity, retrieval, as a table and a figure",
        ("store",),
    ),
    "embed": ("orvpe.embed:embed", "a store or pose files -> vectors in a Parquet table", ("path",)),
    "index": ("orvpe.index:index", "a store or pose files -> an index to search by movement", ("path",)),
    "search": ("orvpe.search:search", "the clips of an index that move like this one", ("clip",)),
    "export": ("orvpe.export:export", "a model -> an ONNX file that takes raw joints and a mask", ("weights",)),
    "embed-many": ("orvpe.embed_many:embed_many", "very many pose files -> vectors, with Ray Data", ("paths",)),
    "serve": ("orvpe.web.command:serve", "a model on this machine's address: a page to try it, and an HTTP API", ()),
    "fuse": ("orvpe.fusion:fuse", "fuse score files of streams or of other models", ("files",)),
    "reproduce": ("orvpe.reproduce:reproduce", "run what a table of results needs, and write it", ("table",)),
    "bench": (
        "orvpe.bench:bench",
        "how fast it is here, beside references and the machine's limits",
        ("parts",),
    ),
    "demo": ("orvpe.demo:demo", "who does what in a video, and what hiding half the body changes", ("video",)),
    "walkthrough": ("orvpe.walkthrough:walkthrough", "the method end to end, on N-UCLA or on generated clips", ()),
    "models": ("orvpe.pretrained:models", "list the models that come with orvpe, or print a card", ("name",)),
    "recipes": ("orvpe.cli:recipes", "list the shipped recipes, or print one", ("name",)),
}
_WITHOUT_RECIPES = ("recipes", "models")
SHORT = {"run": "-r", "out": "-o", "weights": "-w", "protocol": "-p", "db": "-d"}
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
        raise InputError(unknown("recipe", name, sorted(p.stem for p in RECIPES.glob("*.yaml"))))
    return path


def _recipe_for(command: str, name: str, hints: dict[str, Any]) -> Path:
    """The recipe's file, which says in a comment what command it is for.

    Raises:
        InputError: no such recipe, one for another command, or a name in it that is no argument.
    """
    path = recipe_path(name)
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        raise InputError(f"recipe {name}: empty, expected 'argument: value' lines")
    for line in text.splitlines():
        if line.startswith("# command:") and (meant := line.removeprefix("# command:").strip()) != command:
            raise InputError(f"recipe {name} is for 'orvpe {meant}'")
    for given in _names_in(name, text, hints):
        if given not in hints:
            raise InputError(unknown("argument", given, hints, f"recipe {name}"))
    return path


def _names_in(recipe: str, text: str, hints: dict[str, Any]) -> list[str]:
    """The arguments a recipe fills in, those of a dataclass as ``view.tau``."""
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"recipe {recipe}: not YAML ({_one_line(str(error))})") from None
    if not isinstance(found, dict):
        raise InputError(f"recipe {recipe}: expected 'argument: value' lines")
    names: list[str] = []
    todo = [(str(name), value) for name, value in found.items()]
    while todo:
        name, value = todo.pop(0)
        if isinstance(value, dict) and is_dataclass(hints.get(name)):
            todo += [(f"{name}.{inner}", below) for inner, below in value.items()]
        else:
            names.append(name)
    return names


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
    hints = _arguments(_function(command))
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
            filled_in.append(f"--recipe={_recipe_for(command, values[0], hints)}")
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
    return {k: getattr(filled, k) for k in signature(_function(command)).parameters}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 128 + signal for an interrupted run."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = argv[0] if argv else "help"
    try:
        for word in argv:
            word.encode()
        if command in ("-h", "--help", "help"):
            print(usage())
            code = 0
        elif command in ("-V", "--version"):
            print(f"orvpe {__version__}")
            code = 0
        elif command in COMMANDS:
            code = _run(command, argv[1:])
        else:
            raise InputError(unknown("command", command, COMMANDS))
        sys.stdout.flush()  # here, where a reader that went away is still ours to handle
        return code
    except UnicodeEncodeError as error:  # file names come as such text where they are no UTF-8
        if error.reason != "surrogates not allowed":
            raise
        print(f"orvpe {command}: {error.object[:200]!a}: not UTF-8; rename the file or folder", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (InputError, OSError) as error:  # OSError: a file or folder that cannot be read or written, a full disk
        text = str(error) if isinstance(error, InputError) else _of_the_system(error)
        print(f"orvpe{' ' + command if command in COMMANDS else ''}: {_one_line(text)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print(
            f"orvpe {command}: not enough memory ({_one_line(str(error))}); try a smaller --batch-size", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _out_of_memory(error: Exception) -> bool:
    """Of Python, of a GPU, or of torch's allocator on the CPU, which has no exception of its own."""
    kinds = (type(error).__name__, str(error))
    return "MemoryError" in kinds[0] or kinds[0] == "OutOfMemoryError" or "DefaultCPUAllocator" in kinds[1]


def _of_the_system(error: OSError) -> str:
    """'FILE: No space left on device' instead of '[Errno 28] ...', which may name a temporary file."""
    name = error.filename2 or error.filename
    return f"{name}: {error.strerror}" if name and error.strerror else str(error)


def _run(command: str, argv: list[str]) -> int:
    from argparse import ArgumentError

    try:
        arguments = parse(command, argv)
    except ArgumentError as error:
        raise InputError(_in_our_words(_one_line(str(error)))) from None
    except SystemExit as done:  # --help and --print_config have printed
        return int(done.code or 0)
    try:
        result = _function(command)(**arguments)
    except Interrupted as stop:
        print(f"orvpe {command}: {stop}", file=sys.stderr)
        return 128 + stop.signal
    if is_dataclass(result):  # a report that knows how to read as text
        print(result)
    return 0


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "dict": "{name: value, ...}"}


def _in_our_words(text: str) -> str:
    """'Parser key "batch_size": Expected a <class 'int'>. Got value: many' as people would say it."""
    found = re.search(
        r"""Parser key "([^"]+)": .*?Expected an? <class '(int|float|bool|dict)'>\. Got value: (.+)""", text
    )
    # of a number or nothing: "... Union subtypes ... Expected a <class 'int'> ... Given value: 2.5"; of numbers or
    # nothing: "... Expected a <class 'float'>. Got value: x - Expected ... Given value: [1.0, 'x']"
    union = r"""Parser key "([^"]+)": .*?Union .*?Expected an? <class '(int|float|bool|dict)'>"""
    found = re.search(union + r"\. Got value: (.+?) - Expected ", text) or found
    found = found or re.search(union + ".*?Given value: (.+)", text)
    if found is None:
        return text
    name, kind, value = found.groups()
    return f"--{name.replace('_', '-')} is {value!r}, expected {_KINDS[kind]}"


def _one_line(text: str) -> str:
    """jsonargparse explains over several lines; what went wrong is what a person needs."""
    return " ".join(text.split()).removeprefix("error: ")


if __name__ == "__main__":
    sys.exit(main())

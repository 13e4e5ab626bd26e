"""The command line: every command is a typed function; its flags, help and recipes come from its signature.

Only the chosen command's module is imported, so that ``orvpe --help`` is quick.
"""

from __future__ import annotations

import os
import sys
from dataclasses import is_dataclass

from orvpe.cli.commands import COMMANDS, function_of
from orvpe.cli.help_pages import overview
from orvpe.errors import InputError, Interrupted, one_line, unknown


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 128 + signal for an interrupted run."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = argv[0] if argv else "help"
    try:
        for word in argv:
            word.encode()
        if command in ("-h", "--help", "help"):
            print(overview())
            code = 0
        elif command in ("-V", "--version"):
            from orvpe import __version__

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
        print(f"orvpe{' ' + command if command in COMMANDS else ''}: {one_line(text)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print(
            f"orvpe {command}: not enough memory ({one_line(str(error))}); try a smaller --batch-size", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out: in Python, on a GPU, or in torch's CPU allocator."""
    kinds = (type(error).__name__, str(error))
    return "MemoryError" in kinds[0] or kinds[0] == "OutOfMemoryError" or "DefaultCPUAllocator" in kinds[1]


def _of_the_system(error: OSError) -> str:
    """'FILE: No space left on device' instead of '[Errno 28] ...', which may name a temporary file."""
    name = error.filename2 or error.filename
    return f"{name}: {error.strerror}" if name and error.strerror else str(error)


def _run(command: str, argv: list[str]) -> int:
    from orvpe.cli.arguments import Shown, parse

    try:
        arguments = parse(command, argv)
    except Shown as text:
        print(text)
        return 0
    try:
        result = function_of(command)(**arguments)
    except Interrupted as stop:
        print(f"orvpe {command}: {stop}", file=sys.stderr)
        return 128 + stop.signal
    if is_dataclass(result):  # a report that prints as text
        print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())

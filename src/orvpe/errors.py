"""The two exceptions of our own: "the input is wrong, and here is what to change", and "stopped as you asked".

And the words for the commonest wrong input, an unknown name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 40  # names in a message; layouts with face and hands have over a hundred


class InputError(ValueError):
    """Bad input from a person: a file, a value, an option.

    The message is one line that names the file or parameter, the value found and what was expected.  The command
    line prints it without a traceback and exits with code 2; in Python it is an ordinary ``ValueError``.  A text that
    quotes too much of a file is cut in its middle.
    """

    def __init__(self, *texts: object) -> None:
        super().__init__(*(_cut(t) if isinstance(t, str) else t for t in texts))


_LONGEST = 1500  # characters of a message


def _cut(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


class Interrupted(Exception):
    """A run that was asked to stop and has saved its state.  ``signal`` is the number that asked."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.signal = number


def unknown(kind: str, value: str, known: Iterable[str], where: str = "") -> str:
    """'unknown joint "left_sholder" in ...; did you mean ...?', the text used for every unknown name."""
    known = list(known)
    near = difflib.get_close_matches(str(value), known, n=3, cutoff=0.5)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known[:_SHOWN])}{more}"
    return f"unknown {kind} {value!r}{' in ' + where if where else ''}; {hint}"


def one_line(text: str) -> str:
    """An explanation over several lines as one: what went wrong is what a person needs."""
    return " ".join(text.split()).removeprefix("error: ")

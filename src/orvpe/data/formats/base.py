"""What a reader is.

A reader is one module in this folder with a `Format` called ``FORMAT``.  It groups the files of a `Source` into
items, each a tuple of names that can be read alone (by another process), and turns an item into clips.
No torch here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from orvpe.data.formats.source import Source
from orvpe.errors import InputError, one_line
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout

if TYPE_CHECKING:
    from orvpe.data.formats.gate import Survey
    from orvpe.data.formats.labels import Labels

R = TypeVar("R")


class NoSkeleton(Exception):
    """An item that is well-formed but holds no person: skipped and counted, not an error."""


class OtherKind(NoSkeleton):
    """A file of another kind next to those of the format, as a list of labels: left out and counted."""


class NoBody(InputError):
    """Joints are named, and none of them is one of a body's: hands, a face, an object."""


@dataclass(frozen=True)
class Options:
    """What a file cannot say of itself.

    Args:
        layout: the joints' layout, for formats that do not name their joints (and to override the ones that do).
        fps: frames per second, where the file does not say.
        image_size: (width, height) in pixels, where the file does not say.
        dims: 2 or 3, for formats that hold both (NTU ``.skeleton``: 3 metres, 2 colour-image pixels).
        min_confidence: a joint with a lower confidence is missing.
        max_people: keep at most that many people, the most energetic ones.
        up: the axis that points up, one of `orvpe.poses.axes.UP`; "auto" looks which way the bodies point.
        units: of 3D coordinates, one of `orvpe.data.formats.gate.UNITS`; "auto" looks how large the bodies are.
        subject: who is seen, where the file does not say.
        columns: (ours, theirs) names of a table's columns.
        labels: what is said of the clips outside of their files.
        survey: what is known about the source already; looked at when None.
    """

    layout: Layout | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    dims: int = 3
    min_confidence: float = 0.1
    max_people: int = 2
    up: str = "auto"
    units: str = "auto"
    subject: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    labels: Labels | None = None
    survey: Survey | None = field(default=None, compare=False)


Item = tuple[str, ...]
"""A file name first, then what the format needs as text: more files, or which clips of a file of many."""


@dataclass(frozen=True)
class Format:
    """A reader.

    Args:
        name: short name, as ``--format`` takes it.
        about: one line for people.
        items: (source) -> the items it would read there; empty when the source holds nothing of this format.
            May peek into a few files; must be quick on 100,000 names.
        read: (source, item, options) -> its clips.  Raises InputError naming file, value and what was expected;
            NoSkeleton when there is nobody in it.
        unit: of 3D coordinates, where the format's publication says it: a body of a strange size is then a glitch of
            the sensor, noted and not refused.
    """

    name: str
    about: str
    items: Callable[[Source], list[Item]]
    read: Callable[[Source, Item, Options], list[Clip]]
    unit: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", _foreseen(self.items, self.name))
        object.__setattr__(self, "read", _foreseen(self.read, self.name))


_listed: WeakKeyDictionary[Source, dict[str, list[Item]]] = WeakKeyDictionary()


def items_of(reader: Format, source: Source) -> list[Item]:
    """``reader.items(source)``, listed once a source."""
    known = _listed.setdefault(source, {})
    if reader.name not in known:
        known[reader.name] = reader.items(source)
    return known[reader.name]


class Unforeseen(InputError):
    """A reader stumbled over something in a file that it does not know of: one bad item, not the end of the job."""


def _foreseen(function: Callable[..., R], name: str) -> Callable[..., R]:
    """A reader's function that raises nothing but `InputError` and `NoSkeleton`, with the file in the message."""

    @functools.wraps(function)
    def call(source: Source, *more: Any) -> R:
        try:
            return function(source, *more)
        except (InputError, NoSkeleton):
            raise
        except MemoryError:
            reason = "needs more memory than there is"
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(str(error))[:160]}".rstrip(": ")
        where = source.where(more[0][0]) if more else str(source.path)
        raise Unforeseen(f"{where}: cannot be read as {name} ({reason})") from None

    return call


def read_json(source: Source, name: str) -> Any:
    """Parsed JSON, or InputError with the file and the place where it breaks."""
    try:
        return json.loads(source.read(name))
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of more than 4,300 digits
        raise InputError(f"{source.where(name)}: not valid JSON ({error})") from None


def by_suffix(source: Source, *suffixes: str) -> list[str]:
    return [n for n in source.names if n.lower().endswith(suffixes)]


_ENDS = 64  # files at each end of a long list that are looked into


def those_that(names: Sequence[str], are: Callable[[str], bool]) -> list[str]:
    """The files for which ``are`` holds.

    Of a long list only the ends are looked at, and the rest is taken for the same where most of these are.
    """
    if len(names) <= 2 * _ENDS:
        return [n for n in names if are(n)]
    looked = [*names[:_ENDS], *names[-_ENDS:]]
    other = {n for n in looked if not are(n)}
    return [n for n in names if n not in other] if len(other) < _ENDS else [n for n in looked if n not in other]


def peek_json(source: Source, names: Sequence[str]) -> Any:
    """The first file's parsed JSON, or None when there is none or it is broken (the read will say so)."""
    try:
        return read_json(source, names[0]) if names else None
    except InputError:
        return None

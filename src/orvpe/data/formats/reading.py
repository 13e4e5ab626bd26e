"""Reading an item through the gate: what every clip goes through on its way out of a reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from weakref import WeakKeyDictionary

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, items_of
from orvpe.data.formats.gate import UNITS, Survey, passed, survey
from orvpe.data.formats.source import Source
from orvpe.errors import InputError, unknown
from orvpe.poses.axes import UP
from orvpe.poses.clip import Clip

_LOOKED_AT = 8  # items of a source, evenly spread, from which its axes and units are judged
_SHARE = 24  # of a large source at most one item in so many
_surveys: WeakKeyDictionary[Source, dict[tuple[str, Options], Survey]] = WeakKeyDictionary()


def read_clips(reader: Format, source: Source, item: Item, options: Options) -> list[Clip]:
    """An item's clips through the gate: in metres with y up, or in pixels, with notes of what was strange.

    Raises:
        InputError: as the reader; coordinates of which nobody can tell what they are; ``options.up`` for 2D clips.
        NoSkeleton: as the reader.
    """
    found = survey_of(reader, source, options)
    clips = found.kept.pop(item, None)
    if clips is None:
        clips = reader.read(source, item, options)
    ready = []
    for clip in clips:
        try:
            clip = _ready(clip, found, options, reader.unit)
            ready.append(options.labels.applied(clip, item[0], source.names) if options.labels is not None else clip)
        except InputError as error:
            where = source.where(item[0])
            raise InputError(str(error) if where in str(error) else f"{where}: {error}") from None
    return ready


def _ready(clip: Clip, found: Survey, options: Options, published: str | None = None) -> Clip:
    clip = passed(
        clip, found, units=options.units, dims=options.dims, min_confidence=options.min_confidence,
        named_by_user=options.layout is not None, size=options.image_size, published=published,
    )  # fmt: skip
    return clip if clip.subject or not options.subject else clip.with_(subject=options.subject)


def gated(clips: Sequence[Clip], options: Options) -> list[Clip]:
    """Clips that no reader gave, as arrays, through the gate together.

    Raises:
        InputError: as `read_clips`.
    """
    found = survey(clips, options.up)
    return [_ready(clip, found, options) for clip in clips]


def checked(clips: Sequence[Clip], up: str = "auto", units: str = "auto") -> list[Clip]:
    """Clips in memory in metres with y up, or in pixels: what every file is put through when it is read.

    Args:
        clips: all of one origin, as axes are judged from all of them.
        up: the axis that points up: y, -y, z, -z, x, -x, or auto.
        units: of 3D clips: m, cm, mm, in, or auto.

    Returns:
        The clips; what was changed, or is doubtful, is in their ``notes``.

    Raises:
        InputError: coordinates of which nobody can tell what they are; no such axis or unit.
    """
    check_choices(up, units)
    return gated(clips, Options(up=up, units=units))


def survey_of(reader: Format, source: Source, options: Options) -> Survey:
    """What some clips of a source, evenly spread, say about all of them; looked at once a source and options.

    What is read for it is kept until `read_clips` asks for it, so that a single file is read once.
    """
    if options.survey is not None:
        return options.survey
    known = _surveys.setdefault(source, {})
    key = (reader.name, options)
    if key not in known:
        known[key] = _survey(reader, source, options)
    return known[key]


def _survey(reader: Format, source: Source, options: Options) -> Survey:
    items = items_of(reader, source)
    count = min(_LOOKED_AT, len(items)) if len(items) <= 128 else min(_LOOKED_AT, max(1, len(items) // _SHARE))
    kept: dict[Item, list[Clip]] = {}
    for i in range(count):
        item = items[i * (len(items) - 1) // max(1, count - 1)]
        with suppress(InputError, NoSkeleton):  # reading it reports it
            kept[item] = reader.read(source, item, options)
    found = survey([clip for clips in kept.values() for clip in clips], options.up)
    found.kept = kept
    return found


def common_up(paths: Sequence[str], format: str | None, options: Options) -> tuple[str, list[str]]:
    """``--up`` for sources that are one set of clips, as the folders of its classes: people lie in all clips of some.

    Returns:
        The axis, and what there is to be said about it.
    """
    clips = []
    for path in paths:
        source = Source(path)
        found = _survey(choose_reader(source, format), source, options)
        clips += [clip for some in found.kept.values() for clip in some]
    together = survey(clips, options.up)
    if any(clip.dims == 3 for clip in clips):
        return together.up3, [note.text for note in together.notes3]
    return together.up2, [note.text for note in together.notes2]


def without_kept(found: Survey) -> Survey:
    """A survey to send to another process."""
    return replace(found, kept={})


def check_choices(up: str, units: str) -> None:
    """Refuse values of ``--up`` and ``--units`` that there are not.

    Raises:
        InputError: an unknown axis or unit.
    """
    if up not in UP:
        raise InputError(unknown("up", up, UP))
    if units not in UNITS:
        raise InputError(unknown("unit", units, UNITS))


def left_out(source: Source, items: Sequence[Item]) -> list[str]:
    """A line about the files that no item reads, by suffix: pictures next to the poses, lists of labels."""
    names = source.names
    used = {name for item in items for name in item}
    rest = [name for name in names if name not in used]
    if not rest:
        return []
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in rest)
    shown = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(4)) + (" ..." if len(kinds) > 4 else "")
    some = f"{len(rest):,} files are" if len(rest) > 1 else "1 file is"
    return [f"{some} not read: {shown}, as {rest[0]}"]

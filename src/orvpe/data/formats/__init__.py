"""Readers of pose files: path -> clips.  One module a format; no torch here."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from orvpe.data.formats.base import Format, items_of
from orvpe.data.formats.source import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Source
from orvpe.errors import InputError, unknown

# A new format is a module with a ``FORMAT``, and its name here: specific ones first, as `detect` takes the
# first that finds something.
MODULES = (
    "nucla", "ntu", "penn", "smarthome", "packed",
    "pyskl", "openpose", "kinetics", "coco", "bvh", "arrays", "table",
)  # fmt: skip

FORMATS: dict[str, Format] = {f.name: f for f in (import_module(f"{__name__}.{m}").FORMAT for m in MODULES)}


def detect(source: Source) -> Format:
    """The first format that finds something to read in the source.

    Raises:
        InputError: none does.
    """
    for candidate in FORMATS.values():
        if items_of(candidate, source):
            return candidate
    if any(Path(name).suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) for name in source.names or [source.path]):
        raise InputError(f"{source.path}: a video or images, not poses; orvpe pose makes a store of it")
    raise InputError(f"{source.path}: no pose file of a known format in it; known: {', '.join(FORMATS)}")


def choose_reader(source: Source, format: str | None) -> Format:
    """The reader of that name, or the one that recognises the source.

    Raises:
        InputError: an unknown name, or nothing that is known in the source.
    """
    if format is not None and format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))
    return detect(source) if format is None else FORMATS[format]

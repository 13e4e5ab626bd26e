"""Readers of pose files: path -> clips.  One module a format; no torch here."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from orvpe.data.formats.base import Format, Unforeseen, items_of
from orvpe.data.formats.source import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Source
from orvpe.data.formats.unread import how_to_convert
from orvpe.errors import InputError, unknown

# A new format is a module with a ``FORMAT``, and its name here: specific ones first, as `detect` takes the
# first that finds something.
MODULES = (
    "nucla", "ntu", "penn", "smarthome", "packed", "action_arrays",
    "pyskl", "alphapose", "openpose", "mmpose", "openpifpaf", "azure_kinect", "zed", "mediapipe", "deeplabcut",
    "ultralytics", "kinetics", "coco", "bvh", "trc", "c3d", "pose_format", "sleap", "arrays", "pku", "table",
    "numpy_files",
)  # fmt: skip

ENTRY_POINTS = "orvpe.formats"  # the group in which other packages announce readers of theirs


def _from_outside() -> dict[str, Format]:
    """Readers that installed packages announce; one that cannot be loaded is reported and left out."""
    found: dict[str, Format] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            reader = point.load()
            if not isinstance(reader, Format):
                raise TypeError(f"{type(reader).__name__}, expected orvpe.data.formats.base.Format")
            found[reader.name] = reader
        except Exception as error:  # somebody else's code
            text = " ".join(str(error).split())
            print(f"note: reader {point.name!r} ({point.value}) is left out: {text}", file=sys.stderr)
    return found


# those from outside first: who installs one means it to be used
FORMATS: dict[str, Format] = {
    **_from_outside(),
    **{f.name: f for f in (import_module(f"{__name__}.{m}").FORMAT for m in MODULES)},
}


def detect(source: Source) -> Format:
    """The first format that finds something to read in the source.

    Raises:
        InputError: none does.
    """
    stumbled: Unforeseen | None = None
    for candidate in FORMATS.values():
        try:
            if items_of(candidate, source):
                return candidate
        except Unforeseen as error:  # another format's file, perhaps
            stumbled = stumbled or error
    if stumbled is not None:
        raise stumbled
    if any(Path(name).suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) for name in source.names or [source.path]):
        raise InputError(f"{source.path}: a video or images, not poses; orvpe pose makes a store of it")
    convert = how_to_convert(source.names)
    if convert is not None:
        raise InputError(f"{source.path}: {convert}")
    raise InputError(f"{source.path}: no pose file of a known format in it; known: {', '.join(FORMATS)}")


def choose_reader(source: Source, format: str | None) -> Format:
    """The reader of that name, or the one that recognises the source.

    Raises:
        InputError: an unknown name, or nothing that is known in the source.
    """
    if format is not None and format not in FORMATS:
        raise InputError(unknown("format", format, FORMATS))
    return detect(source) if format is None else FORMATS[format]

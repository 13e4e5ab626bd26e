"""Writers: clips -> files that other tools read.  One module a format; no torch here."""

from __future__ import annotations

from importlib import import_module

from orvpe.data.writers.base import Writer

MODULES = ("coco", "openpose", "pyskl", "table", "arrays", "trc", "bvh")

WRITERS: dict[str, Writer] = {w.name: w for w in (import_module(f"{__name__}.{m}").WRITER for m in MODULES)}

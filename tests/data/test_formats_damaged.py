"""Every reader of a tool's files on damaged ones, seeded: clips, or one line that says what is wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.tool_files import TOOLS

from orvpe.data.formats import FORMATS
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*(overflow|invalid value|All-NaN):RuntimeWarning")

STRANGE = (None, True, -1, 1e308, "x", [], {}, float("nan"), 10**30, [[]], "NaN", 0, 2**62)
PIECES = (b"9" * 30, b"nan", b"-", b"1e999", bytes(8), b"\xff\xff", b"\n", b"\t,")


def other_value(data: Any, rng: random.Random, depth: int = 0) -> Any:
    """The JSON with one value replaced, taken out or doubled."""
    if rng.random() < 0.15 or depth > 8 or not isinstance(data, (dict, list)) or not data:
        return rng.choice(STRANGE)
    data = data.copy()
    key = rng.choice(list(data)) if isinstance(data, dict) else rng.randrange(len(data))
    what = rng.random()
    if what < 0.15:
        del data[key]
    elif what < 0.25 and isinstance(data, list):
        data.append(data[key])
    else:
        data[key] = other_value(data[key], rng, depth + 1)
    return data


def other_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 12))):
        i = rng.randrange(len(changed) or 1)
        what = rng.random()
        if what < 0.4:
            changed[i : i + 1] = bytes([rng.randrange(256)])
        elif what < 0.6:
            del changed[i : i + rng.choice((1, 9, 200))]
        elif what < 0.7:
            del changed[i:]
        else:
            changed[i:i] = rng.choice(PIECES)
    return bytes(changed)


@pytest.mark.parametrize("make", TOOLS, ids=lambda f: f.__name__)
def test_damaged_files_are_read_or_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    rng = random.Random(make.__name__)
    reader = FORMATS[TOOLS[make][0]]
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    for _ in range(25):
        path = rng.choice(files)
        whole = path.read_bytes()
        if path.suffix == ".json" and rng.random() < 0.6 and whole.lstrip()[:1] in b"[{" and b"\n" not in whole:
            path.write_text(json.dumps(other_value(json.loads(whole), rng)))
        else:
            path.write_bytes(other_bytes(whole, rng))
        source = Source(tmp_path)
        for item in reader.items(source):
            said = ""
            try:
                read_clips(reader, source, item, Options(image_size=(640, 480)))
            except (InputError, NoSkeleton) as error:
                said = str(error)
            assert "\n" not in said
            assert len(said) < 1500
        path.write_bytes(whole)

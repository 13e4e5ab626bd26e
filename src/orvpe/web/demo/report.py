"""Write the demo's page: one HTML file that needs no server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.actions.timeline import UNSEEN, Timeline
from orvpe.runtime.files import write_atomic
from orvpe.video.overlay import colour, places
from orvpe.video.people import Person, VideoPeople
from orvpe.web.demo.told import VERSIONS, Told

WIDTH = 560  # pixels of the pictures on the page
_QUALITY = 55  # of their JPEG
_NOWHERE = -32768  # a joint without a place


def shrink(image: np.ndarray, width: int = WIDTH) -> bytes:
    """Encode a picture (H, W, 3) uint8 as JPEG, at most ``width`` pixels wide."""
    from PIL import Image

    picture = Image.fromarray(image)
    if picture.width > width:
        picture = picture.resize((width, max(1, round(picture.height * width / picture.width))))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def write_report(
    path: Path,
    video: VideoPeople,
    pictures: Iterable[bytes],
    people: list[Told],
    facts: dict[str, Any],
) -> Path:
    """Write the page.

    Args:
        path: of the page, .html.
        video: whose people are shown.
        pictures: a JPEG a frame.
        people: what is said of them.
        facts: `classes` and their `titles`, `threshold`, `start` (seconds skipped), `about` and `summary` (lines of
            text) for the page.
    """
    persons = {f"{video.name}-p{p.id}": p for p in video.people}
    scale = min(1.0, WIDTH / video.size[0])
    data = {
        **facts,
        "name": video.name,
        "fps": video.fps,
        "size": [round(side * scale) for side in video.size],
        "pictures": [_text(p) for p in pictures],
        "versions": VERSIONS,
        "people": [_person(told, persons[told.name], scale) for told in people],
    }
    here = files("orvpe.web.demo")
    page = (here / "page.html").read_text(encoding="utf-8")
    style = (files("orvpe.web") / "static" / "page.css").read_text(encoding="utf-8")
    script = (here / "page.js").read_text(encoding="utf-8")
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")  # neither </script> nor <!-- may stand inside a script element
    for mark, filling in (("/*STYLE*/", style), ("/*SCRIPT*/", script), ("/*DATA*/", text)):
        page = page.replace(mark, filling)
    write_atomic(path, page)
    return path


def _person(told: Told, person: Person, scale: float) -> dict[str, Any]:
    clip = next(iter(told.clips.values()))
    joints = _drawn(told, person)  # (T, V, 2)
    pixels = np.where(np.isfinite(joints), np.round(joints * scale), _NOWHERE).clip(_NOWHERE, 32767).astype("<i2")
    lines = told.lines
    return {
        "name": told.name,
        "colour": "#{:02x}{:02x}{:02x}".format(*colour(person.id)),
        "first": told.first,
        "frames": clip.frames,
        "joints": list(clip.layout.joints),
        "bones": [list(edge) for edge in clip.layout.edges],
        "places": _text(pixels.tobytes()),
        "seen": {v: _text(np.packbits(one.visible[0]).tobytes()) for v, one in told.clips.items()},
        "edges": [round(float(e), 3) for e in lines[VERSIONS[0]].edges],
        "probabilities": {v: _rows(line) for v, line in lines.items()},
    }


def _drawn(told: Told, person: Person) -> np.ndarray:
    """Drawing positions (T, V, 2) in pixels, NaN where unknown; hidden joints are drawn hollow where they were
    seen or guessed.
    """
    clip = next(iter(told.clips.values()))
    joints = np.where(clip.visible[0][..., None], clip.joints[0], np.nan)
    if person.joints.shape[1] == joints.shape[1]:  # of the model's own layout: the estimator's guesses too
        guesses = np.stack([places(person, t)[0] for t in range(person.frames)])
        joints = np.where(np.isnan(joints), guesses, joints)
    return joints


def _rows(line: Timeline) -> list[list[float] | None]:
    """Probabilities of each slot, None for "not seen"; unrounded enough for the page's comparison with the
    threshold.
    """
    spans = [line.at(middle) for middle in (line.edges[:-1] + line.edges[1:]) / 2]
    return [
        None if span is None or span.label == UNSEEN else [round(float(p), 8) for p in row]
        for span, row in zip(spans, line.probabilities, strict=True)
    ]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

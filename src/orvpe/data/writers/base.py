"""What a writer is: a module in this folder with a `Writer` called ``WRITER``, which makes a tool's files of clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.clip import Clip

_NUDGE = 1e-6  # a joint seen exactly at the origin, which in most formats means that it was not found


@dataclass(frozen=True)
class Writer:
    """A writer.

    Args:
        name: as ``--to`` takes it.
        about: one line for people.
        suffixes: of a file, by which ``-o`` says the format; none where clips become a folder.
        write: (clips, out) -> None; ``out`` is the file to write, or the folder.
        one_clip: a file holds one clip: several become the files of a folder.
    """

    name: str
    about: str
    suffixes: tuple[str, ...]
    write: Callable[[Iterable[Clip], Path], None]
    one_clip: bool = False


def file_names(clips: Iterable[Clip]) -> Iterable[tuple[str, Clip]]:
    """(a name for a file, clip): the clip's name without what a file system would mind, all different."""
    seen: dict[str, int] = {}
    for clip in clips:
        name = re.sub(r"[^\w.\-]+", "_", clip.name).strip("._") or "clip"
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}-{seen[name]}"), clip


def off_origin(joints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """(..., C) as float64: 0 where hidden, and a seen joint that is exactly at 0 moved by a millionth."""
    values = np.where(visible[..., None], joints, 0.0).astype(np.float64)
    at_origin = visible & (values == 0).all(axis=-1)
    values[at_origin] = _NUDGE
    return values


def pixels_only(clip: Clip, format: str) -> None:
    """Raises InputError for a 3D clip."""
    if clip.dims != 2:
        raise InputError(f"clip {clip.name!r}: {format} holds pixels, but the clip is 3D; write npz, csv, trc or pkl")


def space_only(clip: Clip, format: str) -> None:
    """Raises InputError for a 2D clip."""
    if clip.dims != 3:
        raise InputError(f"clip {clip.name!r}: {format} holds positions in space, but the clip is 2D")

"""The sample video: Sports2D's demo video, extracted from its wheel (BSD-3), which is not installed.

A man waves on a roof, jumps down and runs away; a woman comes from behind a tree.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from orvpe.errors import InputError
from orvpe.runtime.files import write_atomic
from orvpe.video.fetch import NotThere, cache_folder, sha256, wheel

WHEEL = "sports2d==0.8.34"
INSIDE = "Sports2D/Demo/demo.mp4"
SHA256 = "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"
NAME = "roof.mp4"


def sample_video(say: Callable[[str], None] | None = None) -> Path:
    """Path of the sample video; it is downloaded once, from the package index that pip is set to.

    Args:
        say: called with what is being fetched.

    Raises:
        InputError: the index does not answer, or what came is not what was expected.
    """
    kept = cache_folder() / NAME
    if kept.is_file() and sha256(kept.read_bytes()) == SHA256:
        return kept
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    say(f"fetching a video of people from the package {WHEEL} (BSD-3, 4 MB, kept for next time)")
    try:
        with wheel(WHEEL) as file:
            write_atomic(kept, video_of_wheel(file))
    except NotThere as failure:
        raise InputError(f"no sample video: {failure}; use your own: orvpe demo VIDEO") from None
    return kept


def video_of_wheel(path: Path) -> bytes:
    """Read the video from the wheel.

    Raises:
        NotThere: it is not in it, or another one is.
    """
    try:
        with zipfile.ZipFile(path) as file:
            data = file.read(INSIDE)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise NotThere(f"{path.name}: {error}") from None
    if (found := sha256(data)) != SHA256:
        raise NotThere(f"{path.name}: {INSIDE} has checksum {found[:12]}..., expected {SHA256[:12]}...")
    return data

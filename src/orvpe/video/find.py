"""Find videos and name them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orvpe.data.formats.source import VIDEO_SUFFIXES
from orvpe.errors import InputError
from orvpe.video.decode import camera, image_files


def find_videos(given: Sequence[str], endless: bool = False) -> list[tuple[str, str]]:
    """(name, path) of every video: of a folder without images all videos in it and its folders.

    Args:
        given: video files, folders of images, folders of videos, cameras.
        endless: no end is given, which a camera needs.

    Raises:
        InputError: nothing there, a folder with neither, a camera without an end, a video twice.
    """
    paths: list[str] = []
    for path in given:
        where = Path(path)
        if camera(path) is not None:
            if endless:
                raise InputError(f"{path}: a camera has no end, expected --seconds")
            paths.append(path)
        elif where.is_dir() and not image_files(where):
            inside = sorted(p for p in where.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
            inside = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(where).parts)]
            if not inside:
                raise InputError(f"{path}: a folder without videos or images")
            paths += map(str, inside)
        elif where.exists():
            paths.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    for path in paths:
        if not path.isascii() and path.encode(errors="ignore").decode() != path:  # it could not be written into a store
            raise InputError(f"{path!a}: not UTF-8; rename the file or folder")
    twice = {p for p in paths if paths.count(p) > 1}
    if twice:
        raise InputError(f"{sorted(twice)[0]}: given twice")
    return list(zip(_names(paths), paths, strict=True))


def _names(paths: Sequence[str]) -> list[str]:
    """A name for each: the file's, with folders where names are not unique."""
    own = [f"camera{''.join(c for c in p if c.isdigit())}" if camera(p) else Path(p).resolve().stem for p in paths]
    alike = [i for i, name in enumerate(own) if own.count(name) > 1]
    if alike:
        whole = [Path(paths[i]).resolve() for i in alike]
        root = Path(os.path.commonpath([p.parent for p in whole]))
        longer = [p.relative_to(root).with_suffix("").as_posix() for p in whole]
        for i, path, name in zip(alike, whole, longer, strict=True):
            # a.mp4 next to a.mov
            own[i] = name if longer.count(name) == 1 else path.relative_to(root).as_posix()
    return own

"""A folder, a zip or a single file, seen alike: names and their bytes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from orvpe.errors import InputError

# pictures, which the video room reads
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv", ".flv", ".3gp",
    ".ogv", ".gif",
)  # fmt: skip

HEAD = 1 << 16  # bytes that tell a format
_HEADS_KEPT = 512


class Source:
    """What a path holds, as relative POSIX names and bytes; opened lazily, so it can go to another process.

    Raises:
        InputError: the path does not exist, or is a zip that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(f"{self.path}: no such file or folder")
        if not self.path.is_file() and not self.path.is_dir():  # a pipe, say, which would be waited for
            raise InputError(f"{self.path}: neither a file nor a folder")
        self.is_folder = self.path.is_dir()
        self.is_zip = not self.is_folder and self.path.suffix.lower() == ".zip"

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "is_folder": self.is_folder, "is_zip": self.is_zip}

    def __repr__(self) -> str:
        return f"Source({str(self.path)!r})"

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except Exception as error:  # a damaged directory fails in many ways, not only as BadZipFile
            raise InputError(f"{self.path}: not a readable zip ({error})") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every file, sorted; hidden files, macOS' resource forks, stores and their parts are left out."""
        if self.is_zip:
            found = [i.filename for i in self._zip.infolist() if not i.is_dir()]
            if len(found) > len(set(found)):
                again = next(n for n, count in Counter(found).items() if count > 1)
                _say_once(f"note: {self.path}: holds {again!r} more than once; the last one is read")
                found = list(dict.fromkeys(found))
        elif self.is_folder:
            found = list(_files_in(str(self.path)))
        else:
            found = [self.path.name]
        return tuple(sorted(n for n in found if not any(map(_no_pose_file, n.split("/")))))

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            InputError: missing, or a damaged zip member.
        """
        try:
            if self.is_zip:
                return self._zip.read(name)
            with open(os.path.join(self.path, name) if self.is_folder else self.path, "rb", buffering=0) as file:
                return file.readall()
        except KeyError:
            raise InputError(f"{self.where(name)}: no such file in the zip") from None
        except (
            zipfile.BadZipFile,
            zipfile.LargeZipFile,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise InputError(f"{self.where(name)}: cannot be read ({error})") from None
        except Exception as error:  # zlib.error and friends: a truncated member
            raise InputError(f"{self.where(name)}: damaged ({error})") from None

    def head(self, name: str) -> bytes:
        """The first 64 kB of a file, kept for the next format that asks; empty where it cannot be read."""
        if name not in self._heads:
            try:
                if self.is_zip:
                    with self._zip.open(name) as member:
                        found = member.read(HEAD)
                else:
                    with open(os.path.join(self.path, name) if self.is_folder else self.path, "rb") as file:
                        found = file.read(HEAD)
            except Exception:  # damaged, encrypted, gone: whoever reads it says so
                found = b""
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[name] = found
        return self._heads[name]

    @cached_property
    def _heads(self) -> dict[str, bytes]:
        return {}

    def size(self, name: str) -> int:
        """Bytes of one file, unpacked; 0 when it is not there (reading it will say so)."""
        try:
            if self.is_zip:
                return self._zip.getinfo(name).file_size
            return os.stat(os.path.join(self.path, name) if self.is_folder else self.path).st_size
        except (KeyError, OSError):
            return 0

    def where(self, name: str) -> str:
        """How to name a file in a message."""
        if self.is_zip:
            return f"{self.path}:{name}"
        return os.path.join(self.path, name) if self.is_folder else str(self.path)


def _files_in(folder: str, inside: str = "") -> Iterator[str]:
    """Regular files at any depth; pipes, sockets and devices are passed over, folders behind links not entered."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_in(entry.path, f"{inside}{entry.name}/")
            elif entry.is_file():
                yield inside + entry.name


@lru_cache(maxsize=100)
def _say_once(text: str) -> None:
    if multiprocessing.parent_process() is None:
        print(text, file=sys.stderr)


def _no_pose_file(part: str) -> bool:
    return part.startswith((".", "__MACOSX")) or part.endswith((".orvpe", ".orvpe.parts"))


def not_a_source(out: str | Path, paths: Sequence[str]) -> None:
    """Refuse to write over what is about to be read.

    Args:
        out: the file to write.
        paths: files, zips and folders that are read.

    Raises:
        InputError: ``out`` is one of them, or a file that would be read in one of the folders.
    """
    target = Path(out)
    if not target.exists():
        return
    for path in map(Path, paths):
        if not path.exists():
            continue
        files = [path / n for n in Source(path).names if n.endswith(target.name)] if path.is_dir() else [path]
        if any(target.samefile(f) for f in files):
            raise InputError(f"{out}: is what would be read, give another --out")


def stem(name: str) -> str:
    """File name without folders and last suffix."""
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]

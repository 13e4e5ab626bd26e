"""Files written completely or not at all, alone or as the several files of one call."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from orvpe.errors import InputError


def beside(target: Path) -> Path:
    """A hidden name for this process in the folder of ``target``, with its suffix."""
    return target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Where to write what shall be at ``target``: it goes there at the end of the block, and by an error it is gone.

    What the system says of the temporary file, or of a full disk without a name, it says of ``target``.

    >>> with whole_file(Path("table.csv")) as temporary:  # doctest: +SKIP
    ...     temporary.write_text("a,b")
    """
    temporary = beside(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        nameless = error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.errno is None or not (nameless or str(temporary) in str(error)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file, and the folder it lies in, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


class Together:
    """Temporary names for files; leaving the block renames them all, leaving it by an error removes them.

    Folders that are made for them go again, too, where nothing came into them.

    >>> with Together() as files:  # doctest: +SKIP
    ...     files.path("out/table.csv").write_text("...")
    """

    def __init__(self) -> None:
        self._files: dict[Path, Path] = {}  # where it shall be -> where it is written
        self._made: list[Path] = []

    def path(self, target: str | Path) -> Path:
        """Where to write what shall be at ``target``: a name next to it, with the same suffix.

        Raises:
            InputError: nothing can be written there.
        """
        wanted = Path(target)
        self._made += make_folders(wanted.parent)
        temporary = beside(wanted)
        check_writable(wanted)
        self._files[wanted] = temporary
        return temporary

    def __enter__(self) -> Together:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                for target, temporary in self._files.items():
                    if temporary.exists():  # what was not written in the end is not missed
                        os.replace(temporary, target)
        finally:
            for temporary in self._files.values():
                temporary.unlink(missing_ok=True)
            for folder in reversed(self._made):
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()


def check_writable(target: Path) -> None:
    """Refuse a name under which nothing can be written, before the work that leads to it.

    Raises:
        InputError: no such folder, or it is read-only or full.
    """
    temporary = beside(target)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None


def place(made: Path, target: Path) -> None:
    """Move a complete file to where it shall be, whole or not at all, also to another disk."""
    try:
        os.replace(made, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with whole_file(target) as temporary:
            shutil.copyfile(made, temporary)
        made.unlink()


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those around it; returns the new ones, the outermost first.

    Raises:
        InputError: it cannot be made.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()][::-1]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror or error})") from None
    return missing

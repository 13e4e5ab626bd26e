"""One process at a time where something is written; the system takes a lock back however its process ends."""

from __future__ import annotations

import functools
import glob
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from orvpe.errors import InputError

LOCK = ".lock"  # in a folder that is written
_HELD: set[Path] = set()  # by this process, whose commands call each other

R = TypeVar("R")


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold the lock file ``path`` (made if missing, and left); yields False, at once, if another process holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def alone_in(argument: str, folder: bool = False) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Refuse a command whose target another process is writing, before it reads, writes or deletes anything there.

    Args:
        argument: the one that names the target; nothing is locked where it is None.
        folder: whether the target is a folder; it is made, and goes again if nothing came into it.

    Raises:
        InputError: (by the command) another process writes there.
    """

    def wrap(function: Callable[..., R]) -> Callable[..., R]:
        names = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: object, **kwargs: object) -> R:
            bound = names.bind(*args, **kwargs)
            bound.apply_defaults()
            target = bound.arguments[argument]
            if not target or int(os.environ.get("RANK", "0")):  # of several processes of one job the first holds it
                return function(*args, **kwargs)
            with writing(Path(str(target)), f"{argument} {target}", folder):
                return function(*args, **kwargs)

        call.guards = argument  # type: ignore[attr-defined]
        return call

    return wrap


def _sweep(target: Path, folder: bool) -> None:
    """Remove what killed processes were writing here under temporary names (`orvpe.runtime.files.beside`)."""
    names = target.glob(".*.tmp*") if folder else target.parent.glob(f".{glob.escape(target.stem)}.*.tmp*")
    for left in names:
        if re.fullmatch(r"\..+\.\d+(\.2)?\.tmp(\.\w+)?", left.name) and left.is_file():
            left.unlink(missing_ok=True)


@contextmanager
def writing(target: Path, named: str, folder: bool = False) -> Iterator[None]:
    """Keep other processes from writing a file or folder.

    Raises:
        InputError: another one does.
    """
    target = target.absolute()
    if target in _HELD or (target.is_file() if folder else not target.parent.is_dir()):
        yield  # ours already; or the command will say that nothing can be written there
        return
    missing = [p for p in (target, *target.parents) if not p.exists()] if folder else []
    path = target / LOCK if folder else target.with_name(f".{target.name}{LOCK}")
    try:
        if folder:
            target.mkdir(parents=True, exist_ok=True)
        path.touch()
    except (FileExistsError, NotADirectoryError):  # a file in the way, which the command will name
        yield
        return
    except OSError as error:
        for made in missing:
            with suppress(OSError):
                made.rmdir()
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    with alone(path) as free:
        if not free:
            raise InputError(f"{named} is in use by another process; wait, or choose another name")
        _HELD.add(target)
        _sweep(target, folder)
        try:
            yield
        finally:
            _HELD.discard(target)
            if sys.platform != "win32":  # who waits for it sees that it is gone (filelock)
                path.unlink(missing_ok=True)
            for made in missing:
                with suppress(OSError):
                    made.rmdir()

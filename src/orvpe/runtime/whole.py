"""Files that are whole or not there: written under a temporary name beside their own, then renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

"""Third-party files, downloaded once, checked and cached; none of them is part of orvpe."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PIP_SECONDS = 600.0


class NotThere(Exception):
    """A source does not answer, or returns something unexpected."""


def cache_folder() -> Path:
    """Where fetched files are kept: ``$XDG_CACHE_HOME/orvpe``, or ``~/.cache/orvpe``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orvpe"


@contextmanager
def wheel(requirement: str, *options: str) -> Iterator[Path]:
    """Download a wheel from the package index that pip is set to, for the duration of a block; it is not installed.

    Args:
        requirement: name==version.
        options: of ``pip download``, for another platform than this one.

    Raises:
        NotThere: pip cannot download it.
    """
    with tempfile.TemporaryDirectory(prefix="orvpe-wheel-") as folder:
        words = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:",
            *options, "--dest", folder, requirement,
        ]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotThere(f"pip cannot download {requirement} ({error})") from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotThere(f"pip cannot download {requirement} ({last})")
        yield wheels[0]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

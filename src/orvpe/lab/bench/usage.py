"""Wall time and peak memory of a command as a user types it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orvpe
from orvpe.errors import InputError
from orvpe.lab.bench.settings import Settings


@dataclass(frozen=True)
class Usage:
    """What a process took.

    Args:
        seconds: wall time from start to end.
        peak_bytes: largest resident memory, mapped files included; None where the system does not tell (Windows).
        own_bytes: the same without mapped files, sampled; None but on Linux.
    """

    seconds: float
    peak_bytes: int | None
    own_bytes: int | None


def surroundings(settings: Settings) -> dict[str, str]:
    """The environment of a process that runs this source tree on the threads asked for."""
    source = str(Path(orvpe.__file__).parents[1])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = {"OMP_NUM_THREADS": str(settings.threads)} if settings.threads else {}
    return {**os.environ, "PYTHONPATH": path, **threads}


def measured(command: list[str], settings: Settings) -> Usage:
    """Run ``python COMMAND`` to its end.

    Raises:
        InputError: it failed; its last line is in the message.
    """
    out = settings.work / "usage.json"
    launcher = [sys.executable, "-S", "-E", str(Path(__file__).with_name("launcher.py")), str(out)]
    done = subprocess.run(
        [*launcher, sys.executable, *command], capture_output=True, text=True, env=surroundings(settings)
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise InputError(f"'{' '.join(command)}' failed while it was measured: {last}")
    found = json.loads(out.read_text(encoding="utf-8"))
    return Usage(found["seconds"], found["peak_bytes"], found["own_bytes"])

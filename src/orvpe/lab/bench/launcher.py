"""Runs a command and writes its wall time and peak memory as JSON: ``python launcher.py OUT.json COMMAND...``.

A small process of its own, because a child's peak counts the memory of the process that started it, and the one
that measures is large.  Uses nothing but the standard library, and is run as a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time


def main(out: str, command: list[str]) -> int:
    """Run the command, with its output passed on; returns its exit code."""
    began = time.perf_counter()
    child = subprocess.Popen(command)
    own = [0]
    threading.Thread(target=_watch, args=(child.pid, own), daemon=True).start()
    peak = None
    if hasattr(os, "wait4"):
        _, status, used = os.wait4(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    else:  # Windows
        code = child.wait()
    seconds = time.perf_counter() - began
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"seconds": seconds, "peak_bytes": peak, "own_bytes": own[0] or None, "code": code}, file)
    return code if code >= 0 else 1


def _watch(pid: int, own: list[int]) -> None:
    """The most memory without mapped files, asked for every 20 ms, where the system reports it (Linux)."""
    try:
        while True:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                for line in file:
                    if line.startswith("RssAnon:"):
                        own[0] = max(own[0], int(line.split()[1]) * 1024)
            time.sleep(0.02)
    except OSError:  # no such system, or the process has ended
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

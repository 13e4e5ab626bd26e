"""Run steps as parallel processes in order of dependency; forward stop signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from orvpe.errors import InputError, Interrupted
from orvpe.lab.reproduce.steps import Step
from orvpe.runtime.signals import TO_STOP, heard_by

_LOOK = 0.1  # seconds between looks at what runs


def run_steps(
    steps: list[Step],
    work: Path,
    words: Callable[[Step], list[str]],
    told: Callable[[Step], str],
    jobs: int,
    begins: Callable[[Step], object],
    ends: Callable[[Step], object],
) -> None:
    """Run steps, at most ``jobs`` at once.

    What one says goes to this terminal as it is; of several, line by line to stderr, each with its run's name.

    Args:
        steps: in an order in which each comes after what it needs; what else it needs is there.
        work: folder of all runs.
        words: what to type for a step.
        told: how to name a step in messages.
        jobs: how many at once, at least 1.
        begins: called with each step before it is started.
        ends: called with each after it is done.

    Raises:
        InputError: a step failed; others that ran were asked to save themselves.
        Interrupted: stopped by a signal; the running steps are saved.
    """
    waiting, running, asked = list(steps), list[_Running](), list[int]()
    failed: list[str] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if running and not asked:  # not by print, which may be at work
            os.write(2, f"stopping when saved: {', '.join(one.step.folder for one in running)}\n".encode())
        asked.append(number)
        for one in running:
            one.tell(number)  # asked again, a step does not wait to save itself

    with heard_by(ask, _not_ignored()):
        try:
            while running or (waiting and not asked and not failed):
                if not asked and not failed and len(running) < jobs:
                    left = {s.folder for s in (*waiting, *(one.step for one in running))}
                    if (step := next((s for s in waiting if not left.intersection(s.needs)), None)) is not None:
                        waiting.remove(step)
                        begins(step)
                        running.append(_Running(step, words(step), work, jobs > 1))
                        if asked:  # while it was started
                            running[-1].stop(asked[0])
                        continue
                for one in running.copy():
                    if (code := one.process.poll()) is None:
                        continue
                    one.end()
                    running.remove(one)
                    if code == 0:
                        ends(one.step)
                    elif not one.told and (number := _asked_to_stop(code)):  # by somebody else
                        asked.append(number)
                    elif not one.told:
                        failed.append(f"{told(one.step)!r} {_why(code)}")
                    if asked or failed:
                        for other in running:
                            other.stop(asked[0] if asked else signal.SIGTERM)
                time.sleep(_LOOK)
        except BaseException:  # a full disk, a closed pipe: nobody trains on alone
            for one in running:
                one.stop(signal.SIGTERM)
            for one in running:
                one.process.wait()
            raise
    if failed:
        raise InputError(f"{failed[0]}; what it said stands above")
    if asked:
        raise Interrupted(asked[0], "stopped; the same command goes on from here")


def _not_ignored() -> list[int]:
    """Ctrl-C, SIGTERM and a closed terminal, unless nohup or a script's background ignores them."""
    known = [*TO_STOP, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return [n for n in known if signal.getsignal(n) is not signal.SIG_IGN]


def _asked_to_stop(code: int) -> int:
    """The signal that an exit code stands for, if it was a request to stop, else 0."""
    number = -code if code < 0 else code - 128
    return number if number in TO_STOP else 0


def _why(code: int) -> str:
    if code < 0:
        memory = " (was there too little memory?)" if -code == getattr(signal, "SIGKILL", None) else ""
        return f"was killed by signal {-code}{memory}"
    return f"failed with exit code {code}"


class _Running:
    """A step's process.

    Args:
        step: it.
        words: its command.
        work: where it runs.
        lines: read what it says and print it line by line, as others print too.
    """

    def __init__(self, step: Step, words: list[str], work: Path, lines: bool) -> None:
        self.step, self.told = step, False
        # A session of its own, so that Ctrl-C reaches the step once, through us: told twice it would not save itself.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orvpe", *words], cwd=work, start_new_session=True,
            stdout=subprocess.PIPE if lines else None, stderr=subprocess.STDOUT if lines else None,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True) if lines else None
        if self._reader is not None:
            self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        name = Path(self.step.folder).name
        for line in self.process.stdout:
            with suppress(OSError):  # a closed terminal: read on, or the step would wait
                print(f"[{name}] {line.decode('utf-8', 'replace').rstrip()}", file=sys.stderr, flush=True)

    def stop(self, number: int) -> None:
        """Ask it to save itself, unless it has been asked."""
        if not self.told:
            self.tell(number)

    def tell(self, number: int) -> None:
        """A signal for it and the processes it started, as a terminal would."""
        self.told = True
        if number not in TO_STOP:
            number = signal.SIGTERM  # what a training saves itself on
        with suppress(ProcessLookupError):
            if sys.platform == "win32":
                self.process.terminate()
            else:
                os.killpg(self.process.pid, number)

    def end(self) -> None:
        """Print the last of what it said."""
        if self._reader is not None:
            self._reader.join(timeout=5)  # a process that outlives it may hold the pipe

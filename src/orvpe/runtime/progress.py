"""Progress on stderr: a bar with rate and remaining time on a terminal, a line every 10 s elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """Counts something up to a known total; a context manager.

    Args:
        what: what is being done, one word.
        total: how many there are, as far as is known; 0 when it is not.
        unit: of what.
        quiet: say nothing, as all but one of several processes do.
    """

    def __init__(self, what: str, total: int, unit: str, quiet: bool = False) -> None:
        self.what, self.total, self.unit, self.quiet = what, total, unit, quiet
        self.done = self.before = 0
        self._begun = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty() and not quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(what, total=total or None, rate="")

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """A line for people, above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr)

    def advance(self, count: int, counts: bool = True) -> None:
        """``count`` more are done; ``counts=False`` for those that were done in an earlier run."""
        self.done += count
        self.before += 0 if counts else count
        now = time.monotonic()
        rate = (self.done - self.before) / max(now - self._begun, 1e-9)
        if self._bar is not None:
            text = f"{_short(rate)} {self.unit}/s" if rate else ""
            self._bar.update(self._task, completed=self.done, rate=text)
        elif now - self._last >= _EVERY and rate and not self.quiet:
            self._last = now
            left = (self.total - self.done) / rate
            # more may come than was announced, of a video whose header is wrong
            of, end = (f" of {self.total:,}", f", {duration(left)} left") if left >= 0 else ("", "")
            line = f"{self.what}: {self.done:,}{of} {self.unit}, {_short(rate)}/s{end}"
            print(line, file=sys.stderr, flush=True)


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def duration(seconds: float) -> str:
    """'1 h 5 min', '3 min 20 s', '12 s'."""
    s = round(seconds)
    if s >= 3600:
        return f"{s // 3600} h {s % 3600 // 60} min"
    return f"{s // 60} min {s % 60} s" if s >= 60 else f"{s} s"

"""Install a signal handler for the duration of a block."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, and what a cluster or a service manager sends; every platform has both names
TO_STOP = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heard_by(ask: Callable[[int, FrameType | None], None], numbers: Iterable[int] = TO_STOP) -> Iterator[None]:
    """Let ``ask`` hear these signals; only a process's main thread can, in another nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {n: signal.signal(n, ask) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

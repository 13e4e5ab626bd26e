"""Shared by all frame sources: their interface, a frame, a constant clock, and reading ahead in a thread."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from orvpe.errors import InputError

T = TypeVar("T")
LONGEST_HOLD = 1.0  # seconds that a picture stands for the ones that should follow it
MAX_FPS = 240.0
_POLL = 0.2  # seconds between looks whether the other thread is still wanted


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture of a video.

    Args:
        image: (H, W, 3) uint8 RGB, upright.
        index: its number; its time is index / fps.
        repeated: the same picture as the one before, for a video that had none at that time.
    """

    image: np.ndarray
    index: int
    repeated: bool = False


@dataclass
class Clock(Generic[T]):
    """Resamples pictures to the times 0, 1 / fps, 2 / fps ..., taking the nearest one at each.

    Pictures that come faster are left out, and the last one is repeated where none comes, but not for longer than
    ``LONGEST_HOLD``: what follows a longer break follows at once, and ``cut`` counts the seconds left out.  Times that
    run backwards, as where two recordings were joined, go on from where they were.

    Args:
        fps: frames per second of the result.
        cut: seconds of breaks that were left out, so that it can be reported.
    """

    fps: float
    cut: float = field(default=0.0, init=False)

    def steady(self, timed: Iterable[tuple[float | None, T]]) -> Iterator[tuple[T, int, bool]]:
        """(seconds or None where unknown, picture) -> (picture, its number, whether it is a repetition)."""
        step = 1.0 / self.fps
        tick, shift, now = 0, 0.0, 0.0
        held: T | None = None
        for stamp, picture in timed:
            before, now = now, now + step if stamp is None else stamp + shift
            if held is None:
                shift, now = -now, 0.0
            else:
                if now <= before and stamp is not None:
                    shift, now = shift + before + step - now, before + step
                elif now - before > LONGEST_HOLD + step:
                    self.cut += now - before - LONGEST_HOLD
                    shift, now = shift - (now - before - LONGEST_HOLD), before + LONGEST_HOLD
                first = tick
                while tick * step < (before + now) / 2:
                    yield held, tick, tick > first
                    tick += 1
            held = picture
        if held is not None:
            first = tick
            while tick * step < now + step / 2:
                yield held, tick, tick > first
                tick += 1


def ahead(items: Iterator[T], depth: int = 4) -> Iterator[T]:
    """Produce items in another thread while earlier ones are processed.

    Errors come out where the item would have; leaving early ends the thread.
    """
    waiting: queue.Queue[tuple[bool, object]] = queue.Queue(maxsize=depth)
    over = threading.Event()

    def put(*entry: object) -> None:
        while not over.is_set():
            try:
                waiting.put(entry, timeout=_POLL)  # type: ignore[arg-type]
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(True, item)
                if over.is_set():
                    return
            put(False, None)
        except BaseException as error:
            put(False, error)
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=work, name="orvpe-video-reader", daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        over.set()
        thread.join()


class Frames:
    """Frames in order, upright, at a constant rate; iterable repeatedly, except for a camera.

    Attributes:
        name: of the clip: the file's name without suffix.
        path: what was opened.
        fps: frames per second of the result.
        size: (width, height) of every picture.
        count: how many there will be, as far as is known beforehand; 0 where it cannot.
        notes: what people should know, a line each; complete after the iteration.
        seconds: time spent in decoding.
    """

    def __init__(self, path: str, name: str, fps: float, size: tuple[int, int], count: int, threads: int) -> None:
        self.path, self.name, self.fps, self.size, self.count = path, name, fps, size, count
        self.threads = threads
        self.notes: list[str] = []
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Frame]:
        frames = self._timed()
        return frames if self.threads == 1 else ahead(frames)

    def _timed(self) -> Iterator[Frame]:
        frames, begun = self._frames(), time.perf_counter()
        for frame in frames:
            self.seconds += time.perf_counter() - begun
            yield frame
            begun = time.perf_counter()

    def _frames(self) -> Iterator[Frame]:
        raise NotImplementedError


def pyav() -> Any:
    """The module av, imported where it is used.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(f"reading videos needs PyAV; install orvpe with its extra: orvpe[video] ({error})") from None
    return av

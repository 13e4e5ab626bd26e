"""Frames in real time: late ones are dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from orvpe.video.frames import Frame, Frames

_POLL = 0.2  # seconds between looks whether another picture has come
_PATIENCE = 1.0  # seconds of reading without a picture that is in time


class Paced(Frames):
    """A frame source that skips frames when processing is too slow.

    Attributes:
        seen: pictures that were given out.
        dropped: pictures that were not; at most the last number of the source says how many there were.
        late: the longest time in seconds that a picture was given out after it was due.
        slipped: seconds by which a recording fell behind for good, because reading it takes longer than it lasts.

    Args:
        frames: the source.
    """

    def __init__(self, frames: Frames) -> None:
        super().__init__(frames.path, frames.name, frames.fps, frames.size, frames.count, threads=1)
        self.source = frames
        self.notes = frames.notes
        self.seen = self.dropped = 0
        self.late = self.slipped = 0.0


class AtRate(Paced):
    """Play a recording in real time: a frame is returned when it is due, and skipped when the next one is due.

    Args:
        frames: the recording.
        rate: of its own speed; 2 is twice as fast, 0 as fast as it goes without leaving any out.
        clock: seconds, never running backwards.
        sleep: waits.
    """

    def __init__(self, frames: Frames, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        super().__init__(frames)
        self._step = 1 / (rate * frames.fps) if rate else 0.0
        self._clock, self._sleep = clock, sleep

    def _frames(self) -> Iterator[Frame]:
        begun = returned = self._clock()
        first = True
        for frame in self.source:
            now = self._clock()
            if first:
                begun, first = now - frame.index * self._step, False
            early = begun + frame.index * self._step - now
            if self._step and early <= -self._step and now - returned > _PATIENCE:  # all would be dropped, for ever
                self.slipped -= early
                begun, early = begun - early, 0.0
            if self._step and early <= -self._step:
                self.dropped += 1
                continue
            if self._step and early > 0:
                self._sleep(early)
            elif self._step:
                self.late = max(self.late, -early)
            self.seen += 1
            yield frame
            returned = self._clock()


class Newest(Paced):
    """A camera's newest frame; older ones are skipped."""

    def _frames(self) -> Iterator[Frame]:
        lock = threading.Condition()
        waiting: list[Frame] = []
        state: dict[str, BaseException | None] = {}
        over = threading.Event()

        def work() -> None:
            error: BaseException | None = None
            try:
                for frame in self.source:
                    with lock:
                        if waiting:
                            waiting.clear()
                            self.dropped += 1
                        waiting.append(frame)
                        lock.notify()
                    if over.is_set():
                        return
            except BaseException as problem:
                error = problem
            finally:
                with lock:
                    state["end"] = error
                    lock.notify()

        thread = threading.Thread(target=work, name="orvpe-camera", daemon=True)
        thread.start()
        try:
            while True:
                with lock:
                    while not waiting and "end" not in state:
                        lock.wait(_POLL)  # a signal is looked at in between
                    if not waiting:
                        break
                    frame = waiting.pop()
                self.seen += 1
                yield frame
            if state["end"] is not None:
                raise state["end"]
        finally:
            over.set()
            thread.join(timeout=2.0)  # a camera that gives no more pictures is left to itself

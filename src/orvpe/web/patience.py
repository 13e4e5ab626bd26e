"""How long `orvpe serve` waits for slow clients and, when it is asked to end, for requests; what it leaves behind."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from orvpe.runtime.lock import LOCK, alone
from orvpe.web.limits import IDLE_SECONDS

ENDING_SECONDS = 1  # that requests have when the server is asked to end
_FOLDERS = "orvpe-serve-"


class ImpatientProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """A connection that is closed when nothing comes of it for `IDLE_SECONDS`."""

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:  # the application has it now
            self._stop()
        elif self._clock is None:
            self._start()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start()

    def resume_writing(self) -> None:
        self._stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _start(self) -> None:
        self._stop()
        self._clock = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.transport.abort)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for uploads; those of servers that were killed are removed first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*"):
        try:
            with alone(left / LOCK) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
        except OSError:  # another user's, or gone a moment ago
            continue
    with (
        tempfile.TemporaryDirectory(prefix=_FOLDERS, ignore_cleanup_errors=True) as folder,
        alone(Path(folder) / LOCK),
    ):
        yield Path(folder)

"""Uploaded clips in memory: the most recently used ones are kept."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from threading import Lock

from orvpe.web.answers import Shown


class Shelf:
    """Clips by id; the least recently used ones are dropped.

    Args:
        fixed: samples, which stay, as sample-0, sample-1 ...
        most_bytes: of all others together.
        most: how many others.
    """

    def __init__(self, fixed: list[Shown], most_bytes: int = 512 << 20, most: int = 500) -> None:
        self.fixed = {f"sample-{i}": shown for i, shown in enumerate(fixed)}
        self._most_bytes, self._most = most_bytes, most
        self._kept: OrderedDict[str, Shown] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def add(self, shown: Shown) -> str:
        """Store a clip and return its id."""
        identity = secrets.token_urlsafe(9)
        with self._lock:
            self._kept[identity] = shown
            self._bytes += shown.size
            while len(self._kept) > 1 and (self._bytes > self._most_bytes or len(self._kept) > self._most):
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.size
        return identity

    def get(self, identity: str) -> Shown | None:
        """The clip of that id, or None."""
        with self._lock:
            if identity in self._kept:
                self._kept.move_to_end(identity)
            return self._kept.get(identity) or self.fixed.get(identity)

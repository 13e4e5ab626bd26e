"""Request limits, host checks, security headers."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_T = TypeVar("_T")
_log = logging.getLogger("orvpe.web")

IDLE_SECONDS = 20.0  # without a whole request, a further piece of one, or the client taking the answer
LEAST_RATE = 1000  # bytes a second of a request, after that time

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_RAW_HEADERS = [(k.encode(), v.encode()) for k, v in HEADERS.items()]


class Guard:
    """ASGI middleware: rejects foreign hosts, foreign pages and large bodies; adds `HEADERS` to every response.

    A body is refused by its announced length before it is read, else as soon as more than that has come.

    Args:
        app: the application.
        hosts: names that the server may be called by; a page elsewhere could point its own name at this machine.
        max_body: bytes.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], max_body: int) -> None:
        self.app, self.hosts, self.max_body = app, hosts, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}

        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_RAW_HEADERS]
            await send(message)

        refused = self._refused(headers)
        if refused is not None:
            return await _answer(with_headers, *refused)
        come, more = 0, True
        began = time.monotonic()

        async def counted() -> Message:
            nonlocal come, more
            try:
                message = await (asyncio.wait_for(receive(), IDLE_SECONDS) if more else receive())
            except asyncio.TimeoutError:
                raise HTTPException(408, "too slow", headers={"connection": "close"}) from None
            come += len(message.get("body", b""))
            more = bool(message.get("more_body", False))
            if more and come < LEAST_RATE * (time.monotonic() - began - IDLE_SECONDS):
                raise HTTPException(408, "too slow", headers={"connection": "close"})
            if come > self.max_body:
                raise HTTPException(413, self._too_large(), headers={"connection": "close"})
            return message

        try:
            await self.app(scope, counted, with_headers)
        except Exception:  # answered here, as further out it would also cost the connection
            if begun:
                raise
            _log.exception("error while answering %s", scope["path"])
            await _answer(with_headers, 500, "an error of the server's own; its log says more")
        return None

    def _refused(self, headers: dict[str, str]) -> tuple[int, str] | None:
        if _name(f"//{headers.get('host', '')}") not in self.hosts:
            return 403, "called by a host name that is not this server's"
        if "origin" in headers and _name(headers["origin"]) not in self.hosts:
            return 403, "asked by a page of another site"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_body:
            return 413, self._too_large()
        return None

    def _too_large(self) -> str:
        return f"too large, expected at most {round(self.max_body / 2**20, 1):g} MB"


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _answer(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


class Gate:
    """Limit on concurrent jobs: some run, some wait, further ones are refused with 503.

    Args:
        at_once: jobs that run.
        waiting: jobs that may wait for their turn.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._turns, self._most, self.inside = asyncio.Semaphore(at_once), at_once + waiting, 0

    async def __aenter__(self) -> None:
        if self.inside >= self._most:
            raise HTTPException(503, "busy, ask again in a moment", headers={"retry-after": "1"})
        self.inside += 1
        try:
            await self._turns.acquire()
        except BaseException:
            self.inside -= 1
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turns.release()
        self.inside -= 1

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """``function(*arguments)`` in a thread, when it is its turn."""
        async with self:
            return await run_in_threadpool(function, *arguments)

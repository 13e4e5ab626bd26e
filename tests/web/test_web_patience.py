"""`orvpe serve` ends when it is told to, does not wait for ever, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from helpers.small_runs import surroundings
from helpers.web_server import HOST, LIMITS, free_socket

from orvpe.web import limits, patience, uploads
from orvpe.web.answers import Answers
from orvpe.web.app import make_app
from orvpe.web.patience import ImpatientProtocol, scratch
from orvpe.web.uploads import safe_name

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
_HALF = b"POST /api/clips HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: multipart/form-data; boundary=x\r\n"
_HALF += (
    b'content-length: 5000\r\n\r\n--x\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\nclip,'
)


@pytest.fixture
def running(answers: Answers, served: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """The command in a process of its own, with a temporary folder of its own, and its port."""
    words = ["serve", "-w", str(served / "small"), "--store", str(served / "index.orvpe"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**surroundings(), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        port = urlsplit(found[0]).port
        assert port is not None
        yield process, port
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_an_upload_is_half_sent(
    how: signal.Signals, running: tuple[subprocess.Popen, int], tmp_path: Path
) -> None:
    process, port = running
    with socket.create_connection((HOST, port)) as upload, socket.create_connection((HOST, port)):
        upload.sendall(_HALF)
        time.sleep(0.3)
        assert [p.name.startswith("orvpe-serve-") for p in tmp_path.iterdir()] == [True]
        began = time.monotonic()
        process.send_signal(how)
        assert process.wait(timeout=30) == 128 + how
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_leaves_goes_at_the_next_start(
    running: tuple[subprocess.Popen, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = running
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (left,) = tmp_path.iterdir()
    (left / "upload-1").mkdir()
    with scratch() as folder:
        assert sorted(tmp_path.iterdir()) == sorted([left, folder])  # that of a server that runs stays
    process.kill()
    process.wait()
    with scratch() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_reader_ends_with_its_server(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.csv")  # reading it takes for ever
    words = [sys.executable, "-m", "orvpe.web.reading", str(tmp_path / "in.csv"), str(tmp_path / "out"), "{}"]
    reader = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings())
    try:
        time.sleep(0.5)
        assert reader.stdin is not None
        reader.stdin.close()  # as when the server is killed
        reader.wait(timeout=30)
    finally:
        reader.kill()
        reader.wait()
    assert reader.returncode in (2, 3)


def test_it_ends_while_a_file_is_read_and_closes_who_is_slow(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import uvicorn

    started = tmp_path / "pid"
    code = f"import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(uploads, "arguments", lambda *_: [sys.executable, "-c", code])
    for module in (limits, patience):
        monkeypatch.setattr(module, "IDLE_SECONDS", 1.0)
    listening = free_socket()
    port = listening.getsockname()[1]
    app = make_app(answers, LIMITS)
    config = uvicorn.Config(app, http=ImpatientProtocol, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)

    def said(first: bytes, then: bytes = b"") -> bytes:
        """What comes back until the server closes the connection."""
        with socket.create_connection((HOST, port), timeout=10) as client:
            client.sendall(first)
            if then:
                time.sleep(0.5)
                client.sendall(then)
            found = b""
            while piece := client.recv(4096):
                found += piece
            return found

    began = time.monotonic()
    assert said(b"") == b""
    assert said(b"GET / HTTP/1.1\r\nhost: ", b"127.0.0.1") == b""
    assert b" 408 " in said(_HALF)
    assert time.monotonic() - began < 9

    def ask() -> None:
        with suppress(httpx.HTTPError):
            httpx.post(f"http://{HOST}:{port}/api/clips", files={"file": ("a.csv", b"x")}, timeout=60)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while not (started.exists() and started.read_text()):
        time.sleep(0.02)
    server.should_exit = True
    began = time.monotonic()
    thread.join(timeout=30)
    assert time.monotonic() - began < 5
    asking.join(timeout=10)
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_names_are_counted_in_bytes() -> None:
    for name in ("\U0001d54f" * 100 + ".csv", "é" * 300 + ".skeleton", "x" * 300):
        safe = safe_name(name)
        assert len(safe.encode()) <= 100
        assert safe.endswith(name[-4:])

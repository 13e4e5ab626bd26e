"""orvpe serve: what it refuses, and that nothing brings it down."""

from __future__ import annotations

import io
import json
import socket
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from helpers.web_server import MB, npz_bytes, refused, send, serving

from orvpe.data.generated import generated_clip
from orvpe.errors import InputError
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.web.answers import Answers
from orvpe.web.app import Limits, make_app


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "clip: Field required"),
        ({"clip": ""}, "clip"),
        ({"clip": "sample-0", "part": "tail"}, "part"),
        ({"clip": "sample-0", "oclusion": "upper"}, "oclusion"),
        ({"clip": "sample-0", "rectangle": {"x": [0, 1]}}, "rectangle.y"),
        ({"clip": "sample-0", "rectangle": {"x": [0, 1, 2], "y": [0, 1]}}, "rectangle.x"),
        ({"clip": "sample-0", "rectangle": {"x": [0, 1e300], "y": [0, 1]}}, "rectangle.x"),
        ({"clip": "sample-0", "nearest": 0}, "nearest"),
        ({"clip": "sample-0", "nearest": 10**9}, "nearest"),
        ({"clip": "sample-0", "two\nlines": 1}, "two lines: Extra inputs"),
        ({"clip": "sample-0", "long" * 5000: 1}, "longlong"),
        ([], "body"),
        (None, "body"),
    ],
)
def test_bad_questions(client: httpx.Client, asked: Any, told: str) -> None:
    assert told in refused(client.post("/api/compare", json=asked), 422)


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"clip": NaN}', b"[" * 50_000, b'{"clip": "\\ud800"}', b""])
def test_bodies_that_are_no_json(client: httpx.Client, body: bytes) -> None:
    got = client.post("/api/compare", content=body, headers={"content-type": "application/json"})
    assert got.status_code in (400, 404, 422)
    refused(got, got.status_code)
    nan = b'{"clip": "sample-0", "rectangle": {"x": [NaN, 1], "y": [0, Infinity]}}'
    got = client.post("/api/embed", content=nan, headers={"content-type": "application/json"})
    assert "rectangle.x" in refused(got, 422)


def test_unknown_clips_and_addresses(client: httpx.Client) -> None:
    for path in ("embed", "classify", "search", "compare"):
        assert "no clip 'gone'" in refused(client.post(f"/api/{path}", json={"clip": "gone"}), 404)
    refused(client.get("/api/clips/..%2f..%2fetc%2fpasswd"), 404)
    refused(client.get("/static/..%2fapp.py"), 404)
    refused(client.get("/static/page.htm"), 404)
    refused(client.get("/docs"), 404)
    refused(client.get("/api/embed"), 405)
    assert "file" in refused(client.post("/api/clips", data={"file": "text"}), 422)
    for field, value in (("up", "q"), ("joints", "/etc/x.yaml"), ("format", "pickle")):
        assert f"{field}: Input should be" in refused(send(client, b"x", **{field: value}), 422)
    assert "fps" in refused(send(client, b"x", fps="-1"), 422)


def zip_bomb() -> bytes:
    """Unpacks to 600 MB: thirty names for one member of 20 MB of zeros."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.csv", bytes(20 * MB))
        for i in range(1, 30):
            again = copy(archive.filelist[0])
            again.filename = f"{i}.csv"
            archive.filelist.append(again)
    return packed.getvalue()


def test_files_of_no_use(client: httpx.Client) -> None:
    flat = generated_clip(9, dims=2).joints
    for name, data, told in (
        ("notes.txt", b"hello", "notes.txt: no pose file of a known format in it"),
        ("../../evil\\..\\walk.bvh", b"HIERARCHY nothing", "walk.bvh"),
        ("flat.npz", npz_bytes(flat), "is 2D (pixels), but this model reads 3D (metres) joints"),
        ("long.npz", npz_bytes(np.ones((500, 17, 3))), "500 frames, expected at most 400"),
        ("bomb.zip", zip_bomb(), "bomb.zip: unpacks to 600 MB, expected at most 512 MB"),
        ("broken.mp4", b"\0\0\0 ftypisom" + bytes(400), "broken.mp4"),
    ):
        line = refused(send(client, data, name), 422)
        assert told in line, line
        assert "evil" not in line
        assert ".." not in line
    assert "empty" in refused(send(client, b"", "empty.npz"), 422)
    assert client.get("/api/health").json()["status"] == "ok"


def test_reading_that_takes_too_long_or_dies(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    from orvpe.web import uploads

    began = []

    def words(path: Path, out: Path, options: object) -> list[str]:
        began.append(path)
        return [sys.executable, "-c", "import time, os; time.sleep(30)" if len(began) == 1 else "import os; os.abort()"]

    monkeypatch.setattr(uploads, "arguments", words)
    with (
        serving(make_app(answers, Limits(read_seconds=0.5))) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        assert "slow.npz: reading it took longer than 0.5 s" in refused(send(client, b"x", "slow.npz"), 422)
        assert "dead.npz: cannot be read" in refused(send(client, b"x", "dead.npz"), 422)
    assert not any(path.parents[1].exists() for path in began)


def test_notes_name_the_file_and_not_where_it_was_put(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    from orvpe.web import uploads

    def words(path: Path, out: Path, options: object) -> list[str]:
        code = (
            "import sys; from pathlib import Path; from orvpe.data.generated import generated_clip; "
            "from orvpe.web.reading import save_clips; "
            "save_clips(Path(sys.argv[2]), [generated_clip(1)], [f'{sys.argv[1]}: damaged'])"
        )
        return [sys.executable, "-c", code, str(path), str(out)]

    monkeypatch.setattr(uploads, "arguments", words)
    with serving(make_app(answers)) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert send(client, b"x", "walk.mp4").json()["notes"] == ["walk.mp4: damaged"]


def test_large_uploads_are_refused_early(address: str) -> None:
    where = urlsplit(address)
    assert where.hostname is not None

    def head(*more: str) -> bytes:
        lines = ["POST /api/clips HTTP/1.1", f"Host: {where.netloc}", "Content-Type: multipart/form-data; boundary=b"]
        return "\r\n".join([*lines, *more, "", ""]).encode()

    with socket.create_connection((where.hostname, where.port or 0), timeout=30) as link:
        link.sendall(head(f"Content-Length: {2 << 30}"))  # and not one byte of it
        assert b" 413 " in link.recv(4096)
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.npz"\r\n\r\n'
    chunk, sent = bytes(MB // 4), 0
    with socket.create_connection((where.hostname, where.port or 0), timeout=30) as link:
        link.sendall(head("Transfer-Encoding: chunked") + f"{len(part):x}\r\n".encode() + part + b"\r\n")
        try:
            while sent < 2 << 30:
                link.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                sent += len(chunk)
        except OSError:
            pass  # hung up on
    assert sent < 64 * MB
    with httpx.Client(base_url=address, timeout=60) as client:
        assert "expected at most" in refused(send(client, bytes(2 * MB)), 413)
        assert client.get("/api/health").status_code == 200


def test_other_sites_and_names_are_refused(client: httpx.Client) -> None:
    assert "host name" in refused(client.get("/api/health", headers={"host": "evil.example"}), 403)
    body = {"clip": "sample-0"}
    assert "another site" in refused(
        client.post("/api/embed", json=body, headers={"origin": "https://evil.example"}), 403
    )
    assert client.post("/api/embed", json=body, headers={"origin": str(client.base_url)}).status_code == 200


def test_fifty_at_once(address: str) -> None:
    def ask(i: int) -> tuple[int, str]:
        asked = {"clip": f"sample-{i % 6}", "part": SUBGRAPHS[i % 5]}
        got = many.post("/api/compare", json=asked)
        return got.status_code, json.dumps(got.json()["occluded"])

    connections = httpx.Limits(max_connections=50)
    with httpx.Client(base_url=address, timeout=120, limits=connections) as many, ThreadPoolExecutor(50) as pool:
        found = list(pool.map(ask, range(50)))
    assert {code for code, _ in found} == {200}
    assert [text for _, text in found] == [found[i % 30][1] for i in range(50)]


def test_too_many_at_once_are_turned_away(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    from orvpe.web import app as module

    started, go_on = threading.Semaphore(0), threading.Event()

    async def slow(*_: Any) -> Any:
        from starlette.concurrency import run_in_threadpool

        started.release()
        await run_in_threadpool(go_on.wait, 60)
        raise InputError("read")

    monkeypatch.setattr(module, "read_upload", slow)
    with serving(make_app(answers, Limits(readers=1))) as address, ThreadPoolExecutor(12) as pool:

        def upload(_: int) -> httpx.Response:
            with httpx.Client(base_url=address, timeout=120) as client:
                got = send(client, b"x")
            if got.status_code == 503:
                turned_away.release()
            return got

        turned_away = threading.Semaphore(0)
        waiting = [pool.submit(upload, i) for i in range(12)]
        assert started.acquire(timeout=60)
        for _ in range(12 - 9):  # one is read, eight wait
            assert turned_away.acquire(timeout=60)
        with httpx.Client(base_url=address, timeout=60) as client:
            assert client.post("/api/embed", json={"clip": "sample-0"}).status_code == 200  # answers go on
        go_on.set()
        codes = sorted(f.result().status_code for f in waiting)
    assert codes == [422] * 9 + [503] * 3


def test_an_error_of_ours_says_nothing_of_itself(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "compare", lambda *_: 1 / 0)
    with serving(make_app(answers)) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert "division" not in refused(client.post("/api/compare", json={"clip": "sample-0"}), 500)
        assert client.get("/api/health").status_code == 200


def test_without_index_or_classifier(answers: Answers) -> None:
    bare = Answers(answers.model, "bare", samples=answers.samples)
    with serving(make_app(bare)) as address, httpx.Client(base_url=address, timeout=60) as client:
        asked = {"clip": "sample-0", "part": "upper"}
        assert "no classifier" in refused(client.post("/api/classify", json=asked), 422)
        assert "no index" in refused(client.post("/api/search", json=asked), 422)
        assert "no index" in refused(client.get("/api/map"), 422)
        both = client.post("/api/compare", json=asked).json()
        assert both["full"] == {"probabilities": None, "nearest": None, "point": None}
        assert both["similarity"] == both["cosine"]

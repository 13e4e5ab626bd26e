"""orvpe serve: what it answers, what it refuses, and that nothing brings it down."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import torch
from clips import same_bits
from small_runs import surroundings
from web_server import npz_bytes, serving, small_answers

from orvpe.batch import collate
from orvpe.cli import main
from orvpe.embed import embed_clips
from orvpe.errors import InputError
from orvpe.generated import generated_clip
from orvpe.occlusion import SUBGRAPHS, corruption
from orvpe.skeleton import PARTS, unified
from orvpe.views import fixed_view
from orvpe.web.answers import Answers
from orvpe.web.app import Limits, make_app
from orvpe.web.hiding import Rectangle, hidden
from orvpe.web.index import choose_samples, principal_axes
from orvpe.web.limits import HEADERS
from orvpe.web.shelf import Shelf
from orvpe.web.uploads import safe_name

torch.set_num_threads(1)
MB = 1 << 20
LIMITS = Limits(upload_bytes=MB, max_frames=400, read_seconds=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def answers(folder: Path) -> Answers:
    return small_answers(folder)


@pytest.fixture(scope="module")
def address(answers: Answers) -> Iterator[str]:
    with serving(make_app(answers, LIMITS)) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=120) as client:
        yield client


def send(client: httpx.Client, data: bytes, name: str = "clip.npz", **form: Any) -> httpx.Response:
    return client.post("/api/clips", files={"file": (name, data)}, data=form)


def refused(response: httpx.Response, code: int) -> str:
    """The one line of an error."""
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"detail"}
    line = response.json()["detail"]
    assert isinstance(line, str)
    assert line
    assert len(line.splitlines()) == 1
    assert len(line) < 1001
    assert "/tmp" not in line
    return line


# --- what it answers ------------------------------------------------------------------------------------------


def test_health_models_and_samples(client: httpx.Client, answers: Answers) -> None:
    health = client.get("/api/health").json()
    assert (health["status"], health["model"], health["parts"]) == ("ok", "small", list(SUBGRAPHS))
    (model,) = client.get("/api/models").json()["models"]
    assert (model["about"], model["dims"], model["frames"]) == ("a model for tests", 3, 16)
    assert model["fitted"]
    assert len(model["classes"]) == 10
    samples = client.get("/api/samples").json()["clips"]
    assert len(samples) == 6
    assert answers.index is not None
    assert health["index"] == len(answers.index) == 60 - 6
    drawn = client.get(f"/api/clips/{samples[0]['id']}").json()
    assert drawn["parents"] == list(unified.parent_index)
    assert len(drawn["coordinates"]) == drawn["people"] == 1
    assert len(drawn["coordinates"][0]) == drawn["frames"]
    clip = answers.samples[0].clip
    for at, p in enumerate(drawn["coordinates"][0][5]):
        assert (p is None) == (not clip.visible[0, 5, at])
        assert p is None or np.allclose(p, clip.joints[0, 5, at], atol=1e-4)
    points = client.get("/api/map").json()
    assert len(points["points"]) == len(points["labels"]) == 54
    assert np.abs(points["points"]).max() == pytest.approx(1, abs=1e-3)


def test_an_uploaded_file_is_embedded_as_the_library_does(client: httpx.Client, answers: Answers) -> None:
    clip = generated_clip(9, seed=3, missing=0.0)
    sent = send(client, npz_bytes(name="mine"))
    assert sent.status_code == 200, sent.text
    (info,) = sent.json()["clips"]
    assert (info["title"], info["frames"], info["people"]) == ("mine", clip.frames, 1)
    got = client.post("/api/embed", json={"clip": info["id"]}).json()
    assert np.array_equal(np.float32(got["feature"]), embed_clips(answers.model, [clip])[0])
    assert np.linalg.norm(got["embedding"]) == pytest.approx(1, abs=1e-5)
    assert got["hidden"] == 0
    for part in SUBGRAPHS:  # the same as every other place that hides parts
        got = client.post("/api/embed", json={"clip": info["id"], "part": part}).json()
        batch = corruption(part)(collate([clip]), None)  # type: ignore[arg-type]
        with torch.no_grad():
            expected = answers.model.features(fixed_view(batch, answers.model.view))[0].numpy()
        assert np.array_equal(np.float32(got["feature"]), expected)
        assert got["hidden"] == pytest.approx(len(PARTS[part]) / 17)


def test_classify_search_and_compare_agree(client: httpx.Client, answers: Answers) -> None:
    asked = {"clip": "sample-1", "part": "lower", "rectangle": {"x": [-0.2, 0.2], "y": [0, 0.4], "angle": 0.5}}
    classes = client.post("/api/classify", json=asked).json()["classes"]
    assert sum(c["probability"] for c in classes) == pytest.approx(1, abs=1e-5)
    assert classes == sorted(classes, key=lambda c: -c["probability"])
    nearest = client.post("/api/search", json={**asked, "nearest": 7}).json()["nearest"]
    assert len(nearest) == 7
    both = client.post("/api/compare", json={**asked, "nearest": 7}).json()
    assert both["occluded"]["nearest"] == nearest
    occluded = dict(zip(both["classes"], both["occluded"]["probabilities"], strict=True))
    assert occluded == {c["title"]: c["probability"] for c in classes}
    assert both["full"] != both["occluded"]
    assert 0 < both["hidden"] < 1
    assert 0 <= both["closer"] <= 1
    shown = answers.samples[1]
    expected = hidden(shown.batch, "lower", Rectangle((-0.2, 0.2), (0, 0.4), 0.5)).visible[0].numpy()
    bits = np.unpackbits(np.frombuffer(base64.b64decode(both["visible"]), np.uint8))[: expected.size]
    assert np.array_equal(bits.reshape(expected.shape), expected)
    # against a plain search
    assert answers.index is not None
    with torch.no_grad():
        feature = answers.vectors(shown, "lower", Rectangle((-0.2, 0.2), (0, 0.4), 0.5)).feature
    unit = (feature - answers.index.centre) / np.linalg.norm(feature - answers.index.centre)
    rows = zip(answers.index.features, answers.index.names, strict=True)
    by_hand = [(float(row @ unit), str(name)) for row, name in rows]
    assert [n["name"] for n in nearest] == [name for _, name in sorted(by_hand, reverse=True)[:7]]


def test_nothing_hidden_changes_nothing(client: httpx.Client) -> None:
    both = client.post("/api/compare", json={"clip": "sample-0"}).json()
    assert both["full"] == both["occluded"]
    assert (both["similarity"], both["cosine"], both["hidden"]) == (1, 1, 0)
    everything = {"x": [-1e3, 1e3], "y": [-1e3, 1e3]}
    none = client.post("/api/compare", json={"clip": "sample-0", "rectangle": everything}).json()
    assert none["hidden"] == 1


def test_hidden_coordinates_do_not_change_one_bit(client: httpx.Client) -> None:
    clip = generated_clip(9, seed=3, missing=0.0)
    rng = np.random.default_rng(0)
    left = [unified.index(j) for j in PARTS["left"]]
    around = np.array([0.0, -5.0, 2.0])  # nobody is there
    wrist, variants = unified.index("right_wrist"), []
    for _ in range(3):
        joints = clip.joints.copy()
        joints[:, :, left] = rng.normal(size=joints[:, :, left].shape) * 10
        joints[0, 4:20, wrist] = around + rng.uniform(-0.1, 0.1, (16, 3))
        variants.append(joints)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for i, joints in enumerate(variants):
            archive.writestr(f"{i}.npz", npz_bytes(joints))
    sent = send(client, packed.getvalue(), "three.zip")
    assert sent.status_code == 200, sent.text
    ids = [c["id"] for c in sent.json()["clips"]]
    assert len(ids) == 3
    asked = {"part": "left", "rectangle": {"x": [1, 3], "y": [-4.5, -5.5], "angle": 1.3}}
    seen, whole = set(), set()
    for i in ids:
        both = client.post("/api/compare", json={"clip": i, **asked}).json()
        seen.add(json.dumps([both["occluded"], both["visible"]]))
        whole.add(json.dumps(both["full"]))
    assert len(seen) == 1
    assert len(whole) == 3


def test_rectangle_against_one_joint_at_a_time() -> None:
    clip = generated_clip(4, people=2)
    rectangle = Rectangle((0.5, -0.3), (-0.2, 0.6), angle=2.1)
    got = hidden(collate([clip]), None, rectangle)
    for m, t, v in np.ndindex(*clip.visible.shape):
        x, y, z = clip.joints[m, t, v].astype(float)
        across = x * np.cos(2.1) + z * np.sin(2.1)
        inside = -0.3 <= across <= 0.5 and -0.2 <= y <= 0.6
        assert bool(got.visible[0, m, t, v]) == (clip.visible[m, t, v] and not inside), (across, y)
    flat = generated_clip(4, dims=2)
    got = hidden(collate([flat]), None, Rectangle((300, 340), (0, 250), angle=1.0))  # no angle in an image
    x, y = flat.joints[..., 0], flat.joints[..., 1]
    assert np.array_equal(got.visible[0].numpy(), flat.visible & ~((x >= 300) & (x <= 340) & (y <= 250)))
    assert same_bits(got.joints[~got.visible], torch.zeros_like(got.joints[~got.visible]))


def test_the_page_is_whole_and_stays_at_home(client: httpx.Client) -> None:
    page = client.get("/")
    files = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert "/static/page.js" in files
    for name in files:
        got = client.get(name)
        assert got.status_code == 200, name
        assert got.headers["content-security-policy"] == HEADERS["content-security-policy"]
    for path in ("/", "/static/page.js", "/static/stage.js", "/static/panels.js", "/static/page.css"):
        text = client.get(path).text
        assert not re.findall(r"https?://(?!www\.w3\.org)", text), path
        assert " style=" not in text
    assert "unsafe" not in HEADERS["content-security-policy"]


# --- what it refuses ------------------------------------------------------------------------------------------


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
            "import sys; from pathlib import Path; from orvpe.generated import generated_clip; "
            "from orvpe.web.reading import save_clips; "
            "save_clips(Path(sys.argv[2]), [generated_clip(1)], [f'{sys.argv[1]}: damaged'])"
        )
        return [sys.executable, "-c", code, str(path), str(out)]

    monkeypatch.setattr(uploads, "arguments", words)
    with serving(make_app(answers)) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert send(client, b"x", "walk.mp4").json()["notes"] == ["walk.mp4: damaged"]


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("S001C001P001R001A001.skeleton", "S001C001P001R001A001.skeleton"),
        ("../../etc/passwd", "passwd"),
        ("C:\\clips\\my walk (2).bvh", "my walk (2).bvh"),
        (".hidden.npz", "hidden.npz"),
        ("a\0b\n.json", "a_b_.json"),
        ("..", "upload"),
        (None, "upload"),
        ("x" * 300 + ".skeleton", "x" * 80 + "x" * 11 + ".skeleton"),
    ],
)
def test_file_names(given: str | None, safe: str) -> None:
    assert safe_name(given) == safe


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


# --- its parts ------------------------------------------------------------------------------------------------


def test_samples_are_one_of_each_class() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 3 + ["c"] * 5 + [""] * 4)
    assert choose_samples(labels).tolist() == [4, 14]  # b is too small to give one away
    assert choose_samples(np.array([""] * 11), most=3).tolist() == [0, 5, 10]
    assert choose_samples(np.array(["a", "b"])).tolist() == []
    assert len(choose_samples(np.repeat(np.arange(20).astype(str), 5), most=6)) == 6


def test_principal_axes_against_a_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)
    mean, axes, scale = principal_axes(x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    assert np.abs(axes.T @ vectors[:, [-1, -2]]) == pytest.approx(np.eye(2), abs=1e-6)
    assert np.var((x - mean) @ axes, axis=0, ddof=1) == pytest.approx(values[[-1, -2]])
    assert np.abs((x - mean) @ axes).max() == pytest.approx(scale)
    assert principal_axes(np.ones((1, 3)))[2] == 1


def test_the_shelf_forgets_what_nobody_asks_for(answers: Answers) -> None:
    shown = answers.samples[0]
    shelf = Shelf([shown], most=3)
    ids = [shelf.add(answers.show(shown.clip)) for _ in range(3)]
    assert shelf.get(ids[0]) is not None
    ids.append(shelf.add(answers.show(shown.clip)))
    assert [shelf.get(i) is not None for i in ids] == [True, False, True, True]
    assert shelf.get("sample-0") is shown
    small = Shelf([], most_bytes=shown.size)
    first = small.add(answers.show(shown.clip))
    small.add(answers.show(shown.clip))
    assert small.get(first) is None


# --- the command ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_serves_and_ends(answers: Answers, folder: Path) -> None:
    words = ["serve", "-w", str(folder / "small"), "--store", str(folder / "index.orvpe"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=surroundings(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"small, 54 clips \(index\), 10 classes: (http://127\.0\.0\.1:\d+)/ ", line)
        assert found, line
        assert httpx.get(f"{found[1]}/api/health", timeout=60).json()["index"] == 54
        port = urlsplit(found[1]).port
        assert main(["serve", "-w", str(folder / "small"), "--port", str(port)]) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{found[1]}/api/health")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-w", "no/such"], "model no/such: no such folder"),
        (["--store", "no.orvpe"], "no.orvpe: no such store"),
        (["--port", "99999"], "port is 99999, expected 0 to 65535"),
        (["--max-upload", "0"], "max_upload is 0"),
        (["--readers", "0"], "readers is 0, expected at least 1"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_bad_arguments(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", *words]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]

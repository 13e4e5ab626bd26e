"""`orvpe classify` as people type it: pose files, stores, and a video with an estimator that sees coloured squares."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.clips import clip as random_clip
from helpers.small_runs import ENCODER, VIEW, write_nucla
from helpers.videos import Squares, encode, picture

from orvpe.cli.main import main
from orvpe.data.store import write_store
from orvpe.models.model import Model
from orvpe.poses.skeleton import unified
from orvpe.video import estimate


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Squares)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """A classifier for 2D and one for 3D, of which neither knows anything."""
    folder = tmp_path_factory.mktemp("models")
    for dims in (2, 3):
        torch.manual_seed(dims)
        model = Model(ENCODER, unified, dims, VIEW, classes=["sit", "walk", "wave"])
        model.save(folder / f"{dims}d", trained={"clip_seconds": 0.4})
    return {dims: str(folder / f"{dims}d") for dims in (2, 3)}


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["classify", *map(str, words), "--device", "cpu", "--threads", "1"])
    out, err = capsys.readouterr()
    return code, out, err


def two_people(path: Path) -> Path:
    """Red walks to the right; green comes after a third of a second and stands."""
    images = [picture((0, 15 + i, 20), *([(1, 70, 48)] if i >= 10 else [])) for i in range(30)]
    return encode(path, images)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "timeline.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_video(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "out"
    code, text, err = run(capsys, path, "-w", weights[2], "-o", out, "--threshold", 0)
    assert code == 0, err
    assert sorted(p.name for p in out.iterdir()) == ["timeline.csv", "timeline.json", "walk.mp4"]
    data = json.loads((out / "timeline.json").read_text(encoding="utf-8"))
    assert (data["window"], data["stride"], data["classes"]) == (0.4, 0.1, ["sit", "walk", "wave"])
    one, two = data["sources"][0]["people"]
    assert (one["person"], two["person"]) == ("walk-p1", "walk-p2")
    assert one["spans"][0]["start"] == 0
    assert two["spans"][0]["start"] == pytest.approx(1 / 3, abs=1e-3)  # of the video, not of the person
    assert two["spans"][-1]["end"] == pytest.approx(1)
    assert len(one["slots"]["probabilities"]) == len(one["slots"]["edges"]) - 1 == 10
    assert all(sum(p) == pytest.approx(1, abs=1e-3) for p in one["slots"]["probabilities"])
    table = rows_of(out)
    assert {r["person"] for r in table} == {"walk-p1", "walk-p2"}
    assert all(r["label"] in text for r in table)
    assert next((r["start"], r["end"]) for r in table if r["person"] == "walk-p2")[0] == "0.3333"
    with av.open(str(out / "walk.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 30
    # the label's box in the person's colour, orange for the first, stands at the top where its head is
    assert (np.abs(frames[5][:16].astype(int) - (255, 127, 14)).max(axis=2) < 60).sum() > 100


def test_a_folder_of_videos_without_drawings(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    two_people(tmp_path / "in" / "a.mp4")
    encode(tmp_path / "in" / "b.mp4", [picture()] * 12)
    words = [tmp_path / "in", "-w", weights[2], "-o", tmp_path / "out", "--overlay", "false"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "b: nobody found" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["timeline.csv", "timeline.json"]
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "timeline.json: exists already; give --overwrite to replace it" in err
    assert run(capsys, *words, "--overwrite")[0] == 0


def test_files_appear_together_or_not_at_all(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = two_people(tmp_path / "walk.mp4"), tmp_path / "new" / "out"
    write_store(tmp_path / "timeless.orvpe", [random_clip(20, dims=2)])  # says no frames per second, found out late
    words = [path, tmp_path / "timeless.orvpe", "-w", weights[2], "-o", out]
    code, _, err = run(capsys, *words)
    assert (code, "has no frame rate" in err) == (2, True)
    assert not (tmp_path / "new").exists()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("orvpe.actions.classify._json", stop)
        assert run(capsys, path, "-w", weights[2], "-o", out)[0] == 130
    assert not (tmp_path / "new").exists()
    assert run(capsys, path, "-w", weights[2], "-o", out)[0] == 0
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    assert sorted(first) == ["timeline.csv", "timeline.json", "walk.mp4"]
    assert run(capsys, *words, "--overwrite", "--threshold", 0)[0] == 2
    assert {p.name: p.read_bytes() for p in out.iterdir()} == first  # what was there is still whole


def test_a_bad_video_is_found_before_the_others_are_watched(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, made = two_people(tmp_path / "good.mp4"), tmp_path / "late.mp4", Squares.made
    bad.write_text("no video")
    code, _, err = run(capsys, good, bad, "-w", weights[2], "-o", tmp_path / "out")
    assert (code, Squares.made) == (2, made)
    assert "late.mp4: not a video that can be read" in err
    assert run(capsys, good, bad, "-w", weights[2], "-o", tmp_path / "out", "--skip-bad")[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good.mp4", "timeline.csv", "timeline.json"]


def test_who_is_seen_too_shortly_is_said(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "flash.mp4", [picture(*([(0, 30, 20)] if i < 6 else [])) for i in range(20)])
    code, _, err = run(capsys, path, "-w", weights[2], "-o", tmp_path / "out")
    assert code == 2
    assert "flash: left out 1 seen in fewer than 10 frames" in err


def test_pose_files_and_stores_agree(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_nucla(tmp_path / "poses", 4)
    assert main(["ingest", str(tmp_path / "poses"), "-o", str(tmp_path / "a.orvpe"), "--workers", "1"]) == 0
    for path in ("poses", "a.orvpe"):
        assert run(capsys, tmp_path / path, "-w", weights[3], "-o", tmp_path / f"{path}-out")[0] == 0
    one, two = (rows_of(tmp_path / f"{p}-out") for p in ("poses", "a.orvpe"))
    assert len(one) >= 4
    strip = [{k: v for k, v in row.items() if k != "source"} for row in one]
    assert strip == [{k: v for k, v in row.items() if k != "source"} for row in two]


def test_people_of_a_pose_clip_each_or_together(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "two.orvpe", [random_clip(20, people=2).with_(fps=30)])
    words = [tmp_path / "two.orvpe", "-w", weights[3], "-o", tmp_path / "out", "--overwrite"]
    run(capsys, *words)
    assert {r["person"] for r in rows_of(tmp_path / "out")} == {"c0-p1", "c0-p2"}
    run(capsys, *words, "--together")
    assert {r["person"] for r in rows_of(tmp_path / "out")} == {"c0"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("walk.mp4 -w {3}", "walk.mp4: gives 2D joints, the model reads 3D; give --joints world for 3D"),
        ("walk.mp4 -w {2} --joints world", "gives 3D joints, the model reads 2D; leave out --joints world"),
        ("walk.mp4 -w {2} --together", "together is for pose files"),
        ("walk.mp4 -w kinder-light-3d-joint", "model kinder-light-3d-joint has no classifier"),
        ("walk.mp4 -w {2} --threshold 2", "threshold is 2, expected 0 to 1"),
        ("walk.mp4 -w {2} --max-people 0", "max_people is 0, expected at least 1"),
        ("walk.mp4 -w {2} --stride 0", "stride is 0, expected more than 0 seconds"),
        ("missing.mp4 -w {2}", "missing.mp4: no such file or folder"),
        ("0 -w {2}", "0: is a camera; orvpe live 0"),
        ("two.orvpe -w {3}", "has no frame rate, which windows need; give --fps"),
        ("empty.mp4 -w {2}", "empty.mp4: nobody found"),
        ("walk.mp4 -w {2} -o walk.mp4", "walk.mp4: is a file, expected a folder"),
        ("walk.mp4 -w {2} -o .", "walk.mp4: is what would be read"),
    ],
)
def test_errors_are_one_line(
    words: str,
    line: str,
    tmp_path: Path,
    weights: dict[int, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    two_people(Path("walk.mp4"))
    encode(Path("empty.mp4"), [picture()] * 12)
    write_store("two.orvpe", [random_clip(20)])
    before = sorted(p.name for p in tmp_path.iterdir())
    typed = words.replace("{2}", weights[2]).replace("{3}", weights[3]).split()
    code, _, err = run(capsys, *typed, *([] if "-o" in typed else ["-o", "out"]))
    last = err.strip().splitlines()[-1]
    assert (code, last.startswith("orvpe classify: ")) == (2, True), err
    assert line in last
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "out") == before


def test_metres_of_a_video_for_a_3d_model(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(
        capsys, two_people(tmp_path / "walk.mp4"), "-w", weights[3], "-o", tmp_path / "out", "--joints", "world"
    )
    assert code == 0, err
    assert {r["person"] for r in rows_of(tmp_path / "out")} == {"walk-p1", "walk-p2"}

"""The occlusion curve agrees with `evaluate` and with slow references."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.small_runs import ENCODER, VIEW, make_store
from safetensors.torch import load_file, save_file

from orvpe.cli.main import main
from orvpe.data.store import Store, StoreWriter
from orvpe.evaluation.evaluate import evaluate
from orvpe.evaluation.metrics import accuracy
from orvpe.evaluation.robustness import battery, between, by_visibility, robustness
from orvpe.models.model import load
from orvpe.training.finetune import finetune
from orvpe.training.optim import Optim
from orvpe.views.occlusion import corruption

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("robust")
    store = make_store(folder / "clips.orvpe", count=60, dims=2)
    run = finetune(
        store, str(folder / "run"), "random:0.4", view=VIEW, encoder=ENCODER, epochs=4, batch_size=8, threads=1,
        device="cpu", optim=Optim("adamw", lr=0.01, schedule="constant"), occlusions=["none"],
    )  # fmt: skip
    return store, str(run)


def test_it_agrees_with_evaluate(trained: tuple[str, str], tmp_path: Path) -> None:
    store, run = trained
    occlusions = ["upper", "joints:0.5", "frames:0.4"]
    found = robustness(store, [run], "random:0.4", str(tmp_path), ["ours"], occlusions, seed=3, device="cpu")
    rows = found["models"]["ours"]["occlusions"]
    expected = evaluate(store, run, "random:0.4", None, ["none", *occlusions], seed=3, device="cpu")["occlusions"]
    for name, row in expected.items():
        assert rows[name]["top1"] == pytest.approx(row["top1"])
        assert rows[name]["retained"] == pytest.approx(row["retained"])
    assert rows["none"]["cosine"] == pytest.approx(1)
    assert rows["none"]["recall"] == 100
    assert rows["upper"]["cosine"] < 1
    assert json.loads((tmp_path / "robustness.json").read_text())["models"] == json.loads(json.dumps(found["models"]))
    assert (tmp_path / "robustness.png").stat().st_size > 10_000
    text = (tmp_path / "robustness.md").read_text()
    assert all(f"| {name} |" in text for name in ("clean", *occlusions))
    assert "Only 20 clips" in text


def test_a_frozen_encoder_needs_no_classifier(trained: tuple[str, str], tmp_path: Path) -> None:
    store, run = trained
    from orvpe.models.model import load

    model = load(run)
    model.classes, model.head = None, None
    model.save(tmp_path / "bare")
    found = robustness(store, [run, str(tmp_path / "bare")], "random:0.4", str(tmp_path / "o"), None, ["upper"])
    ours, bare = found["models"].values()
    assert bare["occlusions"]["upper"]["top1"] is None
    assert bare["occlusions"]["upper"]["cosine"] == pytest.approx(ours["occlusions"]["upper"]["cosine"])


def test_bad_names_and_models_are_told(trained: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    store, run = trained
    words = ["robustness", store, "-p", "random:0.4", "-o", "never", "-w"]
    assert main([*words, run, run]) == 2
    assert "expected 2 different ones" in capsys.readouterr().err
    assert main([*words, run, "--names", "a", "b"]) == 2
    assert "expected 1 different ones" in capsys.readouterr().err
    assert main([*words, run, "--occlusions", "uper"]) == 2
    assert "upper" in capsys.readouterr().err
    assert main([*words, "kinder-light-3d-joint"]) == 2
    assert "reads 3D joints, the store holds 2D" in capsys.readouterr().err
    assert not Path("never").exists()


def test_everything_is_checked_before_the_first_clip(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = trained
    monkeypatch.setattr("orvpe.evaluation.robustness.extract", lambda *_: pytest.fail("worked first"))
    load(run).save(tmp_path / "blind")  # the same with a card of its own
    card = json.loads((tmp_path / "blind" / "card.json").read_text())
    weights = load_file(tmp_path / "blind" / "weights.safetensors")
    save_file({k: v for k, v in weights.items() if "head" not in k}, tmp_path / "blind" / "weights.safetensors")
    (tmp_path / "blind" / "card.json").write_text(json.dumps({**card, "classes": None}))
    (tmp_path / "file").write_text("mine")
    to = ["-o", str(tmp_path / "out")]
    for words, told in (
        (["-w", "[]", "-p", "random:0.4", *to], "weights are empty"),
        (["-w", run, "nope", "-p", "random:0.4", *to], "model nope"),
        (["-w", run, "kinder-light-3d-joint", "-p", "random:0.4", *to], "reads 3D joints, the store holds 2D"),
        (["-w", str(tmp_path / "blind"), "-p", "all", *to], "protocol 'all' leaves no clip to test"),
        (["-w", run, "-p", "random:0.4", "--names", " ", *to], "a name is empty"),
        (["-w", run, "-p", "random:0.4", "-o", str(tmp_path / "file")], "file is a file, expected a folder"),
        (["-w", run, "-p", "random:0.4", "-o", str(tmp_path / "file" / "x")], "file is a file, expected a folder"),
    ):
        assert main(["robustness", store, *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("error")
def test_names_stand_there_as_they_are_given(trained: tuple[str, str], tmp_path: Path) -> None:
    store, run = trained
    names = ["$x_y^$ | a", "_hidden"]
    robustness(store, [run, run], "random:0.4", str(tmp_path), names, ["upper"], device="cpu")
    text = (tmp_path / "robustness.md").read_text()
    tables = [t for t in text.split("\n\n") if t.startswith("|")]
    assert len(tables) == 4  # top-1, share retained, cosine, recall
    for head, rule, *rows in (table.splitlines() for table in tables):
        assert head.startswith("| occlusion | $x_y^$ \\| a | _hidden |")
        assert rows
        assert len({row.replace("\\|", "").count("|") for row in (head, rule, *rows)}) == 1
    assert (tmp_path / "robustness.png").stat().st_size > 10_000


def test_test_clips_that_a_model_has_learned_are_told(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, run = trained
    for protocol, told in (("random:0.4", False), ("random:0.3,seed=5", True)):
        robustness(store, [run], protocol, str(tmp_path), ["a"], ["upper"], device="cpu")
        assert ("was trained on" in capsys.readouterr().err) == told


def test_one_clip_has_no_others(trained: tuple[str, str], tmp_path: Path) -> None:
    store, run = trained
    subject = str(Store.open(store).subjects[0])
    with StoreWriter(tmp_path / "one.orvpe", Store.open(store).layout, 2) as writer:
        writer.add_store(Store.open(store), np.array([0]))
    robustness(str(tmp_path / "one.orvpe"), [run], f"subject:{subject}", str(tmp_path), ["a"], ["upper"], device="cpu")
    told = (tmp_path / "robustness.json").read_text()
    assert json.loads(told, parse_constant=pytest.fail)["models"]["a"]["others"] is None  # JSON has no NaN
    assert "nan" not in (tmp_path / "robustness.md").read_text()


def test_the_battery_is_what_the_issue_asks_for() -> None:
    every = battery()
    assert len(every) == len(set(every))
    for spec in every:
        corruption(spec)
    assert {"upper", "lower", "right", "left", "centre", "left_arm", "right_arm", "hands", "legs", "trunk"} <= {*every}
    assert {"joints:0.1", "joints:0.8", "frames:0.1", "frames:0.8", "block:0.4"} <= {*every}


def test_cosine_between_different_rows() -> None:
    x = torch.randn(7, 5, dtype=torch.float64)
    pairs = [float(F.cosine_similarity(x[i], x[j], dim=0)) for i in range(7) for j in range(7) if i != j]
    assert between(x) == pytest.approx(np.mean(pairs))
    assert np.isnan(between(x[:1]))


def test_groups_by_what_is_visible() -> None:
    rng = np.random.default_rng(0)
    scores, target, share = rng.normal(size=(31, 4)), rng.integers(0, 4, 31), rng.random(31)
    groups = by_visibility(scores, target, share)
    assert [g["clips"] for g in groups] == [11, 10, 10]
    assert all(a["high"] <= b["low"] for a, b in pairwise(groups))
    lowest = np.argsort(share)[:11]
    assert groups[0]["top1"] == pytest.approx(accuracy(scores[lowest], target[lowest]).top1)

"""`orvpe learn`: class folders to a model that `classify` takes; folds; what its numbers mean."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW
from helpers.videos import Squares, encode, picture
from scipy.special import log_softmax

from orvpe.actions.learn import learn
from orvpe.actions.learn_numbers import best_temperature, hideable, thin, wilson
from orvpe.actions.timeline import WindowOptions, class_probabilities
from orvpe.cli.main import main
from orvpe.data.generated import generate
from orvpe.data.protocols import get_protocol
from orvpe.data.protocols.generic import recordings
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.models.card import read_card
from orvpe.models.model import Model, load
from orvpe.poses.skeleton import unified
from orvpe.training.probe import probe
from orvpe.video import estimate
from orvpe.views.occlusion import SEVERAL, SUBGRAPHS


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Squares)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three actions of generated bodies, six recordings each, as npz files in a folder for each."""
    folder = tmp_path_factory.mktemp("examples") / "mine"
    made: dict[str, int] = {}
    for clip in generate(60, seed=1):
        label = clip.label or ""
        if label not in made and len(made) == 3:
            continue
        made[label] = made.get(label, 0) + 1
        if made[label] <= 6:
            (folder / label).mkdir(parents=True, exist_ok=True)
            joints = np.where(clip.visible[..., None], clip.joints, np.nan)[0]
            lines = ["clip,frame,joint,x,y,z"]
            for t, row in enumerate(joints):
                lines += [f"r{made[label]},{t},{j},{x:.4f},{y:.4f},{z:.4f}"
                          for j, (x, y, z) in zip(unified.joints, row, strict=True) if not np.isnan(x)]  # fmt: skip
            (folder / label / f"r{made[label]}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    folder = tmp_path_factory.mktemp("weights")
    for dims in (2, 3):
        torch.manual_seed(dims)
        Model(ENCODER, unified, dims, VIEW).save(folder / f"{dims}d")
    return {dims: str(folder / f"{dims}d") for dims in (2, 3)}


def test_a_probe_of_pose_files(
    examples: Path, weights: dict[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["learn", str(examples), "-r", str(tmp_path / "m"), "-w", weights[3], "--fps", "30", "--threads", "1"]
    assert main(words) == 0
    out = capsys.readouterr().out
    results = json.loads((tmp_path / "m" / "results.json").read_text(encoding="utf-8"))
    assert (results["recordings"], results["folds"], results["tested"]) == ([6, 6, 6], 5, 18)
    confusion = np.array(results["confusion"])
    assert confusion.sum(axis=1).tolist() == results["clips"]
    assert results["top1"] == pytest.approx(100 * np.trace(confusion) / confusion.sum())
    assert results["top1"] > 60  # generated actions are easy, even for a random encoder
    assert "warning: thin data: fewer than 10 recordings of " in out
    assert results["score"] == pytest.approx(results["top1"])  # a clip a recording
    assert f"{results['score']:.1f} % right, every recording counting once (95 %: " in out
    assert (tmp_path / "m" / "confusion.png").exists()
    card = read_card(tmp_path / "m")
    assert card["classes"] == sorted(p.name for p in examples.iterdir())
    assert card["trained"]["clip_seconds"] > 0
    assert card["cross_validation"]["top1"] == results["top1"]
    hidden = ", ".join(f"{part} {results['right'][part]:.1f}" for part in SUBGRAPHS)
    assert f"with a part of the body hidden: {hidden} % right" in out
    assert card["cross_validation"]["right"] == results["right"]
    # what it says goes straight into classify
    some = next(examples.glob("*/r1.csv"))
    words = ["classify", str(some), "-w", str(tmp_path / "m"), "-o", str(tmp_path / "out"), "--fps", "30"]
    assert main([*words, "--threshold", "0"]) == 0
    assert some.parent.name in capsys.readouterr().out


def test_the_model_that_is_kept_knows_all_clips(examples: Path, weights: dict[int, str], tmp_path: Path) -> None:
    report = learn(str(examples), str(tmp_path / "m"), weights[3], versions=0, fps=30, threads=1)
    assert "versions" not in str(report)
    assert right_on(tmp_path / "m.orvpe", tmp_path / "m") > 0.9  # but for rounding


def test_the_score_is_that_of_a_probe_of_each_part(examples: Path, weights: dict[int, str], tmp_path: Path) -> None:
    """Cross-validation, whole and occluded, against `orvpe probe` with the parts as protocols."""
    report = learn(str(examples), str(tmp_path / "m"), weights[3], folds=3, fps=30, threads=1)
    right = dict.fromkeys(report.right, 0.0)
    for part in (1, 2, 3):
        found = probe(
            str(tmp_path / "m.orvpe"), str(tmp_path / f"p{part}"), f"fold:{part}/3,seed=0,by=recording", weights[3],
            versions=9, device="cpu", threads=1,
        )  # fmt: skip
        for occlusion in right:
            right[occlusion] += found["occlusions"][occlusion]["top1"] / 3
    assert report.right == pytest.approx(right)


def test_what_was_not_learned_is_unknown(examples: Path, weights: dict[int, str], tmp_path: Path) -> None:
    """However well the cross-validation goes, an action of no class gets a name less often than one of a class."""
    report = learn(str(examples), str(tmp_path / "m"), "robust-light-3d-joint", folds=3, fps=30, threads=1)
    assert report.unknown["answered"] >= report.unknown["named"]
    assert "of clips of classes left out in turn" in str(report)
    model = load(tmp_path / "m")
    assert model.open_set is not None
    assert json.loads((tmp_path / "m" / "card.json").read_text())["cross_validation"]["unknown"] == report.unknown
    opened = Store.open(tmp_path / "m.orvpe")
    own = class_probabilities(model, list(opened)).max(axis=1)
    others = [c for c in generate(60, seed=9) if c.label not in (model.classes or [])]
    strange = class_probabilities(model, others).max(axis=1)
    assert (strange >= 0.5).mean() < (own >= 0.5).mean()
    assert own.max() < 1
    loose, strict = (WindowOptions(risk=r).for_model(model).threshold for r in (0.5, 0.01))
    assert loose is not None
    assert strict is not None
    assert loose <= strict
    with pytest.raises(InputError, match="no risk curve"):
        WindowOptions(risk=0.1).for_model(load(weights[3]))
    with pytest.raises(InputError, match="one of them"):
        WindowOptions(threshold=0.5, risk=0.1)


def right_on(store: Path, weights: Path) -> float:
    """Share of a store's clips that a model tells right."""
    opened, model = Store.open(store), load(weights)
    best = class_probabilities(model, list(opened)).argmax(axis=1)
    return float(np.mean([(model.classes or [])[b] == label for b, label in zip(best, opened.labels, strict=True)]))


def test_the_store_is_kept_until_something_changes(examples: Path, weights: dict[int, str], tmp_path: Path) -> None:
    first = learn(str(examples), str(tmp_path / "m"), weights[3], fps=30, threads=1)
    at = (tmp_path / "m.orvpe").stat().st_mtime_ns
    again = learn(str(examples), str(tmp_path / "m"), weights[3], fps=30, threads=1)
    assert (tmp_path / "m.orvpe").stat().st_mtime_ns == at
    assert first.accuracy is not None
    assert again.accuracy is not None
    assert (first.accuracy.confusion == again.accuracy.confusion).all()
    with pytest.raises(InputError, match="holds another run"):
        learn(str(examples), str(tmp_path / "m"), weights[3], fps=30, threads=1, strength=0.1)
    learn(str(examples), str(tmp_path / "m"), weights[3], fps=15, threads=1, restart=True)
    assert (tmp_path / "m.orvpe").stat().st_mtime_ns > at


def test_the_encoder_too(
    examples: Path, weights: dict[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "m")
    report = learn(str(examples), run, weights[3], finetune=True, folds=2, epochs=1, fps=30, threads=1)
    assert "encoder and classifier from " in str(report)
    results = json.loads((tmp_path / "m" / "results.json").read_text(encoding="utf-8"))
    assert results["tested"] == report.tested == 18
    assert list(results["right"]) == ["none", *SUBGRAPHS]
    card = read_card(tmp_path / "m" / "parts" / "all")
    assert card["view"]["occlusion"] == SEVERAL  # it hides parts itself
    assert card["view"]["augment"] == read_card(weights[3])["view"]["augment"]  # and else goes on as it was
    parts = sorted(p.name for p in (tmp_path / "m" / "parts").iterdir())
    assert parts == ["all", "fold-1-of-2", "fold-2-of-2"]
    kept, trained = load(run), load(tmp_path / "m" / "parts" / "all")
    assert kept.classes == trained.classes
    assert kept.head is not None
    assert trained.head is not None
    torch.testing.assert_close(kept.head.weight * results["temperature"], trained.head.weight)
    assert not torch.equal(next(kept.encoder.parameters()), next(load(weights[3]).encoder.parameters()))


def test_where_the_encoder_starts(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the shipped weights for such joints, or from nothing when asked."""
    starts: dict[str | None, Model | None] = {}

    def started(source: Model | None, weights: str | None, *_: object) -> object:
        starts[weights] = source
        raise InputError("enough")

    monkeypatch.setattr("orvpe.actions.learn.Finetune", started)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    words = ["learn", str(examples), "-r", "m", "--finetune", "--fps", "30"]
    assert main(words) == 2
    assert "note: weights robust-light-3d-joint (shipped with orvpe)" in capsys.readouterr().err
    assert main([*words, "-w", "scratch", "--restart"]) == 2
    assert "note: from scratch; the folder scratch is ./scratch" in capsys.readouterr().err
    assert list(starts) == ["robust-light-3d-joint", None]
    assert starts["robust-light-3d-joint"] is not None
    assert starts[None] is None


def test_from_scratch(examples: Path, tmp_path: Path) -> None:
    report = learn(str(examples), str(tmp_path / "m"), "scratch", finetune=True, folds=0, epochs=1, fps=30, threads=1)
    assert "encoder and classifier from scratch" in str(report)


def test_what_is_not_there_cannot_be_hidden(tmp_path: Path) -> None:
    clips = []
    for clip in generate(20, seed=2):
        legs = np.array(["knee" in j or "ankle" in j or "foot" in j or "hip" in j for j in clip.layout.joints])
        clips.append(replace(clip, visible=clip.visible & ~legs))
    store = write_store(tmp_path / "s.orvpe", clips)
    assert hideable(store) == [
        "right",
        "left",
        "centre",
    ]  # nothing is left without the upper, nothing lost without the lower
    assert hideable(write_store(tmp_path / "t.orvpe", generate(20, seed=2))) == list(SUBGRAPHS)


def test_finetune_of_a_folder_names_learn(examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(examples), "-r", str(tmp_path / "m"), "-p", "random:0.2"]) == 2
    assert "--finetune` learns class folders" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_finetune_of_a_store_wants_a_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "a.orvpe", "-r", str(tmp_path / "m")]) == 2
    assert "protocol is not given, expected which clips train and test" in capsys.readouterr().err


def test_what_is_wrong_is_said_before_videos_are_watched(
    tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("sit", "walk"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        encode(tmp_path / "clips" / label / "a.mp4", [picture((0, 30, 20))] * 12)
    (tmp_path / "file").touch()
    made = Squares.made
    for words, told in (
        (["-r", "file"], "file is a file, expected a folder or a new name"),
        (["-r", "run", "-w", weights[3]], "a.mp4: gives 2D joints, the model reads 3D; give --joints world"),
        (["-r", "run", "-w", weights[2], "--joints", "world"], "gives 3D joints, the model reads 2D"),
    ):
        words[1] = str(tmp_path / words[1])
        code = main(["learn", str(tmp_path / "clips"), *words, "--device", "cpu"])
        err = capsys.readouterr().err
        assert (code, told in err, Squares.made) == (2, True, made), err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "file"]


@pytest.mark.filterwarnings("error")
def test_names_in_other_scripts_make_no_noise(tmp_path: Path) -> None:
    from orvpe.evaluation.charts import confusion_chart

    confusion_chart(np.eye(2, dtype=int), ["走る", "$\\foo$"], tmp_path / "c.png", "title")
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_videos(tmp_path: Path, weights: dict[int, str], capsys: pytest.CaptureFixture[str]) -> None:
    for label, step in (("right", 1), ("still", 0)):
        (tmp_path / "mine" / label).mkdir(parents=True)
        for i in range(2):
            images = [picture((0, 15 + step * t, 20 + 10 * i)) for t in range(20)]
            encode(tmp_path / "mine" / label / f"take{i}.mp4", images)
    report = learn(str(tmp_path / "mine"), str(tmp_path / "m"), weights[2], window=0.3, threads=1)
    store = Store.open(tmp_path / "m.orvpe")
    assert set(store.labels) == {"right", "still"}
    assert store.names[0] == "right/take0-p1@0"  # a third of a second each, half overlapping
    assert (store.dims, report.recordings, report.clips) == (2, [2, 2], [8, 8])
    assert report.folds == 2
    assert load(tmp_path / "m").dims == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.orvpe", "mine"]
    words = [
        "classify",
        str(tmp_path / "mine"),
        "-w",
        str(tmp_path / "m"),
        "-o",
        str(tmp_path / "o"),
        "--overlay",
        "false",
    ]
    assert main(words) == 0


# --- parts of a cross-validation ----------------------------------------------------------------------------


def info(labels: list[str], names: list[str], subjects: list[str] | None = None) -> dict[str, np.ndarray]:
    blank = [""] * len(names)
    columns = {"name": names, "label": labels, "subject": subjects or blank, "camera": blank, "split": blank}
    return {k: np.array(v) for k, v in columns.items()}


def test_every_recording_is_tested_once_and_never_torn_apart() -> None:
    names = [f"{c}/r{i}{cut}" for c in "ab" for i in range(7) for cut in ("-p1@0", "-p1@30", "-p2")]
    data = info([n[0] for n in names], names)
    parts = np.stack([np.asarray(get_protocol(f"fold:{k}/3,seed=5").split(data)) for k in (1, 2, 3)])
    assert ((parts == "test").sum(axis=0) == 1).all()
    assert ((parts == "train").sum(axis=0) == 2).all()
    for group in np.unique(recordings(data["name"])):
        own = parts[:, recordings(data["name"]) == group]
        assert (own == own[:, :1]).all()
    sizes = [len(np.unique(recordings(data["name"])[row == "test"])) for row in parts]
    assert max(sizes) - min(sizes) <= 1
    order = np.random.default_rng(0).permutation(len(names))
    moved = get_protocol("fold:1/3,seed=5").split({k: v[order] for k, v in data.items()})
    assert (np.asarray(moved) == parts[0][order]).all()


def test_a_label_with_one_recording_always_trains_and_subjects_stay_whole() -> None:
    data = info(["a", "a", "b"], ["1", "2", "3"])
    for k in (1, 2):
        assert get_protocol(f"fold:{k}/2").split(data)[2] == "train"
    data = info(list("abababab"), [str(i) for i in range(8)], list("xxyyzzxx"))
    for k in (1, 2, 3):
        part = np.asarray(get_protocol(f"fold:{k}/3,by=subject").split(data))
        assert len({s for s, p in zip(data["subject"], part, strict=True) if p == "test"}) == 1
    with pytest.raises(InputError, match="from 1 on"):
        get_protocol("fold:4/3")
    with pytest.raises(InputError, match="expected fold:PART/PARTS"):
        get_protocol("fold:x")


# --- numbers ------------------------------------------------------------------------------------------------


def test_interval_and_temperature() -> None:
    low, high = wilson(0.5, 100)
    assert (low, high) == (pytest.approx(40.38, abs=0.01), pytest.approx(59.62, abs=0.01))
    assert wilson(1.0, 5)[1] == pytest.approx(100)
    assert wilson(0.0, 5)[0] == pytest.approx(0)
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (4000, 4))
    target = np.array([rng.choice(4, p=np.exp(row)) for row in log_softmax(scores, axis=1)])
    assert best_temperature(scores, target) == pytest.approx(1, abs=0.06)
    assert best_temperature(3 * scores, target) == pytest.approx(3, abs=0.2)


def test_thin_data_is_told() -> None:
    assert thin(["a", "b"], [10, 12]) == []
    few, alone, uneven = thin(["a", "b"], [1, 20])
    assert few.startswith("thin data: fewer than 10 recordings of a (1);")
    assert alone == "one recording only of a: learned, but not tested"
    assert uneven.startswith("uneven: 20 recordings of b, 1 of a")


def test_a_recording_that_is_there_twice_is_told(
    examples: Path, weights: dict[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(examples, folder)
    first, other = sorted(p.name for p in folder.iterdir())[:2]
    (folder / other / "again.csv").write_text((folder / first / "r2.csv").read_text())  # in another class, even
    unfinished = tmp_path / "unfinished"
    shutil.copytree(weights[3], unfinished)
    card = json.loads((unfinished / "card.json").read_text())
    (unfinished / "card.json").write_text(json.dumps({**card, "epochs_done": 1, "trained": {"epochs": 2}}))
    words = ["learn", str(folder), "-r", str(tmp_path / "m"), "-w", str(unfinished), "--fps", "30", "--threads", "1"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert "warning: twice: 2 clips are in another recording too (" in told.out
    assert told.err.count("their pre-training is not finished") == 1


def test_errors_are_one_line(
    examples: Path, weights: dict[int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one" / "a").mkdir(parents=True)
    (tmp_path / "empty" / "a").mkdir(parents=True)
    (tmp_path / "empty" / "b").mkdir()
    for words, line in (
        ([tmp_path / "no"], "no such folder, expected one that holds a folder of clips for each class"),
        ([tmp_path / "one"], "1 folders in it, expected a folder of clips for each of 2 or more classes"),
        ([tmp_path / "empty"], "a"),
        ([examples, "--folds", "1"], "folds is 1, expected at least 2"),
        ([examples, "--epochs", "3"], "epochs is 3, expected --finetune with it"),
        ([examples, "--versions", "-1"], "versions is -1, expected 0 to 100"),
        ([examples, "--versions", "3", "--finetune"], "versions is 3, expected it without --finetune"),
        ([examples, "-w", "scratch"], "weights is 'scratch', expected --finetune with it"),
        ([examples, "--max-people", "0"], "max_people is 0, expected at least 1"),
        ([examples, "--strength", "0"], "strength is 0, expected more than 0"),
        ([examples, "-w", weights[2]], "reads 2D joints, the store holds 3D"),
    ):
        run = [] if "-r" in words else ["-r", str(tmp_path / "m")]
        assert main(["learn", *map(str, words), *run, "--threads", "1"]) == 2
        err = capsys.readouterr().err.strip().splitlines()[-1]
        assert err.startswith("orvpe learn: ")
        assert line in err
    assert main(["learn", str(examples), "-r", str(examples / "m")]) == 2
    assert "where it would be taken for a class" in capsys.readouterr().err

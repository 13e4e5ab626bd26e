"""Bad runs, values and recipes: one line on stderr, exit code 2, and nothing that was there is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from helpers.refusals import Refused, training
from helpers.small_runs import LIGHT, make_store

from orvpe.cli.main import main


def test_run_folders(here: Path, refused: Refused) -> None:
    assert "another run (epochs was 1, now 2)" in refused(*training(here, run="pre"), "--epochs", "2")
    assert "another run (job was 'pretrain'" in refused(*training(here, "finetune", "pre"))
    probing = ["probe", here / "s.orvpe", "-w", here / "pre", "-p", "random:0.3"]
    before = sorted(p.name for p in (here / "pre").iterdir())
    for more in ([], ["--restart"]):  # would replace the weights it reads
        assert "where the weights come from" in refused(*probing, "-r", here / "pre", *more)
        assert "where the weights come from" in refused(*training(here, "finetune", "pre"), "-w", here / "pre", *more)
    assert sorted(p.name for p in (here / "pre").iterdir()) == before
    (here / "pre" / "recipe.json").unlink()
    assert "holds last.ckpt but no recipe.json" in refused(*training(here, run="pre"))
    (here / "fine" / "recipe.json").write_text("{")
    assert "recipe.json is damaged" in refused(*training(here, "finetune", "fine"))
    (here / "file").write_text("x")
    assert "is a file" in refused(*training(here, run="file"))
    unset = training(here)
    unset[unset.index("-r") + 1] = ""  # -r $RUN where RUN is not set; would fill the folder one is in
    assert "run folder '': expected the name of a folder" in refused(*unset)
    (here / "empty.yaml").write_text("\n")
    assert "empty.yaml: empty, expected" in refused(*training(here), "--recipe", here / "empty.yaml")


def test_what_is_wrong_with_a_test_is_told_before_the_training(here: Path, refused: Refused) -> None:
    for more, told in (
        (["--occlusions", "nope"], "unknown occlusion 'nope'"),
        (["--occlusions", "[]"], "occlusions is empty"),
        (["--eval-every", "-1"], "eval_every is -1"),
    ):
        assert told in refused(*training(here, "finetune"), *more)
    probing = ["probe", here / "s.orvpe", "-w", here / "pre", "-r", here / "new"]
    assert "unknown occlusion" in refused(*probing, "-p", "random:0.3", "--occlusions", "nope")
    assert "leaves no clip to test" in refused(*probing, "-p", "all")
    alone = make_store(here / "alone.orvpe", count=1)
    few = [*LIGHT, "--epochs", "1", "--batch-size", "2", "-r", here / "new"]
    assert "there is 1 training clip, expected at least 2" in refused("pretrain", alone, *few)
    (here / "kicks.yaml").write_text("kick: [kick]\n")
    assert (
        main(["select", str(here / "s.orvpe"), "-o", str(here / "k.orvpe"), "--classes", str(here / "kicks.yaml")]) == 0
    )
    assert "all of one class, expected at least 2" in refused("finetune", here / "k.orvpe", "-p", "random:0.4", *few)
    assert not (here / "new").exists()


def test_an_evaluation_does_not_write_over_a_run_or_a_file(here: Path, refused: Refused) -> None:
    words = ["evaluate", here / "s.orvpe", "-w", here / "fine", "-p", "random:0.3", "--occlusions", "none"]
    before = {p: p.read_bytes() for p in (here / "fine").iterdir()}
    assert "holds a run" in refused(*words, "--out", here / "fine")
    assert {p: p.read_bytes() for p in (here / "fine").iterdir()} == before
    (here / "file").write_text("mine")
    for out in ("file", "file/more"):
        assert "file is a file, expected a folder" in refused(*words, "--out", here / out)
    assert (here / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "error", [MemoryError("9 GiB"), torch.OutOfMemoryError("9 GiB"), RuntimeError("x] DefaultCPUAllocator: 9 GiB")]
)
def test_too_little_memory(error: Exception, here: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr("orvpe.evaluation.evaluate.load", full)
    words = ["evaluate", here / "s.orvpe", "-w", here / "fine", "-p", "random:0.3"]
    line = refused(*words)
    assert "not enough memory" in line
    assert "9 GiB" in line
    monkeypatch.setattr(
        "orvpe.evaluation.evaluate.load", lambda *_: (_ for _ in ()).throw(RuntimeError("a mistake of ours"))
    )
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main([str(w) for w in words])


@pytest.mark.parametrize("how", ["cut", "text", "another"])
def test_damaged_checkpoints(how: str, here: Path, refused: Refused) -> None:
    path = here / "pre" / "last.ckpt"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-500])
    elif how == "text":
        path.write_text("hello")
    else:
        path.write_bytes((here / "fine" / "last.ckpt").read_bytes())
    line = refused(*training(here, run="pre"))
    assert "last.ckpt" in line
    assert "--restart" in line


PRETRAIN = {
    "--batch-size 99": "only 30 training clips", "--batch-size 1": "batch_size", "--batch-size 0": "batch_size",
    "--contrast.negatives 30": "K = 30, expected 1 to 29", "--contrast.negatives 0": "K = 0",
    "--contrast.temperature 0": "temperature", "--contrast.temperature nan": "temperature",
    "--contrast.momentum 1.5": "momentum", "--contrast.outputs 0": "outputs",
    "--contrast.loss hinge": "did you mean 'nce'",
    "--contrast.projection deep": "linear, mlp", "--device tpu": "device", "--precision 8": "precision",
    "--precision 16": "a CPU does not",
    "--threads -1": "threads", "--epochs 0": "epochs", "--epochs -2": "epochs", "--save-every -1": "save_every",
    "--optim.lr -1": "optim.lr", "--optim.lr nan": "optim.lr", "--optim.momentum 1.5": "optim.momentum",
    "--optim.momentum 0 --optim.nesterov": "optim.nesterov", "--optim.weight-decay -1": "optim.weight_decay",
    "--optim.gamma -1": "optim.gamma", "--optim.warmup -1": "optim.warmup", "--optim.clip-norm -1": "optim.clip_norm",
    "--optim.name adam": "did you mean 'adamw'", "--optim.schedule cosin": "did you mean 'cosine'",
    "--view.tau 0": "view.tau", "--view.shortest 0": "view.shortest", "--view.crop cut": "view.crop",
    "--view.stream bones": "did you mean 'bone'", "--view.centre left": "view.centre", "--view.scale x": "view.scale",
    "--view.image x": "view.image", "--view.occlusion uper": "did you mean 'upper'",
    "--view.occlusion joints:2": "0 to 1",
    "--view.occlusion joints:x": "not a number", "--view.occlusion upper:1": "takes no value",
    "--view.augment.flip 2": "augment.flip", "--view.augment.yaw nan": "augment.yaw",
    "--view.augment.noise -1": "noise",
    "--encoder.name agnc": "did you mean 'agcn'", '--encoder.options {"widths":3}': "did you mean 'width'",
    '--encoder.options {"width":"wide"}': "encoder", '--encoder.options {"width":[3]}': "width",
    "--encoder.options 5": "encoder.options", "--view.tau many": "view.tau",
}  # fmt: skip
FINETUNE = {
    "-p nucla-vc": "did you mean 'nucla-cv'", "-p nucla-cv": "finds no labelled", "-p subject:": "subject",
    "-p random:2": "random", "--dropout 1": "dropout", "--label-smoothing -0.1": "label_smoothing",
    "--labels 0": "labels", "--occlusions uper": "did you mean 'upper'", "--batch-size 25": "training clips",
    "-w nowhere": "nowhere",
}  # fmt: skip
PROBE = {
    "--method svm": "method", "--neighbours 0": "neighbours", "--strength 0": "strength", "--strength nan": "strength",
    "--batch-size 0": "batch_size", "--labels 1.5": "labels", "--occlusions uper": "'upper'",
    "-p camera:9": "unknown camera '9'",
    "--epochs 0 --method sgd": "epochs",
}  # fmt: skip
EVALUATE = {
    "--occlusions joints:-1": "0 to 1", "--occlusions upper+": "occlusion", "--batch-size -1": "batch_size",
    "-p nope": "protocol", "--device gpu": "device", "--threads -3": "threads",
}  # fmt: skip


@pytest.mark.parametrize("words", PRETRAIN)
def test_values_of_pretraining(words: str, here: Path, refused: Refused) -> None:
    assert PRETRAIN[words] in refused(*training(here), *words.split())


@pytest.mark.parametrize("words", FINETUNE)
def test_values_of_finetuning(words: str, here: Path, refused: Refused) -> None:
    assert FINETUNE[words] in refused(*training(here, "finetune"), *words.split())


@pytest.mark.parametrize("words", PROBE)
def test_values_of_probing(words: str, here: Path, refused: Refused) -> None:
    given = ["probe", here / "s.orvpe", "-r", here / "new", "-w", here / "pre", "-p", "random:0.3", *words.split()]
    assert PROBE[words] in refused(*given)


@pytest.mark.parametrize("words", EVALUATE)
def test_values_of_evaluating(words: str, here: Path, refused: Refused) -> None:
    given = ["evaluate", here / "s.orvpe", "-w", here / "fine", "-p", "random:0.3", *words.split()]
    assert EVALUATE[words] in refused(*given)


def test_a_loss_that_is_not_a_number(here: Path, refused: Refused) -> None:
    line = refused(*training(here, "finetune"), "--optim.lr", "1e30", "--epochs", "2")
    assert "NaN or infinite" in line
    # the advice can be followed in the same folder
    assert main([*training(here, "finetune"), "--optim.lr", "0.01", "--restart"]) == 0


# --- where results go ---


def test_paths_that_cannot_be_written(here: Path, refused: Refused) -> None:
    (here / "file").write_text("x")
    fine = ["-w", here / "fine", "-p", "random:0.3"]
    refused(*training(here, run="file/run"))
    refused("evaluate", here / "s.orvpe", *fine, "-o", here / "file" / "out")
    refused("embed", here / "s.orvpe", "-w", here / "fine", "-o", here / "file" / "x.parquet")
    assert "is a folder" in refused("embed", here / "s.orvpe", "-w", here / "fine", "-o", here / "pre")
    assert "is a folder" in refused("generate", here / "pre", "--overwrite")
    assert "exists already" in refused("generate", here / "s.orvpe")
    refused("generate", here / "no" / "where.orvpe")
    assert "is a folder" in refused("ingest", here / "s.orvpe", "-o", here / "pre")
    refused("evaluate", here / "s.orvpe", *fine, "-o", here / "file")
    refused("fuse", here / "fine" / "scores.npz", here / "fine" / "scores.npz", "-o", here / "pre")
    assert "no such file" in refused("fuse", here / "fine" / "scores.npz", here / "none.npz")


def test_recipes_of_ones_own(here: Path, refused: Refused) -> None:
    told = {
        "epochs: [": "bad.yaml: not YAML",
        "epochs: three\n": "recipe .*bad.yaml: --epochs is 'three', expected a whole number",
        "seed: [1, 2]\n": "recipe .*bad.yaml: --seed is '\\[1, 2\\]', expected a whole number",
        "optim:\n  lr: fast\n": "recipe .*bad.yaml: --optim.lr is 'fast', expected a number",
        "optim:\n  lr: -1\n": "recipe .*bad.yaml: optim.lr is -1.0, expected at least 0",
        "view:\n  centre: clib\n": "recipe .*bad.yaml: unknown view.centre 'clib'; did you mean 'clip'",
        "epoch: 3\n": "unknown argument 'epoch' in recipe .*bad.yaml; did you mean 'epochs'",
        "view:\n  tua: 3\n": "unknown argument 'view.tua' in recipe .*bad.yaml; did you mean 'view.tau'",
        "- 1\n": "bad.yaml: expected 'argument: value' lines",
        "optim: fast\n": "optim is 'fast', expected 'argument: value' lines below it",
        "view: 32\n": "view is 32, expected 'argument: value' lines below it",
        "view:\n- tau: 32\n": "view is .*'tau': 32.*, expected 'argument: value' lines below it",
        "contrast: false\n": "contrast is False, expected",
        "view:\n": "bad.yaml: view is None, expected 'argument: value' lines below it",
        "view:\n  augment: [yaw]\n": r"view.augment is \['yaw'\], expected",
        "view:\n  tau:\n": "view.tau is empty, expected a value",
        "encoder:\n  options:\n": "encoder.options is empty, expected a value",
        "epochs:\n": "epochs is empty, expected a value",
    }
    for text, says in told.items():
        (here / "bad.yaml").write_text(text)
        assert re.search(says, refused(*training(here), "--recipe", here / "bad.yaml"))
    (here / "bad.yaml").write_bytes(b"epochs: 1  # caf\xe9\n")
    assert "bad.yaml: not UTF-8" in refused(*training(here), "--recipe", here / "bad.yaml")
    # a comment that only looks like the line that names a command
    (here / "good.yaml").write_text("# command: orvpe pretrain s.orvpe -r r\nview.tau: 8\nweights:\n")
    line = refused(*training(here, run="pre"), "--epochs", "2", "--recipe", here / "good.yaml")
    assert "another run" in line

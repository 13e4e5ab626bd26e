"""Bad input: one line on stderr, exit code 2, and nothing that was there is lost."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import LIGHT, make_store

from orvpe.cli import main
from orvpe.skeleton import LAYOUTS

torch.set_num_threads(1)
Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs words that must be refused; returns the one line."""

    def run(*words: str | Path) -> str:
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        capsys.readouterr()
        code = main([str(w) for w in words])
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert err.startswith("orvpe "), err
        assert code == 2
        assert {p: p.read_bytes() for p in before if p.exists()} == before
        assert not list(tmp_path.rglob("*.tmp*"))
        return err

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a pre-trained and a fine-tuned model."""
    folder = tmp_path_factory.mktemp("made")
    store = make_store(folder / "s.orvpe", count=30)
    small = [*LIGHT, "--epochs", "1", "--batch-size", "10"]
    assert main(["pretrain", store, "-r", str(folder / "pre"), *small, "--contrast.negatives", "9"]) == 0
    assert main(["finetune", store, "-r", str(folder / "fine"), "-p", "random:0.3", *small]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


# --- pose files ---


def ingest(source: Path, *more: str) -> list[str]:
    return ["ingest", str(source), "-o", str(source.parent / "out.orvpe"), "--workers", "1", *more]


def spoiled(name: str, tmp_path: Path) -> tuple[Path, list[str]]:
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(6, 17, 3)).astype(np.float32)
    array, clip = tmp_path / "clip.npz", tmp_path / "a01_s01_e01_v01.json"
    own = ["--joints", "unified"]
    if name == "missing":
        return tmp_path / "nothing.json", []
    if name == "unknown format":
        (tmp_path / "x.bin").write_bytes(bytes(range(256)))
        return tmp_path / "x.bin", []
    if name == "empty file":
        clip.write_bytes(b"")
        return clip, []
    if name == "empty clip":
        np.savez(array, joints=joints[:0])
        return array, own
    if name == "all missing":
        np.savez(array, joints=np.full_like(joints, np.nan))
        return array, own
    if name == "infinite":
        joints[2, 3, 1] = np.inf
        np.savez(array, joints=joints)
        return array, own
    if name == "0 x 0 image":
        np.savez(array, joints=joints[..., :2])
        return array, [*own, "--image-size", "0x0", "--dims", "2"]
    if name == "unknown layout":
        np.savez(array, joints=joints)
        return array, ["--joints", "kinect_v3"]
    if name == "other joints":
        np.savez(array, joints=joints[:, :16])
        return array, own
    if name == "truncated json":
        clip.write_text(json.dumps({"skeletons": rng.normal(size=(5, 20, 3)).tolist()})[:700])
        return clip, []
    if name == "infinite json":
        data = rng.normal(size=(5, 20, 3)).tolist()
        data[1][2][0] = float("inf")
        clip.write_text(json.dumps({"skeletons": data}))
        return clip, []
    if name == "truncated zip":
        with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
            archive.writestr(clip.name, json.dumps({"skeletons": rng.normal(size=(5, 20, 3)).tolist()}))
        (tmp_path / "cut.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:-200])
        return tmp_path / "cut.zip", []
    if name == "truncated skeleton":
        file = tmp_path / "S001C001P001R001A001.skeleton"
        file.write_text("3\n1\n72057594037931101 0 1 1 1 1 0 0.02 0.1 2\n25\n0.1 0.2 3.1 0 0 0 0 0 0 0 0 2\n0.1 0.2")
        return file, []
    raise AssertionError(name)


SPOILED = {  # and what the line says of each
    "missing": "no such", "unknown format": "no pose file of a known format",
    "empty file": "JSON", "empty clip": "empty",
    "all missing": "all joints are missing", "infinite": "infinite", "0 x 0 image": "0",
    "unknown layout": "did you mean",
    "other joints": "16", "truncated json": "JSON", "infinite json": "nfinite", "truncated zip": "zip",
    "truncated skeleton": "line",
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_pose_files(name: str, tmp_path: Path, refused: Refused) -> None:
    source, more = spoiled(name, tmp_path)
    (tmp_path / "out.orvpe").write_bytes(b"precious")
    line = refused(*ingest(source, *more, "--overwrite"))
    assert SPOILED[name] in line
    if name not in ("0 x 0 image", "unknown layout"):
        assert source.name in line


@pytest.mark.parametrize("name", [n for n in SPOILED if n != "0 x 0 image"])
def test_pose_files_to_embed(name: str, here: Path, refused: Refused) -> None:
    source, more = spoiled(name, here)
    (here / "out.parquet").write_bytes(b"precious")
    words = ("embed", source, "-w", here / "fine", "-o", here / "out.parquet", *more)
    assert SPOILED[name] in refused(*words, "--overwrite")
    assert (here / "out.parquet").read_bytes() == b"precious"


def test_nan_is_a_missing_joint_and_no_error(tmp_path: Path) -> None:
    joints = np.random.default_rng(0).normal(size=(6, 17, 3))
    joints[:, 4] = np.nan
    np.savez(tmp_path / "clip.npz", joints=joints)
    assert main(ingest(tmp_path / "clip.npz", "--joints", "unified")) == 0


class Attack:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (_write, (str(self.target), "owned"))

    def __init__(self, target: Path) -> None:
        self.target = target


def _write(path: str, text: str) -> int:
    return Path(path).write_text(text)


@pytest.mark.parametrize("command", ["ingest", "inspect", "embed"])
def test_a_pickle_that_runs_code(command: str, here: Path, refused: Refused) -> None:
    file, mark = here / "x.pkl", here / "owned.txt"
    file.write_bytes(pickle.dumps({"annotations": [Attack(mark)], "split": {}}))
    words = {
        "ingest": ingest(file),
        "inspect": ["inspect", str(file)],
        "embed": ["embed", str(file), "-w", str(here / "fine"), "-o", str(here / "o.parquet")],
    }[command]
    assert "x.pkl" in refused(*words)
    assert not mark.exists()
    pickle.loads(file.read_bytes())  # it would have
    assert mark.exists()


# --- stores ---


def rewrite(store: Path, **metadata: str) -> None:
    with pa.ipc.open_file(store) as reader:
        table = reader.read_all()
    table = table.replace_schema_metadata({**table.schema.metadata, **{k.encode(): v for k, v in metadata.items()}})
    with pa.ipc.new_file(store, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("command", ["pretrain", "probe", "finetune", "evaluate", "embed", "inspect"])
@pytest.mark.parametrize("how", ["missing", "truncated", "other version", "text", "folder"])
def test_stores(command: str, how: str, here: Path, refused: Refused) -> None:
    store = here / "s.orvpe"
    if how == "missing":
        store = here / "no.orvpe"
    elif how == "truncated":
        store.write_bytes(store.read_bytes()[:-1000])
    elif how == "other version":
        rewrite(store, orvpe_store="99")
    elif how == "text":
        store.write_text("hello")
    else:
        store = here / "empty"
        store.mkdir()
    more = {
        "pretrain": ["-r", here / "new", *LIGHT], "inspect": [],
        "probe": ["-r", here / "new", "-p", "random:0.3", *LIGHT],
        "finetune": ["-r", here / "new", "-p", "random:0.3", *LIGHT],
        "evaluate": ["-w", here / "fine", "-p", "random:0.3", "-o", here / "new"],
        "embed": ["-w", here / "fine", "-o", here / "new.parquet"],
    }[command]  # fmt: skip
    line = refused(command, store, *more)
    assert store.name in line
    assert not (here / "new").exists()


# --- runs and models ---


def training(here: Path, job: str = "pretrain", run: str = "new") -> list[str]:
    words = [job, str(here / "s.orvpe"), "-r", str(here / run), *LIGHT, "--epochs", "1", "--batch-size", "10"]
    return words + (["--contrast.negatives", "9"] if job == "pretrain" else ["-p", "random:0.3"])


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

    monkeypatch.setattr("orvpe.evaluate.load", full)
    words = ["evaluate", here / "s.orvpe", "-w", here / "fine", "-p", "random:0.3"]
    line = refused(*words)
    assert "not enough memory" in line
    assert "9 GiB" in line
    monkeypatch.setattr("orvpe.evaluate.load", lambda *_: (_ for _ in ()).throw(RuntimeError("a mistake of ours")))
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


def edit_card(model: Path, **changes: object) -> None:
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, **changes}))


def edit_view(model: Path, **changes: object) -> None:
    view = json.loads((model / "card.json").read_text())["view"]
    edit_card(model, view={**view, **changes})


def folder_for_weights(here: Path) -> None:
    (here / "fine" / "weights.safetensors").unlink()
    (here / "fine" / "weights.safetensors").mkdir()


def change_weights(here: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    path = here / "fine" / "weights.safetensors"
    save_file({k: change(v) if v.is_floating_point() else v for k, v in load_file(path).items()}, path)


def narrower(here: Path) -> None:
    edit_card(here / "fine", encoder={"name": "light", "options": {"width": [8, 8], "strides": [1, 1], "groups": 4}})


def lacking(here: Path) -> None:
    path = here / "fine" / "weights.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if k != "encoder.stem.weight"}, path)


def cut(here: Path) -> None:
    path = here / "fine" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


SPOIL_MODEL: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda here: (here / "fine" / "weights.safetensors").unlink(), "weights.safetensors"),
    "card is no JSON": (lambda here: (here / "fine" / "card.json").write_text("{"), "not valid JSON"),
    "card of another version": (lambda here: edit_card(here / "fine", card_version=7), "card version 7"),
    "card is a list": (lambda here: (here / "fine" / "card.json").write_text("[]"), "card version None"),
    "another width": (narrower, "another width, layout or dimension?"),
    "another layout": (lambda here: edit_card(here / "fine", layout=LAYOUTS["coco"].to_dict()), "layout 'coco'"),
    "another dimension": (lambda here: edit_card(here / "fine", dims=2), "another width, layout"),
    "dimension is text": (lambda here: edit_card(here / "fine", dims="two"), "card.json"),
    "dimension is no whole number": (lambda here: edit_card(here / "fine", dims=2.5), "dims is 2.5"),
    "layout is text": (lambda here: edit_card(here / "fine", layout="unified"), "card.json lacks"),
    "classes twice": (lambda here: edit_card(here / "fine", classes=["a", "a"]), "expected different names"),
    "a setting of another type": (lambda here: edit_view(here / "fine", tau=1.5), "view.tau is 1.5, expected int"),
    "a switch is text": (lambda here: edit_view(here / "fine", align="no"), "view.align is 'no', expected bool"),
    "a camera for a 3D model": (lambda here: edit_view(here / "fine", camera="virtual"), "dims is 3, expected 2"),
    "weights are a folder": (folder_for_weights, "expected card.json and weights.safetensors"),
    "weights are NaN": (lambda here: change_weights(here, lambda v: v * float("nan")), "holds NaN or infinite"),
    "weights are whole numbers": (lambda here: change_weights(here, lambda v: v.int()), "is of type torch.int32"),
    "unknown encoder": (lambda here: edit_card(here / "fine", encoder={"name": "lihgt", "options": {}}), "'light'"),
    "view of the future": (lambda here: edit_card(here / "fine", view={"augment": {}, "warp": 3}), "card.json"),
    "no classifier": (lambda here: edit_card(here / "fine", classes=None), "head"),
    "a tensor is missing": (lacking, "lack 'encoder.stem.weight'"),
    "weights are cut": (cut, "damaged"),
}


@pytest.mark.parametrize("how", SPOIL_MODEL)
@pytest.mark.parametrize("command", ["evaluate", "embed"])
def test_models(how: str, command: str, here: Path, refused: Refused) -> None:
    spoil, told = SPOIL_MODEL[how]
    spoil(here)
    more = ["-p", "random:0.3"] if command == "evaluate" else ["-o", here / "o.parquet"]
    assert told in refused(command, here / "s.orvpe", "-w", here / "fine", *more)


def test_weights_that_do_not_fit_the_data(here: Path, refused: Refused) -> None:
    flat = make_store(here / "flat.orvpe", count=30, dims=2)
    fine, pre, run = here / "fine", here / "pre", here / "new"
    assert "3D" in refused("evaluate", flat, "-w", fine, "-p", "random:0.3")
    assert "3D" in refused("embed", flat, "-w", fine, "-o", here / "x.parquet")
    assert "3D" in refused("probe", flat, "-w", pre, "-p", "random:0.3", "-r", run)
    assert "3D" in refused("finetune", flat, "-w", pre, "-p", "random:0.3", "-r", run, *LIGHT)
    other = [*training(here, "finetune"), "-w", str(pre), "--encoder.options", '{"width": [8, 8], "strides": [1, 1]}']
    assert "another width" in refused(*other)
    assert "no classifier" in refused("evaluate", here / "s.orvpe", "-w", pre, "-p", "random:0.3")
    assert "no such folder" in refused("evaluate", here / "s.orvpe", "-w", here / "nowhere", "-p", "random:0.3")
    assert not run.exists()


# --- values ---

PRETRAIN = {
    "--batch-size 99": "only 30 training clips", "--batch-size 1": "batch_size", "--batch-size 0": "batch_size",
    "--contrast.negatives 30": "K = 30, expected 1 to 29", "--contrast.negatives 0": "K = 0",
    "--contrast.temperature 0": "temperature", "--contrast.temperature nan": "temperature",
    "--contrast.momentum 1.5": "momentum", "--contrast.outputs 0": "outputs", "--contrast.loss hinge": "info_nce, nce",
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
    for text in ("epochs: [", "epochs: three\n", "epoch: 3\n", "view:\n  tua: 3\n", "- 1\n", "optim: fast\n"):
        (here / "bad.yaml").write_text(text)
        refused(*training(here), "--recipe", here / "bad.yaml")

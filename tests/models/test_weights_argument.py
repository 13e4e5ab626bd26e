"""Whatever takes -w takes a folder, the name of a shipped model, or OWNER/NAME of the hub, through one function."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from helpers.small_runs import make_store

from orvpe.cli.commands import COMMANDS, function_of
from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.models.card import SHIPPED, _fetched
from orvpe.runtime.typed import arguments_of

SHIPPED_MODEL = "robust-light-3d-joint"
_OTHER = ("fuse",)  # its --weights are numbers
TAKE = [c for c in COMMANDS if c not in _OTHER and "weights" in arguments_of(function_of(c))]
ONE_STEP = ["--epochs", "1", "--stop-after", "1", "--encoder.name", "light", "--batch-size", "4", "--view.tau", "8"]
WORDS = {
    "pretrain": ["s.orvpe", "-r", "r", *ONE_STEP],
    "finetune": [
        "s.orvpe",
        "-r",
        "r",
        "-p",
        "random:0.5",
        "--epochs",
        "1",
        "--stop-after",
        "1",
        "--encoder.name",
        "light",
    ],
    "probe": ["s.orvpe", "-r", "r", "-p", "random:0.5"],
    "learn": ["classes", "-r", "r"],
    "classify": ["s.orvpe", "-o", "o"],
    "live": ["nothing.mp4"],
    "evaluate": ["s.orvpe", "-p", "random:0.5"],
    "robustness": ["s.orvpe", "-o", "o", "-p", "random:0.5"],
    "embed": ["s.orvpe", "-o", "o.parquet"],
    "index": ["s.orvpe", "-o", "i"],
    "search": ["s.orvpe:0", "-d", "i"],
    "export": [],
    "embed-many": ["nothing", "-o", "m"],
    "serve": ["--port", "0"],
    "demo": ["nothing.mp4", "-o", "d"],
}


def test_every_command_that_takes_weights_is_here() -> None:
    assert set(TAKE) == set(WORDS)


def test_only_one_function_finds_a_model() -> None:
    """No other module joins a caller's name with the files of a model."""
    for file in SHIPPED.parents[1].rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "Path(weights) /" not in text, file
        assert file.name == "card.py" or "snapshot_download" not in text, file


@pytest.mark.parametrize("command", [c for c in TAKE if c != "search"])  # which looks for its index first
def test_folders_names_and_the_hub(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("s.orvpe", count=40)
    for label in ("a", "b"):
        Path("classes", label).mkdir(parents=True)
    shutil.copytree(SHIPPED / SHIPPED_MODEL, "folder")
    found: list[str] = []

    class Hub:
        @staticmethod
        def snapshot_download(name: str, **_: object) -> str:
            return str(tmp_path / "folder")

    def load_file(path: str) -> None:
        found.append(path)
        raise InputError("the model was found")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)  # type: ignore[arg-type]
    monkeypatch.setattr("orvpe.vectors.embed_many._import_ray", lambda: None)
    monkeypatch.setattr("safetensors.torch.load_file", load_file)
    _fetched.cache_clear()
    for name in ("folder", SHIPPED_MODEL, "somebody/something"):
        flag = [name, "-o", "m.onnx"] if command == "export" else ["-w", name]
        assert main([command, *WORDS[command], *flag]) == 2
        assert "the model was found" in capsys.readouterr().err
    assert [Path(p).parent.name for p in found] == ["folder", SHIPPED_MODEL, "folder"]
    _fetched.cache_clear()

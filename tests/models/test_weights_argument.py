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
from orvpe.models.card import CARD, SHIPPED, _fetched
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
    "learn": ["nothing", "-r", "r"],
    "classify": ["s.orvpe", "-o", "o"],
    "live": ["nothing.mp4"],
    "evaluate": ["s.orvpe", "-p", "random:0.5"],
    "robustness": ["s.orvpe", "-o", "o", "-p", "random:0.5"],
    "embed": ["s.orvpe", "-o", "o.parquet"],
    "index": ["s.orvpe", "-o", "i"],
    "search": ["s.orvpe:0", "-d", "i"],
    "export": [],
    "embed-many": ["nothing", "-o", "m"],
    "serve": ["--host", "256.0.0.1"],
    "demo": ["nothing.mp4", "-o", "d"],
}


def nothing_to_write(*_: object) -> object:
    raise InputError("the model was found")


def test_every_command_that_takes_weights_is_here() -> None:
    assert set(TAKE) == set(WORDS)


def test_only_one_function_finds_a_model() -> None:
    """No other module joins a caller's name with the files of a model."""
    for file in SHIPPED.parents[1].rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "Path(weights) /" not in text, file
        assert file.name == "card.py" or "snapshot_download" not in text, file


@pytest.mark.parametrize("command", TAKE)
def test_names_folders_and_the_hub(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finds the model; what is said after that is of something else, if anything."""
    monkeypatch.chdir(tmp_path)
    make_store("s.orvpe", count=40)
    shutil.copytree(SHIPPED / SHIPPED_MODEL, "folder")
    asked: list[str] = []

    class Hub:
        @staticmethod
        def snapshot_download(name: str, **_: object) -> str:
            asked.append(name)
            return str(tmp_path / "folder")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)  # type: ignore[arg-type]
    monkeypatch.setattr("orvpe.vectors.embed_many._import_ray", lambda: None)
    monkeypatch.setattr("orvpe.models.export.to_onnx", nothing_to_write)  # it takes a minute
    _fetched.cache_clear()
    for name in ("folder", SHIPPED_MODEL, "somebody/something"):
        flag = [name, "-o", "m.onnx"] if command == "export" else ["-w", name]
        main([command, *WORDS[command], *flag])
        err = capsys.readouterr().err
        assert "no such folder" not in err.replace("nothing: no such folder", ""), err
        assert CARD not in err, err
        for made in ("r", "o", "i"):
            shutil.rmtree(made, ignore_errors=True)
        Path("o.parquet").unlink(missing_ok=True)
    assert asked == ["somebody/something"] or command in ("learn", "live", "demo", "serve", "search", "embed-many")
    _fetched.cache_clear()

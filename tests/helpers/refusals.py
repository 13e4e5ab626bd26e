"""What the tests of bad input share: words that must be refused, and runs for a test to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.small_runs import LIGHT, make_store
from orvpe.cli.main import main

Refused = Callable[..., str]


def training(here: Path, job: str = "pretrain", run: str = "new") -> list[str]:
    words = [job, str(here / "s.orvpe"), "-r", str(here / run), *LIGHT, "--epochs", "1", "--batch-size", "10"]
    return words + (["--contrast.negatives", "9"] if job == "pretrain" else ["-p", "random:0.3"])


def must_be_refused(words: tuple[str | Path, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs words that must be refused, and leave what is in the folder as it is; returns the one line."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    code = main([str(w) for w in words])
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("orvpe "), err
    assert code == 2
    assert {p: p.read_bytes() for p in before if p.exists()} == before
    assert not list(folder.rglob("*.tmp*"))
    return err


def make_runs(folder: Path) -> Path:
    """A store, a pre-trained and a fine-tuned model."""
    store = make_store(folder / "s.orvpe", count=30)
    small = [*LIGHT, "--epochs", "1", "--batch-size", "10"]
    assert main(["pretrain", store, "-r", str(folder / "pre"), *small, "--contrast.negatives", "9"]) == 0
    assert main(["finetune", store, "-r", str(folder / "fine"), "-p", "random:0.3", *small]) == 0
    return folder


def copied(made: Path, folder: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return folder

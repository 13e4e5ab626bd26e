"""Two gloo processes, started as users start them, agree with one process at the same global batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import LIGHT, checkpoint, make_store, metrics, results, torchrun
from safetensors.torch import load_file

from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.runtime.device import local_rows

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs libuv or POSIX")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("data") / "clips.orvpe", count=80)


def compare(one: Path, two: Path, close: float) -> None:
    ours, theirs = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name].double(), value.double(), rtol=close, atol=close, msg=name)
    lines: list[list[dict[str, Any]]] = [metrics(one), metrics(two)]
    assert [m["epoch"] for m in lines[1]] == [m["epoch"] for m in lines[0]]  # one process writes them, once
    for a, b in zip(*lines, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)


PRETRAIN = [
    *(*LIGHT, "--contrast.negatives", "20", "--contrast.outputs", "8", "--contrast.loss", "nce"),
    *("--optim.lr", "0.001", "--view.occlusion", "subgraph"),
]


def test_pretraining_for_a_few_steps(store: str, tmp_path: Path) -> None:
    words = ["pretrain", store, *PRETRAIN, "--epochs", "1", "--batch-size", "16"]
    assert main([*words, "-r", str(tmp_path / "one")]) == 0
    finished = torchrun(*words, "-r", str(tmp_path / "two"))
    assert finished.returncode == 0, finished.stderr
    compare(tmp_path / "one", tmp_path / "two", 1e-4)
    one, two = checkpoint(tmp_path / "one")["state"], checkpoint(tmp_path / "two")["state"]
    torch.testing.assert_close(two["bank"]["rows"], one["bank"]["rows"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two["loss"]["log_z"], one["loss"]["log_z"], rtol=1e-6, atol=1e-6)
    names = [sorted(p.name for p in (tmp_path / run).iterdir()) for run in ("one", "two")]
    assert names[0] == names[1]  # no temporary file of the other process


def test_pretraining_with_a_teacher_and_virtual_cameras(store: str, tmp_path: Path) -> None:
    words = [
        *("pretrain", store, *LIGHT, "--epochs", "1", "--batch-size", "16", "--contrast.outputs", "8"),
        *("--contrast.negatives", "null", "--contrast.teacher", "0.9", "--contrast.views", "2", "--optim.lr", "0.001"),
        *("--view.occlusion", "subgraph", "--view.camera", "virtual", "--view.image", "body"),
    ]
    assert main([*words, "-r", str(tmp_path / "one")]) == 0
    finished = torchrun(*words, "-r", str(tmp_path / "two"))
    assert finished.returncode == 0, finished.stderr
    compare(tmp_path / "one", tmp_path / "two", 1e-3)
    one, two = checkpoint(tmp_path / "one")["state"], checkpoint(tmp_path / "two")["state"]
    torch.testing.assert_close(two["bank"]["rows"], one["bank"]["rows"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow("six processes that start torch")
def test_pretraining_stopped_and_resumed(store: str, tmp_path: Path) -> None:
    """Also the loss that is logged for the interrupted epoch is the mean over both processes."""
    words = ["pretrain", store, *PRETRAIN, "--epochs", "1", "--batch-size", "4"]
    assert main([*words, "-r", str(tmp_path / "one")]) == 0
    stopped = torchrun(*words, "-r", str(tmp_path / "two"), "--stop-after", "16")  # of 20 steps
    assert stopped.returncode != 0
    assert "stopped in epoch 1" in stopped.stderr
    assert checkpoint(tmp_path / "two")["step"] == 16
    finished = torchrun(*words, "-r", str(tmp_path / "two"))
    assert finished.returncode == 0, finished.stderr
    compare(tmp_path / "one", tmp_path / "two", 3e-3)  # twenty steps let float32's last digits grow


def test_finetuning(store: str, tmp_path: Path) -> None:
    words = [
        *("finetune", store, "-p", "random:0.2", *LIGHT, "--optim.lr", "0.01", "--epochs", "2", "--batch-size", "8"),
        *("--optim.clip-norm", "1", "--view.augment.flip", "0.5", "--occlusions", "none", "upper"),
    ]
    assert main([*words, "-r", str(tmp_path / "one")]) == 0
    finished = torchrun(*words, "-r", str(tmp_path / "two"))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("test clips") == 1
    compare(tmp_path / "one", tmp_path / "two", 1e-3)
    with np.load(tmp_path / "one" / "scores.npz") as a, np.load(tmp_path / "two" / "scores.npz") as b:
        np.testing.assert_allclose(b["scores"], a["scores"], atol=5e-3)
    assert results(tmp_path / "two")["test_clips"] == results(tmp_path / "one")["test_clips"]


def test_a_batch_that_does_not_divide() -> None:
    with pytest.raises(InputError, match="batch_size is 9, which 2 processes cannot share evenly"):
        local_rows(9, 0, 2)
    assert [local_rows(9, rank, 3) for rank in range(3)] == [slice(0, 3), slice(3, 6), slice(6, 9)]

"""Precision chosen by the hardware."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.small_runs import LIGHT, make_store, surroundings

from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.runtime import device
from orvpe.runtime.device import resolve_precision


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_takes_bf16_only_where_the_cpu_multiplies_it(has_bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert resolve_precision("auto", "cpu") == ("bf16" if has_bf16 else "32")
    assert resolve_precision("32", "cpu") == "32"
    assert resolve_precision("bf16", "cpu") == "bf16"


def test_auto_asks_a_gpu_for_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, chosen in (((7, 5), "32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda c=capability: c)
        assert resolve_precision("auto", "auto") == resolve_precision("auto", "cuda") == chosen


def test_unknown_values_are_named() -> None:
    with pytest.raises(InputError, match="precision"):
        resolve_precision("8", "cpu")
    with pytest.raises(InputError, match="device"):
        resolve_precision("auto", "tpu")


def test_a_run_notes_the_precision_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cpu_multiplies_bf16", lambda: False)
    store = make_store(tmp_path / "s.orvpe", count=8)
    words = ["pretrain", store, "-r", str(tmp_path / "r"), *LIGHT, "--epochs", "1", "--batch-size", "4"]
    assert main([*words, "--contrast.negatives", "4", "--precision", "auto"]) == 0
    assert json.loads((tmp_path / "r" / "recipe.json").read_text())["arguments"]["precision"] == "32"


@pytest.mark.parametrize(("name", "launcher"), [("SLURM_STEP_NUM_TASKS", "srun"), ("OMPI_COMM_WORLD_SIZE", "mpirun")])
def test_tasks_that_know_nothing_of_each_other_are_refused(
    name: str, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "4")
    with pytest.raises(InputError, match=f"{launcher} started 4 tasks.*torchrun"):
        device.open_fabric("cpu")


def test_one_process_in_an_allocation_of_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch script's own shell: SLURM tells the allocation's tasks, but nothing has started them."""
    for name, value in {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert device.open_fabric("cpu").world_size == 1


def test_nodes_of_different_size_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "3", "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="3 processes on 2 nodes"):
        device.open_fabric("cpu")


def test_a_device_without_training_needs_no_lightning(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.orvpe", count=8)
    assert main(["pretrain", store, "-r", str(tmp_path / "r"), *LIGHT, "--epochs", "1", "--batch-size", "4",
                 "--contrast.negatives", "4"]) == 0  # fmt: skip
    code = (
        "import sys; from orvpe.cli.main import main; "
        f"words = ['embed', {store!r}, '-w', {str(tmp_path / 'r')!r}, '-o', {str(tmp_path / 'v.parquet')!r}]; "
        "assert main(words) == 0; "
        "assert not [m for m in sys.modules if m.startswith('lightning')]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), timeout=100)
    assert done.returncode == 0, done.stderr


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, chosen in ((True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda c=cuda: c)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda m=mps: m)
        assert device.pick_device("auto").type == chosen
    with pytest.raises(InputError, match="threads"):
        device.pick_device("cpu", threads=-1)

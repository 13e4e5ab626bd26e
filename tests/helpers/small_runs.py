"""Trainings of a second or two, in this process or as users type them, for several test files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from orvpe.data.generated import write_generated
from orvpe.models.config import EncoderConfig
from orvpe.views.view import ViewConfig

OPTIONS = {"width": [16, 16], "strides": [1, 1], "groups": 4}
ENCODER = EncoderConfig("light", OPTIONS)
VIEW = ViewConfig(tau=16, crop="resample", shortest=0.5)
# the same as words
LIGHT = [
    "--encoder.name", "light", "--encoder.options", json.dumps(OPTIONS), "--view.tau", "16",
    "--view.crop", "resample", "--view.shortest", "0.5", "--device", "cpu", "--threads", "1",
]  # fmt: skip


def make_store(path: Path, count: int = 40, seed: int = 0, people: int = 1, dims: int = 3) -> str:
    write_generated(str(path), count=count, seed=seed, people=people, dims=dims)
    return str(path)


def read_vectors(path: Path) -> dict[str, np.ndarray]:
    """The columns of a table of vectors; a folder's parts are read as one."""
    table = pq.read_table(path)
    vectors = {c: np.array(table.column(c).to_pylist(), np.float32) for c in ("feature", "embedding")}
    return {c: np.array(table.column(c).to_pylist(), object) for c in table.column_names if c not in vectors} | vectors


def write_nucla(folder: Path, count: int) -> None:
    """N-UCLA's format, coordinates in whole millimetres so that a store keeps them as they are."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        walk = rng.normal(0, 0.02, (20 + 3 * i, 20, 3)).cumsum(axis=0) + rng.normal(0, 1, (20, 3))
        name = f"a{i % 6 + 1:02d}_s{i % 3 + 1:02d}_e{i // 6:02d}_v{i % 3 + 1:02d}.json"
        (folder / name).write_text(json.dumps({"skeletons": walk.round(3).tolist()}))


def surroundings() -> dict[str, str]:
    """Environment of a child process that runs this source tree on one thread."""
    source = str(Path(__file__).parents[2] / "src")
    return {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


def orvpe(*words: str, module: tuple[str, ...] = ("orvpe",), **more: Any) -> subprocess.CompletedProcess[str]:
    """``python -m orvpe WORDS`` in a process of its own."""
    command = [sys.executable, "-m", *module, *words]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings(), timeout=240, **more)


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """``torchrun --nproc-per-node=2 -m orvpe WORDS``."""
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "orvpe")
    return orvpe(*words, module=launcher)


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def leaves(value: Any, where: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one dict of their leaves, tensors among them."""
    if isinstance(value, dict):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {where: value}
    return {k: v for name, inner in items for k, v in leaves(inner, f"{where}/{name}").items()}


def metrics(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the seconds."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def results(folder: Path) -> dict[str, Any]:
    """results.json without what differs between two runs of one command."""
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {k: v for k, v in found.items() if k not in ("train_seconds", "environment")}


def assert_same_run(one: Path, other: Path) -> None:
    """Weights, the whole checkpoint, metrics and results agree bit by bit."""
    assert (one / "weights.safetensors").read_bytes() == (other / "weights.safetensors").read_bytes()
    ours, theirs = leaves(checkpoint(one)), leaves(checkpoint(other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name
        elif name != "/seconds":
            assert value == theirs[name], name
    assert metrics(one) == metrics(other)
    assert (one / "results.json").exists() == (other / "results.json").exists()
    if (one / "results.json").exists():
        assert results(one) == results(other)

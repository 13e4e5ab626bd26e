"""Every shipped recipe is read by its command's own parser, and what it names exists and can be built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from orvpe.cli.arguments import parse
from orvpe.cli.commands import COMMANDS
from orvpe.data.protocols import get_protocol
from orvpe.models.encoders import build_encoder
from orvpe.poses.skeleton import unified
from orvpe.runtime.device import PRECISIONS
from orvpe.training.optim import build_optimizer, learning_rate
from orvpe.training.recipes import RECIPES
from orvpe.views.occlusion import corruption

torch.set_num_threads(1)
FILES = sorted(RECIPES.glob("*.yaml"))
NEEDED = {
    "pretrain": ["s", "-r", "r"], "probe": ["s", "-r", "r"], "finetune": ["s", "-r", "r"], "evaluate": ["s", "-w", "w"],
    "metric": ["s", "-o", "o"], "ingest": ["s", "-o", "o"], "embed": ["s", "-w", "w", "-o", "o"],
}  # fmt: skip


def command_of(file: Path) -> str:
    second = file.read_text(encoding="utf-8").splitlines()[1]
    assert second.startswith("# command: "), file
    return second.removeprefix("# command: ").strip()


def parsed(file: Path, *more: str) -> tuple[str, dict[str, Any]]:
    command = command_of(file)
    words = [*NEEDED[command], "--recipe", file.stem, *more]
    if command in ("probe", "finetune", "evaluate") and "protocol" not in yaml.safe_load(file.read_text()):
        words += ["-p", "random:0.2"]
    return command, parse(command, words)


def test_there_are_recipes() -> None:
    assert {"pretrain", "probe", "finetune"} <= {command_of(f) for f in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_recipe(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 20
    command, arguments = parsed(file)
    assert command in COMMANDS
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, value in written.items():  # what is written is what the function gets
        if not isinstance(value, dict):
            assert arguments[name] == value, name
            continue
        for inner, given in value.items():
            if not isinstance(given, dict):
                assert getattr(arguments[name], inner) == given, f"{name}.{inner}"
    if "protocol" in arguments:
        get_protocol(arguments["protocol"])
    for occlusion in arguments.get("occlusions", []):
        corruption(occlusion)
    assert arguments.get("precision", "32") in PRECISIONS
    if "encoder" in arguments:
        for dims in (2, 3):
            encoder = build_encoder(
                arguments["encoder"].name, layout=unified, in_channels=dims, **arguments["encoder"].options
            )
        assert encoder.feature_dim == 256
        optimizer = build_optimizer([encoder], arguments["optim"])
        held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        assert held == sum(p.numel() for p in encoder.parameters())
        rates = [learning_rate(arguments["optim"], e / 4, arguments["epochs"]) for e in range(4 * arguments["epochs"])]
        assert max(rates) <= arguments["optim"].lr * (1 + 1e-9)
        assert min(rates) > 0


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_is_typed_overrides_it(file: Path) -> None:
    if command_of(file) == "metric":
        _, arguments = parsed(file, "--views", "1", "--seed", "77")
        assert (arguments["views"], arguments["seed"]) == (1, 77)
        return
    _, arguments = parsed(file, "--view.tau", "13", "--seed", "77")
    assert (arguments["view"].tau, arguments["seed"]) == (13, 77)

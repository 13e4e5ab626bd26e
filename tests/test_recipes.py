"""Every shipped recipe fits the function that it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from orvpe.cli import RECIPES, parse, recipe_path, recipes
from orvpe.config import Optim

FILES = sorted(RECIPES.glob("*.yaml"))


def command(path: Path) -> str:
    second = path.read_text(encoding="utf-8").splitlines()[1]
    assert second.startswith("# command: ")
    return second.removeprefix("# command: ")


def load(path: Path) -> dict:
    words = ["some.orvpe", "-r", "runs/some", "--recipe", path.stem]
    if "protocol:" not in path.read_text(encoding="utf-8") and command(path) != "pretrain":
        words += ["-p", "nucla-cv"]
    return parse(command(path), words)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_loads_against_its_function(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert max(map(len, lines)) <= 125
    assert command(path) in ("pretrain", "finetune", "probe")
    arguments = load(path)
    assert arguments["store"] == "some.orvpe"


@pytest.mark.parametrize(
    ("name", "epochs", "milestones"),
    [
        ("paper-pretrain-ntu120-3d", 60, [30, 50]), ("paper-pretrain-ntu120-2d", 60, [30, 50]),
        ("paper-finetune-smarthome-cs", 50, [30, 40]), ("paper-finetune-smarthome-cv1", 50, [30, 40]),
        ("paper-finetune-smarthome-cv2", 50, [30, 40]), ("paper-finetune-penn", 30, [10, 20]),
        ("paper-finetune-nucla", 50, [30, 40]), ("paper-probe-penn", 30, [10, 20]),
    ],
)  # fmt: skip
def test_paper_schedules(name: str, epochs: int, milestones: list[int]) -> None:
    """Section IV-D b."""
    arguments = load(recipe_path(name))
    assert arguments["epochs"] == epochs
    assert arguments["optim"] == Optim("sgd", 0.1, 0.9, False, 1e-4, True, "step", milestones, 0.1)
    assert arguments["view"].tau == 150
    assert arguments["encoder"].name == "agcn"


def test_paper_pretraining() -> None:
    """Section IV-D a and c."""
    arguments = load(recipe_path("paper-pretrain-ntu120-3d"))
    contrast = arguments["contrast"]
    assert (contrast.negatives, contrast.temperature, contrast.momentum) == (4096, 0.07, 0.5)
    assert (contrast.outputs, contrast.projection, contrast.loss) == (128, "linear", "info_nce")
    assert arguments["view"].occlusion == "subgraph"


def test_what_is_typed_wins_over_the_recipe() -> None:
    words = ["s.orvpe", "-r", "r", "--epochs", "3", "--view.occlusion", "none", "--recipe", "quick-pretrain"]
    arguments = parse("pretrain", words)
    assert (arguments["epochs"], arguments["view"].occlusion, arguments["view"].tau) == (3, "none", 32)


def test_list_shows_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    recipes()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [p.stem for p in FILES]
    assert all(len(line.split()) > 4 for line in lines)

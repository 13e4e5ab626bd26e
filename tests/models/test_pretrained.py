"""Models by name: what comes with orvpe loads, says where it is from, and goes through save and load unchanged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from helpers.clips import batch

import orvpe
from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.models.card import SHIPPED, locate, read_card, shipped
from orvpe.models.model import Model, load
from orvpe.views.view import fixed_view

torch.set_num_threads(1)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_loads_and_embeds(name: str) -> None:
    model = orvpe.load(name)
    with torch.no_grad():
        features = model.features(fixed_view(batch((12, 30), dims=model.dims, missing=0.1), model.view))
    assert features.shape == (2, 256)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("name", shipped())
def test_every_card_says_what_it_is_made_of(name: str) -> None:
    card = read_card(name)
    for key in ("about", "terms", "limits", "trained", "environment"):
        assert card.get(key), key
    assert card["environment"]["commit"]
    assert card["environment"]["command"].startswith("orvpe ")
    text = (SHIPPED / name / "card.json").read_text(encoding="utf-8")
    assert "/work" not in text
    assert "/tmp" not in text


def test_all_weights_together_are_small() -> None:
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*")) < 30e6


def test_list_and_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert all(name in capsys.readouterr().out for name in shipped()[:1])
    assert main(["models", shipped()[0]]) == 0
    assert json.loads(capsys.readouterr().out)["card_version"] == 1
    assert main(["models", "nothing"]) == 2
    assert shipped()[0] in capsys.readouterr().err


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = shipped()[0]
    assert locate(name) == SHIPPED / name
    (tmp_path / name).mkdir()
    assert locate(name) == Path(name)


def test_save_and_load_again(tmp_path: Path) -> None:
    model = Model.from_pretrained(shipped()[0])
    model.save_pretrained(tmp_path / "mine", about="a copy")
    again = load(tmp_path / "mine")
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name  # it was float16 before
    assert read_card(tmp_path / "mine")["about"] == "a copy"
    assert read_card(tmp_path / "mine")["trained"] == read_card(shipped()[0])["trained"]
    full = tmp_path / "full"
    model.save_pretrained(full, half=False)
    sizes = [(p / "weights.safetensors").stat().st_size for p in (tmp_path / "mine", full)]
    assert 1.8 < sizes[1] / sizes[0] < 2.1


def test_sharing_a_model_does_not_write_over_a_run(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(InputError, match="holds a run"):
        Model.from_pretrained(shipped()[0]).save_pretrained(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize("name", ["", "/nothing", "a b/c", "a/b/c", "../nothing"])
def test_names_that_are_none(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="those that come with orvpe"):
        read_card(name)


def test_the_hub_is_asked_only_for_owner_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    with pytest.raises(InputError, match="those that come with orvpe"):
        read_card("nothing")
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        read_card("somebody/something")


def test_a_hub_that_does_not_answer_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hub:
        @staticmethod
        def snapshot_download(name: str, **_: object) -> str:
            raise ConnectionError("no route\nmore lines")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"not to be had from the hub \(ConnectionError: no route\)$"):
        read_card("somebody/something")

"""The walkthrough on a few generated clips: runs, writes its page, and leaves finished steps alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.lab import walkthrough as home


@pytest.mark.slow("two pre-trainings and three probes, each a process")
def test_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(home, "GENERATED_CLIPS", 210)
    monkeypatch.delenv("ORVPE_DATA", raising=False)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)  # nothing at ../shared/data
    assert main(["walkthrough", "--minutes", "0.01"]) == 0
    said = capsys.readouterr().out
    assert "GENERATED" in said
    assert "[GENERATED data]" in said
    assert "done before" not in said
    page = Path("walkthrough/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert page.count("$ ") == 0
    for kind in ("random", "temporal", "subgraph"):
        results = json.loads(Path(f"walkthrough/probe-{kind}/results.json").read_text(encoding="utf-8"))
        assert results["generated_data"] is True
        assert list(results["occlusions"]) == ["none", "upper", "lower", "right", "left", "centre"]
        assert f"{results['occlusions']['none']['top1']:.1f}" in said

    # pre-training saw the training clips and nothing else
    card = json.loads(Path("walkthrough/pretrained-subgraph/card.json").read_text(encoding="utf-8"))
    assert card["trained"]["clips"] == 140
    assert card["view"]["occlusion"] == "subgraph"

    assert main(["walkthrough", "--minutes", "0.01"]) == 0
    assert capsys.readouterr().out.count("done before") == 7


def test_data_folder_without_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="in it"):
        home.find_data(str(tmp_path))
    assert main(["walkthrough", "--out", str(tmp_path / "d"), "--minutes", "0"]) == 2
    assert "minutes is 0" in capsys.readouterr().err


def test_random_encoder_is_of_the_same_kind() -> None:
    """Both quick recipes build the same encoder on the same input, so that only the training differs."""
    from orvpe.cli.arguments import parse

    trained = parse("pretrain", ["s", "-r", "r", "--recipe", "quick-pretrain"])
    random = parse("probe", ["s", "-r", "r", "-p", "split", "--recipe", "quick-probe"])
    assert trained["encoder"] == random["encoder"]
    for name in ("tau", "crop", "centre", "align", "upright", "scale", "image", "stream"):
        assert getattr(trained["view"], name) == getattr(random["view"], name), name


def test_epochs_follow_the_machine_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tmp_path / "plan.json"
    monkeypatch.setattr(home, "clips_a_minute", lambda: 3000.0)
    assert home._planned(plan, 3.0, 1000, restart=False) == 9
    monkeypatch.setattr(home, "clips_a_minute", lambda: 1e6)
    assert home._planned(plan, 3.0, 1000, restart=False) == 9  # one that goes on
    assert home._planned(plan, 4.0, 1000, restart=False) == home.MOST_EPOCHS
    monkeypatch.setattr(home, "clips_a_minute", lambda: 1.0)
    assert home._planned(plan, 4.0, 1000, restart=True) == 2


def test_the_machine_is_measured_in_clips_a_minute() -> None:
    assert 10 < home.clips_a_minute() < 1e7


def test_data_folder_of_the_environment_without_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORVPE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"ORVPE_DATA is .*: no nw-ucla-skeletons.zip in it"):
        home.find_data(None)

"""Everyday actions: the merged classes, the windows, answers of classifiers that have not seen the set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from orvpe.data.generated import generate
from orvpe.data.relabel import read_classes
from orvpe.data.store import Store, write_store
from orvpe.lab.reproduce import everyday as module
from orvpe.lab.reproduce.everyday import CLASSES, UNKNOWN, Everyday, active_part, markdown, run_everyday, windows_of
from orvpe.lab.reproduce.transfer import Transfer
from orvpe.lab.reproduce.transfer_sets import ALSO, SETS
from orvpe.models.model import load


def test_every_class_names_its_sources() -> None:
    classes = read_classes(str(CLASSES))
    assert 40 <= len(classes) - 1 <= 60
    assert UNKNOWN in classes
    used = [label for patterns in classes.values() for label in patterns]
    assert len(used) == len(set(used))
    assert {label.split("/")[0] for label in used} == {*SETS, *ALSO}


def test_windows_are_of_one_to_four_seconds_where_the_body_moves() -> None:
    clip = next(iter(generate(1, seed=2)))
    still = np.repeat(clip.joints[:, :1], 200, axis=1)
    joints = np.concatenate([still, np.tile(clip.joints, (1, 3, 1, 1)), still], axis=1)
    visible = np.ones(joints.shape[:-1], bool)
    long = clip.with_(joints=joints, visible=visible)
    first, stop = active_part(long)
    assert 150 < first < 230
    assert joints.shape[1] - 230 < stop < joints.shape[1] - 150
    for seed in range(20):
        for role, a, b in windows_of(long, np.random.default_rng(seed)):
            assert first <= a < b <= stop
            assert role in ("train", "test")
            assert 30 <= b - a <= 120
    assert {role for role, _, _ in windows_of(clip, np.random.default_rng(0))} == {"train", "test"}


def _data(seed: int = 0) -> Everyday:
    """Three sets that agree on "a", "b", "c"; "d" is of one set alone, and there are clips of no class."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in ("one", "two", "three"):
        for c, label in enumerate(("a", "b", "c", "d" if name == "one" else UNKNOWN)):
            for k in range(24):
                x = 5 * np.eye(8)[c if label != UNKNOWN else 4 + k % 3] + rng.normal(size=8)
                rows.append((x, label, name, f"{name}/{label}{k}", k % 2 == 0))
    x, label, sets, clips, test = zip(*rows, strict=True)
    features = torch.tensor(np.stack([x, x]), dtype=torch.float32)
    return Everyday(features, np.array(label), np.array(sets), np.array(clips), np.array(test))


def test_answers_of_a_classifier_that_has_not_seen_the_set() -> None:
    data = _data()
    assert data.classes() == ["a", "b", "c", "d"]
    assert data.classes("one") == ["a", "b", "c"]
    chosen = data.chosen("two", data.classes("two"))
    assert not (data.sets[chosen] == "two").any()
    assert not data.test[chosen].any()
    answers = data.answers("one")
    assert (answers.known == (data.label[data.test & (data.sets == "one")] != "d")).all()
    assert answers.right[answers.known].mean() > 0.95
    assert not answers.right[~answers.known].any()
    found = module.shares(answers, module.joined([data.answers("two"), data.answers("three")]))
    assert found["0.5"]["right"] > 85
    assert found["0.5"]["named"] < 20
    assert found["named at 10 % refused"] < 20


def test_a_model_of_small_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"walk": "walk", "kick": "kick", "bow": "bow", "wave": "wave"}
    made = Transfer(tmp_path, None, [], "quick-pretrain", "paper", 1.0, [])
    made.folder.mkdir()
    for name in ("utd", "kinder"):
        clips = [c.with_(subject=str(i // 10)) for i, c in enumerate(generate(50, seed=len(name))) if c.label in names]
        write_store(made.folder / f"{name}.orvpe", clips)
    for name in set(SETS) - {"utd", "kinder"}:
        monkeypatch.delitem(SETS, name)
    monkeypatch.delitem(ALSO, "bandai")
    yaml = tmp_path / "classes.yaml"
    yaml.write_text('walk: ["*/walk"]\nkick: ["*/kick"]\nbow: ["*/bow"]\nunknown: ["*/wave"]\nnever: ["penn/x"]\n')
    monkeypatch.setattr(module, "CLASSES", yaml)
    path = run_everyday(made, tmp_path / "out", {3: "robust-light-3d-joint"}, torch.device("cpu"))
    text = path.read_text()
    assert "everyday-3d: 3 classes" in text
    assert text.count("| utd |") == text.count("| kinder |") == 1
    model = load(tmp_path / "everyday" / "everyday-3d")
    assert model.classes == ["bow", "kick", "walk"]
    assert model.open_set is not None
    assert set(model.card["left_out"]) == {"utd", "kinder"}
    windows = Store.open(tmp_path / "everyday" / "windows-3d.orvpe")
    assert set(windows.splits.tolist()) == {"train", "test"}
    assert markdown({}).startswith("# Everyday")

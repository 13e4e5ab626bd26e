"""Test clips that are training clips under another name: found, told, and what is right of the others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.small_runs import LIGHT

from orvpe.cli.main import main
from orvpe.data.duplicates import example, original
from orvpe.data.generated import generate
from orvpe.data.ingest import ingest
from orvpe.data.inspect import inspect
from orvpe.data.protocols.task import few_labels, make_task
from orvpe.data.store import Store, write_store
from orvpe.evaluation.scores import load_scores


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Forty clips and, as 40 to 44, the first five again: two as they are, and three changed."""
    clips = list(generate(40, seed=2))
    visible = clips[3].visible.copy()
    visible[0, 0, 0] = ~visible[0, 0, 0]
    joints = clips[4].joints.copy()
    joints[0, 1, 2] += 0.01
    changed = [
        clips[0],
        clips[1],
        clips[2].with_(joints=clips[2].joints[:, :-1], visible=clips[2].visible[:, :-1]),
        clips[3].with_(visible=visible),
        clips[4].with_(joints=joints),
    ]
    again = [clip.with_(name=f"again{i}", camera="v09") for i, clip in enumerate(changed)]
    return write_store(tmp_path_factory.mktemp("copies") / "c.orvpe", [*clips, *again])


def test_the_same_poses_are_found_whatever_their_name(store: Store) -> None:
    everything = np.arange(len(store))
    assert original(store, everything[:40], everything[40:]).tolist() == [0, 1, -1, -1, -1]
    assert original(store, everything[40:], everything[:3]).tolist() == [40, 41, -1]
    within = original(store, everything, everything)
    assert {i: j for i, j in enumerate(within.tolist()) if j >= 0} == {0: 40, 1: 41, 40: 0, 41: 1}
    assert original(store, everything[:0], everything).tolist() == [-1] * len(store)
    assert example(store, everything, within) == f"{store.names[0]} is again0"
    assert f"4 clips hold the same poses as another ({store.names[0]} is again0)" in str(inspect(str(store.path)))


def test_a_test_tells_what_is_right_of_the_others(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    assert main(["probe", str(store.path), "-r", str(run), "-p", "camera:v09", *LIGHT]) == 0
    task = make_task(store, "camera:v09")
    truth, best = task.target[task.test], load_scores(run / "scores.npz").scores.argmax(axis=1)
    results = json.loads((run / "results.json").read_text())
    assert results["copies"]["clips"] == 2
    assert results["copies"]["pairs"] == [["again0", store.names[0]], ["again1", store.names[1]]]
    assert results["copies"]["without"]["none"] == pytest.approx(100 * np.mean(truth[2:] == best[2:]))
    assert list(results["copies"]["without"]) == list(results["occlusions"])
    told = capsys.readouterr().out
    assert "no copies" in told
    assert f"2 of the 5 test clips are training clips under another name (again0 is {store.names[0]})" in told
    assert main(["robustness", str(store.path), "-w", str(run), "-p", "camera:v09", "-o", str(again),
                 "--occlusions", "upper"]) == 0  # fmt: skip
    assert "2 test clips are training clips under another name" in (again / "robustness.md").read_text()


def test_only_what_was_learned_counts(store: Store, tmp_path: Path) -> None:
    """Of few labels, and of a model that has learned by another protocol."""
    few, all_, tested = tmp_path / "few", tmp_path / "all", tmp_path / "tested"
    assert main(["probe", str(store.path), "-r", str(few), "-p", "camera:v09", "--labels", "0.3", *LIGHT]) == 0
    task = make_task(store, "camera:v09")
    learned = few_labels(task, 0.3, 0)
    found = json.loads((few / "results.json").read_text()).get("copies", {"pairs": []})
    assert [pair[0] for pair in found["pairs"]] == [f"again{i}" for i in (0, 1) if i in learned]
    # a model of other clips: what it has not learned is no copy of what it has, whatever the protocol of the test
    assert main(["probe", str(store.path), "-r", str(all_), "-p", "split", *LIGHT]) == 2
    assert main(["probe", str(store.path), "-r", str(all_), "-p", "camera:v01", *LIGHT]) == 0
    words = ["evaluate", str(store.path), "-w", str(all_), "-p", "camera:v09", "-o", str(tested)]
    assert main(words) == 0
    theirs = make_task(store, "camera:v01").train
    found = json.loads((tested / "results.json").read_text()).get("copies", {"pairs": []})
    assert [pair[0] for pair in found["pairs"]] == [f"again{i}" for i in (0, 1) if i in theirs]
    assert not {0, 1} <= set(theirs.tolist())  # or this test would say nothing


def test_retained_is_of_clean_clips_wherever_they_stand(store: Store, tmp_path: Path) -> None:
    run, tested = tmp_path / "run", tmp_path / "tested"
    assert main(["probe", str(store.path), "-r", str(run), "-p", "camera:v02", *LIGHT]) == 0
    words = ["evaluate", str(store.path), "-w", str(run), "-p", "camera:v02", "-o", str(tested)]
    assert main([*words, "--occlusions", "upper", "none"]) == 0
    rows = json.loads((tested / "results.json").read_text())["occlusions"]
    assert list(rows) == ["upper", "none"]
    assert rows["none"]["retained"] == 100
    assert rows["upper"]["retained"] == pytest.approx(100 * rows["upper"]["top1"] / rows["none"]["top1"])


def test_nothing_is_told_where_there_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = write_store(tmp_path / "g.orvpe", generate(30, seed=3))
    assert main(["probe", str(store.path), "-r", str(tmp_path / "run"), "-p", "random:0.3", *LIGHT]) == 0
    assert "copies" not in json.loads((tmp_path / "run" / "results.json").read_text())
    assert "copies" not in capsys.readouterr().out
    assert "same poses" not in str(inspect(str(store.path)))


def test_a_test_of_nothing_but_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = list(generate(20, seed=4))
    again = [clip.with_(name=f"again{i}", camera="v09") for i, clip in enumerate(clips[:4])]
    store = write_store(tmp_path / "g.orvpe", [*clips, *again])
    assert main(["probe", str(store.path), "-r", str(tmp_path / "run"), "-p", "camera:v09", *LIGHT]) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["copies"]["without"] == {}
    told = capsys.readouterr().out
    assert "4 of the 4 test clips are training clips" in told
    assert "no copies" not in told


def test_camera_3_of_nucla_is_camera_2_in_two_actions(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "nucla.orvpe"
    ingest([str(data_dir / "nw-ucla-skeletons.zip")], str(path), workers=1)
    store = Store.open(path)
    task, unseen = make_task(store, "nucla-cv"), make_task(store, "nucla-cv-unseen")
    same = original(store, task.train, task.test)
    assert np.setdiff1d(task.test, unseen.test).tolist() == task.test[same >= 0].tolist()
    assert (original(store, unseen.train, unseen.test) < 0).all()
    assert (task.train == unseen.train).all()
    for copy, first in zip(task.test[same >= 0], same[same >= 0], strict=True):
        assert store.names[copy].replace("v03", "v02") == store.names[first]

"""Leave one set out: what the sets' clips are, that nothing of the set left out is trained on, and a small run."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from orvpe.cli.arguments import parse
from orvpe.cli.main import main
from orvpe.data.generated import generate
from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.evaluation.frozen import CORRUPTIONS, RawEmbedding, acting_arm, frozen_test
from orvpe.lab.reproduce import transfer as module
from orvpe.lab.reproduce.transfer import OURS, PAPER, RAW, Transfer, beaten, markdown
from orvpe.lab.reproduce.transfer_sets import ALSO, SETS, kinder_label, segments, some_people, write_others
from orvpe.views.augment import mirror_image
from orvpe.views.batch import collate
from orvpe.views.resident import ResidentStore


def test_people_are_apart_and_stay_so() -> None:
    people = [f"s{i}" for i in range(20)]
    chosen = some_people(people, 0.35)
    assert len(chosen) == 7
    assert chosen == some_people(reversed(people * 3), 0.35)


def test_runs_of_a_label() -> None:
    clip = next(iter(generate(1, seed=0)))
    label = ",".join("0011122000"[i * 10 // clip.frames] for i in range(clip.frames))
    found = list(segments(clip.with_(label=label)))
    assert [name for name, _, _ in found] == ["0", "1", "2", "0"]
    assert found[0][1] == 0
    assert found[-1][2] == clip.frames
    assert all(a[2] == b[1] for a, b in pairwise(found))


def test_a_kinder_movement_is_one_whichever_arm_it_takes() -> None:
    for one, other in (
        ("Children/Raise-your-hand", "Adults/Raise-your-other-hand"),
        ("Adults/Throw-a-ball-", "Adults/Throw-a-ball-with-your-other-arm"),
        ("Adults/Lift-your-leg-to-one-side", "Adults/Lift-your-leg-to-the-other-side"),
    ):
        assert kinder_label(one) == kinder_label(other)
    assert kinder_label("A/Swipe-from-left-to-right") != kinder_label("A/Swipe-from-right-to-left")


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mirror_image_twice_is_the_clip(dims: int) -> None:
    batch = collate(list(generate(5, dims=dims, seed=3)))
    once = mirror_image(batch)
    left, right = batch.layout.index("left_wrist"), batch.layout.index("right_wrist")
    assert (once.visible[..., left] == batch.visible[..., right]).all()
    assert not (once.joints == batch.joints).all()
    again = mirror_image(once)
    assert (again.visible == batch.visible).all()
    assert (again.joints - batch.joints).abs().max() < 1e-3


def test_raw_joints_know_the_acting_arm(tmp_path: Path) -> None:
    first, clips = next(iter(generate(1, seed=5))), []
    for i, clip in enumerate(generate(80, seed=5)):
        acting, still = ("left", "right") if i % 3 else ("right", "left")
        joints = np.repeat(first.joints[:, :1], clip.frames, axis=1)  # all stand alike but for one arm
        for side, how_far in ((acting, 0.5), (still, 0.0)):
            shoulder, wrist = (clip.layout.index(f"{side}_{j}") for j in ("shoulder", "wrist"))
            joints[:, :, wrist] = joints[:, :, shoulder] - np.array([0, 0.5, 0], np.float32)
            joints[:, :, wrist, 1] += how_far * np.sin(np.arange(clip.frames) / 5).astype(np.float32)
        clips.append(clip.with_(joints=joints, visible=np.ones_like(clip.visible), subject=str(i // 10 % 4)))
    write_store(tmp_path / "s.orvpe", clips)
    store = Store.open(tmp_path / "s.orvpe")
    data, task = ResidentStore(store), make_task(store, "subject:0,1")
    assert (acting_arm(data, np.arange(80)) == np.where(np.arange(80) % 3, 1, -1)).all()
    found = frozen_test(RawEmbedding(), data, task, ("upper",))
    assert set(found["nn"]) == {"none", "upper"}
    assert found["sides"]["clips"] == 40
    assert found["sides"]["nn"] > 95
    assert found["sides"]["probe"] > 95


def test_nothing_of_the_set_left_out_is_trained_on(tmp_path: Path) -> None:
    stores = {}
    for name in ("utd", "nucla"):
        clips = [c.with_(subject="s", camera=f"v0{i % 3 + 1}") for i, c in enumerate(generate(9, seed=1))]
        write_store(tmp_path / f"{name}.orvpe", clips)
        stores[name] = Store.open(tmp_path / f"{name}.orvpe")
    found = write_others(stores, tmp_path / "others.orvpe")
    assert {n.split("/")[0] for n in found.names.tolist()} == {"utd", "nucla"}
    nucla = [c for n, c in zip(found.names.tolist(), found.cameras.tolist(), strict=True) if n.startswith("nucla")]
    assert set(nucla) == {"v01", "v02"}  # camera 3 tests
    made = Transfer(tmp_path, None, list(SETS), "quick-pretrain", "paper-light", 1.0, [])
    for step in made.steps():
        parse("pretrain", list(step.words[1:]))
        left_out = re.search(r"without-(\w+)$", step.folder)
        assert left_out is not None
        assert step.needs == (f"transfer/without-{left_out[1]}.orvpe",)
        assert ("--view.camera" in step.words) == (SETS[left_out[1]].dims == 2)
    with pytest.raises(InputError, match="may have seen"):
        Transfer(tmp_path, None, ["utd"], "robust-pretrain-3d", "paper", 1.0, []).steps()


def _packed(folder: Path, name: str, label: str, count: int) -> None:
    clips = list(generate(count, seed=4))
    text = {
        "name": [f"r{i}" for i in range(count)], "subject": [f"utd{i // 10 % 4 + 1}" for i in range(count)],
        "label": [label.format(c.label) for c in clips],
    }  # fmt: skip
    np.savez(
        folder / "corpora" / name, joint_names=np.array(clips[0].layout.joints), fps=np.float32(30),
        joints_mm=np.concatenate([(1000 * c.joints[0]).astype(np.int16) for c in clips]),
        start=np.cumsum([0, *(c.frames for c in clips)]), **{k: np.array(v) for k, v in text.items()},
    )  # fmt: skip


@pytest.mark.slow("two interrupted runs of a table, each a process")
def test_a_small_run_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "corpora").mkdir(parents=True)
    _packed(tmp_path / "data", "utd_mhad.npz", "{}", 40)
    _packed(tmp_path / "data", "kinder_gator.npz", "Adults/{}", 40)
    for name in set(SETS) - {"utd", "kinder"}:
        monkeypatch.delitem(SETS, name)
    monkeypatch.setattr(module, "COPIES", 0)  # four fits of a classifier fewer
    for name in list(ALSO):
        monkeypatch.delitem(ALSO, name)
    folders = [f"--{name}={tmp_path / name}" for name in ("data", "work", "out")]
    words = ["reproduce", "transfer", "--datasets", "utd", *folders, "--share", "0.01", "--device", "cpu"]
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "view: {tau: 8, crop: resample}\nencoder: {name: light, options: {width: [16, 16], strides: [2, 2]}}\n"
        "contrast: {negatives: null}\noptim: {name: adamw, schedule: one-cycle}\n"
        "batch_size: 8\nepochs: 2\n"
    )
    words += ["--threads", "1", "--ours", str(recipe)]
    assert main(words) == 0
    text = (tmp_path / "out" / "transfer.md").read_text()
    assert text.count("UTD-MHAD") == 3 * 4
    assert "above raw 1-NN" in text
    store = Store.open(tmp_path / "work" / "transfer" / "without-utd.orvpe")
    assert all(name.startswith("kinder/") for name in store.names.tolist())
    tests = sorted((tmp_path / "work" / "transfer" / "tests").glob("*.json"))
    assert len(tests) == 4
    for path in tests:  # each number is taken from its file, not computed again
        found = json.loads(path.read_text())
        found["nn"]["none"] = 12.0
        path.write_text(json.dumps(found))
    monkeypatch.setattr(module, "frozen_test", None)
    assert main(words) == 0
    assert (tmp_path / "out" / "transfer.md").read_text().count("| 12 |") == 4
    assert main([*words, "--dry-run", "true"]) == 0
    assert capsys.readouterr().out.count("done   orvpe pretrain") == 2


def test_the_metric_learns_the_other_sets(tmp_path: Path) -> None:
    made = Transfer(tmp_path, None, list(SETS), "metric", "paper-light", 1.0, [])
    for left_out in SETS:
        step = made.step(OURS, left_out)
        given = parse("metric", list(step.words[1:]))
        assert given["dims"] == SETS[left_out].dims
        assert not any(f"/{left_out}-clips" in store for store in given["stores"])
        assert len(given["stores"]) == (5 if SETS[left_out].dims == 3 else 6)
        assert not step.done(tmp_path)


def test_who_beats_raw_joints_is_counted() -> None:
    def row(value: float) -> dict[str, object]:
        found = dict.fromkeys(("none", *CORRUPTIONS), value)
        return {"nn": found, "probe": found, "recall": found, "cosine": found}

    found = {"utd": {RAW: row(50.0), PAPER: row(40.0), OURS: row(53.0)}}
    assert beaten(found) == (9, 9, 3.0)
    assert beaten(found, PAPER) == (0, 9, -10.0)
    text = markdown(found, Transfer(Path(), None, ["utd"], "quick-pretrain", "paper", 0.5, []))
    assert "ours: above raw 1-NN in 9 of 9 cells, +3.0 points" in text
    assert "50 % of each recipe's epochs" in text

"""Tasks on generated stores, and training with few labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.generated import ACTIONS, generate
from orvpe.data.protocols.task import Task, few_labels, make_task
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("task") / "g.orvpe", generate(90, seed=1))


def relabelled(path: Path, **changes: object) -> Store:
    """Thirty clips; ``changes`` of the clip at a position, as label_3="jog"."""
    clips = list(generate(30, seed=1))
    for key, value in changes.items():
        field, _, i = key.rpartition("_")
        clips[int(i)] = clips[int(i)].with_(**{field: value})
    return write_store(path / "r.orvpe", clips)


def test_cameras_split(store: Store) -> None:
    task = make_task(store, "camera:v03")
    assert task.classes == sorted(ACTIONS)
    assert task.metric == "top1"
    assert sorted([*task.train, *task.test]) == list(range(90))
    assert len(task.val) == 0
    for i in range(90):
        assert (i in task.test) == (store.cameras[i] == "v03")
        assert task.classes[task.target[i]] == store.labels[i]


def test_classes_of_an_existing_model_keep_their_order(store: Store) -> None:
    order = sorted(ACTIONS, reverse=True)
    task = make_task(store, "camera:v03", order)
    assert task.classes == order
    assert all(order[task.target[i]] == store.labels[i] for i in range(90))
    with pytest.raises(InputError, match=rf"unknown label '{order[0]}'"):
        make_task(store, "camera:v03", order[1:])


def test_clips_without_label_are_not_used(tmp_path: Path) -> None:
    store = relabelled(tmp_path, label_3=None)
    task = make_task(store, "random:0.5")
    assert task.target[3] == -1
    assert 3 not in [*task.train, *task.test]


def test_the_split_column(tmp_path: Path) -> None:
    splits = {f"split_{i}": w for i, w in enumerate(["train"] * 15 + ["val"] * 4 + ["test"] * 10)}
    task = make_task(relabelled(tmp_path, **splits), "split")
    assert task.train.tolist() == list(range(15))
    assert task.val.tolist() == list(range(15, 19))
    assert task.test.tolist() == list(range(19, 29))
    assert task.target[29] == -1  # says nothing


def test_a_test_label_that_is_never_trained(tmp_path: Path) -> None:
    clips = list(generate(30, seed=1))
    i = next(i for i, c in enumerate(clips) if c.camera == "v03")
    store = relabelled(tmp_path, **{f"label_{i}": "jumping_jak"})
    with pytest.raises(InputError, match=r"unknown label 'jumping_jak' in protocol 'camera:v03'.*'jumping_jack'"):
        make_task(store, "camera:v03")


def test_nobody_to_test(tmp_path: Path) -> None:
    store = relabelled(tmp_path, **{f"split_{i}": "train" for i in range(30)})
    with pytest.raises(InputError, match=r"finds no labelled test clip among the 30 .*its splits train"):
        make_task(store, "split")
    with pytest.raises(InputError, match=r"unknown camera 'v09'"):
        make_task(store, "camera:v09")
    with pytest.raises(InputError, match=r"unknown protocol 'nucla'.*'nucla-cv'"):
        make_task(store, "nucla")


def test_an_existing_model_is_tested_without_training_clips(store: Store, tmp_path: Path) -> None:
    whole, clips = make_task(store, "camera:v03"), list(store)
    alone = write_store(tmp_path / "test.orvpe", [clips[i] for i in whole.test])
    task = make_task(alone, "camera:v03", whole.classes)
    assert task.test.tolist() == list(range(len(alone)))
    assert task.target.tolist() == whole.target[whole.test].tolist()
    with pytest.raises(InputError, match=r"finds no labelled train clip .*its labels are .*, its cameras v03"):
        make_task(alone, "camera:v03")
    # a training clip of a class that the model does not know is nothing to it
    i = int(whole.train[0])
    other = write_store(tmp_path / "other.orvpe", [*clips[:i], clips[i].with_(label="yodel"), *clips[i + 1 :]])
    task = make_task(other, "camera:v03", whole.classes)
    assert task.target[i] == -1
    assert i not in task.train
    assert task.test.tolist() == whole.test.tolist()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 1.0])
def test_few_labels_keep_a_share_of_every_class(store: Store, share: float) -> None:
    task = make_task(store, "camera:v03")
    kept = few_labels(task, share, 0)
    assert set(kept) <= set(task.train)
    assert len(set(kept)) == len(kept)
    assert (np.diff(kept) > 0).all()
    for c in range(len(task.classes)):
        own = int((task.target[task.train] == c).sum())
        assert int((task.target[kept] == c).sum()) == max(1, round(share * own))


def test_few_labels_by_seed(store: Store) -> None:
    task = make_task(store, "camera:v03")
    assert few_labels(task, 0.3, 4).tolist() == few_labels(task, 0.3, 4).tolist()
    assert len({tuple(few_labels(task, 0.3, s)) for s in range(5)}) == 5
    for share in (0, -1, 1.5, float("nan")):
        with pytest.raises(InputError, match=f"labels is {share}"):
            few_labels(task, share, 0)


def test_few_labels_of_a_class_nobody_trains() -> None:
    task = Task("p", "top1", ["a", "b"], np.array([0, 0, 1]), np.array([0, 1]), np.array([], int), np.array([2]))
    assert len(few_labels(task, 0.5, 0)) == 1

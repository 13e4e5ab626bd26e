"""The baseline on raw joints: against its slow definition, blind to what is hidden, and in the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.generated import generate
from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store, write_store
from orvpe.evaluation.raw import RawClips, distances, extract_raw, raw_clips, raw_rows, raw_vectors, some_of_each
from orvpe.runtime.draws import ClipDraws
from orvpe.views.batch import collate
from orvpe.views.occlusion import corruption
from orvpe.views.resident import ResidentStore


def _clips(rng: np.random.Generator, n: int, share: float, dims: int) -> RawClips:
    joints = rng.normal(size=(n, 4, 5, dims)) + rng.normal(size=(n, 1, 1, dims)) * 10
    visible = rng.random((n, 4, 5)) < share
    return RawClips(np.where(visible[..., None], joints, 0), visible)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 1.0), st.sampled_from([2, 3]))
def test_distance_by_definition(seed: int, share: float, dims: int) -> None:
    rng = np.random.default_rng(seed)
    q, g = _clips(rng, 3, share, dims), _clips(rng, 6, share, dims)
    found = distances(q, g)
    for i in range(3):
        shared = [int((q.visible[i] & v).sum()) for v in g.visible]
        for j in range(6):
            both = q.visible[i] & g.visible[j]
            if max(shared[j], 1) < 0.5 * max(*shared, 1):
                assert np.isinf(found[i, j])
            elif shared[j]:
                d = (q.joints[i] - g.joints[j])[both]
                assert found[i, j] == pytest.approx(np.sqrt(((d - d.mean(0)) ** 2).sum(-1).mean()), abs=1e-6)
            else:
                assert found[i, j] == 0


def test_moved_clip_is_at_no_distance() -> None:
    rng = np.random.default_rng(0)
    g = _clips(rng, 5, 1.0, 3)
    moved = RawClips(g.joints + np.array([3.0, -40.0, 0.5]), g.visible)
    assert np.diag(distances(moved, g)) == pytest.approx(np.zeros(5), abs=1e-6)
    assert (distances(moved, g).argmin(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_hidden_joints_and_padding_change_nothing(dims: int) -> None:
    clips = list(generate(4, dims=dims, seed=1))
    batch = corruption("upper")(collate(clips), ClipDraws("cpu", range(4), 0))
    found = raw_clips(batch)
    assert found.joints.shape == (4, 32, 17, dims)
    other = [c.with_(joints=c.joints.copy()) for c in clips]
    upper = batch.layout.index("left_wrist")
    for clip in other:
        clip.joints[:, :, upper] += 5.0  # hidden before anything is computed, the body's height included
    again = raw_clips(corruption("upper")(collate(other), ClipDraws("cpu", range(4), 0)))
    assert (again.joints == found.joints).all()
    assert (again.visible == found.visible).all()
    alone = [raw_clips(corruption("upper")(collate([c]), ClipDraws("cpu", [0], 0))) for c in clips]
    assert np.concatenate([a.joints for a in alone]) == pytest.approx(found.joints, abs=1e-5)
    assert np.isfinite(raw_vectors(found)).all()
    assert not raw_vectors(found)[:, : 8 * 17 * dims].reshape(4, dims, 8, 17)[..., upper].any()


def test_some_of_each_keeps_the_classes_shares() -> None:
    target = np.repeat([0, 1, 2], [600, 300, 100])
    chosen = some_of_each(target, 100, seed=3)
    assert len(np.unique(chosen)) == len(chosen) == 100
    assert (np.diff(chosen) > 0).all()
    assert np.abs(np.bincount(target[chosen]) - [60, 30, 10]).max() <= 1
    assert (some_of_each(target, 2000) == np.arange(1000)).all()


def test_rows_of_a_task(tmp_path: Path) -> None:
    store = write_store(tmp_path / "g.orvpe", generate(60, seed=2))
    store = store if isinstance(store, Store) else Store.open(tmp_path / "g.orvpe")
    task = make_task(store, "random:0.3")
    data = ResidentStore(store)
    rows = raw_rows(data, task, ["none", "upper", "joints:0.5"])
    assert list(rows) == ["raw 1-NN", "raw logistic"]
    assert list(rows["raw 1-NN"]) == ["none", "upper", "joints:0.5"]
    assert rows["raw 1-NN"]["none"]["recall"] == 100
    assert rows["raw 1-NN"]["none"]["top1"] > 40
    # by hand, one query at a time
    g, q = extract_raw(data, task.train), extract_raw(data, task.test, "upper")
    right = 0
    for i in range(len(task.test)):
        best, label = np.inf, -1
        for j in range(len(task.train)):
            both = q.visible[i] & g.visible[j]
            d = (q.joints[i] - g.joints[j])[both].astype(np.float64)
            d = np.sqrt(((d - d.mean(0)) ** 2).sum(-1).mean())
            if d < best:
                best, label = d, task.target[task.train[j]]
        right += label == task.target[task.test[i]]
    assert rows["raw 1-NN"]["upper"]["top1"] == pytest.approx(100 * right / len(task.test))

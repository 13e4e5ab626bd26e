"""Vectors of stores, pose files and clips in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW, make_store, read_vectors, write_nucla

import orvpe
from orvpe.data.generated import generate
from orvpe.data.ingest import ingest
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.embed import embed_clips
from orvpe.models.model import Model, load
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.poses.unify import to_unified
from orvpe.vectors.embed import embed
from orvpe.views.batch import collate
from orvpe.views.view import fixed_view

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    Model(ENCODER, unified, 3, VIEW, ("linear", 8), ["a", "b"]).save(folder)
    return str(folder)


def test_store_and_files_give_the_same_vectors(weights: str, tmp_path: Path) -> None:
    write_nucla(tmp_path / "clips", 6)
    ingest([str(tmp_path / "clips")], str(tmp_path / "s.orvpe"), workers=1)
    embed(str(tmp_path / "s.orvpe"), weights, str(tmp_path / "a.parquet"), device="cpu")
    embed(str(tmp_path / "clips"), weights, str(tmp_path / "b.parquet"), device="cpu", batch_size=4)
    a, b = read_vectors(tmp_path / "a.parquet"), read_vectors(tmp_path / "b.parquet")
    assert list(a) == ["id", "label", "subject", "camera", "split", "feature", "embedding"]
    for column in ("id", "label", "subject", "camera"):
        assert a[column].tolist() == b[column].tolist()
        assert all(a[column])
    np.testing.assert_allclose(b["feature"], a["feature"], atol=2e-4, rtol=1e-3)
    assert np.ptp(a["feature"], axis=0).max() > 0.01  # they do differ between clips
    np.testing.assert_allclose(np.linalg.norm(a["embedding"], axis=1), 1, atol=1e-5)
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert schema.field("feature").type.list_size == 16
    assert schema.field("embedding").type.list_size == 8


def test_what_exists_is_not_written_over(weights: str, tmp_path: Path) -> None:
    store, out = make_store(tmp_path / "s.orvpe", count=10), tmp_path / "a.parquet"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"a.parquet: exists already; give --overwrite to replace it"):
        embed(store, weights, str(out), device="cpu")
    assert out.read_text() == "mine"
    assert len(read_vectors(embed(store, weights, str(out), device="cpu", overwrite=True))["id"]) == 10
    table = tmp_path / "poses.parquet"
    rows = {"frame": [0], "joint": ["head"], "x": [1.0], "y": [2.0], "z": [3.0]}
    pq.write_table(pa.table(rows), table)
    before = table.read_bytes()
    for path in (table, tmp_path):
        with pytest.raises(InputError, match="is what would be read"):
            embed(str(path), weights, str(table), device="cpu", overwrite=True)
    assert table.read_bytes() == before


def test_a_store_is_turned_when_it_is_made(weights: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.orvpe", count=10)
    with pytest.raises(InputError, match="its clips were turned when it was made"):
        embed(store, weights, str(tmp_path / "a.parquet"), up="z", device="cpu")


def test_batch_size_and_clips_in_memory(weights: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.orvpe", count=11, people=2)
    found = []
    hidden = []  # joints drawn at random are hidden alike in any batch
    for size in (1, 4, 64):
        embed(store, weights, str(tmp_path / f"{size}.parquet"), batch_size=size, device="cpu")
        found.append(read_vectors(tmp_path / f"{size}.parquet")["feature"])
        embed(store, weights, str(tmp_path / "h.parquet"), batch_size=size, device="cpu", occlusion="joints:0.5",
              overwrite=True)  # fmt: skip
        hidden.append(read_vectors(tmp_path / "h.parquet")["feature"])
    for vectors in (found, hidden):
        np.testing.assert_allclose(vectors[1], vectors[0], atol=1e-5)
        np.testing.assert_allclose(vectors[2], vectors[0], atol=1e-5)
    model = load(weights)
    for size in (3, 64):
        np.testing.assert_allclose(embed_clips(model, list(Store.open(store)), size), found[0], atol=1e-5)
    assert embed_clips(model, []).shape == (0, 16)


def test_two_people_are_the_mean_of_each(weights: str) -> None:
    model = load(weights)
    clip = next(iter(generate(1, people=2)))
    first = clip.with_(joints=clip.joints[:1], visible=clip.visible[:1])
    twice = clip.with_(joints=clip.joints[[0, 0]], visible=clip.visible[[0, 0]])
    both, one, copies = embed_clips(model, [clip, first, twice])
    np.testing.assert_allclose(copies, one, atol=1e-5)
    view = fixed_view(collate([clip]), model.view)
    with torch.no_grad():
        each = model.encoder(view.joints, view.visible).numpy()
    assert each.shape == (2, 16)
    np.testing.assert_allclose(both, each.mean(axis=0), atol=1e-5)
    assert np.abs(each[0] - each[1]).max() > 1e-3
    # somebody of whom nothing is ever seen does not count, first or last
    for order in ((0, 1), (1, 0)):
        nobody = np.zeros_like(first.visible)
        visible = np.concatenate([(first.visible, nobody)[i] for i in order])
        joints = np.concatenate([first.joints, first.joints])
        found = embed_clips(model, [clip.with_(joints=joints, visible=visible)])
        np.testing.assert_allclose(found[0], one, atol=1e-5)


def test_other_layouts_are_mapped(weights: str) -> None:
    model = load(weights)
    joints = np.random.default_rng(0).normal(size=(30, 20, 3)).cumsum(axis=0)
    clip = Clip.from_array(joints, LAYOUTS["kinect_v1"])
    np.testing.assert_array_equal(embed_clips(model, [clip]), embed_clips(model, [to_unified(clip)]))
    flat = Clip.from_array(joints[..., :2], LAYOUTS["kinect_v1"], image_size=(64, 48))
    with pytest.raises(InputError, match="2D"):
        embed_clips(model, [flat])
    with pytest.raises(InputError, match="batch_size"):
        embed_clips(model, [clip], batch_size=0)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_stays_as_it_was(weights: str, training: bool) -> None:
    model = load(weights).train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    clips = list(generate(5))
    first, second = embed_clips(model, clips, 2), embed_clips(model, clips)
    np.testing.assert_allclose(first, second, atol=1e-5)  # batch-norm looks at no batch
    assert model.training == training
    assert model.encoder.training == training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_hidden_part_cannot_matter(weights: str, tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.orvpe", count=4)
    for occlusion in ("none", "upper"):
        embed(store, weights, str(tmp_path / f"{occlusion}.parquet"), occlusion=occlusion, device="cpu")
    clean, hidden = (read_vectors(tmp_path / f"{o}.parquet")["feature"] for o in ("none", "upper"))
    assert np.abs(clean - hidden).max() > 1e-3
    assert pq.read_schema(tmp_path / "upper.parquet").metadata[b"orvpe_occlusion"] == b"upper"


def test_the_front_page(weights: str) -> None:
    """What ``import orvpe`` promises."""
    model = orvpe.load(weights)
    joints = np.random.default_rng(0).normal(size=(10, 17, 3))
    vectors = orvpe.embed_clips(model, [orvpe.Clip.from_array(joints, orvpe.get_layout("unified"))])
    assert vectors.shape == (1, 16)
    assert vectors.dtype == np.float32

"""A classifier that learns from occluded versions of its clips too: `probe --versions`, `learn`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from orvpe.data.generated import generate
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_probe
from orvpe.lab.reproduce.steps import load_recipe
from orvpe.models.model import load
from orvpe.runtime.draws import ClipDraws
from orvpe.training.occluded_copies import with_versions
from orvpe.training.probe import probe
from orvpe.views.occlusion import SEVERAL, SUBGRAPHS
from orvpe.views.resident import ResidentStore
from orvpe.views.view import fixed_view
from orvpe.web.index import build_index, fit_classifier


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_store(tmp_path_factory.mktemp("versions") / "made.orvpe", generate(120, seed=3)).path)


def test_versions_are_the_occluded_clips_and_theirs_alone(store: str) -> None:
    model, data = load("robust-light-3d-joint").for_inference(), ResidentStore(Store.open(store))
    found = with_versions(model, data, np.arange(20), 3, seed=5, batch_size=7)
    assert found.shape == (4, 20, 256)
    torch.testing.assert_close(found[0], extract(model, data, np.arange(20)), atol=1e-5, rtol=1e-4)
    # a version by hand
    draws = ClipDraws("cpu", np.arange(20), 5, "view", SEVERAL, 2)
    by_hand = model.features(fixed_view(data.batch(np.arange(20)), model.view, SEVERAL, draws))
    torch.testing.assert_close(found[2], by_hand, atol=1e-5, rtol=1e-4)
    # what a clip is drawn depends on nothing but its place, the version and the seed
    some = with_versions(model, data, np.array([3, 11]), 3, seed=5)
    torch.testing.assert_close(some, found[:, [3, 11]], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found[1], found[2])
    assert not torch.allclose(with_versions(model, data, np.arange(20), 1, seed=6)[1], found[1])
    assert with_versions(model, data, np.arange(20), 0).shape == (1, 20, 256)


@pytest.mark.parametrize("method", ["logistic", "sgd"])
def test_they_help_where_parts_are_hidden(method: str, store: str, tmp_path: Path) -> None:
    hidden = {}
    for versions in (0, 4):
        results = probe(
            store, str(tmp_path / str(versions)), "random:0.5", "robust-light-3d-joint", method, epochs=5,
            versions=versions, device="cpu", threads=1,
        )  # fmt: skip
        hidden[versions] = np.mean([results["occlusions"][part]["top1"] for part in SUBGRAPHS])
        assert results["train_clips"] == 60
        told = results["arguments"]
        assert (told.get("versions"), told.get("occlusion")) == ((4, SEVERAL) if versions else (None, None))
    assert hidden[4] > hidden[0]


@pytest.mark.slow("fits a probe twice")
def test_one_occlusion_that_is_none_changes_nothing(store: str, tmp_path: Path) -> None:
    """Ten whole versions with a tenth of C each are one with C."""
    for name, more in (("a", {}), ("b", {"versions": 9, "occlusion": "none"})):
        where = str(tmp_path / name)
        probe(store, where, "random:0.5", "robust-light-3d-joint", device="cpu", threads=1, **more)  # type: ignore[arg-type]
    whole, ten = (load(tmp_path / name).head for name in "ab")
    assert whole is not None
    assert ten is not None
    torch.testing.assert_close(ten.weight, whole.weight, atol=2e-3, rtol=1e-2)


def test_what_does_not_fit(store: str, tmp_path: Path) -> None:
    for more, line in (
        ({"versions": -1}, "versions is -1, expected 0 to 100"),
        ({"versions": 10**20}, "versions is 1000.*, expected 0 to 100"),
        ({"occlusion": "upper"}, "occlusion is 'upper', expected versions with it"),
        ({"versions": 2, "method": "knn"}, "versions is 2, expected 0 with method knn"),
        ({"versions": 2, "occlusion": "uper"}, "occlusion: unknown occlusion 'uper'"),
    ):
        with pytest.raises(InputError, match=line):
            probe(store, str(tmp_path / "p"), "random:0.5", "robust-light-3d-joint", **more)  # type: ignore[arg-type]
    assert not (tmp_path / "p").exists()


def test_another_number_of_versions_is_another_run(store: str, tmp_path: Path) -> None:
    words = (store, str(tmp_path / "p"), "random:0.5", "robust-light-3d-joint", "ridge")
    probe(*words, versions=2, occlusions=["none"], device="cpu", threads=1)
    with pytest.raises(InputError, match=r"holds another run \(versions was 2, now None\)"):
        probe(*words, occlusions=["none"], device="cpu", threads=1)


def test_what_serve_fits_knows_occluded_clips(store: str) -> None:
    model, opened = load("robust-light-3d-joint").for_inference(), Store.open(store)
    index = build_index(model, opened, "m", np.arange(5), "made")
    found = fit_classifier(model, opened, index)
    assert found is not None
    head, classes = found
    hidden = extract(model, ResidentStore(opened), index.where, "upper")
    right = [classes[i] == index.labels[k] for k, i in enumerate(head(hidden).argmax(dim=1).tolist())]
    target = torch.from_numpy(np.unique(index.labels, return_inverse=True)[1])
    whole = logistic_probe(extract(model, ResidentStore(opened), index.where), target, len(classes))
    assert np.mean(right) > (whole(hidden).argmax(dim=1) == target).float().mean()


@pytest.mark.parametrize(
    "name",
    [
        "robust-finetune-nucla",
        "robust-finetune-penn",
        "robust-pretrain-3d",
        "robust-pretrain-2d",
        "everyday-finetune-2d",
    ],
)
def test_the_recipes_hide_the_same(name: str) -> None:
    assert load_recipe(name)["view"]["occlusion"] == SEVERAL
    assert json.dumps(load_recipe("robust-probe")) == json.dumps({**load_recipe("quick-probe"), "versions": 9})

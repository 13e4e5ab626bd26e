"""The parts of orvpe serve: its samples, its map, its shelf of clips, its names of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.generated import generate
from orvpe.data.store import write_store
from orvpe.web.answers import Answers, open_answers
from orvpe.web.index import choose_samples, principal_axes
from orvpe.web.shelf import Shelf
from orvpe.web.uploads import safe_name


def test_samples_are_one_of_each_class() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 3 + ["c"] * 5 + [""] * 4)
    assert choose_samples(labels).tolist() == [4, 14]  # b is too small to give one away
    assert choose_samples(np.array([""] * 11), most=3).tolist() == [0, 5, 10]
    assert choose_samples(np.array(["a", "b"])).tolist() == []
    assert len(choose_samples(np.repeat(np.arange(20).astype(str), 5), most=6)) == 6


def test_principal_axes_against_a_covariance() -> None:
    x = np.random.default_rng(0).normal(size=(50, 8)) * np.arange(1, 9)
    mean, axes, scale = principal_axes(x)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    assert np.abs(axes.T @ vectors[:, [-1, -2]]) == pytest.approx(np.eye(2), abs=1e-6)
    assert np.var((x - mean) @ axes, axis=0, ddof=1) == pytest.approx(values[[-1, -2]])
    assert np.abs((x - mean) @ axes).max() == pytest.approx(scale)
    assert principal_axes(np.ones((1, 3)))[2] == 1


def test_the_shelf_forgets_what_nobody_asks_for(answers: Answers) -> None:
    shown = answers.samples[0]
    shelf = Shelf([shown], most=3)
    ids = [shelf.add(answers.show(shown.clip)) for _ in range(3)]
    assert shelf.get(ids[0]) is not None
    ids.append(shelf.add(answers.show(shown.clip)))
    assert [shelf.get(i) is not None for i in ids] == [True, False, True, True]
    assert shelf.get("sample-0") is shown
    small = Shelf([], most_bytes=shown.size)
    first = small.add(answers.show(shown.clip))
    small.add(answers.show(shown.clip))
    assert small.get(first) is None


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("S001C001P001R001A001.skeleton", "S001C001P001R001A001.skeleton"),
        ("../../etc/passwd", "passwd"),
        ("C:\\clips\\my walk (2).bvh", "my walk (2).bvh"),
        (".hidden.npz", "hidden.npz"),
        ("a\0b\n.json", "a_b_.json"),
        ("..", "upload"),
        (None, "upload"),
        ("x" * 300 + ".skeleton", "x" * 80 + "x" * 11 + ".skeleton"),
    ],
)
def test_file_names(given: str | None, safe: str) -> None:
    assert safe_name(given) == safe


@pytest.mark.slow("starts the server with a shipped encoder and its store")
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("given", ["store", "samples"])
def test_the_encoder_is_of_the_clips_dimensions(dims: int, given: str, tmp_path: Path) -> None:
    path = str(tmp_path / "clips.orvpe")
    write_store(path, generate(24, dims=dims))
    stores = {"store": None, given: path}
    opened = open_answers(None, **stores)
    assert (opened.name, opened.model.dims) == (f"robust-light-{dims}d-joint", dims)

"""Accuracies against loops over clips."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.errors import InputError
from orvpe.evaluation.evaluate import per_class_table, table
from orvpe.evaluation.metrics import accuracy


def reference(scores: np.ndarray, target: np.ndarray) -> tuple[float, float, float, np.ndarray]:
    """Top-1, top-5, mean per class, confusion; equal scores are ranked by class number."""
    n, classes = scores.shape
    confusion = np.zeros((classes, classes), dtype=int)
    first = five = 0
    for row, t in zip(scores, target, strict=True):
        order = sorted(range(classes), key=lambda c: (-row[c], c))
        confusion[t, order[0]] += 1
        first += order[0] == t
        five += t in order[:5]
    own = [confusion[c, c] / confusion[c].sum() for c in range(classes) if confusion[c].sum()]
    return 100 * first / n, 100 * five / n, 100 * sum(own) / len(own), confusion


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 9999), st.booleans())
def test_against_a_loop(n: int, classes: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (n, classes)).astype(float) if ties else rng.normal(size=(n, classes))
    target = rng.integers(0, classes, n)
    got, (first, five, mean, confusion) = accuracy(scores, target), reference(scores, target)
    assert (got.top1, got.top5, got.mean_class) == pytest.approx((first, five, mean))
    assert np.array_equal(got.confusion, confusion)
    assert [got.of(m) for m in ("top1", "top5", "mean_class")] == [got.top1, got.top5, got.mean_class]
    for c, share in enumerate(got.per_class):
        hits = confusion[c].sum()
        assert np.isnan(share) if not hits else share == pytest.approx(100 * confusion[c, c] / hits)


def test_rare_classes_weigh_as_much() -> None:
    scores = np.zeros((10, 3))
    scores[:, 0] = 1
    got = accuracy(scores, np.array([0] * 9 + [1]))
    assert got.top1 == pytest.approx(90)
    assert got.mean_class == pytest.approx(50)  # the class without clips does not count


def test_equal_scores_are_no_success() -> None:
    assert accuracy(np.zeros((4, 8)), np.full(4, 7)).top5 == 0


@pytest.mark.parametrize(
    ("scores", "target", "found"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), r"shape \(0, 3\) for 0 labels"),
        (np.zeros((2, 3)), np.zeros(3, int), r"shape \(2, 3\) for 3 labels"),
        (np.zeros(3), np.zeros(3, int), r"shape \(3,\)"),
        (np.array([[0.0, 1], [np.nan, 1]]), np.zeros(2, int), "clip 1 are NaN"),
        (np.zeros((2, 3)), np.array([0, 3]), "labels range from 0 to 3, expected 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "labels range from -1"),
    ],
)
def test_bad_input(scores: np.ndarray, target: np.ndarray, found: str) -> None:
    with pytest.raises(InputError, match=found):
        accuracy(scores, target)


def test_a_long_occlusion_does_not_move_the_columns() -> None:
    row = {"top1": 50.0, "top5": 100.0, "mean_class": 50.0, "retained": 100.0}
    names = ("none", "none/upper/joints:0.3+jitter")
    results = {"protocol": "all", "test_clips": 2, "metric": "top1", "generated_data": False}
    lines = table({**results, "occlusions": dict.fromkeys(names, row)}).splitlines()[1:]
    assert [line.index(word) + len(word) for line, word in zip(lines, ("top-1", "50.0", "50.0"), strict=True)] == [
        len(names[1]) + 1 + 8
    ] * 3
    assert len({len(line) for line in lines}) == 1


def test_a_table_of_classes_with_any_names() -> None:
    task: Any = SimpleNamespace(classes=["two\nlines", 'a, "b"', "\u00e9/x"])
    found = {
        "none": accuracy(np.eye(3)[[0, 1]], np.array([0, 1])),
        "a+b": accuracy(np.eye(3)[[1, 1]], np.array([0, 1])),
    }
    rows = list(csv.DictReader(io.StringIO(per_class_table(task, found), newline="")))
    assert [list(row.values()) for row in rows] == [
        ["two\nlines", "1", "100.00", "0.00"], ['a, "b"', "1", "100.00", "100.00"], ["\u00e9/x", "0", "", ""],
    ]  # fmt: skip

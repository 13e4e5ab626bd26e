"""A classifier that can answer unknown: confidence, risk curve, saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.errors import InputError
from orvpe.models.model import Model, load
from orvpe.models.open_set import POINTS, Answers, OpenSet, cues, fit_open_set, learned_clips, risk_curve
from orvpe.poses.skeleton import unified


def _made(seed: int = 0, apart: float = 6.0) -> tuple[OpenSet, torch.Tensor, torch.Tensor, torch.nn.Linear]:
    """Two classes that are learned and a third that is not, as clouds far from each other."""
    g = torch.Generator().manual_seed(seed)
    middle = torch.eye(8)[:3] * apart
    target = torch.arange(3).repeat_interleave(60)
    x = middle[target] + torch.randn(180, 8, generator=g)
    head = torch.nn.Linear(8, 2)
    with torch.no_grad():
        head.weight.copy_(torch.eye(8)[:2])
        head.bias.zero_()
    known = target < 2
    half = torch.arange(180) % 2 == 0
    learned = learned_clips(x[known & half], target[known & half], np.arange(180)[(known & half).numpy()])
    asked = x[~half]
    with torch.no_grad():
        found = cues(asked, head(asked), learned)
        right = (head(asked).argmax(dim=1) == target[~half]).numpy()
    made = fit_open_set(learned, Answers(found.double().numpy(), right, known[~half].numpy()))
    return made, x, target, head


def test_what_is_of_no_class_gets_no_name() -> None:
    made, x, target, head = _made()
    with torch.no_grad():
        p = made.probabilities(x, head(x))
    least = made.threshold(0.1)
    named = p.amax(dim=1) >= least
    assert named[target < 2].float().mean() > 0.9
    assert named[target == 2].float().mean() < 0.2
    assert made.coverage(0.1) > 0.9
    assert (p.sum(dim=1) <= 1 + 1e-5).all()
    assert (p.argmax(dim=1) == head(x).argmax(dim=1)).all()
    assert (p.amax(dim=1) - made.confidence(x, head(x))).abs().max() < 1e-6


def test_less_risk_is_a_higher_threshold() -> None:
    made, *_ = _made(apart=2.0)
    thresholds = [made.threshold(risk) for risk in (0.02, 0.1, 0.2, 0.5, 1.0)]
    assert thresholds == sorted(thresholds, reverse=True)
    for risk in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="risk is"):
            made.threshold(risk)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 150))
def test_curve_by_counting(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, 12, n) / 12  # with ties
    known = rng.random(n) < 0.6
    right = known & (rng.random(n) < 0.7)
    weight = np.where(known, 0.5, 2.0)
    thresholds, risks, coverages = risk_curve(confidence, right, known, weight)
    assert len(thresholds) == len(risks) == len(coverages) == POINTS
    for t, risk, coverage in zip(thresholds, risks, coverages, strict=True):
        said = confidence >= t
        one = weight.mean()
        assert risk == pytest.approx((weight[said & ~right].sum() + one) / (weight[said].sum() + one))
        assert coverage == pytest.approx((said & known).sum() / max(known.sum(), 1))


def test_few_answers_promise_little() -> None:
    """Five right answers do not prove that one in ten is wrong at most."""
    cue = np.tile([8.0, 0.5, 1.0], (5, 1))
    learned = learned_clips(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64), np.arange(5))
    answers = Answers(np.concatenate([cue, -cue]), np.arange(10) < 5, np.arange(10) < 5)
    assert fit_open_set(learned, answers).threshold(0.1) == 1.0
    with pytest.raises(InputError, match="unknown"):
        fit_open_set(learned, Answers(cue, np.ones(5, bool), np.ones(5, bool)))


def test_it_is_part_of_the_model(tmp_path: Path) -> None:
    made, *_ = _made()
    model = Model(ENCODER, unified, 3, VIEW, classes=["a", "b"])
    wide = OpenSet(7, model.feature_dim)
    for value in wide.buffers():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape))
    model.open_set = wide
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.open_set is not None
    for name, value in wide.named_buffers():
        assert (getattr(again.open_set, name) == value).all()
    x, scores = torch.randn(3, model.feature_dim), torch.randn(3, 2)
    assert (again.open_set.probabilities(x, scores) == wide.probabilities(x, scores)).all()
    assert made.bias.ndim == 0
    card = (tmp_path / "m" / "card.json").read_text()
    for wrong in ("0", '"7"', "true", "8"):
        (tmp_path / "m" / "card.json").write_text(card.replace('"open_set": 7', f'"open_set": {wrong}'))
        with pytest.raises(InputError, match=r"open_set|prototypes"):
            load(tmp_path / "m")


def test_what_varies_within_the_classes_counts_less() -> None:
    """Two classes that differ along one axis, people that differ more along another."""
    g = torch.Generator().manual_seed(1)
    target = torch.arange(2).repeat_interleave(40)
    x = torch.randn(80, 6, generator=g) * torch.tensor([0.3, 9.0, 0.3, 0.3, 0.3, 0.3])
    x[:, 0] += 2.0 * target
    learned = learned_clips(x, target, np.arange(80))
    spread = ((x - learned.centre) @ learned.whitening)[target == 0]
    raw = x[target == 0].std(dim=0)
    assert spread.std(dim=0).max() / spread.std(dim=0).min() < 0.5 * raw.max() / raw.min()
    asked = torch.zeros(2, 6)
    asked[0, 0], asked[1, 3] = 2.0, 9.0  # a learned class; nobody differs so along the fourth axis
    found = cues(asked, torch.zeros(2, 2), learned)
    assert found[0, 1] < found[1, 1]
    flat = learned_clips(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]), np.arange(4))  # nothing varies
    assert torch.isfinite(cues(torch.ones(1, 3), torch.zeros(1, 2), flat)).all()

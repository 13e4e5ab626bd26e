"""Learning rates at the points one can check by hand, and which parameters decay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from orvpe.errors import InputError
from orvpe.models.encoders import build_encoder
from orvpe.training.optim import Optim, build_optimizer, learning_rate, set_learning_rate


def rates(config: Optim, epochs: int, steps: int = 200) -> np.ndarray:
    return np.array([learning_rate(config, p, epochs) for p in np.linspace(0, epochs, steps, endpoint=False)])


def test_step_schedule_of_the_paper() -> None:
    config = Optim(lr=0.1, milestones=[30, 50])
    for progress, want in ((0, 0.1), (29.99, 0.1), (30, 0.01), (49.9, 0.01), (50, 0.001), (59.9, 0.001)):
        assert learning_rate(config, progress, 60) == pytest.approx(want)


def test_constant() -> None:
    assert set(rates(Optim(lr=0.3, schedule="constant"), 10)) == {0.3}


@pytest.mark.parametrize(("schedule", "end"), [("cosine", 0.0), ("one-cycle", 1e-5)])
@pytest.mark.parametrize("warmup", [0.0, 2.0])
def test_cosines(schedule: str, end: float, warmup: float) -> None:
    config = Optim(lr=0.1, schedule=schedule, warmup=warmup)
    assert learning_rate(config, warmup, 12) == pytest.approx(0.1)
    assert learning_rate(config, warmup + (12 - warmup) / 2, 12) == pytest.approx((0.1 + end) / 2)
    assert learning_rate(config, 12, 12) == pytest.approx(end)
    falling = [learning_rate(config, p, 12) for p in np.linspace(warmup, 12, 50)]
    assert (np.diff(falling) < 0).all()


@pytest.mark.parametrize(("schedule", "low"), [("step", 0.0), ("cosine", 0.0), ("constant", 0.0), ("one-cycle", 0.004)])
def test_warmup_rises_in_a_straight_line(schedule: str, low: float) -> None:
    config = Optim(lr=0.1, schedule=schedule, warmup=4.0)
    for progress in (1, 2, 3.9):
        assert learning_rate(config, progress, 20) == pytest.approx(low + (0.1 - low) * progress / 4)
    assert 0 < learning_rate(config, 0, 20) <= low + 2e-4  # a first step of exactly zero would be wasted


@pytest.mark.parametrize("schedule", ["step", "cosine", "one-cycle", "constant"])
def test_rates_are_positive_and_never_above_the_peak(schedule: str) -> None:
    for warmup in (0.0, 3.0, 50.0):
        got = rates(Optim(lr=0.1, schedule=schedule, warmup=warmup, milestones=[4]), 10)
        assert got.min() > 0
        assert got.max() <= 0.1 + 1e-12


@pytest.mark.parametrize("name", ["agcn", "light", "stgcn", "msaagcn", "msg3d", "unik", "ctrgcn"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_decay_spares_biases_norms_and_graphs_when_asked(name: str, optimizer: str) -> None:
    modules = [build_encoder(name, width=(8,), strides=(1,)), nn.Linear(8, 3)]
    named = {n: p for m in modules for n, p in m.named_parameters()}
    for decay_norm in (True, False):
        config = Optim(name=optimizer, lr=0.1, weight_decay=0.01, decay_norm=decay_norm, milestones=[])
        decays = {
            id(p): group["weight_decay"]
            for group in build_optimizer(modules, config).param_groups
            for p in group["params"]
        }
        assert len(decays) == len(named)  # each parameter once
        for n, p in named.items():
            weight = p.ndim > 1 and n.rpartition(".")[2] == "weight"
            assert decays[id(p)] == (0.01 if decay_norm or weight else 0.0), n


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    groups = build_optimizer([layer], Optim()).param_groups
    assert [id(p) for g in groups for p in g["params"]] == [id(layer.bias)]


def test_sgd_step_by_hand() -> None:
    """Momentum, weight decay and Nesterov as in the configuration."""
    for nesterov in (False, True):
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.fill_(2.0)
        optimizer = build_optimizer([layer], Optim(lr=0.1, momentum=0.9, weight_decay=0.5, nesterov=nesterov))
        w, buffer = 2.0, 0.0
        for step in range(3):
            layer.weight.grad = torch.full((1, 1), 1.0)
            set_learning_rate(optimizer, 0.1 / (step + 1))
            optimizer.step()
            gradient = 1.0 + 0.5 * w
            buffer = 0.9 * buffer + gradient if step else gradient
            w -= 0.1 / (step + 1) * (gradient + 0.9 * buffer if nesterov else buffer)
            assert layer.weight.item() == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("decay_norm", [True, False])
def test_the_encoder_takes_its_share_of_the_learning_rate(optimizer: str, decay_norm: bool) -> None:
    def moved(share: float) -> dict[str, float]:
        torch.manual_seed(0)
        model = nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), "head": nn.Linear(3, 2)})
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        config = Optim(name=optimizer, lr=0.1, encoder=share, weight_decay=0.01, decay_norm=decay_norm)
        made = build_optimizer([model], config)
        set_learning_rate(made, 0.05)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        made.step()
        return {n: (p.detach() - before[n]).abs().max().item() for n, p in model.named_parameters()}

    whole, quarter = moved(1.0), moved(0.25)
    assert min(whole.values()) > 0.04
    for name, distance in whole.items():
        assert quarter[name] == pytest.approx(distance * (0.25 if name.startswith("encoder.") else 1.0), rel=1e-4)


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ({"name": "sdg"}, "unknown optim.name 'sdg'.*'sgd'"),
        ({"schedule": "cosin"}, "unknown optim.schedule 'cosin'.*'cosine'"),
        ({"lr": -1}, "optim.lr is -1"),
        ({"lr": float("nan")}, "optim.lr is nan"),
        ({"warmup": -1}, "optim.warmup is -1"),
        ({"encoder": 0}, "optim.encoder is 0, expected above 0, at most 1"),
        ({"encoder": 1.5}, "optim.encoder is 1.5"),
    ],
)
def test_bad_settings(setting: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        Optim(**setting)

"""Encoders made ready for inference, and convolutions over frames with a weight gradient of their own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.encoders import close, scrambled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from orvpe.models.encoders import build_encoder
from orvpe.models.encoders.agcn import AGCN
from orvpe.models.encoders.inference import prepare
from orvpe.models.encoders.light import LightEncoder
from orvpe.models.encoders.temporal_conv import TemporalConv, weight_gradient


def trained(name: str) -> nn.Module:
    """An encoder whose batch-norms are no identities."""
    if name == "agcn":
        return scrambled(3).double().eval()
    torch.manual_seed(3)
    model = build_encoder(name).double()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.mark.parametrize("name", ["agcn", "light"])
def test_prepared_encoders_give_the_same_features(name: str) -> None:
    model = trained(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ready = prepare(model)
    x = torch.randn(3, 3, 21, 17, dtype=torch.float64)
    with torch.no_grad():
        assert close(ready(x), model(x), 1e-12)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())  # the original stays as it was


def test_what_is_folded() -> None:
    left = [m for m in prepare(AGCN()).modules() if isinstance(m, nn.BatchNorm2d)]
    assert left == []
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in LightEncoder().modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in prepare(LightEncoder()).modules()) < norms


def test_a_prepared_encoder_is_in_evaluation_mode_and_has_no_gradient() -> None:
    model = AGCN(width=(8, 8), strides=(1, 2)).train()
    ready = prepare(model)
    assert model.training
    assert not ready.training
    assert not any(p.requires_grad for p in ready.parameters())
    assert all(p.requires_grad for p in model.parameters())


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 3), c=st.integers(1, 5), o=st.integers(1, 5), t=st.integers(1, 13), v=st.integers(1, 4),
    kernel=st.sampled_from([1, 3, 5, 9]), stride=st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_weight_gradient_is_autograds(
    n: int, c: int, o: int, t: int, v: int, kernel: int, stride: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(n, c, t, v, dtype=torch.float64)
    weight = torch.randn(o, c, kernel, 1, dtype=torch.float64, requires_grad=True)
    y = F.conv2d(x, weight, None, (stride, 1), (kernel // 2, 0))
    grad = torch.randn_like(y)
    (want,) = torch.autograd.grad(y, weight, grad)
    layout = torch.channels_last
    got = weight_gradient(x.contiguous(memory_format=layout), grad.contiguous(memory_format=layout), kernel, stride)
    assert got.shape == want.shape
    assert close(got, want, 1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_temporal_conv_is_a_conv2d(stride: int) -> None:
    torch.manual_seed(0)
    ours = TemporalConv(4, 6, 9, stride).double()
    theirs = nn.Conv2d(4, 6, (9, 1), (stride, 1), (4, 0)).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 11, 5, dtype=torch.float64, requires_grad=True)
    z = x.detach().clone().requires_grad_()
    a, b = ours(x), theirs(z)
    assert close(a, b, 1e-12)
    weight = torch.randn_like(b)
    (a * weight).sum().backward()
    (b * weight).sum().backward()
    assert x.grad is not None
    assert z.grad is not None
    assert close(x.grad, z.grad, 1e-12)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert close(p.grad, q.grad, 1e-12)

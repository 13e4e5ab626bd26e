"""Batch-norm over two gloo processes against one process that has the whole batch."""

from __future__ import annotations

import pytest
import torch
from helpers import two_processes
from torch import Tensor, nn

from orvpe.models.encoders.agcn import AGCN
from orvpe.training.sync_norm import SyncBatchNorm, convert_sync_batchnorm

KINDS = ("plain", "bare", "average", "untracked", "agcn")


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "agcn":
        model: nn.Module = AGCN(width=(8, 16), strides=(1, 2))
    else:
        momentum = None if kind == "average" else 0.1
        model = nn.Sequential(
            nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, momentum=momentum, affine=kind != "bare"), nn.ReLU(),
            nn.Flatten(2), nn.BatchNorm1d(5, track_running_stats=kind != "untracked"),
        )  # fmt: skip
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model.double()


def steps(model: nn.Module, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Two training passes and one in evaluation: outputs, gradients of both, running statistics."""
    x = x.clone().requires_grad_()
    model.train()
    for scale in (1.0, 2.0):
        out = model(scale * x)
        (out.flatten(1) * weight).sum().backward()
    result = {"out": out.detach(), "x.grad": x.grad, "eval": model.eval()(x).detach()}
    result |= {f"grad {n}": p.grad for n, p in model.named_parameters()}
    result |= {f"buffer {n}": b for n, b in model.named_buffers() if "fixed" not in n}
    return result


def batch(kind: str) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = 3.0 + torch.randn(5, 3, 6, 17, dtype=torch.float64)
    return x, torch.randn(5, 16 if kind == "agcn" else 510, dtype=torch.float64)


def parts(rank: int) -> dict[str, dict[str, Tensor]]:
    """A process's share of each kind: 2 clips for the first, 3 for the second."""
    mine = slice(0, 2) if rank == 0 else slice(2, 5)
    return {kind: steps(convert_sync_batchnorm(make(kind)), *(b[mine] for b in batch(kind))) for kind in KINDS}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    return two_processes.run(parts, tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one(kind: str, both: list[dict[str, dict[str, Tensor]]]) -> None:
    want = steps(make(kind), *batch(kind))
    first, second = both[0][kind], both[1][kind]
    assert set(first) == set(want)
    for name, value in want.items():
        if name == "eval" and kind == "untracked":
            continue  # without running statistics evaluation is over each process's own batch
        if name in ("out", "x.grad", "eval"):
            got = torch.cat((first[name], second[name]))
        elif name.startswith("grad"):
            got = first[name] + second[name]
        else:
            assert torch.equal(first[name], second[name]), name
            got = first[name]
        torch.testing.assert_close(got, value, rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")


def test_conversion_keeps_names_parameters_and_mode() -> None:
    model = make("agcn").eval()
    names, parameters = list(model.state_dict()), list(model.parameters())
    converted = convert_sync_batchnorm(model)
    assert converted is model
    assert list(model.state_dict()) == names
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, SyncBatchNorm) and not m.training for m in norms)


def test_without_a_process_group_it_is_ordinary() -> None:
    x, weight = batch("agcn")
    want, got = steps(make("agcn"), x, weight), steps(convert_sync_batchnorm(make("agcn")), x, weight)
    assert all(torch.equal(got[k], want[k]) for k in want)


def test_on_cuda_torchs_own_is_taken() -> None:
    converted = convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(3)), device="cuda")
    assert isinstance(converted[0], nn.SyncBatchNorm)

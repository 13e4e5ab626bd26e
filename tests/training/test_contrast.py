"""The contrastive module against slow references, closed forms and two real processes."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import two_processes
from helpers.vectors import generator, units
from torch import Tensor

from orvpe.errors import InputError
from orvpe.models.heads import Projection
from orvpe.training.contrast import ContrastiveModule
from orvpe.training.gather import from_all
from orvpe.training.losses import LOSSES, NCE, InfoNCE, info_nce

# --- projection -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_projection_gives_unit_rows_in_full_precision(kind: str) -> None:
    torch.manual_seed(0)
    project = Projection(kind=kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = project(torch.randn(4, 256))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.norm(dim=1), torch.ones(4))
    assert torch.isfinite(project(torch.zeros(2, 256))).all()


def test_projection_kinds() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 256)
    linear, mlp = Projection(), Projection(kind="mlp")
    assert sum(p.numel() for p in linear.parameters()) == 256 * 128 + 128
    want = x @ linear.layers.weight.T + linear.layers.bias
    torch.testing.assert_close(linear(x), want / want.norm(dim=1, keepdim=True))
    want = (x @ mlp.layers[0].weight.T + mlp.layers[0].bias).clamp(min=0) @ mlp.layers[2].weight.T
    want = want + mlp.layers[2].bias
    torch.testing.assert_close(mlp(x), want / want.norm(dim=1, keepdim=True))
    with pytest.raises(InputError, match="unknown projection 'deep'; known: linear, mlp"):
        Projection(kind="deep")


# --- losses ---------------------------------------------------------------------------------------------


def slow_info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> list[float]:
    """Eq. 3 and 4 in plain floats, with the positive in the denominator."""
    losses = []
    for b in range(len(query)):
        others = negatives if negatives.dim() == 2 else negatives[b]
        sim = [math.exp(float(query[b] @ v) / temperature) for v in (positive[b], *others)]
        losses.append(-math.log(sim[0] / sum(sim)))
    return losses


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("shared", [False, True])
def test_info_nce_is_the_slow_reference(temperature: float, shared: bool) -> None:
    query, positive = units(4, 16), units(4, 16, seed=1)
    negatives = units(9, 16, seed=2) if shared else units(4, 9, 16, seed=2)
    got = info_nce(query, positive, negatives, temperature)
    want = torch.tensor(slow_info_nce(query, positive, negatives, temperature), dtype=torch.float64)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_identical_embeddings_give_ln_k_plus_1() -> None:
    one = units(1, 128, dtype=torch.float32)
    loss = info_nce(one.expand(3, -1), one.expand(3, -1), one.expand(4096, -1))
    assert loss.tolist() == pytest.approx([math.log(4097)] * 3, abs=1e-4)
    assert math.log(4097) == pytest.approx(8.3180, abs=1e-4)


def test_a_random_bank_gives_about_nine() -> None:
    """ln(K + 1) plus half the variance of the similarities, 1 / (2 * 128 * 0.07^2) = 0.8."""
    module = ContrastiveModule(5000, generator=generator())
    query, indices = units(64, 128, seed=1, dtype=torch.float32), torch.arange(64)
    negatives = module.bank.sample_negatives(indices, 4096, generator(2))
    loss = module.loss((query * module.bank.gather(indices)).sum(1), module.bank.similarity(query, negatives))
    expected = math.log(4097) + 1 / (2 * 128 * 0.07**2)
    assert expected == pytest.approx(9.1, abs=0.05)
    assert float(loss.mean()) == pytest.approx(expected, abs=4 * 1.26 / math.sqrt(64))  # the positive's own spread
    drawn = ContrastiveModule.forward(module, torch.randn(64, 256, generator=generator(3)), indices, generator(4))
    assert float(drawn[0].detach().mean()) == pytest.approx(expected, abs=4 * 1.26 / math.sqrt(64))


@pytest.mark.parametrize("loss", list(LOSSES))
def test_losses_are_finite_and_differentiable_at_the_extremes(loss: str) -> None:
    module = LOSSES[loss](temperature=0.01, size=1000)
    for p, n in ((1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)):
        positive = torch.full((2,), p, requires_grad=True)
        negative = torch.full((2, 50), n, requires_grad=True)
        value = module(positive, negative)
        assert value.shape == (2,)
        value.sum().backward()
        assert torch.isfinite(value).all()
        assert torch.isfinite(positive.grad).all()
        assert torch.isfinite(negative.grad).all()
        assert (positive.grad <= 0).all()
        assert (negative.grad >= 0).all()


def slow_nce(positive: list[float], negative: list[list[float]], z: float, size: int, t: float) -> list[float]:
    losses = []
    for p, negatives in zip(positive, negative, strict=True):
        noise = len(negatives) / size

        def h(cosine: float, noise: float = noise) -> float:
            probability = math.exp(cosine / t) / z
            return probability / (probability + noise)

        losses.append(-math.log(h(p)) - sum(math.log(1 - h(n)) for n in negatives))
    return losses


def test_nce_is_the_slow_reference_with_z_of_the_first_batch() -> None:
    size, t = 200, 0.2
    loss = NCE(t, size).double()
    z = None
    for seed in range(3):
        cosines = 0.5 * units(4, 12, seed=seed)
        positive, negative = cosines[:, 0], cosines[:, 1:]
        if z is None:
            z = size * sum(math.exp(float(c) / t) for c in cosines.flatten()) / cosines.numel()
        want = slow_nce(positive.tolist(), negative.tolist(), z, size, t)
        assert loss(positive, negative).tolist() == pytest.approx(want, rel=1e-10)
        assert math.exp(float(loss.log_z)) == pytest.approx(z, rel=1e-10)
        single = NCE(t, size)
        single.load_state_dict(loss.state_dict())
        assert single(positive.float(), negative.float()).tolist() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_bad_temperatures_are_refused(temperature: float) -> None:
    for make in (lambda: InfoNCE(temperature), lambda: NCE(temperature, 10)):
        with pytest.raises(InputError, match="temperature"):
            make()


# --- the module -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("negatives", [None, 7])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_forward_is_its_parts(negatives: int | None, loss: str) -> None:
    torch.manual_seed(0)
    module = ContrastiveModule(30, inputs=16, outputs=8, negatives=negatives, loss=loss, generator=generator())
    module.double()
    feature, indices = torch.randn(3, 16, dtype=torch.float64), torch.tensor([2, 29, 11])
    value, embedding = module(feature, indices, generator(1))
    assert embedding.shape == (3, 8)
    torch.testing.assert_close(embedding, module.projection(feature))
    for b, i in enumerate(indices.tolist()):
        if negatives is None:
            others = [j for j in range(30) if j != i]
        else:
            others = module.bank.sample_negatives(indices, negatives, generator(1))[b].tolist()
        positive, rows = embedding[b] @ module.bank.rows[i], module.bank.rows[others]
        if loss == "info_nce":
            want = slow_info_nce(embedding[b : b + 1], module.bank.rows[[i]], rows, 0.07)
        else:
            z = math.exp(float(module.loss.log_z))
            want = slow_nce([float(positive)], [(rows @ embedding[b]).tolist()], z, 30, 0.07)
        assert float(value[b]) == pytest.approx(want[0], rel=1e-8)


def test_module_learns_and_the_bank_follows() -> None:
    """Clips that differ are told apart: the loss falls well below its start, rows turn to the embeddings."""
    torch.manual_seed(0)
    module = ContrastiveModule(20, inputs=16, outputs=8, negatives=10, generator=generator())
    feature, indices, draw = torch.randn(20, 16), torch.arange(20), generator(1)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(60):
        loss, embedding = module(feature, indices, draw)
        optimiser.zero_grad()
        loss.mean().backward()
        optimiser.step()
        module.update(indices, embedding)
        losses.append(float(loss.detach().mean()))
    assert losses[-1] < 0.2 * losses[0]
    assert float((module.bank.rows * module.projection(feature)).sum(1).mean()) > 0.95


def test_checkpoint_holds_bank_and_z() -> None:
    module = ContrastiveModule(30, loss="nce", negatives=5, generator=generator())
    feature, indices = torch.randn(4, 256), torch.arange(4)
    _, embedding = module(feature, indices, generator(1))
    module.update(indices, embedding)
    again = ContrastiveModule(30, loss="nce", negatives=5, generator=generator(9))
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.bank.rows, module.bank.rows)
    assert torch.equal(again.loss.log_z, module.loss.log_z)
    assert torch.equal(again(feature, indices, generator(2))[0], module(feature, indices, generator(2))[0])
    assert {"bank.rows", "loss.log_z"} <= set(module.state_dict())


def test_unknown_loss_is_named() -> None:
    with pytest.raises(InputError, match="unknown loss 'infonce'; did you mean 'info_nce' or 'nce'"):
        ContrastiveModule(30, negatives=5, loss="infonce")


# --- two processes --------------------------------------------------------------------------------------


def training(feature: Tensor, rows: Tensor, loss: str, world: int) -> dict[str, Tensor]:
    """Three steps; gradients are added over processes by hand, as the loss is a sum over the global batch."""
    torch.manual_seed(0)
    module = ContrastiveModule(40, inputs=16, outputs=8, negatives=6, loss=loss, generator=generator()).double()
    draw = generator(1)
    losses = []
    for step in range(3):
        value, embedding = module(feature, (rows + 5 * step) % 40, draw)
        module.zero_grad()
        value.sum().backward()
        with torch.no_grad():
            for p in module.parameters():
                if world > 1:
                    torch.distributed.all_reduce(p.grad)
                p -= 0.05 * p.grad
        module.update((rows + 5 * step) % 40, embedding)
        losses.append(value.detach())
    return {"losses": torch.stack(losses, 1), **module.state_dict()}


def global_batch() -> tuple[Tensor, Tensor]:
    return torch.randn(6, 16, generator=generator(7), dtype=torch.float64), torch.tensor([3, 30, 12, 28, 8, 39])


def share(rank: int) -> dict[str, dict[str, Tensor]]:
    """Three clips for each process."""
    feature, rows = global_batch()
    mine = slice(3 * rank, 3 * rank + 3)
    out = {loss: training(feature[mine], rows[mine], loss, 2) for loss in LOSSES}
    gathered = {"indices": torch.cat(from_all(rows[mine])), "embeddings": torch.cat(from_all(feature[mine]))}
    return {**out, "gathered": gathered}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    return two_processes.run(share, tmp_path_factory.mktemp("gloo"))


@pytest.mark.parametrize("loss", list(LOSSES))
def test_two_processes_keep_one_bank_and_agree_with_one(loss: str, both: list[dict]) -> None:
    first, second = both[0][loss], both[1][loss]
    want = training(*global_batch(), loss, 1)
    assert torch.equal(first["bank.rows"], second["bank.rows"])  # bit for bit
    for name in want:
        if name == "losses":
            got = torch.cat((first[name], second[name]))
        else:
            torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
            got = first[name]
        torch.testing.assert_close(got, want[name], rtol=1e-10, atol=1e-10)


def test_rows_of_all_processes_arrive_in_order(both: list[dict]) -> None:
    feature, rows = global_batch()
    for process in both:
        assert torch.equal(process["gathered"]["indices"], rows)
        assert torch.equal(process["gathered"]["embeddings"], feature)


def test_gathering_in_one_process_changes_nothing() -> None:
    feature, _ = global_batch()
    assert from_all(feature)[0] is feature

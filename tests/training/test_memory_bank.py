"""The memory bank against plain averages, and its negatives against what chance gives."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.vectors import generator, units
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.errors import InputError
from orvpe.training.bank import MemoryBank, _draw_distinct, _RowProducts
from orvpe.training.contrast import ContrastiveModule


def test_first_rows_are_unit_and_follow_the_generator() -> None:
    bank = MemoryBank(50, generator=generator(3))
    torch.testing.assert_close(bank.rows.norm(dim=1), torch.ones(50))
    assert torch.equal(bank.rows, MemoryBank(50, generator=generator(3)).rows)
    assert not torch.equal(bank.rows, MemoryBank(50, generator=generator(4)).rows)
    assert not bank.rows.requires_grad


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 1.0])
def test_a_row_is_the_momentum_average_of_its_past(momentum: float) -> None:
    bank = MemoryBank(6, 8, momentum, generator(1)).double()
    want = [[float(v) for v in row] for row in bank.rows]
    draw = generator(2)
    for epoch in range(4):
        order = torch.randperm(6, generator=draw)[:5]  # one clip sits out
        new = units(5, 8, seed=epoch)
        bank.update(order, new)
        for i, e in zip(order.tolist(), new.tolist(), strict=True):
            mixed = [momentum * a + (1 - momentum) * b for a, b in zip(want[i], e, strict=True)]
            length = math.sqrt(sum(v * v for v in mixed))
            want[i] = [v / length for v in mixed]
    torch.testing.assert_close(bank.rows, torch.tensor(want, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_gathered_rows_are_a_copy_and_carry_no_gradient() -> None:
    bank = MemoryBank(5, 4)
    rows = bank.gather(torch.tensor([1, 3]))
    before = rows.clone()
    embedding = units(2, 4, dtype=torch.float32).requires_grad_()
    bank.update(torch.tensor([1, 3]), embedding)
    assert torch.equal(rows, before)
    assert not bank.rows.requires_grad


@given(st.integers(2, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_negatives_are_others_and_never_twice(size: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, size - 1))
    indices = torch.tensor(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8)))
    bank = MemoryBank(size, 2)
    found = bank.sample_negatives(indices, k, generator(k))
    assert found.shape == (len(indices), k)
    for own, row in zip(indices.tolist(), found.tolist(), strict=True):
        assert own not in row
        assert len(set(row)) == k
        assert set(row) <= set(range(size))
    every = bank.others(indices)
    for own, row in zip(indices.tolist(), every.tolist(), strict=True):
        assert row == [i for i in range(size) if i != own]


def test_negatives_are_uniform_over_the_others() -> None:
    bank, draw = MemoryBank(12, 2), generator()
    indices = torch.tensor([0, 5, 11])
    counts, pairs = torch.zeros(3, 12), torch.zeros(12, 12)
    rounds, k = 4000, 3
    for _ in range(rounds):
        found = bank.sample_negatives(indices, k, draw)
        counts.scatter_add_(1, found, torch.ones(3, k))
        pairs[found[1, 0], found[1, 1]] += 1
    expected = rounds * k / 11
    for row, own in zip(counts, indices.tolist(), strict=True):
        assert row[own] == 0
        others = row[torch.arange(12) != own]
        assert float(((others - expected) ** 2 / expected).sum()) < 35  # chi-square of 10 degrees, p about 1e-4
    seen = pairs[pairs > 0]
    assert len(seen) == 11 * 10  # any two others occur together
    assert float(((seen - rounds / 110) ** 2 / (rounds / 110)).sum()) < 180  # 109 degrees, p about 1e-5


def test_negatives_do_not_depend_on_how_a_batch_is_divided() -> None:
    bank, indices = MemoryBank(100, 2), torch.tensor([4, 99, 17, 60])
    whole = bank.sample_negatives(indices, 20, generator(5))
    halves = [bank.sample_negatives(part, 20, generator(5)) for part in indices.split(2)]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, bank.sample_negatives(indices, 20, generator(6)))


def test_distinct_draws_are_every_row_of_numbers_alike() -> None:
    draw, rounds = generator(), 6000
    rows = torch.stack([_draw_distinct(12, 3, draw, torch.device("cpu")) for _ in range(rounds)])
    counts = torch.bincount(rows @ torch.tensor([144, 12, 1]), minlength=1728).double()
    possible = [a * 144 + b * 12 + c for a in range(12) for b in range(12) for c in range(12) if len({a, b, c}) == 3]
    assert counts[possible].sum() == rounds  # none has a number twice
    expected = rounds / len(possible)
    assert float(((counts[possible] - expected) ** 2 / expected).sum()) < 1520  # 1,319 degrees, p about 1e-4


@pytest.mark.parametrize(("n", "m"), [(4, 1), (400, 100), (16_388, 4097), (10_000_000, 65_537)])
def test_distinct_draws_are_there_at_any_size(n: int, m: int) -> None:
    found = _draw_distinct(n, m, generator(m), torch.device("cpu"))
    assert len(found.unique()) == m == len(found)
    assert 0 <= int(found.min()) <= int(found.max()) < n
    if m > 100:  # spread evenly, in position as in number: 4 standard deviations
        assert float(found.double().mean()) / n == pytest.approx(0.5, abs=4 / math.sqrt(12 * m))
        assert float(found[: m // 2].double().mean()) / n == pytest.approx(0.5, abs=4 / math.sqrt(6 * m))


def test_negatives_of_a_large_bank() -> None:
    """The properties above where the pool is smaller than the bank."""
    size, k = 40_000, 50
    bank, indices = MemoryBank(size, 1), torch.tensor([0, 39_999, 17, 18, 20_000, 17])
    whole = bank.sample_negatives(indices, k, generator(5))
    assert torch.equal(whole, torch.cat([bank.sample_negatives(p, k, generator(5)) for p in indices.split(2)]))
    assert not torch.equal(whole, bank.sample_negatives(indices, k, generator(6)))
    assert torch.equal(whole[2], whole[5])  # one clip, one set
    for own, row in zip(indices.tolist(), whole.tolist(), strict=True):
        assert own not in row
        assert len(set(row)) == k
        assert 0 <= min(row) <= max(row) < size
    draw = generator()
    own, counts = 20_000, torch.zeros(40)
    for _ in range(800):
        counts += torch.bincount(bank.sample_negatives(torch.tensor([own]), k, draw)[0] // 1000, minlength=40)
    expected = 800 * k / 40
    assert float(((counts - expected) ** 2 / expected).sum()) < 80  # 39 degrees, p about 1e-4


def test_the_draw_does_not_grow_with_the_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randperm", None)
    for size in (300_000, 3_000_000):
        assert MemoryBank(size, 1).sample_negatives(torch.tensor([5]), 4096, generator()).shape == (1, 4096)


@pytest.mark.parametrize("k", [0, 10, 4096])
def test_too_many_negatives_name_k_and_the_bank(k: int) -> None:
    for call in (
        lambda: MemoryBank(10, 2).sample_negatives(torch.tensor([0]), k),
        lambda: ContrastiveModule(10, negatives=k),
    ):
        with pytest.raises(InputError, match=rf"K = {k}, expected 1 to 9, .* bank of 10"):
            call()


@pytest.mark.parametrize(("config", "named"), [({"size": 1}, "1 sequence"), ({"size": 5, "momentum": 1.5}, "1.5")])
def test_bad_banks_are_refused(config: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        MemoryBank(**config)


@pytest.mark.parametrize(("size", "k"), [(40, 30), (40, 39), (400, 3)])  # the whole product, and gathered rows
def test_similarity_is_the_plain_dot_product(size: int, k: int) -> None:
    bank = MemoryBank(size, 16, generator=generator()).double()
    indices = bank.sample_negatives(torch.tensor([0, 7, 33]), k, generator(1))
    query = units(3, 16, seed=2).requires_grad_()
    got = bank.similarity(query, indices)
    want = torch.stack([torch.stack([query[b] @ bank.rows[i] for i in indices[b]]) for b in range(3)])
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(want)
    (grad,) = torch.autograd.grad((got * weight).sum(), query)
    (want_grad,) = torch.autograd.grad((want * weight).sum(), query)
    torch.testing.assert_close(grad, want_grad, rtol=1e-12, atol=1e-12)


def test_row_products_have_the_right_gradient() -> None:
    query, rows = units(2, 5).requires_grad_(), units(9, 5, seed=1)
    indices = torch.tensor([[0, 3, 8], [4, 4, 1]])
    assert torch.autograd.gradcheck(lambda q: _RowProducts.apply(q, rows, indices), query)

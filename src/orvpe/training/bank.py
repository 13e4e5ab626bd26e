"""The memory bank: one embedding per clip, updated by eq. 5, and the negatives drawn from it (section III-C).

Shapes: B clips of a batch, N clips in the bank, D = 128 dimensions of an embedding, K negatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.heads import unit
from orvpe.training.gather import from_all

POOL = 16  # rows a step's negatives are taken from, for each that a clip wants
_LEAST_POOL = 4096


class MemoryBank(nn.Module):
    """One row of unit length per clip, the momentum average of its past embeddings (eq. 5).

    The rows are a buffer: they are part of the state_dict and no gradient reaches them.

    Args:
        size: N, the clips of the data set.
        dim: D.
        momentum: m of eq. 5, the share of the old row that stays.
        generator: draws the first rows, uniform on the sphere.

    Raises:
        InputError: fewer than 2 clips, momentum outside 0..1.
    """

    rows: Tensor

    def __init__(
        self, size: int, dim: int = 128, momentum: float = 0.5, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"memory bank of {size} sequence(s), expected at least 2")
        if not 0.0 <= momentum <= 1.0:
            raise InputError(f"momentum of the memory bank is {momentum}, expected 0 to 1")
        self.momentum = momentum
        device = generator.device if generator is not None else None
        self.register_buffer("rows", unit(torch.randn(size, dim, generator=generator, device=device)))  # (N, D)

    def __len__(self) -> int:
        return self.rows.shape[0]

    def gather(self, indices: Tensor) -> Tensor:
        """A copy of the rows at indices (B,) -> (B, D)."""
        return self.rows[indices]

    @torch.no_grad()
    def update(self, indices: Tensor, embeddings: Tensor) -> None:
        """Eq. 5, then unit length again, for the batches of all processes together.

        Every process applies all of them, so that their banks stay equal.

        Args:
            indices: (B,) rows to move, each at most once over all processes; B is the same in all of them.
            embeddings: (B, D) of unit length.
        """
        indices = torch.cat(from_all(indices))
        new = torch.cat(from_all(embeddings.detach())).to(self.rows.dtype)
        self.rows[indices] = unit(self.momentum * self.rows[indices] + (1 - self.momentum) * new)

    def sample_negatives(self, indices: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw K different rows of other clips for each clip: indices (B,) -> (B, K).

        Every set of K other rows is equally likely.  All clips read one random pool of rows in random order, each from
        a place of its own, so that the draw takes the same numbers from the generator at any B and, given generators
        in the same state, is the same however the batch is divided among processes.  The pool is all other rows where
        they are few, else `POOL` times as many rows as are wanted: then the cost does not grow with the bank.  The
        sets of two clips overlap as the pool makes them; those of two steps are independent.

        Raises:
            InputError: K larger than the number of other sequences.
        """
        check_negatives(k, len(self))
        others = len(self) - 1
        device = generator.device if generator is not None else indices.device
        pool = max(POOL * k, _LEAST_POOL) + 1  # k and 16 k + 1 have no common divisor: all starts differ
        if others < 4 * pool:
            order = torch.randperm(others, generator=generator, device=device)  # (N - 1,)
        else:
            order = _draw_distinct(others, pool, generator, device)  # (pool,)
        order = order.to(indices.device)
        start = indices * k % len(order)  # (B,)
        place = (start[:, None] + torch.arange(k, device=indices.device)) % len(order)  # (B, K)
        return _skip_own(order[place], indices)

    def others(self, indices: Tensor) -> Tensor:
        """All rows but a clip's own: indices (B,) -> (B, N - 1)."""
        every = torch.arange(len(self) - 1, device=indices.device).expand(len(indices), -1)
        return _skip_own(every, indices)

    def similarity(self, query: Tensor, indices: Tensor) -> Tensor:
        """Dot products of each query (B, D) with its rows, at indices (B, K) -> (B, K)."""
        # A product with the whole bank reads each row once, gathering moves B*K rows through memory: by bytes
        # and operations the product is the cheaper up to a few dozen times more rows than are wanted.
        if len(self) <= 32 * indices.shape[1]:
            return (query @ self.rows.T).gather(1, indices)
        return _RowProducts.apply(query, self.rows, indices)


def check_negatives(k: int, size: int) -> None:
    """Raise InputError unless a bank of ``size`` rows has ``k`` negatives for each clip."""
    if not 1 <= k <= size - 1:
        raise InputError(
            f"negatives: K = {k}, expected 1 to {size - 1}, the other sequences of a memory bank of {size}"
        )


def _draw_distinct(n: int, m: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Draw m different numbers of 0..n-1 in random order, all orders equally likely; needs n >= 4 m -> (m,).

    The first m different ones of 2 m + 256 draws with replacement.  By symmetry in the numbers that is exact, given
    that there are m.  At most a quarter of the numbers is taken at any time, so that by Hoeffding's inequality there
    are fewer with a probability below e^-250, and the host need not wait for the device to know.
    """
    # 62 bits: the remainder of 32 would favour small numbers by n / 2^32
    drawn = torch.randint(1 << 62, (2 * m + 256,), generator=generator, device=device) % n
    ordered, back = torch.sort(drawn, stable=True)
    new = torch.ones_like(drawn, dtype=torch.bool)
    new[back[1:]] = ordered[1:] != ordered[:-1]  # whether a draw is its number's first
    place = torch.where(new, new.cumsum(0) - 1, m).clamp(max=m)
    return drawn.new_zeros(m + 1).scatter_(0, place, drawn)[:m]  # what is not wanted fell into the last place


def _skip_own(draw: Tensor, indices: Tensor) -> Tensor:
    """Numbers 0..N-2 (B, K) -> rows 0..N-1 without each clip's own."""
    return draw + (draw >= indices[:, None])


class _RowProducts(torch.autograd.Function):
    """Dot products with gathered rows, clip by clip, so that no (B, K, D) tensor is made, not even for backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(rows, indices)
        return torch.stack([rows[i] @ q for q, i in zip(query, indices, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        rows, indices = ctx.saved_tensors
        return torch.stack([g @ rows[i] for g, i in zip(grads[0], indices, strict=True)]), None, None

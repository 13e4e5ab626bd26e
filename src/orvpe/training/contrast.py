"""The contrastive module (section III-C): projection, memory bank, losses.

A clip's embedding is pulled towards the bank's row of the same sequence, which holds its other sub-graphs
from previous epochs, and pushed away from K rows of other sequences.  Where the text is wrong or silent:

* Eq. 3 leaves the positive out of the denominator and so has no lower bound: the loss is the (K+1)-way
  cross-entropy (InfoNCE), or noise-contrastive estimation (Wu et al., CVPR 2018), which the text allows.
* Minimising it maximises mutual information between sub-graphs of a sequence; the abstract says "minimizing".
* phi of eq. 4 is "a non-linear mapping", the implementation section has one layer: `Projection` offers both.
* The other sub-graph is the previous epoch's, not the previous iteration's: that is what a bank holds.
* Eq. 5 does not keep unit length, so rows are normalised again.

Shapes: B clips of a batch, N sequences in the bank, D = 128 dimensions of an embedding, K negatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError, unknown
from orvpe.models.heads import Projection, unit

# --- the memory bank ------------------------------------------------------------------------------------

POOL = 16  # rows a step's negatives are taken from, for each that a clip wants
_LEAST_POOL = 4096


class MemoryBank(nn.Module):
    """One unit row a sequence, the momentum average of its past embeddings (eq. 5).

    The rows are a buffer: they are part of the state_dict and no gradient reaches them.

    Args:
        size: N, the sequences of the data set.
        dim: D.
        momentum: m of eq. 5, the share of the old row that stays.
        generator: draws the first rows, uniform on the sphere.

    Raises:
        InputError: fewer than 2 sequences, momentum outside 0..1.
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
        """indices (B,) -> a copy of those rows (B, D)."""
        return self.rows[indices]

    @torch.no_grad()
    def update(self, indices: Tensor, embeddings: Tensor, distinct: bool = False) -> None:
        """Eq. 5, then unit length.  An index given twice is updated twice, in the order of the batch.

        Args:
            indices: (B,) rows to move.
            embeddings: (B, D) of unit length.
            distinct: no index is given twice, as in a batch of an epoch's order; then nothing waits for a GPU.
        """
        embeddings = embeddings.detach().to(self.rows.dtype)
        if distinct:
            self.rows[indices] = unit(self.momentum * self.rows[indices] + (1 - self.momentum) * embeddings)
            return
        turns = _occurrence(indices)  # (B,): 0 for an index's first appearance, 1 for its second ...
        for turn in range(int(turns.max()) + 1 if len(turns) else 0):
            now = turns == turn
            rows, new = indices[now], embeddings[now]
            self.rows[rows] = unit(self.momentum * self.rows[rows] + (1 - self.momentum) * new)

    def sample_negatives(self, indices: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
        """K rows of other sequences for each clip, none twice: indices (B,) -> (B, K).

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
        pool = max(POOL * k, _LEAST_POOL) + 1  # one more, as k and 16 k + 1 have no common divisor: starts all differ
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
        """query (B, D) against rows indices (B, K) -> dot products (B, K)."""
        # A product with the whole bank reads each row once, gathering moves B*K rows through memory: by bytes
        # and operations the product is the cheaper up to a few dozen times more rows than are wanted.
        if len(self) <= 32 * indices.shape[1]:
            return (query @ self.rows.T).gather(1, indices)
        return _RowProducts.apply(query, self.rows, indices)


def check_negatives(k: int, size: int) -> None:
    """InputError unless a bank of ``size`` rows can give ``k`` negatives."""
    if not 1 <= k <= size - 1:
        raise InputError(
            f"negatives: K = {k}, expected 1 to {size - 1}, the other sequences of a memory bank of {size}"
        )


def _draw_distinct(n: int, m: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """m different numbers of 0..n-1 in random order, every such row of numbers equally likely; needs n >= 4 m -> (m,).

    The first m different ones of 2 m + 256 draws with replacement.  By symmetry in the numbers that is exact, given
    that there are m.  At most a quarter of the numbers is taken at any time, so that by Hoeffding's inequality there
    are fewer with a probability below e^-250, and nothing has to wait for the device to be told.
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


def _occurrence(indices: Tensor) -> Tensor:
    """How often each entry of (B,) has appeared before."""
    ordered, back = torch.sort(indices, stable=True)
    first = torch.searchsorted(ordered, ordered)  # position where its run of equals begins
    turns = torch.empty_like(indices)
    turns[back] = torch.arange(len(indices), device=indices.device) - first
    return turns


class _RowProducts(torch.autograd.Function):
    """Dot products with gathered rows, clip by clip: (B, K, D) never exists, not even for backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(rows, indices)
        return torch.stack([rows[i] @ q for q, i in zip(query, indices, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        rows, indices = ctx.saved_tensors
        return torch.stack([g @ rows[i] for g, i in zip(grads[0], indices, strict=True)]), None, None


# --- losses ---------------------------------------------------------------------------------------------


class InfoNCE(nn.Module):
    """(K+1)-way cross-entropy of eq. 4's similarities.  Identical embeddings give ln(K + 1).

    Args:
        temperature: Temp of eq. 4.
        size: not used; every loss in `LOSSES` takes the same arguments.
    """

    def __init__(self, temperature: float = 0.07, size: int | None = None) -> None:
        super().__init__()
        self.temperature = _checked_temperature(temperature)

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Cosines with the positive (B,) and the negatives (B, K) -> loss of each clip (B,)."""
        logits = torch.cat((positive[:, None], negative), dim=1) / self.temperature  # (B, K + 1)
        return logits.logsumexp(dim=1) - logits[:, 0]


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.07) -> Tensor:
    """`InfoNCE` of unit vectors: query (B, D), positive (B, D), negatives (B, K, D) or (K, D) -> (B,)."""
    if negatives.dim() == 2:
        products = query @ negatives.T  # (B, K)
    else:
        products = torch.bmm(negatives, query[:, :, None])[:, :, 0]
    return InfoNCE(temperature)((query * positive).sum(dim=1), products)


class NCE(nn.Module):
    """Noise-contrastive estimation (Wu et al., CVPR 2018), the paper's cheaper alternative.

    P = exp(v.f / Temp) / Z is told from K uniform noise samples: h = P / (P + K/N) and the loss is
    -log h(positive) - sum log(1 - h(negatives)).  Z is N times the mean of exp over the first batch, of all
    processes, and stays; it is a buffer and so part of a checkpoint.

    Args:
        temperature: Temp of eq. 4.
        size: N.
    """

    log_z: Tensor

    def __init__(self, temperature: float = 0.07, size: int = 0) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"size of the NCE loss is {size}, expected the rows of the bank, at least 2")
        self.temperature = _checked_temperature(temperature)
        self.size = size
        self.register_buffer("log_z", torch.tensor(math.nan))  # NaN until the first batch
        self._estimated = False  # what the host knows of it, so that a GPU is asked once

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Cosines with the positive (B,) and the negatives (B, K) -> loss of each clip (B,)."""
        logits = torch.cat((positive[:, None], negative), dim=1) / self.temperature  # (B, K + 1)
        if not self._estimated:
            if bool(torch.isnan(self.log_z)):  # not from a checkpoint either
                self._estimate(logits.detach())
            self._estimated = True
        noise = math.log(negative.shape[1] / self.size)  # log(K / N)
        odds = logits - (self.log_z + noise).to(logits.dtype)  # log of P / (K/N); h is its sigmoid
        return F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(dim=1)

    @torch.no_grad()
    def _estimate(self, logits: Tensor) -> None:
        total, count = logits.logsumexp(dim=(0, 1)), logits.new_tensor(float(logits.numel())).log()
        total, count = torch.stack(_from_all(torch.stack((total, count)))).logsumexp(dim=0)  # of all processes
        self.log_z.copy_(math.log(self.size) + total - count)


def _checked_temperature(temperature: float) -> float:
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}, expected a number above 0")
    return temperature


LOSSES: dict[str, Callable[..., nn.Module]] = {"info_nce": InfoNCE, "nce": NCE}


# --- several processes ----------------------------------------------------------------------------------


def _from_all(tensor: Tensor) -> list[Tensor]:
    """This tensor of every process, in rank order; they have equal shapes."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [tensor]
    every = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(every, tensor.contiguous())
    return every


@torch.no_grad()
def all_gather_rows(indices: Tensor, embeddings: Tensor, alike: bool = False) -> tuple[Tensor, Tensor]:
    """The batches of all processes, one after the other in rank order; they may differ in size.

    Every process gets the same, so that applying it keeps their banks equal.  One process gets its own back.

    Args:
        indices: (B,) int64.
        embeddings: (B, D); no gradient passes.
        alike: B is the same in every process, so that the sizes need not be asked for.

    Returns:
        (sum of B,), (sum of B, D).
    """
    embeddings = embeddings.detach()
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return indices, embeddings
    if alike:
        return torch.cat(_from_all(indices)), torch.cat(_from_all(embeddings))
    sizes = [int(s) for s in _from_all(indices.new_tensor(len(indices)))]
    longest = max(sizes)
    pad = longest - len(indices)
    all_indices = _from_all(F.pad(indices, (0, pad)))
    all_embeddings = _from_all(F.pad(embeddings, (0, 0, 0, pad)))
    return (
        torch.cat([a[:s] for a, s in zip(all_indices, sizes, strict=True)]),
        torch.cat([a[:s] for a, s in zip(all_embeddings, sizes, strict=True)]),
    )


# --- the module -----------------------------------------------------------------------------------------


class ContrastiveModule(nn.Module):
    """Projection, bank and loss.  After each optimiser step call `update` with the embedding of `forward`.

    Under DistributedDataParallel pass ``broadcast_buffers=False``: the bank keeps itself equal.

    Args:
        size: N, the sequences of the data set.
        inputs, outputs: width of feature and embedding.
        projection: "linear" or "mlp", see `Projection`.
        loss: a name in `LOSSES`.
        negatives: K, or None for all other sequences.
        temperature: Temp of eq. 4.
        momentum: m of eq. 5.
        generator: draws the bank's first rows; give every process one in the same state.
        recordings: (N,) int64, the recording each sequence was cut from: others of the same one are no negatives.
            None for sequences that have nothing in common, as in the paper.

    Raises:
        InputError: a value out of its range; K larger than the bank.
    """

    def __init__(
        self,
        size: int,
        *,
        inputs: int = 256,
        outputs: int = 128,
        projection: str = "linear",
        loss: str = "info_nce",
        negatives: int | None = 4096,
        temperature: float = 0.07,
        momentum: float = 0.5,
        generator: torch.Generator | None = None,
        recordings: Tensor | None = None,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise InputError(unknown("loss", loss, LOSSES))
        self.bank = MemoryBank(size, outputs, momentum, generator)
        if negatives is not None:
            check_negatives(negatives, size)
        self.negatives = negatives
        self.projection = Projection(inputs, outputs, projection)
        self.loss = LOSSES[loss](temperature=temperature, size=size)
        self.recordings: Tensor | None
        self.register_buffer("recordings", recordings, persistent=False)

    def forward(
        self,
        feature: Tensor,
        indices: Tensor,
        generator: torch.Generator | None = None,
        positive: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Losses and embeddings of a batch.

        Args:
            feature: (B, inputs) of the encoder.
            indices: (B,) int64, which sequences these are.
            generator: draws the negatives; in the same state on every process.
            positive: (B, outputs) unit vectors to pull towards, a teacher's; None takes the bank's rows, the paper's.

        Returns:
            loss of each clip (B,), embedding (B, outputs).
        """
        query = self.projection(feature)  # (B, D)
        if self.negatives is None:
            negatives = self.bank.others(indices)  # (B, N - 1)
        else:
            negatives = self.bank.sample_negatives(indices, self.negatives, generator)  # (B, K)
        with torch.autocast(query.device.type, enabled=False):  # a cosine over 0.07 needs more than 8 bits
            target = self.bank.gather(indices) if positive is None else positive
            alike = (query * target).sum(dim=1)  # (B,)
            unlike = self.bank.similarity(query, negatives)  # (B, K)
            if self.recordings is not None:
                own = self.recordings[negatives] == self.recordings[indices][:, None]
                unlike = unlike.masked_fill(own, -torch.inf)
            loss = self.loss(alike, unlike)
        return loss, query

    def update(self, indices: Tensor, embedding: Tensor, distinct: bool = False) -> None:
        """Moves the bank's rows of the batches of all processes: indices (B,), embedding (B, outputs).

        ``distinct`` promises that all these batches have one size and that no index is in them twice.
        """
        self.bank.update(*all_gather_rows(indices, embedding, alike=distinct), distinct=distinct)

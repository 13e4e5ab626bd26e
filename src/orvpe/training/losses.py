"""The contrastive losses: cosines with the positive and with K negatives in, one loss per clip out (eq. 3 and 4).

Eq. 3 leaves the positive out of the denominator and so has no lower bound; docs/concepts/method.md, 3, says
what replaces it.

Shapes: B clips of a batch, D = 128 dimensions of an embedding, K negatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.training.gather import from_all


class InfoNCE(nn.Module):
    """(K+1)-way cross-entropy of eq. 4's similarities.  Identical embeddings give ln(K + 1).

    Args:
        temperature: Temp of eq. 4.
        size: not used; every loss in `LOSSES` takes the same arguments.

    Raises:
        InputError: a temperature that is not above 0.
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

    P = exp(v.f / Temp) / Z is distinguished from K uniform noise samples: h = P / (P + K/N) and the loss is
    -log h(positive) - sum log(1 - h(negatives)).  Z is N times the mean of exp over the first batch, of all
    processes, and stays; it is a buffer and so part of a checkpoint.

    Args:
        temperature: Temp of eq. 4.
        size: N, the rows of the bank.

    Raises:
        InputError: fewer than 2 rows, a temperature that is not above 0.
    """

    log_z: Tensor

    def __init__(self, temperature: float = 0.07, size: int = 0) -> None:
        super().__init__()
        if size < 2:
            raise InputError(f"size of the NCE loss is {size}, expected the rows of the bank, at least 2")
        self.temperature = _checked_temperature(temperature)
        self.size = size
        self.register_buffer("log_z", torch.tensor(math.nan))  # NaN until the first batch
        self._estimated = False  # known to the host, so that a GPU is asked once

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
        total, count = torch.stack(from_all(torch.stack((total, count)))).logsumexp(dim=0)  # of all processes
        self.log_z.copy_(math.log(self.size) + total - count)


def _checked_temperature(temperature: float) -> float:
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}, expected a number above 0")
    return temperature


LOSSES: dict[str, Callable[..., nn.Module]] = {"info_nce": InfoNCE, "nce": NCE}

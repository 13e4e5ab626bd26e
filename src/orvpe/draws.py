"""Random numbers that do not depend on how a batch is spread over processes."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seeded(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator whose state is a function of ``key`` alone, e.g. (seed, "views", epoch, step).

    Random operations are thereby stateless: a resumed run needs no saved generator to go on bit-identically.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


class Draws:
    """Draws for the ``total`` clips of a global batch, of which this process keeps ``rows``.

    Every process draws the same numbers for all clips and keeps its own, so that two processes with half a batch
    each see exactly the clips that one process with the whole batch sees.
    """

    def __init__(self, generator: torch.Generator, total: int, rows: slice | None = None) -> None:
        self.generator, self.total = generator, total
        self.rows = rows if rows is not None else slice(0, total)

    def uniform(self, *shape: int) -> Tensor:
        """(n, *shape) in [0, 1)."""
        return torch.rand((self.total, *shape), generator=self.generator, device=self.generator.device)[self.rows]

    def normal(self, *shape: int) -> Tensor:
        """(n, *shape), standard normal."""
        return torch.randn((self.total, *shape), generator=self.generator, device=self.generator.device)[self.rows]

    def integers(self, high: int, *shape: int) -> Tensor:
        """(n, *shape) int64 in [0, high)."""
        return torch.randint(high, (self.total, *shape), generator=self.generator, device=self.generator.device)[
            self.rows
        ]

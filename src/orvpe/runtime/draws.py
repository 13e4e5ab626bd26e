"""Random numbers that do not depend on how a batch is spread over processes.

Integers and uniform numbers are exactly the same.  Normal ones of `Draws.normal_at` are the same to float32 rounding:
vectorised ``log1p`` and ``cos`` may differ in the last bit by the place of a number in its tensor.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from functools import cached_property, partial

import torch
from torch import Tensor


def seeded(device: torch.device | str, *key: int | str) -> torch.Generator:
    """A generator whose state is a function of ``key`` alone, e.g. (seed, "views", epoch, step).

    Random operations are thereby stateless: a run resumed on the same machine needs no saved generator to end with
    the same bits as one that was never interrupted.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


class Draws:
    """Draws for the ``total`` clips of a global batch, of which this process keeps ``rows``.

    Every process draws the same numbers for all clips and keeps its own, so that two processes with half a batch
    each see the clips that one process with the whole batch sees, to float32 rounding.
    """

    def __init__(self, generator: torch.Generator, total: int, rows: slice | None = None) -> None:
        self.generator, self.total = generator, total
        self.rows = rows if rows is not None else slice(0, total)

    def uniform(self, *shape: int) -> Tensor:
        """(n, *shape) in [0, 1)."""
        return self._draw(torch.rand, *shape)

    def normal(self, *shape: int) -> Tensor:
        """(n, *shape), standard normal."""
        return self._draw(torch.randn, *shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """(n, *shape) int64 in [0, high)."""
        return self._draw(partial(torch.randint, high), *shape)

    def _draw(self, function: Callable[..., Tensor], *shape: int) -> Tensor:
        """(n, *shape) of torch.rand and its like."""
        return function((self.total, *shape), generator=self.generator, device=self.generator.device)[self.rows]

    def uniform_at(self, *shape: int) -> Tensor:
        """(n, *shape) in [0, 1), where shape is of padded clips: each number is a function of its clip and place alone.

        A batch is padded to its longest clip, and half of it to another length than the whole.  Numbers drawn in a
        row would therefore differ between one process and two; these, hashed from one draw a clip, do not.
        """
        bits = self.integers(1 << 62)
        for last, size in enumerate(shape, 1 - len(shape)):
            place = torch.arange(1, size + 1, device=bits.device)
            bits = _scramble(bits[..., None] + place * _STEP, whole=last < 0)
        bits >>= 40
        bits &= 0xFFFFFF
        return bits.float().div_(1 << 24)

    def normal_at(self, *shape: int) -> Tensor:
        """(n, *shape), standard normal (Box-Muller); as in `uniform_at`, a number depends on its clip and place alone.

        This holds to float32 rounding: the vectorised functions may round differently at another place in the tensor.
        """
        radius, angle = self.uniform_at(*shape, 2).unbind(-1)
        length = (-radius).log1p_().mul_(-2).sqrt_()  # in place: batches of draws are large
        return length.mul_((2 * math.pi * angle).cos_())


class ClipDraws(Draws):
    """Draws made clip by clip, for tests and embeddings: a clip has the same in any batch, to float32 rounding.

    Args:
        device: where the numbers are drawn.
        places: one number a clip, say its place in the store.
        key: of all of them, as `seeded` takes it.
    """

    def __init__(self, device: torch.device | str, places: Iterable[int], *key: int | str) -> None:
        self.device, self.places, self.key = device, [int(p) for p in places], key

    @cached_property
    def _generators(self) -> list[torch.Generator]:  # made when asked for: most views draw nothing
        return [seeded(self.device, *self.key, place) for place in self.places]

    def _draw(self, function: Callable[..., Tensor], *shape: int) -> Tensor:
        return torch.stack([function(shape, generator=g, device=g.device) for g in self._generators])


_STEP = 0x9E3779B97F4A7C15 - (1 << 64)  # SplitMix64 (Steele et al., 2014), in two's complement


def _scramble(bits: Tensor, whole: bool = True) -> Tensor:
    """SplitMix64's finaliser on int64, in place; products wrap, and masks make the shifts unsigned.

    Without ``whole`` the lower 33 bits are left as they are, which nobody asked for.
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9 - (1 << 64)), (27, 0x94D049BB133111EB - (1 << 64))):
        bits ^= _shifted(bits, shift)
        bits *= factor
    if whole:
        bits ^= _shifted(bits, 31)
    return bits


def _shifted(bits: Tensor, shift: int) -> Tensor:
    """Shifted to the right as an unsigned number."""
    lower = bits >> shift
    lower &= (1 << (64 - shift)) - 1
    return lower

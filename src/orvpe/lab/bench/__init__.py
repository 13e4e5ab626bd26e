"""Benchmarks: the library next to literal references and the hardware's limits, in one run."""

from __future__ import annotations

from orvpe.lab.bench.command import PARTS, bench

__all__ = ["PARTS", "bench"]

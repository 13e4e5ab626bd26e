"""Measuring: the library against literal references and the machine's own ceilings, side by side in one run."""

from __future__ import annotations

from orvpe.lab.bench.command import PARTS, bench

__all__ = ["PARTS", "bench"]

"""The machine's own ceilings: how fast it multiplies matrices, and how fast it moves memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median, spread

DTYPE = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def processor() -> str:
    """What the processor calls itself, with its cores."""
    name = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():  # Linux; platform.processor() says little there
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


def synchroniser(device: str) -> Callable[[], object]:
    """Waits until the device has done what it was given; on the CPU there is nothing to wait for."""
    if device == "cuda":
        return torch.cuda.synchronize
    if device == "mps":
        return torch.mps.synchronize
    return lambda: None


def sizes(settings: Settings) -> list[int]:
    """Square matrix products that are tried; the best is the ceiling."""
    if settings.quick:
        return [64, 128]
    return [1024, 2048, 4096, 8192] if settings.device == "cuda" else [512, 1024, 2048]


def products(settings: Settings, precision: str | None = None) -> dict[int, Callable[[], object]]:
    """A call of each size that multiplies two square matrices, in the precision that the encoders use."""
    dtype, device = DTYPE[precision or settings.precision], settings.device
    calls: dict[int, Callable[[], object]] = {}
    for n in sizes(settings):
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        calls[n] = partial(torch.mm, a, b, out=out)
    return calls


def best_product(settings: Settings, precision: str | None = None) -> tuple[float, Callable[[], object]]:
    """FLOPs of the quickest product and a call of it, for a part that takes the ceiling in its own rounds."""
    calls = products(settings, precision)
    taken = interleave({str(n): c for n, c in calls.items()}, 2, synchroniser(settings.device), 0.0)
    best = max(calls, key=lambda n: n**3 / min(taken[str(n)]))
    return 2.0 * best**3, calls[best]


def streams(settings: Settings) -> dict[str, tuple[float, Callable[[], object]]]:
    """Bytes moved and a call, of a large copy and of a triad a = b + 3 c, far larger than any cache."""
    n = 1 << (16 if settings.quick else 28 if settings.device == "cuda" else 26)  # float32: 256 MiB on a CPU
    a, b, c = (torch.ones(n, device=settings.device) for _ in range(3))
    return {
        "copy": (8.0 * n, lambda: a.copy_(b)),
        "triad": (12.0 * n, lambda: torch.add(b, c, alpha=3.0, out=a)),
    }


def bandwidth(settings: Settings) -> float:
    """Bytes a second, the better of copy and triad."""
    calls = streams(settings)
    taken = interleave({k: c for k, (_, c) in calls.items()}, 3, synchroniser(settings.device), 0.0)
    return max(calls[k][0] / median(taken[k]) for k in calls)


def run(settings: Settings) -> Found:
    """GFLOP/s of square products, GB/s of a copy and a triad."""
    sync = synchroniser(settings.device)
    found = Found()
    rate = Table("Ceilings of this machine", ["", "median", "unit", "spread"])
    taken = interleave(
        {str(n): call for n, call in products(settings).items()}, settings.repeats, sync, settings.least_seconds
    )
    flops = {n: 2.0 * int(n) ** 3 for n in taken}
    for n, seconds in taken.items():
        rate.rows.append([f"product {n} x {n}", flops[n] / median(seconds) / 1e9, "GFLOP/s", spread(seconds)])
    found.values["product"] = {
        n: {"seconds": s, "median": median(s), "gflops": flops[n] / median(s) / 1e9} for n, s in taken.items()
    }
    found.values["gflops"] = max(v["gflops"] for v in found.values["product"].values())
    moved = streams(settings)
    taken = interleave({k: c for k, (_, c) in moved.items()}, settings.repeats, sync, 0.0)
    for name, seconds in taken.items():
        rate.rows.append([name, moved[name][0] / median(seconds) / 1e9, "GB/s", spread(seconds)])
    found.values["memory"] = {
        k: {"seconds": s, "median": median(s), "gbytes": moved[k][0] / median(s) / 1e9} for k, s in taken.items()
    }
    found.values["gbytes"] = max(v["gbytes"] for v in found.values["memory"].values())
    rate.notes.append(
        "spread is (largest - smallest) / median of the repeats; bytes read and written both count, "
        "without what a cache reads before it writes"
    )
    found.tables.append(rate)
    return found

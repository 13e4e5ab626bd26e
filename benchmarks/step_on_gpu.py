"""What a training step does on a CUDA GPU: time of the host, of the GPU, kernels, and where the host waits.

    python benchmarks/step_on_gpu.py finetune nucla.orvpe -r try --recipe paper-finetune-nucla --precision bf16

takes the words of `orvpe pretrain` or `finetune`, runs 30 steps of it, and trains nothing to the end.
"""

from __future__ import annotations

import collections
import itertools
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import orvpe.training.finetune
import orvpe.training.pretrain
from orvpe.cli.main import main
from orvpe.runtime.draws import Draws, seeded

PACKAGE = Path(orvpe.training.finetune.__file__).parent
WARM, TIMED, PROFILED = 6, 20, 3


def measure(
    fabric: Any, run: Any, *, what: str, seed: int, steps: int, batch_size: int, rows: slice, step: Any, **_: Any
) -> None:
    """In the place of `orvpe.training.loop.train`."""
    if fabric.device.type != "cuda":
        raise SystemExit("this measures a CUDA GPU, and there is none")
    count = itertools.count()

    def one() -> None:
        epoch, i = divmod(next(count), steps)
        step(epoch, i, Draws(seeded(fabric.device, seed, "views", epoch, i), batch_size, rows))

    for _ in range(WARM):
        one()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(TIMED):
        one()
    host = time.perf_counter() - began
    torch.cuda.synchronize()
    whole = time.perf_counter() - began
    print(
        f"{what}: {1e3 * host / TIMED:.1f} ms a step until the host is free, {1e3 * whole / TIMED:.1f} until the GPU is"
    )

    waits: collections.Counter[str] = collections.Counter()

    def note(message: Any, *_: Any, **__: Any) -> None:
        if "synchron" in str(message):
            ours = [f for f in traceback.extract_stack() if Path(f.filename).is_relative_to(PACKAGE)]
            waits[f"{ours[-1].filename.rsplit('/', 1)[-1]}:{ours[-1].lineno}" if ours else "?"] += 1

    warnings.showwarning = note
    warnings.simplefilter("always")
    torch.cuda.set_sync_debug_mode("warn")
    one()
    torch.cuda.set_sync_debug_mode("default")
    print("waits for the GPU in a step:", dict(waits) or "none")

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED):
            one()
        torch.cuda.synchronize()
    # an optimiser's step is also there as a whole, over its kernels
    kernels = [e for e in profiled.key_averages() if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    busy = sum(e.self_device_time_total for e in kernels) / 1e3 / PROFILED
    print(f"{sum(e.count for e in kernels) / PROFILED:.0f} kernels a step, {busy:.1f} ms of the GPU")
    for e in sorted(kernels, key=lambda e: -e.self_device_time_total)[:8]:
        print(f"  {e.self_device_time_total / 1e3 / PROFILED:6.2f} ms {e.count / PROFILED:5.0f} x {e.key[:80]}")
    raise SystemExit(0)


if __name__ == "__main__":
    orvpe.training.pretrain.train = orvpe.training.finetune.train = measure  # type: ignore[assignment]
    sys.argv[0] = "orvpe"
    main()

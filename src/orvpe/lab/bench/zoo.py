"""Every encoder by name: its parameters, and inference and a training step in the same rounds."""

from __future__ import annotations

import torch

from orvpe.lab.bench.candidates import Candidate, inference, training_step
from orvpe.lab.bench.machine import synchroniser
from orvpe.lab.bench.operations import flops
from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median
from orvpe.models.encoders import ENCODERS, build_encoder
from orvpe.models.encoders.inference import prepare

COLUMNS = ["encoder", "parameters", "inference, ms/clip", "training step, ms/clip", "GFLOP/clip of a step"]


def run(settings: Settings) -> Found:
    """One table for the last of the lengths: 17 joints in 3D, inference as `orvpe embed` does it, batches of 8."""
    device, sync, found = settings.device, synchroniser(settings.device), Found()
    size, frames = (2, 2) if settings.quick else (8, settings.frames[-1])
    generator = torch.Generator().manual_seed(settings.seed)
    x = torch.randn(size, 3, frames, 17, generator=generator).to(device)
    calls, steps, parameters = {}, {}, {}
    for name in ENCODERS:
        torch.manual_seed(settings.seed)
        encoder = build_encoder(name).to(device)
        parameters[name] = sum(p.numel() for p in encoder.parameters())
        calls[f"{name}, inference"] = inference(Candidate(prepare(encoder), settings.precision), x, device)
        steps[name] = training_step(Candidate(encoder.train(), settings.precision), x, device)
    rounds = min(settings.repeats, 3)  # the differences are large
    taken = interleave({**calls, **steps}, rounds, sync, settings.least_seconds)
    table = Table(f"Encoders, batch {size}, {frames} frames, 17 joints, precision {settings.precision}", COLUMNS)
    for name, step in steps.items():
        infer, train = taken[f"{name}, inference"], taken[name]
        ms = [1e3 * median(seconds) / size for seconds in (infer, train)]
        work = flops(step) / size
        table.rows.append([name, parameters[name], *ms, work / 1e9 or None])
        found.values[name] = {
            "parameters": parameters[name], "inference_seconds": infer, "step_seconds": train,
            "inference_ms_per_clip": ms[0], "step_ms_per_clip": ms[1], "flops_per_clip": work,
        }  # fmt: skip
    table.notes.append("products and convolutions are counted; torch has no count for the LSTM's")
    found.tables.append(table)
    return found

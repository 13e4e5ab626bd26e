"""Inference and training step of AGCN and the light encoder next to the literal AGCN: same inputs, same rounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from orvpe.lab.bench.candidates import REFERENCE, Candidate, candidates, inference, training_step
from orvpe.lab.bench.machine import best_product, synchroniser
from orvpe.lab.bench.operations import flops
from orvpe.lab.bench.results import Found, Table, percent
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median, speedup

CEILING = "product"
LIGHT_FRAMES = 32  # of the quick recipes; only the light encoder is used on so few
COLUMNS = ["encoder", "ms/clip", "times reference", "GFLOP/clip", "GFLOP/s", "of product rate", "max difference"]


def run(settings: Settings) -> Found:
    """Tables of inference at batch 1 and 16 and of a training step at batch 16, for each length of clip."""
    found = Found()
    frames = (8,) if settings.quick else settings.frames
    many = 2 if settings.quick else 16
    for training, sizes in ((False, (1, many)), (True, (many,))):
        people = candidates(settings, training)
        for t in dict.fromkeys((*frames, *(() if settings.quick else (LIGHT_FRAMES,)))):
            chosen = {n: c for n, c in people.items() if t in frames or c.family == "light"}
            for size in sizes:
                _case(found, settings, chosen, training, t, size)
    return found


def _case(
    found: Found, settings: Settings, people: dict[str, Candidate], training: bool, frames: int, size: int
) -> None:
    device, sync = settings.device, synchroniser(settings.device)
    generator = torch.Generator().manual_seed(settings.seed)
    x = torch.randn(size, 3, frames, 17, generator=generator).to(device)
    difference = differences(people, x, device)
    make: Callable[..., Callable[[], Any]] = training_step if training else inference
    calls: dict[str, Callable[[], Any]] = {name: make(c, x, device) for name, c in people.items()}
    # of a folded encoder the operations that are left; of a compiled one those of what was compiled
    counted = {n: flops(make(uncompiled(c), x, device)) for n, c in people.items()}
    product_flops, product = best_product(settings)
    taken = interleave({CEILING: product, **calls}, settings.repeats, sync, settings.least_seconds)
    ceiling = product_flops / median(taken[CEILING])

    what = "Training step" if training else "Inference"
    table = Table(f"{what}, batch {size}, {frames} frames, 17 joints, precision {settings.precision}", list(COLUMNS))
    case: dict[str, Any] = {"ceiling_gflops": ceiling / 1e9, "ceiling_seconds": taken[CEILING], "candidates": {}}
    for name in people:
        seconds, count = taken[name], counted[name]
        rate = count / median(seconds)
        ratio = speedup(seconds, taken[REFERENCE]) if REFERENCE in taken else None
        table.rows.append(
            [name, 1e3 * median(seconds) / size, ratio, count / size / 1e9, rate / 1e9, percent(rate / ceiling),
             difference.get(name)]
        )  # fmt: skip
        case["candidates"][name] = {
            "seconds": seconds, "median": median(seconds), "ms_per_clip": 1e3 * median(seconds) / size,
            "flops_per_clip": count / size, "gflops": rate / 1e9, "of_ceiling": rate / ceiling,
            "times_reference": ratio, "max_difference": difference.get(name),
        }  # fmt: skip
    table.notes.append(
        f"product rate in the same rounds: {ceiling / 1e9:,.1f} GFLOP/s; difference: the largest in the features, of "
        "AGCN from the reference, of another form of an encoder from itself, relative to the largest feature"
    )
    found.tables.append(table)
    found.values[f"{'train' if training else 'infer'}-{frames}-{size}"] = case


def uncompiled(candidate: Candidate) -> Candidate:
    inner = getattr(candidate.module, "_orig_mod", candidate.module)
    return Candidate(inner, candidate.precision, candidate.strict, candidate.family)


def differences(people: dict[str, Candidate], x: torch.Tensor, device: str) -> dict[str, float]:
    """Largest difference in the features from the first of the family, relative to its largest feature."""
    first: dict[str, torch.Tensor] = {}
    found: dict[str, float] = {}
    for name, candidate in people.items():
        features = partial(_features, candidate, x, device)()
        if candidate.family not in first:
            first[candidate.family] = features
        else:
            want = first[candidate.family]
            found[name] = float((features - want).abs().max() / want.abs().max())
    return found


def _features(candidate: Candidate, x: torch.Tensor, device: str) -> torch.Tensor:
    """Features in the candidate's mode; running statistics are put back."""
    kept = {k: v.clone() for k, v in candidate.module.state_dict().items() if "running" in k or "num_batches" in k}
    out = inference(candidate, x, device)().double().cpu()
    candidate.module.load_state_dict(kept, strict=False)
    return out

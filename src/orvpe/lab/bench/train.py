"""A whole epoch of `pretrain` on generated clips, and what NTU-120 would take; next to the literal reference."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from orvpe.lab.bench import generated_stores
from orvpe.lab.bench.candidates import Candidate, as_run, scrambled_agcn
from orvpe.lab.bench.literal_agcn import reference_of
from orvpe.lab.bench.machine import synchroniser
from orvpe.lab.bench.recipes import recipe, view
from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median
from orvpe.models.config import EncoderConfig
from orvpe.runtime.draws import Draws, seeded
from orvpe.training.contrast import ContrastiveModule
from orvpe.training.optim import Optim, build_optimizer
from orvpe.training.pretrain import Contrast, Pretraining, pretrain
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig, training_view

RECIPE = "paper-pretrain-ntu120-3d"
NTU_CLIPS, NTU_EPOCHS = 113_945, 60
TARGET_MINUTES, TARGET_TIMES = 60.0, 4.0  # on one H100


def run(settings: Settings) -> Found:
    """Two epochs of the paper's recipe through `pretrain`, the second one timed; then the same step written plainly."""
    size = 4 if settings.quick else settings.batch_size
    many = settings.clips or (8 if settings.quick else 16_384 if settings.device == "cuda" else 2 * size)
    # one person a clip, so that a clip is one input of the encoder, as in "113,945 clips"
    store = generated_stores.write(settings.work / "clips.orvpe", many, settings.seed, pairs=False)
    options, config = recipe(RECIPE), view_for(settings)
    contrast = contrast_for(many)
    encoder = EncoderConfig("light" if settings.quick else options["encoder"]["name"])
    folder = settings.work / "run"
    with redirect_stdout(sys.stderr):  # what it says of its run folder is not of the benchmark
        pretrain(
            str(store.path), str(folder), config, encoder, contrast,
            Optim(**options["optim"]), epochs=2, batch_size=size, seed=settings.seed, device=settings.device,
            precision=settings.precision, threads=settings.threads,
        )  # fmt: skip
    epochs = [json.loads(line)["seconds"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = many // size
    ours = steps * size / epochs[-1]  # the first epoch chooses kernels and fills caches

    data = ResidentStore(store, settings.device)
    kinds = {"strict": False, "tf32": True} if settings.device == "cuda" else {"strict": False}
    calls = {name: literal(settings, many, data, size, tf32) for name, tf32 in kinds.items()}
    rounds = 1 if settings.quick or settings.device != "cuda" else 20
    taken = interleave(calls, rounds, synchroniser(settings.device), 0.0, warm_up=1 if rounds == 1 else 5)
    rates = {k: size / median(v) for k, v in taken.items()}

    table = Table(
        f"Pre-training with the paper's recipe, {encoder.name}, tau {config.tau}, 17 joints, batch {size}",
        ["", "precision", "clips/s", f"{NTU_CLIPS:,} clips x {NTU_EPOCHS}, min", "times reference"],
    )
    rows = [("literal reference, eager", "32", rates["strict"])]
    rows += [("literal reference, eager", "32 (TF32)", rates["tf32"])] if "tf32" in rates else []
    rows += [("orvpe pretrain", settings.precision, ours)]
    for name, precision, rate in rows:
        minutes = NTU_CLIPS * NTU_EPOCHS / rate / 60
        table.rows.append([name, precision, rate, minutes, rate / rates["strict"]])
    table.notes.append(
        f"orvpe: epoch 2 of {steps} steps by the run's own clock, data path and bank included; reference: the same "
        f"step written plainly, data path included, {rounds} steps after warm-up; target on one H100: under "
        f"{TARGET_MINUTES:.0f} min and at least {TARGET_TIMES:.0f} times the reference"
    )
    return Found([table], {
        "clips": many, "batch_size": size, "steps": steps, "epoch_seconds": epochs, "clips_per_second": ours,
        "minutes_ntu120": NTU_CLIPS * NTU_EPOCHS / ours / 60, "reference_seconds": taken,
        "reference_clips_per_second": rates, "times_reference": ours / rates["strict"],
        "gpu_peak_bytes": torch.cuda.max_memory_allocated() if settings.device == "cuda" else None,
    })  # fmt: skip


def view_for(settings: Settings) -> ViewConfig:
    """The recipe's view; a short one to see that it works."""
    return replace(view(RECIPE), tau=8) if settings.quick else view(RECIPE)


def contrast_for(clips: int) -> Contrast:
    """The recipe's contrast; of a store with fewer clips than its negatives, all others."""
    options = dict(recipe(RECIPE)["contrast"])
    return Contrast(**{**options, "negatives": options["negatives"] if options["negatives"] < clips else None})


class _First(nn.Module):
    """Takes joints and visibility, as encoders do, and gives the reference the joints."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def literal(settings: Settings, store_size: int, data: ResidentStore, size: int, tf32: bool) -> Callable[[], None]:
    """A pre-training step of the literal AGCN in float32: view, loss, backward, update, bank."""
    device, options = settings.device, recipe(RECIPE)
    agcn, contrast = scrambled_agcn(settings), contrast_for(store_size)
    module = ContrastiveModule(
        store_size, inputs=256, outputs=contrast.outputs, projection=contrast.projection, loss=contrast.loss,
        negatives=contrast.negatives, temperature=contrast.temperature, momentum=contrast.momentum,
        generator=seeded("cpu", settings.seed, "bank"),
    )  # fmt: skip
    both = Pretraining(_First(reference_of(agcn)), module).to(device).train()
    candidate = Candidate(both, strict=not tf32)
    optimizer = build_optimizer([both], Optim(**{**options["optim"], "lr": 1e-4}), device)
    chosen = np.random.default_rng(settings.seed)

    def step() -> None:
        batch = data.batch(chosen.choice(store_size, size, replace=False))
        with as_run(candidate, device):
            inputs = training_view(batch, view_for(settings), Draws(seeded(device, settings.seed), size))
            losses, embedding = both(inputs, batch.index, seeded(device, settings.seed, "negatives"))
            optimizer.zero_grad()
            losses.mean().backward()
        optimizer.step()
        module.update(batch.index, embedding)

    return step

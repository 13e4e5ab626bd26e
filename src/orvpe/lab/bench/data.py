"""Speed of the data path alone, and its share of a training step."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from orvpe.lab.bench import generated_stores
from orvpe.lab.bench.candidates import Candidate, training_step
from orvpe.lab.bench.machine import synchroniser
from orvpe.lab.bench.recipes import recipe, view
from orvpe.lab.bench.results import Found, Table, percent
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median
from orvpe.models.encoders import build_encoder
from orvpe.runtime.draws import Draws, seeded
from orvpe.views.resident import ResidentStore
from orvpe.views.view import View, training_view

ENCODERS = ("agcn", "light")  # those of the recipes
RECIPES = ("paper-pretrain-ntu120-3d", "quick-pretrain", "quick-finetune-nucla")


def run(settings: Settings) -> Found:
    """Batches a second for each recipe's view, next to a training step of each encoder on what it gives."""
    device, found = settings.device, Found()
    store = generated_stores.write(settings.work / "clips.orvpe", 40 if settings.quick else 600, settings.seed)
    data = ResidentStore(store, device)
    columns = ["recipe", "batch", "tau", "batches/s", "ms/clip"]
    columns += [f"{name} step, ms/clip" for name in ENCODERS] + [f"share of {name} step" for name in ENCODERS]
    table = Table(f"Data path: cut, corrupt, normalise, stream; precision {settings.precision}", columns)
    for name in RECIPES[-1:] if settings.quick else RECIPES:
        size = 4 if settings.quick else int(recipe(name)["batch_size"])
        make = maker(data, name, size, settings.seed)
        x = make().joints  # persons folded in, as the encoder gets them
        candidates = {e: Candidate(build_encoder(e).to(device).train(), settings.precision) for e in ENCODERS}
        steps = {e: training_step(c, x, device) for e, c in candidates.items()}
        # a share of a step is a large ratio, so a few rounds do
        rounds = min(settings.repeats, 3)
        taken = interleave({"data": make, **steps}, rounds, synchroniser(device), settings.least_seconds)
        ours = median(taken["data"])
        ms = {e: 1e3 * median(taken[e]) / size for e in steps}
        shares = {e: ours / median(taken[e]) for e in steps}
        table.rows.append(
            [name, size, view(name).tau, 1 / ours, 1e3 * ours / size, *ms.values(), *map(percent, shares.values())]
        )
        found.values[name] = {
            "seconds": taken, "batches_per_second": 1 / ours, "ms_per_clip": 1e3 * ours / size, "people": len(x),
            "batch_size": size, "share_of_step": shares,
        }  # fmt: skip
    table.notes.append(
        "generated clips of 40 to 120 frames, a fifth of them of two people, who are two inputs of the encoder; "
        "the target is a share of at most 5 %"
    )
    found.tables.append(table)
    return found


def maker(data: ResidentStore, name: str, size: int, seed: int) -> Callable[[], View]:
    """A call that makes the next training view of a recipe, of other clips each time."""
    config, number = view(name), count()
    generator = np.random.default_rng(seed)

    def make() -> View:
        chosen = generator.choice(len(data), size, replace=False)
        return training_view(data.batch(chosen), config, Draws(seeded(data.device, seed, next(number)), size))

    return make

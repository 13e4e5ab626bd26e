"""Two ways to learn a protocol's training clips, for `orvpe learn`: a linear classifier, or the encoder too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from orvpe.batch import ResidentStore
from orvpe.config import EncoderConfig
from orvpe.features import extract
from orvpe.model import Model, load
from orvpe.scores import load_scores
from orvpe.store import Store
from orvpe.task import make_task
from orvpe.views import ViewConfig

_RECIPES = {2: "quick-finetune-penn", 3: "quick-finetune-nucla"}

# protocol -> a model with a head, and scores (N, classes) of the protocol's test clips, in the store's order
Fit = Callable[[str], tuple[Model, np.ndarray]]


class Probe:
    """Logistic regression on frozen features, which are computed once."""

    def __init__(self, source: Model, store: Store, strength: float) -> None:
        self.store, self.strength = store, strength
        classes = make_task(store, "all").classes
        self.model = Model(source.encoder_config, source.layout, source.dims, source.view, classes=classes)
        self.model.encoder = source.encoder
        self.model.to(next(source.parameters()).device).eval().requires_grad_(False)
        data = ResidentStore(store, next(source.parameters()).device)
        self.features = extract(self.model.for_inference(), data, np.arange(len(store)))

    def __call__(self, protocol: str) -> tuple[Model, np.ndarray]:
        from orvpe.probe import logistic_probe

        task = make_task(self.store, protocol, None)
        classes = self.model.classes or []
        column = np.array([classes.index(c) for c in task.classes])
        target = torch.from_numpy(column[task.target[task.train]]).to(self.features.device)
        head = logistic_probe(self.features[task.train], target, len(classes), self.strength)
        self.model.head = head
        with torch.no_grad():
            return self.model, head(self.features[task.test]).double().cpu().numpy()


class Finetune:
    """A fine-tuning a protocol, each a run of its own that resumes."""

    def __init__(
        self, source: Model | None, weights: str | None, store: Store, run: str, epochs: int | None, seed: int,
        device: str, threads: int, restart: bool,
    ) -> None:  # fmt: skip
        from orvpe.arguments import parse

        self.store, self.run = store, Path(run)
        words = ["--store", str(store.path), "--run", run, "--recipe", _RECIPES[store.dims]]
        given = parse("finetune", words)
        view: ViewConfig = given["view"]
        encoder: EncoderConfig = given["encoder"]
        if source is not None:  # an encoder goes on with the input that it knows
            view, encoder = replace(source.view, shortest=view.shortest), source.encoder_config
        given |= {
            "weights": weights, "view": view, "encoder": encoder, "occlusions": ["none"], "seed": seed,
            "device": device, "threads": threads, "restart": restart,
            "batch_size": min(given["batch_size"], max(2, len(store) // 4)),
        }  # fmt: skip
        if epochs is not None:
            given["epochs"] = epochs
            given["optim"] = replace(given["optim"], warmup=min(given["optim"].warmup, epochs - 1))
        self.given = given

    def __call__(self, protocol: str) -> tuple[Model, np.ndarray]:
        from orvpe.finetune import finetune

        folder = self.run / "parts" / protocol.split(",")[0].replace(":", "-").replace("/", "-of-")
        finetune(**{**self.given, "run": str(folder), "protocol": protocol})
        model = load(folder)
        if protocol == "all":
            return model, np.zeros((0, len(model.classes or [])))
        found = load_scores(folder / "scores.npz")
        place = {name: i for i, name in enumerate(found.names.tolist())}
        names = self.store.names[make_task(self.store, protocol).test]
        return model, found.scores[[place[n] for n in names.tolist()]]

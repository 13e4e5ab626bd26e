"""The two training modes of `orvpe learn`: a linear classifier, or fine-tuning of the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store
from orvpe.evaluation.evaluate import FIVE, model_scorer
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model, load
from orvpe.runtime.device import pick_device
from orvpe.training.occluded_copies import with_versions
from orvpe.training.recipes import from_shipped
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig

_EPOCHS = 90  # of both recipes: of a Penn Action, 20 would do, few clips need more (docs/lab/training-trials.md)
_RECIPES = {2: "robust-finetune-penn", 3: "robust-finetune-nucla"}

Scores = dict[str, np.ndarray]  # of an occlusion: (test clips, classes), in the store's order
# protocol -> a model with a head, and the scores of the protocol's test clips
Fit = Callable[[str], tuple[Model, Scores]]


class Probe:
    """Logistic regression on frozen features of whole clips and occluded copies, computed once."""

    def __init__(self, source: Model, store: Store, strength: float, versions: int, seed: int) -> None:
        self.store, self.strength = store, strength
        classes = make_task(store, "all").classes
        self.model = Model(source.encoder_config, source.layout, source.dims, source.view, classes=classes)
        self.model.encoder = source.encoder
        self.model.to(next(source.parameters()).device).eval().requires_grad_(False)
        data = ResidentStore(store, next(source.parameters()).device)
        frozen, everything = self.model.for_inference(), np.arange(len(store))
        self.features = with_versions(frozen, data, everything, versions, seed=seed)  # (1 + versions, N, D)
        self.tested = {"none": self.features[0]}
        self.tested |= {part: extract(frozen, data, everything, part) for part in SUBGRAPHS}

    def __call__(self, protocol: str) -> tuple[Model, Scores]:
        task = make_task(self.store, protocol, None)
        classes = self.model.classes or []
        column = np.array([classes.index(c) for c in task.classes])
        target = torch.from_numpy(column[task.target[task.train]]).to(self.features.device)
        head = logistic_of_versions(self.features[:, task.train], target, len(classes), self.strength)
        self.model.head = head
        with torch.no_grad():
            return self.model, {o: head(x[task.test]).double().cpu().numpy() for o, x in self.tested.items()}


class Finetune:
    """Fine-tuning: one resumable run for each protocol."""

    def __init__(
        self, source: Model | None, weights: str | None, store: Store, run: str, epochs: int | None, seed: int,
        device: str, threads: int, restart: bool,
    ) -> None:  # fmt: skip
        from orvpe.training.finetune import finetune

        self.store, self.run, self.where = store, Path(run), pick_device(device, threads)
        given = from_shipped(finetune, _RECIPES[store.dims], store=str(store.path), run=run)
        view: ViewConfig = given["view"]
        encoder: EncoderConfig = given["encoder"]
        if source is not None:  # an encoder goes on with the input that it knows
            view = replace(source.view, shortest=view.shortest, occlusion=view.occlusion)
            encoder = source.encoder_config
        given |= {
            "weights": weights, "view": view, "encoder": encoder, "occlusions": ["none"], "seed": seed,
            "device": device, "threads": threads, "restart": restart,
            "batch_size": min(given["batch_size"], max(2, len(store) // 4)),
        }  # fmt: skip
        given["epochs"] = _EPOCHS if epochs is None else epochs
        given["optim"] = replace(given["optim"], warmup=min(given["optim"].warmup, given["epochs"] - 1))
        self.given = given

    def __call__(self, protocol: str) -> tuple[Model, Scores]:
        from orvpe.training.finetune import finetune

        folder = self.run / "parts" / protocol.split(",")[0].replace(":", "-").replace("/", "-of-")
        finetune(**{**self.given, "run": str(folder), "protocol": protocol})
        model, task = load(folder, self.where), make_task(self.store, protocol)
        score = model_scorer(model.for_inference(), ResidentStore(self.store, self.where), task)
        return model, {o: score(o) for o in FIVE} if len(task.test) else {}

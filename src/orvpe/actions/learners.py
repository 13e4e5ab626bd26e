"""The two training modes of `orvpe learn`: a linear classifier, or fine-tuning of the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from orvpe.actions.timeline import THRESHOLD
from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store
from orvpe.evaluation.evaluate import FIVE, model_scorer
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model, load
from orvpe.models.open_set import RISK, Answers, Learned, OpenSet, cues, fit_open_set, learned_clips
from orvpe.runtime.device import pick_device
from orvpe.training.occluded_copies import with_versions
from orvpe.training.recipes import from_shipped
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig

_EPOCHS = 90  # of both recipes: of a Penn Action, 20 would do, few clips need more (docs/lab/training-trials.md)
_LEFT_OUT = 5  # parts of the classes that are left out in turn
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
        self._heads: dict[str, tuple[nn.Linear, np.ndarray, np.ndarray]] = {}  # protocol -> head, train, test

    def __call__(self, protocol: str) -> tuple[Model, Scores]:
        task = make_task(self.store, protocol, None)
        classes = self.model.classes or []
        column = np.array([classes.index(c) for c in task.classes])
        self.model.head = self._head(task.train, column[task.target[task.train]])
        self._heads[protocol] = (self.model.head, task.train, task.test)
        with torch.no_grad():
            scores = {o: self.model.head(x[task.test]).double().cpu().numpy() for o, x in self.tested.items()}
            return self.model, scores

    def _head(self, train: np.ndarray, target: np.ndarray) -> nn.Linear:
        """A classifier of all the model's classes that has learned the clips at ``train`` (n,) with their classes."""
        classes = len(self.model.classes or [])
        if len(np.unique(target)) > 1:
            labels = torch.from_numpy(target).to(self.features.device)
            return logistic_of_versions(self.features[:, train], labels, classes, self.strength)
        head = nn.Linear(self.features.shape[-1], classes)  # of one class: it is the only answer
        with torch.no_grad():
            head.weight.zero_()
            head.bias.fill_(-1e3)
            head.bias[target[0]] = 0.0
        return head.to(self.features.device)

    def _learned(self, target: np.ndarray, groups: np.ndarray, train: np.ndarray) -> Learned:
        x = self.features[:, train].cpu()
        return learned_clips(x[0], torch.from_numpy(target[train]), groups[train], x[1:])

    @torch.no_grad()
    def open_set(self, groups: np.ndarray, temperature: float) -> tuple[OpenSet, dict[str, float]]:
        """When the kept classifier does not know, and how well that works.

        Fitted on the answers of the cross-validation, and on answers to clips of classes left out in turn: to the
        classifier that has not learned them they are of no class.

        Args:
            groups: (N,) recordings.
            temperature: of the kept classifier.

        Returns:
            The part of the model, and in per cent ``answered`` of the tested clips, ``right`` of these answers, and
            ``named`` of the clips of classes left out, all with the usual threshold; ``answered_at_risk``.
        """
        target = make_task(self.store, "all").target
        found: list[tuple[Tensor, np.ndarray, bool]] = []  # cues, right, known

        def ask(head: nn.Linear, train: np.ndarray, test: np.ndarray, known: bool) -> None:
            learned = self._learned(target, groups, train)
            for x in self.tested.values():  # whole, and with a part of the body hidden
                scores = (head(x[test]) / temperature).cpu()
                right = (scores.argmax(dim=1).numpy() == target[test]) & known
                found.append((cues(x[test].cpu(), scores, learned), right, known))

        for protocol, (head, train, test) in self._heads.items():
            if protocol != "all":
                ask(head, train, test, True)
        classes = np.unique(target)
        for first in range(parts := min(len(classes), _LEFT_OUT)):
            strange = np.isin(target, classes[first::parts])
            train = np.flatnonzero(~strange)
            with torch.enable_grad():
                head = self._head(train, target[train])
            ask(head, train, np.flatnonzero(strange), False)
        answers = Answers(
            torch.cat([c for c, _, _ in found]).double().numpy(), np.concatenate([r for _, r, _ in found]),
            np.concatenate([np.full(len(r), known) for _, r, known in found]),
        )  # fmt: skip
        made = fit_open_set(self._learned(target, groups, np.arange(len(target))), answers)
        sure = (torch.from_numpy(answers.cues).float() @ made.weight + made.bias).sigmoid().numpy()
        said, known = sure >= THRESHOLD, answers.known
        correct = answers.right[said & known]
        shares = {
            "answered": said[known].mean(), "right": correct.mean() if len(correct) else 0.0,
            "named": said[~known].mean(), "answered_at_risk": made.coverage(RISK),
        }  # fmt: skip
        return made, {name: 100 * float(share) for name, share in shares.items()}


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
        if source is not None:  # an encoder goes on with the input it was trained on
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

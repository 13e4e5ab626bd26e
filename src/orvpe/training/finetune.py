"""Fine-tune an encoder with a linear head, from pre-trained weights or from scratch (section IV-A).

On a labelled corpus this is also the supervised pre-training of Table I; its weights are used in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from orvpe.data.protocols.task import clip_seconds, few_labels, make_task
from orvpe.errors import InputError
from orvpe.evaluation.evaluate import FIVE, check_occlusions, class_scores, model_scorer, report
from orvpe.evaluation.metrics import accuracy
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model
from orvpe.runtime.draws import seeded
from orvpe.runtime.groups import Resuming, TrainingHardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import environment, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.loop import check_counts
from orvpe.training.optim import Optim
from orvpe.training.setup import Setup
from orvpe.views.resident import moved
from orvpe.views.view import View, ViewConfig, people_of, training_view


@flat_arguments
@alone_in("run", folder=True)
def finetune(
    store: str,
    run: str,
    protocol: str | None = None,
    weights: str | None = None,
    view: ViewConfig = ViewConfig(),  # noqa: B008  (frozen)
    encoder: EncoderConfig = EncoderConfig(),  # noqa: B008
    optim: Optim = Optim(milestones=[30, 40]),  # noqa: B008
    epochs: int = 50,
    batch_size: int = 16,
    label_smoothing: float = 0.0,
    dropout: float = 0.0,
    mixup: float = 0.0,
    labels: float = 1.0,
    occlusions: list[str] = list(FIVE),  # noqa: B006  (never changed)
    eval_every: int = 0,
    seed: int = 0,
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008
    resuming: Resuming = Resuming(),  # noqa: B008
) -> Path:
    """Train an encoder and a classifier on a protocol's training clips, and evaluate the last epoch.

    Args:
        store: a labelled store made by `orvpe ingest`; or a folder with a folder of clips for each class, which is
            handed to `orvpe learn --finetune`.
        run: folder for recipe, metrics, checkpoint, weights and results; the same command resumes there.
        protocol: which clips train and test, e.g. nucla-cv, penn-official, subject:3,5, random:0.2 or fold:2/5; with
            all, every clip trains and there are no results.
        weights: folder of a pre-trained model to start from; none is from scratch, or, where ``store`` is a folder of
            class folders, as `orvpe learn` says.
        view: how clips become input.
        encoder: which encoder; must be the one of ``weights``.
        optim: optimiser and schedule.
        epochs: passes over the training clips; the last one counts.
        batch_size: clips a step, over all processes.
        label_smoothing: share of the target spread over all classes.
        dropout: probability of dropping each of the 256 features before the classifier.
        mixup: alpha of mixup (Zhang et al. 2018): inputs and targets of two clips are blended in the proportion
            lambda ~ Beta(alpha, alpha), one a step; 0 for none.
        labels: share of the training labels to use, of each class alike.
        occlusions: test corruptions, see `orvpe evaluate`.
        eval_every: also log test accuracy every so many epochs, for a curve (never to choose an epoch); 0 for never.
        seed: of weights, order, views and few labels.
        hardware: processor, threads, precision.
        resuming: checkpoints.

    Returns:
        The run's folder, with results.json, card.json and weights.safetensors in it.

    Raises:
        InputError: a store, protocol, value or folder that does not fit.
        Interrupted: stopped by a signal, state saved.
    """
    if Path(store).is_dir():
        raise InputError(
            f"{store}: a folder, expected a store; `orvpe learn {store} -r RUN --finetune` learns class folders"
        )
    if protocol is None:
        raise InputError("protocol is not given, expected which clips train and test, e.g. random:0.2 or nucla-cv")
    for name, value in (("label_smoothing", label_smoothing), ("dropout", dropout)):
        if not 0 <= value < 1:
            raise InputError(f"{name} is {value}, expected 0 up to below 1")
    if eval_every < 0:
        raise InputError(f"eval_every is {eval_every}, expected at least 0")
    check_occlusions(occlusions)
    if not mixup >= 0:
        raise InputError(f"mixup is {mixup}, expected at least 0")
    check_counts(epochs, resuming.save_every, seed)
    setup = Setup(store, view, hardware)
    fabric, clips, view = setup.fabric, setup.store, setup.view
    arguments: dict[str, Any] = {
        "job": "finetune", "store": Path(store).name, "store_checksum": clips.checksum,
        "protocol": protocol, "weights": weights, "view": view,
        "encoder": encoder, "optim": optim, "epochs": epochs, "batch_size": batch_size,
        "label_smoothing": label_smoothing, "dropout": dropout, "mixup": mixup, "labels": labels, "seed": seed,
        "precision": setup.precision,
    }  # fmt: skip
    task = make_task(clips, protocol)
    train = few_labels(task, labels, seed)
    if len(np.unique(task.target[train])) < 2:  # any classifier would be right always
        raise InputError("the training clips are all of one class, expected at least 2 classes")
    plan = setup.plan(train, epochs, batch_size, seed)

    model = setup.model(encoder, weights, seed, classes=task.classes)
    training = setup.start(run, arguments, model, Classifier(model, dropout), optim, resuming)
    data, target = training.data, torch.from_numpy(task.target).to(fabric.device)
    cross_entropy = partial(F.cross_entropy, label_smoothing=label_smoothing)

    with training.loop("finetune", plan, {"model": model}) as loop:
        for epoch in loop.epochs():
            for step in loop.steps():
                batch = data.batch(step.clips)
                inputs, truth = training_view(batch, view, step.draws), target[batch.index]
                share, other = 1.0, truth
                if mixup:
                    draw = seeded("cpu", seed, "mixup", epoch, step.index, fabric.global_rank)
                    share, partner = _blend(mixup, len(truth), draw, fabric.device)
                    inputs, other = mix_views(inputs, share, partner), truth[partner]
                scores = training.module(inputs).float()  # (N, classes)
                loss = share * cross_entropy(scores, truth)
                if mixup:
                    loss = loss + (1 - share) * cross_entropy(scores, other)
                training.descend(loss, step.at, epochs)
                best = scores.argmax(dim=1)
                right = share * (best == truth).float().mean() + (1 - share) * (best == other).float().mean()
                step.log(loss=loss, train_top1=100 * right)
            if eval_every and (epoch + 1) % eval_every == 0 and training.run.main:
                for part, indices in (("val", task.val), ("test", task.test)):
                    if len(indices):
                        found = accuracy(class_scores(model, data, indices), task.target[indices])
                        loop.note(**{f"{part}_{task.metric}": found.of(task.metric)})

    if training.run.main:
        results = {}
        if len(task.test):
            results = report(
                model_scorer(model.for_inference(), data, task, seed), clips, replace(task, train=train),
                occlusions, run, seed, arguments=plain(arguments),
                train_seconds=sum(m["seconds"] for m in training.run.metrics()), train_clips=len(train),
            )["occlusions"]  # fmt: skip
        model.save(
            run, trained={**plain(arguments), "clips": len(train), "clip_seconds": clip_seconds(clips, train),
                          "data": clips.meta.get("sources", [])},
            results=results, environment=environment(),
        )  # fmt: skip
    fabric.barrier()
    return Path(run)


class Classifier(torch.nn.Module):
    """A model's scores with dropout before its head."""

    def __init__(self, model: Model, dropout: float) -> None:
        super().__init__()
        self.model, self.dropout = model, dropout

    def forward(self, view: View) -> Tensor:
        features = self.model.features(view)
        assert self.model.head is not None
        return self.model.head(F.dropout(features, self.dropout, self.training))


def _blend(alpha: float, clips: int, generator: torch.Generator, device: torch.device) -> tuple[float, Tensor]:
    """Draw proportion and partners (clips,) of mixup, on the CPU, so that nothing waits for a GPU."""
    seed = int(torch.randint(2**31, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return share, moved(torch.randperm(clips, generator=generator), device)


def mix_views(view: View, share: float, other: Tensor) -> View:
    """Blend each clip with clip ``other`` (N,), person by person (mixup).

    A clip with fewer people than its partner keeps only its own; a joint hidden in either is hidden in the blend.
    """
    people = people_of(view)  # (N,)
    first = people.cumsum(0) - people
    rank = torch.arange(len(view.owner), device=view.owner.device) - first[view.owner]
    partner = other[view.owner]
    match = first[partner] + torch.minimum(rank, people[partner] - 1)  # (P,)
    visible = view.visible & view.visible[match]
    joints = share * view.joints + (1 - share) * view.joints[match]
    return view._replace(joints=joints * visible[:, None], visible=visible)

"""Fine-tuning an encoder with a linear head: from pre-trained weights, or from scratch (section IV-A).

Run on a labelled corpus it is also the supervised pre-training of Table I: its weights are taken the same way.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from orvpe.data.protocols.task import clip_seconds, few_labels, make_task
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.evaluation.evaluate import FIVE, check_occlusions, class_scores, model_scorer, report
from orvpe.evaluation.metrics import accuracy
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model, load, note_unfinished, transfer_encoder
from orvpe.runtime.device import check_shared, local_rows, open_fabric, resolve_precision
from orvpe.runtime.draws import Draws, seeded
from orvpe.runtime.groups import Resuming, TrainingHardware
from orvpe.runtime.run import Run, environment, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.loop import check_counts, descend, epoch_order, steps_per_epoch, train
from orvpe.training.optim import Optim, build_optimizer, learning_rate, set_learning_rate
from orvpe.training.sync_norm import convert_sync_batchnorm
from orvpe.views.resident import ResidentStore, moved
from orvpe.views.view import View, ViewConfig, input_dims, other_input, people_of, training_view, without_camera


@flat_arguments
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
    """Train encoder and classifier on a protocol's training clips, and evaluate the last epoch on its test clips.

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
    precision = resolve_precision(hardware.precision, hardware.device)
    fabric = open_fabric(hardware.device, precision, hardware.threads)
    opened = Store.open_whole(store)
    view = without_camera(view, opened.dims)
    arguments: dict[str, Any] = {
        "job": "finetune", "store": Path(store).name, "store_checksum": opened.checksum,
        "protocol": protocol, "weights": weights, "view": view,
        "encoder": encoder, "optim": optim, "epochs": epochs, "batch_size": batch_size,
        "label_smoothing": label_smoothing, "dropout": dropout, "mixup": mixup, "labels": labels, "seed": seed,
        "precision": precision,
    }  # fmt: skip
    task = make_task(opened, protocol)
    trained = few_labels(task, labels, seed)
    if len(np.unique(task.target[trained])) < 2:  # any classifier would be right always
        raise InputError("the training clips are all of one class, expected at least 2 classes")
    rows = local_rows(batch_size, fabric.global_rank, fabric.world_size)
    steps = steps_per_epoch(len(trained), batch_size)

    torch.manual_seed(seeded("cpu", seed, "weights").initial_seed())
    dims = input_dims(view, opened.dims)
    model = Model(encoder, opened.layout, dims, view, classes=task.classes)
    other = ""
    if weights is not None:
        source = load(weights)
        other = other_input(source.view, view, dims)
        transfer_encoder(source, model, f"weights {weights}")
    if fabric.world_size > 1:
        model.encoder = convert_sync_batchnorm(model.encoder, fabric.device)
    if hardware.compile:
        model.encoder.compile()
    optimizer = build_optimizer([model], optim, fabric.device.type)
    folder = Run(run, arguments, main=fabric.global_rank == 0, restart=resuming.restart)
    if other and folder.main:
        print(f"note: weights {weights} were trained on another kind of input: {other}", file=sys.stderr)
    if weights is not None and folder.main:
        note_unfinished(source, weights)
    wrapped, optimizer_ = fabric.setup(Classifier(model, dropout), optimizer)
    check_shared(fabric, store=opened.checksum, checkpoint=folder.checkpoint_bytes())
    data = ResidentStore(opened, fabric.device)
    target = torch.from_numpy(task.target).to(fabric.device)
    order = trained

    def step(epoch: int, i: int, draws: Draws) -> dict[str, Tensor]:
        nonlocal order
        if i == 0 or order is trained:
            order = epoch_order(trained, seed, epoch)
        batch = data.batch(order[i * batch_size : (i + 1) * batch_size][rows])
        inputs = training_view(batch, view, draws)
        set_learning_rate(optimizer, learning_rate(optim, epoch + i / steps, epochs))
        truth = target[batch.index]
        share, partner = 1.0, torch.arange(len(truth), device=fabric.device)
        if mixup:
            share, other = _blend(mixup, len(truth), seeded("cpu", seed, "mixup", epoch, i, fabric.global_rank))
            partner = moved(other, fabric.device)
            inputs = mix_views(inputs, share, partner)
        scores = wrapped(inputs).float()
        loss = share * F.cross_entropy(scores, truth, label_smoothing=label_smoothing)
        if mixup:
            loss = loss + (1 - share) * F.cross_entropy(scores, truth[partner], label_smoothing=label_smoothing)
        descend(fabric, wrapped, optimizer_, loss, optim.clip_norm)
        best = scores.argmax(dim=1)
        right = share * (best == truth).float().mean() + (1 - share) * (best == truth[partner]).float().mean()
        return {"loss": loss, "train_top1": 100 * right}

    def end_epoch(epoch: int) -> dict[str, float]:
        if not eval_every or (epoch + 1) % eval_every or not folder.main:
            return {}
        found = {}
        for part, indices in (("val", task.val), ("test", task.test)):
            if len(indices):
                a = accuracy(class_scores(model, data, indices), task.target[indices])
                found[f"{part}_{task.metric}"] = a.of(task.metric)
        return found

    train(
        fabric, folder, what=f"finetune {Path(run).name}", seed=seed, epochs=epochs, steps=steps,
        batch_size=batch_size, state={"model": model, "optimizer": optimizer}, step=step, rows=rows,
        end_epoch=end_epoch, save_every=resuming.save_every, stop_after=resuming.stop_after,
    )  # fmt: skip
    if folder.main:
        seconds = sum(m["seconds"] for m in folder.metrics())
        results = {}
        if len(task.test):
            results = report(
                model_scorer(model.for_inference(), data, task, seed), opened, replace(task, train=trained),
                occlusions, run, seed,
                arguments=plain(arguments), train_seconds=seconds, train_clips=len(trained),
            )["occlusions"]  # fmt: skip
        model.save(
            run, trained={**plain(arguments), "clips": len(trained), "clip_seconds": clip_seconds(opened, trained),
                          "data": opened.meta.get("sources", [])},
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


def _blend(alpha: float, clips: int, generator: torch.Generator) -> tuple[float, Tensor]:
    """Proportion and partners of mixup; the generator is the CPU's, so that nothing waits for a GPU."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha)), torch.randperm(clips, generator=generator)


def mix_views(view: View, share: float, other: Tensor) -> View:
    """Blend each clip with clip ``other`` (N,): its people with those of the other clip, in order.

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

"""Pre-training without labels: SubG-DA, encoder, contrastive module (sections III and IV-D)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model
from orvpe.runtime.draws import seeded
from orvpe.runtime.groups import Resuming, TrainingHardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import environment, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.contrast import ContrastiveModule
from orvpe.training.loop import Stateful, check_counts
from orvpe.training.optim import Optim
from orvpe.training.setup import Setup
from orvpe.training.teacher import Teacher
from orvpe.views.augment import Augment
from orvpe.views.view import View, ViewConfig, join, pool_people, training_view


@dataclass(frozen=True)
class Contrast:
    """The contrastive module's settings (section IV-D c).

    Args:
        outputs: size of the embedding.
        projection: "linear", one layer as in the paper's implementation, or "mlp", eq. 4's non-linear phi.
        loss: "info_nce" or "nce".
        negatives: K sampled per clip; none takes all other clips.
        temperature: Temp.
        momentum: m of the bank.
        teacher: 0, the paper's way: a clip is pulled towards its row of the bank.  Above 0: towards what a moving
            average of the encoder, with this momentum, says of another view of it in which nothing is hidden.
        views: sub-graphs of each clip a step.
        spare_recording: windows that `ingest` cut from one recording are no negatives of each other.
    """

    outputs: int = 128
    projection: str = "linear"
    loss: str = "info_nce"
    negatives: int | None = 4096
    temperature: float = 0.07
    momentum: float = 0.5
    teacher: float = 0.0
    views: int = 1
    spare_recording: bool = False

    def __post_init__(self) -> None:
        for name in ("outputs", "views"):
            if getattr(self, name) < 1:
                raise InputError(f"contrast.{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.teacher < 1:
            raise InputError(f"contrast.teacher is {self.teacher}, expected 0 up to below 1")


class Pretraining(nn.Module):
    """Encoder and contrastive module in one, so that the gradients of both are averaged over processes."""

    def __init__(self, encoder: nn.Module, contrast: ContrastiveModule) -> None:
        super().__init__()
        self.encoder, self.contrast = encoder, contrast

    def forward(
        self, view: View, index: Tensor, generator: torch.Generator, positive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Losses (N,) and embeddings (N, outputs) of a view of N clips."""
        feature = pool_people(self.encoder(view.joints, view.visible), view)
        return self.contrast(feature, index, generator, positive)


@flat_arguments
@alone_in("run", folder=True)
def pretrain(
    store: str,
    run: str,
    view: ViewConfig = ViewConfig(occlusion="subgraph", augment=Augment()),  # noqa: B008  (frozen)
    encoder: EncoderConfig = EncoderConfig(),  # noqa: B008
    contrast: Contrast = Contrast(),
    optim: Optim = Optim(),  # noqa: B008
    weights: str | None = None,
    epochs: int = 60,
    batch_size: int = 32,
    seed: int = 0,
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008
    resuming: Resuming = Resuming(),  # noqa: B008
) -> Path:
    """Pre-train an encoder on all clips of a store, without labels.

    Args:
        store: a store made by `orvpe ingest`.
        run: folder for recipe, metrics, checkpoint and weights; the same command resumes there.
        view: how clips become input; view.occlusion "subgraph" is SubG-DA, "none" the temporal sub-graph alone.
        encoder: which encoder.
        contrast: projection, bank and loss.
        optim: optimiser and schedule.
        weights: a model whose encoder to start from; of another dimension, all but the layers that read coordinates.
            None starts from random weights.
        epochs: passes over the data; the last one counts.
        batch_size: clips a step, over all processes.
        seed: of weights, bank, order, views and negatives.
        hardware: processor, threads, precision.
        resuming: checkpoints.

    Returns:
        The run's folder, with card.json and weights.safetensors in it.

    Raises:
        InputError: a store, value or folder that does not fit.
        Interrupted: stopped by a signal, state saved.
    """
    check_counts(epochs, resuming.save_every, seed)
    setup = Setup(store, view, hardware)
    fabric, clips, view = setup.fabric, setup.store, setup.view
    plan = setup.plan(np.arange(len(clips)), epochs, batch_size, seed)
    arguments: dict[str, Any] = {
        "job": "pretrain", "store": Path(store).name, "store_checksum": clips.checksum,
        "weights": weights, "view": view, "encoder": encoder, "contrast": contrast,
        "optim": optim, "epochs": epochs, "batch_size": batch_size, "seed": seed, "precision": setup.precision,
    }  # fmt: skip

    heads = {"projection": (contrast.projection, contrast.outputs)}
    model = setup.model(encoder, weights, seed, adapt=True, **heads)
    assert model.projection is not None
    contrastive = _contrastive_module(contrast, clips, model, seed)
    teacher = Teacher(model.encoder, model.projection, contrast.teacher) if contrast.teacher else None
    training = setup.start(run, arguments, model, Pretraining(model.encoder, contrastive), optim, resuming)
    state: dict[str, Stateful] = {"model": model, "bank": contrastive.bank, "loss": contrastive.loss}
    if teacher is not None:
        state["teacher"] = teacher.to(fabric.device).train()
    whole = replace(view, occlusion="none")  # what a teacher sees

    with training.loop("pretrain", plan, state) as loop:
        for epoch in loop.epochs():
            for step in loop.steps():
                batch = training.data.batch(step.clips)
                sub_graphs = join([training_view(batch, view, step.draws) for _ in range(contrast.views)])
                positive = pull = None
                if teacher is not None:
                    with fabric.autocast():
                        positive = teacher(training_view(batch, whole, step.draws))
                    pull = positive.repeat(contrast.views, 1)
                negatives = seeded(fabric.device, seed, "negatives", epoch, step.index)
                index = batch.index.repeat(contrast.views)
                losses, embedding = training.module(sub_graphs, index, negatives, pull)
                loss = losses.mean()
                training.descend(loss, step.at, epochs)
                kept = _mean_of_views(embedding, contrast.views) if positive is None else positive
                contrastive.update(batch.index, kept)
                if teacher is not None:
                    teacher.follow(model.encoder, model.projection)
                step.log(loss=loss)
            if training.run.main:  # so that a run that is still going, or was stopped, can be used as it is
                trained = {**plain(arguments), "clips": len(clips), "data": clips.meta.get("sources", [])}
                model.save(run, trained=trained, epochs_done=epoch + 1, environment=environment())
    fabric.barrier()
    if training.run.main:
        print(f"weights and card: {run} (use them with -w {run}: orvpe probe, finetune, embed)")
    return Path(run)


def _contrastive_module(contrast: Contrast, clips: Store, model: Model, seed: int) -> ContrastiveModule:
    """Build the contrastive module, with the projection of ``model``."""
    module = ContrastiveModule(
        len(clips), inputs=model.feature_dim, outputs=contrast.outputs, projection=contrast.projection,
        loss=contrast.loss, negatives=contrast.negatives, temperature=contrast.temperature,
        momentum=contrast.momentum, generator=seeded("cpu", seed, "bank"),
        recordings=_recordings(clips) if contrast.spare_recording else None,
    )  # fmt: skip
    assert model.projection is not None
    module.projection = model.projection
    return module


def _mean_of_views(embedding: Tensor, views: int) -> Tensor:
    """Mean embedding of several sub-graphs of a clip, of unit length: (views N, D) -> (N, D)."""
    if views == 1:
        return embedding
    return F.normalize(embedding.detach().unflatten(0, (views, -1)).mean(dim=0), dim=1)


def _recordings(store: Store) -> Tensor:
    """The recording of each clip, (N,) int64: `ingest` names windows of the recording NAME NAME@FRAME."""
    found = np.unique([str(name).rpartition("@")[0] or str(name) for name in store.names], return_inverse=True)[1]
    return torch.from_numpy(found.astype(np.int64))

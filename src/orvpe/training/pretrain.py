"""Pre-training without labels: SubG-DA, encoder, contrastive module (sections III and IV-D)."""

from __future__ import annotations

import sys
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
from orvpe.models.model import Model, adapt_encoder, load, note_unfinished, transfer_encoder
from orvpe.runtime.device import check_shared, local_rows, open_fabric, resolve_precision
from orvpe.runtime.draws import Draws, seeded
from orvpe.runtime.groups import Resuming, TrainingHardware
from orvpe.runtime.run import Run, environment, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.contrast import ContrastiveModule
from orvpe.training.loop import check_counts, descend, epoch_order, steps_per_epoch, train
from orvpe.training.optim import Optim, build_optimizer, learning_rate, set_learning_rate
from orvpe.training.sync_norm import convert_sync_batchnorm
from orvpe.training.teacher import Teacher
from orvpe.views.augment import Augment
from orvpe.views.resident import ResidentStore
from orvpe.views.view import (
    View,
    ViewConfig,
    input_dims,
    join,
    other_input,
    pool_people,
    training_view,
    without_camera,
)


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
    """Encoder and contrastive module as one module, so that gradients of both are averaged over processes."""

    def __init__(self, encoder: nn.Module, contrast: ContrastiveModule) -> None:
        super().__init__()
        self.encoder, self.contrast = encoder, contrast

    def forward(
        self, view: View, index: Tensor, generator: torch.Generator, positive: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Losses (N,) and embeddings (N, outputs) of a view."""
        feature = pool_people(self.encoder(view.joints, view.visible), view)
        return self.contrast(feature, index, generator, positive)


@flat_arguments
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
    precision = resolve_precision(hardware.precision, hardware.device)
    fabric = open_fabric(hardware.device, precision, hardware.threads)
    opened = Store.open_whole(store)
    view = without_camera(view, opened.dims)
    arguments: dict[str, Any] = {
        "job": "pretrain", "store": Path(store).name, "store_checksum": opened.checksum,
        "weights": weights, "view": view, "encoder": encoder, "contrast": contrast,
        "optim": optim, "epochs": epochs, "batch_size": batch_size, "seed": seed, "precision": precision,
    }  # fmt: skip
    rows = local_rows(batch_size, fabric.global_rank, fabric.world_size)
    steps = steps_per_epoch(len(opened), batch_size)

    torch.manual_seed(seeded("cpu", seed, "weights").initial_seed())
    dims = input_dims(view, opened.dims)
    model = Model(encoder, opened.layout, dims, view, projection=(contrast.projection, contrast.outputs))
    new: list[str] = []
    other = ""
    if weights is not None:
        source = load(weights)
        if source.dims == dims:
            transfer_encoder(source, model, f"weights {weights}")
            other = other_input(source.view, view, dims)
        else:
            new = adapt_encoder(source, model, f"weights {weights}")
    module = ContrastiveModule(
        len(opened), inputs=model.feature_dim, outputs=contrast.outputs, projection=contrast.projection,
        loss=contrast.loss, negatives=contrast.negatives, temperature=contrast.temperature,
        momentum=contrast.momentum, generator=seeded("cpu", seed, "bank"),
        recordings=_recordings(opened) if contrast.spare_recording else None,
    )  # fmt: skip
    assert model.projection is not None
    module.projection = model.projection
    if fabric.world_size > 1:
        model.encoder = convert_sync_batchnorm(model.encoder, fabric.device)
    teacher = Teacher(model.encoder, model.projection, contrast.teacher) if contrast.teacher else None
    if hardware.compile:
        model.encoder.compile()
    optimizer = build_optimizer([model], optim, fabric.device.type)
    folder = Run(run, arguments, main=fabric.global_rank == 0, restart=resuming.restart)
    if new and folder.main:
        print(f"note: weights {weights} read {source.dims}D joints; {', '.join(new)} start anew", file=sys.stderr)
    if other and folder.main:
        print(f"note: weights {weights} were trained on another kind of input: {other}", file=sys.stderr)
    if weights is not None and folder.main:
        note_unfinished(source, weights)
    wrapped, optimizer_ = fabric.setup(Pretraining(model.encoder, module), optimizer)
    check_shared(fabric, store=opened.checksum, checkpoint=folder.checkpoint_bytes())
    data = ResidentStore(opened, fabric.device)
    everything = np.arange(len(opened))
    order = everything
    whole = replace(view, occlusion="none")
    if teacher is not None:
        teacher.to(fabric.device).train()

    def step(epoch: int, i: int, draws: Draws) -> dict[str, Tensor]:
        nonlocal order
        if i == 0 or order is everything:
            order = epoch_order(everything, seed, epoch)
        batch = data.batch(order[i * batch_size : (i + 1) * batch_size][rows])
        inputs = join([training_view(batch, view, draws) for _ in range(contrast.views)])
        index = batch.index.repeat(contrast.views)
        positive = None
        if teacher is not None:
            with fabric.autocast():
                positive = teacher(training_view(batch, whole, draws))
        set_learning_rate(optimizer, learning_rate(optim, epoch + i / steps, epochs))
        negatives = seeded(fabric.device, seed, "negatives", epoch, i)
        wanted = None if positive is None else positive.repeat(contrast.views, 1)
        losses, embedding = wrapped(inputs, index, negatives, wanted)
        loss = losses.mean()
        descend(fabric, wrapped, optimizer_, loss, optim.clip_norm)
        kept = embedding if positive is None else positive
        if len(kept) > len(batch):  # of several sub-graphs their mean
            kept = F.normalize(kept.detach().unflatten(0, (contrast.views, -1)).mean(dim=0), dim=1)
        module.update(batch.index, kept, distinct=True)
        if teacher is not None:
            assert model.projection is not None
            teacher.follow(model.encoder, model.projection)
        return {"loss": loss}

    def end_epoch(epoch: int) -> dict[str, float]:
        if folder.main:  # so that a run that is still going, or was stopped, can be used as it is
            trained = {**plain(arguments), "clips": len(opened), "data": opened.meta.get("sources", [])}
            model.save(run, trained=trained, epochs_done=epoch + 1, environment=environment())
        return {}

    state: dict[str, Any] = {"model": model, "bank": module.bank, "loss": module.loss, "optimizer": optimizer}
    if teacher is not None:
        state["teacher"] = teacher
    train(
        fabric, folder, what=f"pretrain {Path(run).name}", seed=seed, epochs=epochs, steps=steps,
        batch_size=batch_size, state=state, step=step, rows=rows, end_epoch=end_epoch, save_every=resuming.save_every,
        stop_after=resuming.stop_after,
    )  # fmt: skip
    fabric.barrier()
    if folder.main:
        print(f"weights and card: {run} (use them with -w {run}: orvpe probe, finetune, embed)")
    return Path(run)


def _recordings(store: Store) -> Tensor:
    """(N,) int64: clips named NAME@FRAME by `ingest` are windows of the recording NAME."""
    found = np.unique([str(name).rpartition("@")[0] or str(name) for name in store.names], return_inverse=True)[1]
    return torch.from_numpy(found.astype(np.int64))

"""Set up pre-training and fine-tuning: processes, data, first weights, optimiser, run folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from orvpe.data.store import Store
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model, adapt_encoder, load, transfer_encoder, unfinished
from orvpe.runtime.device import check_shared, local_rows, open_fabric, resolve_precision
from orvpe.runtime.draws import seeded
from orvpe.runtime.groups import Resuming, TrainingHardware
from orvpe.runtime.run import Run
from orvpe.training.loop import Loop, Plan, Stateful
from orvpe.training.optim import Optim, build_optimizer, learning_rate, set_learning_rate
from orvpe.training.sync_norm import convert_sync_batchnorm
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig, input_dims, other_input, without_camera

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Setup:
    """Processes, store and first weights of a training.

    Args:
        store: path of the store.
        view: how clips become input.
        hardware: processor, threads, precision, compilation.

    Attributes:
        fabric: launched; precision: as resolved; store: opened; dims: coordinates per joint of the encoder's input.
        view: without a virtual camera where the clips are 2D.

    Raises:
        InputError: hardware that is not there, or no such store.
    """

    def __init__(self, store: str, view: ViewConfig, hardware: TrainingHardware) -> None:
        self.hardware = hardware
        self.precision = resolve_precision(hardware.precision, hardware.device)
        self.fabric = open_fabric(hardware.device, self.precision, hardware.threads)
        self.store = Store.open_whole(store)
        self.view = without_camera(view, self.store.dims)
        self.dims = input_dims(self.view, self.store.dims)
        self.notes: list[str] = []  # for stderr, once the run's folder is known to be fine

    def plan(self, clips: np.ndarray, epochs: int, batch_size: int, seed: int) -> Plan:
        """Plan epochs over ``clips`` (n,); this process has its share of each batch.

        Raises:
            InputError: a batch that does not fit the clips or the processes.
        """
        rows = local_rows(batch_size, self.fabric.global_rank, self.fabric.world_size)
        return Plan(clips, epochs, batch_size, seed, rows)

    def model(self, encoder: EncoderConfig, weights: str | None, seed: int, adapt: bool = False, **heads: Any) -> Model:
        """Build a model with its first weights, ready for several processes and compiled if asked for.

        Args:
            encoder: which encoder.
            weights: model whose encoder to start from, None for random weights.
            seed: of the random weights.
            adapt: weights of another dimension are accepted: the layers that read coordinates then start at random.
            heads: further arguments of `Model`.

        Raises:
            InputError: weights that do not fit.
        """
        torch.manual_seed(seeded("cpu", seed, "weights").initial_seed())
        model = Model(encoder, self.store.layout, self.dims, self.view, **heads)
        if weights is not None:
            source = load(weights)
            if adapt and source.dims != self.dims:
                new = adapt_encoder(source, model, f"weights {weights}")
                if new:
                    self.notes.append(f"weights {weights} read {source.dims}D joints; {', '.join(new)} start over")
            else:
                transfer_encoder(source, model, f"weights {weights}")
                other = other_input(source.view, self.view, self.dims)
                if other:
                    self.notes.append(f"weights {weights} were trained on another kind of input: {other}")
            self.notes += unfinished(source, weights)
        if self.fabric.world_size > 1:
            model.encoder = convert_sync_batchnorm(model.encoder, self.fabric.device)
        if self.hardware.compile:
            model.encoder.compile()
        return model

    def start(
        self, run: str, arguments: dict[str, Any], model: Model, module: nn.Module, optim: Optim, resuming: Resuming
    ) -> Training:
        """Open the run's folder; move module, optimiser and clips to the device.

        Args:
            run: the folder.
            arguments: all that decides the result, see `Run`.
            model: whose weights are trained.
            module: its forward and backward pass; under several processes their gradients are averaged.
            optim: optimiser and schedule.
            resuming: checkpoints.

        Raises:
            InputError: a folder that holds another run; processes that do not see the same store or folder.
        """
        optimizer = build_optimizer([model], optim, self.fabric.device.type)
        folder = Run(run, arguments, main=self.fabric.global_rank == 0, restart=resuming.restart)
        if folder.main:
            for note in self.notes:
                print(f"note: {note}", file=sys.stderr)
        wrapped, wrapped_optimizer = self.fabric.setup(module, optimizer)
        check_shared(self.fabric, store=self.store.checksum, checkpoint=folder.checkpoint_bytes())
        data = ResidentStore(self.store, self.fabric.device)
        return Training(self.fabric, folder, data, wrapped, optimizer, wrapped_optimizer, optim, resuming)


@dataclass
class Training:
    """Run folder, data, module and optimiser of a training.

    Args:
        fabric: processes and device.
        run: the run's folder.
        data: the store's clips, on the device.
        module: forward pass, as Fabric wrapped it.
        optimizer: as built, whose state a checkpoint keeps.
        wrapped_optimizer: as Fabric wrapped it.
        optim: its settings and schedule.
        resuming: checkpoints.
    """

    fabric: Fabric
    run: Run
    data: ResidentStore
    module: Any
    optimizer: torch.optim.Optimizer
    wrapped_optimizer: Any
    optim: Optim
    resuming: Resuming

    def loop(self, job: str, plan: Plan, state: dict[str, Stateful]) -> Loop:
        """The loop over a plan; ``state`` and the optimiser's are what a checkpoint keeps."""
        return Loop(
            self.fabric, self.run, plan, {**state, "optimizer": self.optimizer},
            what=f"{job} {Path(self.run.folder).name}",
            save_every=self.resuming.save_every, stop_after=self.resuming.stop_after,
        )  # fmt: skip

    def descend(self, loss: Tensor, at: float, epochs: int) -> None:
        """One step of the optimiser down a loss ().

        Args:
            loss: of this step.
            at: epochs done, with the fraction of the current one; decides the learning rate.
            epochs: of the whole training.
        """
        set_learning_rate(self.optimizer, learning_rate(self.optim, at, epochs))
        self.wrapped_optimizer.zero_grad()
        self.fabric.backward(loss)
        if norm := self.optim.clip_norm:
            # a gradient that is not finite ends the epoch with one line; asking here would wait for the GPU
            self.fabric.clip_gradients(self.module, self.wrapped_optimizer, max_norm=norm, error_if_nonfinite=False)
        self.wrapped_optimizer.step()

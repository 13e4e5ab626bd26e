"""The training loop that pre-training and fine-tuning share: epochs, steps, checkpoints, interruption, metrics.

Every random number of a step is drawn from (seed, epoch, step), so the state to keep is weights, optimiser, bank and
the place in the loop; a run resumed on the same CPU ends bit-identical to one that was never interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from orvpe.errors import InputError
from orvpe.runtime.draws import Draws, seeded
from orvpe.runtime.progress import Progress
from orvpe.runtime.run import CHECKPOINT, Run

if TYPE_CHECKING:
    from lightning.fabric import Fabric


class Stateful(Protocol):
    """Anything with a state that a checkpoint keeps."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The training clips in this epoch's random order, the same in every process."""
    order = torch.randperm(len(indices), generator=seeded("cpu", seed, "order", epoch)).numpy()
    return indices[order]


def check_counts(epochs: int, save_every: int, seed: int) -> None:
    """Check epochs, save_every and seed; call it before a run's folder is made.

    Raises:
        InputError: a number that no training can have.
    """
    for name, number, least in (("epochs", epochs, 1), ("save_every", save_every, 0), ("seed", seed, 0)):
        if number < least:
            raise InputError(f"{name} is {number}, expected at least {least}")


@dataclass(frozen=True)
class Plan:
    """Which clips a training visits, how often, and in batches of which size.

    Args:
        clips: (n,) int64 indices of the training clips in their store.
        epochs: passes over them.
        batch_size: clips per step, over all processes.
        seed: of all draws.
        rows: of each batch, those of this process.

    Raises:
        InputError: a batch larger than the data, or data or a batch of fewer than two clips (batch-norm has nothing to
            normalise by).
    """

    clips: np.ndarray
    epochs: int
    batch_size: int
    seed: int
    rows: slice

    def __post_init__(self) -> None:
        clips, size = len(self.clips), self.batch_size
        if clips < 2:
            raise InputError(f"there is {clips} training clip, expected at least 2")
        if size < 2:
            raise InputError(f"batch_size is {size}, expected at least 2")
        if size > clips:
            raise InputError(f"batch_size is {size}, but there are only {clips} training clips; give at most that")

    @property
    def steps(self) -> int:
        """Full batches per epoch; the few clips left over differ from epoch to epoch."""
        return len(self.clips) // self.batch_size


@dataclass
class Step:
    """One step of a training.

    Args:
        epoch, index: which one, both from 0.
        at: epochs done, with the fraction of the current one.
        clips: (b,) int64 indices of this process's clips of the batch.
        draws: random numbers for the views of those clips.
        values: what `log` was given.
    """

    epoch: int
    index: int
    at: float
    clips: np.ndarray
    draws: Draws
    values: dict[str, Tensor] = field(default_factory=dict)

    def log(self, **values: Tensor) -> None:
        """Keep scalars () of this step; the epoch's line in metrics.jsonl has their mean over steps and processes."""
        self.values |= values


class Loop:
    """Run, or resume, the epochs of a plan.

    ::

        with Loop(fabric, run, plan, state, what="pretrain") as loop:
            for epoch in loop.epochs():
                for step in loop.steps():
                    ...  # forward, backward, update
                    step.log(loss=loss)
                loop.note(accuracy=...)

    Inside the ``with`` no other process can train in the folder, and Ctrl-C or SIGTERM wait for the end of a step.

    Args:
        fabric: processes and device.
        run: where checkpoints and metrics go.
        plan: clips, epochs, batch size and seed.
        state: everything that a step changes, by its name in the checkpoint.
        what: for the progress line.
        save_every: also keep a checkpoint every so many steps, 0 for once an epoch.
        stop_after: stop as if interrupted after that many steps of this call (for tests and rehearsals).

    Raises:
        Interrupted: asked to stop; the state is saved.
        InputError: the loss is no longer finite; a damaged checkpoint.
    """

    def __init__(
        self,
        fabric: Fabric,
        run: Run,
        plan: Plan,
        state: Mapping[str, Stateful],
        *,
        what: str,
        save_every: int = 0,
        stop_after: int | None = None,
    ) -> None:
        self.fabric, self.run, self.plan, self.state, self.what = fabric, run, plan, state, what
        self.save_every, self.stop_after = save_every, stop_after
        # Apple's GPUs have no float64
        self.wide = torch.float32 if fabric.device.type == "mps" else torch.float64
        self.epoch, self.step, self.seconds = 0, 0, 0.0  # where the loop is
        self.sums: dict[str, Tensor] = {}  # of the epoch's steps so far
        self.means: dict[str, float] = {}  # of the last whole epoch
        self.notes: dict[str, float] = {}
        self.done = 0  # steps of this call

    def __enter__(self) -> Loop:
        self._resume()
        plan = self.plan
        with ExitStack() as held:
            held.enter_context(self.run.interruptible())
            clips = plan.epochs * plan.steps * plan.batch_size
            self.progress = held.enter_context(Progress(self.what, clips, "clips", not self.run.main))
            self.run.forget_after(self.epoch)  # epochs are logged from 1, so lines of finished epochs stay
            self.progress.advance((self.epoch * plan.steps + self.step) * plan.batch_size, counts=False)
            self._held = held.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)

    def epochs(self) -> Iterator[int]:
        """The epochs still to do; after the body of each its line is logged and a checkpoint saved."""
        while self.epoch < self.plan.epochs:
            yield self.epoch
            self.run.log(epoch=self.epoch + 1, **self.means, **self.notes, seconds=round(self.seconds, 3))
            self.epoch, self.step, self.seconds, self.sums, self.notes = self.epoch + 1, 0, 0.0, {}, {}
            self._save()
            if self.epoch < self.plan.epochs and self._stop(0):
                raise self.run.interrupted(f"after epoch {self.epoch} of {self.plan.epochs}")

    def steps(self) -> Iterator[Step]:
        """The steps still to do in this epoch."""
        epoch, plan, rank = self.epoch, self.plan, self.fabric.global_rank
        order = epoch_order(plan.clips, plan.seed, epoch)
        for i in range(self.step, plan.steps):
            began = time.perf_counter()
            torch.manual_seed(seeded("cpu", plan.seed, "layers", epoch, i, rank).initial_seed())  # dropout
            draws = Draws(seeded(self.fabric.device, plan.seed, "views", epoch, i), plan.batch_size, plan.rows)
            clips = order[i * plan.batch_size : (i + 1) * plan.batch_size][plan.rows]
            step = Step(epoch, i, epoch + i / plan.steps, clips, draws)
            yield step
            for name, value in step.values.items():
                before = self.sums.get(name, torch.zeros_like(value, dtype=self.wide))
                self.sums[name] = before + value.detach().to(self.wide)
            self.seconds += time.perf_counter() - began
            self.step, self.done = i + 1, self.done + 1
            self.progress.advance(plan.batch_size)
            if self.done == self.stop_after:
                self.run.stop_signal = self.run.stop_signal or 2
            if self.step < plan.steps:
                if self._stop(self.done):
                    self._save()
                    raise self.run.interrupted(f"in epoch {epoch + 1} of {plan.epochs}")
                if self.save_every and self.step % self.save_every == 0:
                    self._save()
        self.means = {name: value / plan.steps for name, value in self._totals().items()}

    def note(self, **values: float) -> None:
        """Add values to this epoch's line in metrics.jsonl, e.g. an accuracy for a curve."""
        self.notes |= values

    def _resume(self) -> None:
        """Go to where the last checkpoint was saved, if there is one."""
        saved = self.run.load(self.fabric.device)
        if saved is None:
            return
        try:
            for name, thing in self.state.items():
                thing.load_state_dict(saved["state"][name])
            self.epoch, self.step = saved["epoch"], saved["step"]
            self.sums, self.seconds = saved["sums"], saved["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            what = f"{self.run.folder / CHECKPOINT} is not a checkpoint of this run ({type(error).__name__})"
            raise InputError(f"{what}; add --restart to start over") from None

    def _totals(self) -> dict[str, float]:
        """The epoch's sums so far, averaged over the processes."""
        found = {name: _over_all(self.fabric, value, "mean") for name, value in self.sums.items()}
        if not all(np.isfinite(v) for v in found.values()):  # before it is saved over a state that was sound
            where = f"in epoch {self.epoch + 1}"
            raise InputError(f"{self.what}: the loss became NaN or infinite {where}; try a lower optim.lr")
        return found

    def _save(self) -> None:
        totals = {k: torch.tensor(v, dtype=self.wide, device=self.fabric.device) for k, v in self._totals().items()}
        held = {name: thing.state_dict() for name, thing in self.state.items()}
        place = {"epoch": self.epoch, "step": self.step, "sums": totals, "seconds": self.seconds}
        self.run.save({"state": held, **place})

    def _stop(self, done: int) -> bool:
        """Whether any process was asked to stop; several processes agree on it every 16 steps, not at each."""
        if self.fabric.world_size == 1:
            return self.run.stop_signal is not None
        if done % 16:
            return False
        asked = torch.tensor(float(self.run.stop_signal is not None), device=self.fabric.device)
        return _over_all(self.fabric, asked, "sum") > 0


def _over_all(fabric: Fabric, value: Tensor, how: str) -> float:
    """Mean or sum of a number over all processes."""
    reduced = fabric.all_reduce(value, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return float(reduced)

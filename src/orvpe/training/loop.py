"""The loop every training shares: epochs and steps, checkpoints, interruption, metrics.  What a step does is the job's.

Every random number of a step is drawn from (seed, epoch, step), so the state to keep is weights, optimiser, bank and
the place in the loop; a run resumed on the same CPU ends bit-identical to one that was never interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any, /) -> Any: ...


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The training clips in this epoch's random order, the same in every process."""
    order = torch.randperm(len(indices), generator=seeded("cpu", seed, "order", epoch)).numpy()
    return indices[order]


def check_counts(epochs: int, save_every: int, seed: int) -> None:
    """InputError for a number that no training can have; to be asked before a run's folder is made."""
    for name, number, least in (("epochs", epochs, 1), ("save_every", save_every, 0), ("seed", seed, 0)):
        if number < least:
            raise InputError(f"{name} is {number}, expected at least {least}")


def steps_per_epoch(clips: int, batch_size: int) -> int:
    """Full batches an epoch; the few clips left over differ from epoch to epoch.

    Raises:
        InputError: a batch larger than the data, or data or a batch of fewer than two clips (batch-norm has nothing to
            normalise by).
    """
    if clips < 2:
        raise InputError(f"there is {clips} training clip, expected at least 2")
    if batch_size < 2:
        raise InputError(f"batch_size is {batch_size}, expected at least 2")
    if batch_size > clips:
        raise InputError(f"batch_size is {batch_size}, but there are only {clips} training clips; give at most that")
    return clips // batch_size


def descend(fabric: Fabric, module: Any, optimizer: Any, loss: Tensor, clip_norm: float) -> None:
    """One step of the optimiser down a loss.

    Args:
        fabric: that set up module and optimiser.
        module, optimizer: as it wrapped them.
        loss: () of this step.
        clip_norm: largest norm of the gradient, 0 for any.
    """
    optimizer.zero_grad()
    fabric.backward(loss)
    if clip_norm:
        # a gradient that is not finite ends the epoch with one line; asking here would wait for the GPU
        fabric.clip_gradients(module, optimizer, max_norm=clip_norm, error_if_nonfinite=False)
    optimizer.step()


def train(
    fabric: Fabric,
    run: Run,
    *,
    what: str,
    seed: int,
    epochs: int,
    steps: int,
    batch_size: int,
    state: Mapping[str, Stateful],
    step: Callable[[int, int, Draws], dict[str, Tensor]],
    rows: slice,
    end_epoch: Callable[[int], dict[str, float]] | None = None,
    save_every: int = 0,
    stop_after: int | None = None,
) -> None:
    """Run (or resume) ``epochs`` epochs.

    Args:
        fabric: processes and device.
        run: where checkpoints and metrics go.
        what: for the progress line.
        seed: of all draws.
        epochs: how many; the last one counts.
        steps: steps an epoch.
        batch_size: clips a step, over all processes.
        state: everything that a step changes.
        step: (epoch, step, draws) -> values to average and log; does forward, backward and update.
        rows: this process's rows of the global batch.
        end_epoch: (epoch) -> more values to log, e.g. accuracy for a curve.
        save_every: also keep a checkpoint every so many steps, 0 for once an epoch.
        stop_after: stop as if interrupted after that many steps of this call (for tests and rehearsals).

    Raises:
        Interrupted: asked to stop; the state is saved.
        InputError: the loss is no longer finite.
    """
    wide = torch.float32 if fabric.device.type == "mps" else torch.float64  # Apple's GPUs know no float64
    begin, first, seconds = 0, 0, 0.0
    sums: dict[str, Tensor] = {}
    if (saved := run.load(fabric.device)) is not None:
        try:
            for name, thing in state.items():
                thing.load_state_dict(saved["state"][name])
            begin, first, sums, seconds = saved["epoch"], saved["step"], saved["sums"], saved["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            what = f"{run.folder / CHECKPOINT} is not a checkpoint of this run ({type(error).__name__})"
            raise InputError(f"{what}; add --restart to begin anew") from None

    def over_all(epoch: int) -> dict[str, float]:
        """The epoch's sums so far, averaged over the processes."""
        found = {name: _over_all(fabric, value, "mean") for name, value in sums.items()}
        if not all(np.isfinite(v) for v in found.values()):  # before it is saved over a state that was sound
            raise InputError(f"{what}: the loss became NaN or infinite in epoch {epoch + 1}; try a lower optim.lr")
        return found

    def keep(next_epoch: int, next_step: int) -> None:
        so_far = {k: torch.tensor(v, dtype=wide, device=fabric.device) for k, v in over_all(next_epoch).items()}
        held = {name: thing.state_dict() for name, thing in state.items()}
        run.save({"state": held, "epoch": next_epoch, "step": next_step, "sums": so_far, "seconds": seconds})

    done = 0
    with (
        run.alone(),
        run.interruptible(),
        Progress(what, epochs * steps * batch_size, "clips", not run.main) as progress,
    ):
        run.forget_after(begin)  # epochs are logged from 1, so lines of finished epochs stay
        progress.advance((begin * steps + first) * batch_size, counts=False)
        for epoch in range(begin, epochs):
            for i in range(first, steps):
                began = time.perf_counter()
                torch.manual_seed(seeded("cpu", seed, "layers", epoch, i, fabric.global_rank).initial_seed())  # dropout
                draws = Draws(seeded(fabric.device, seed, "views", epoch, i), batch_size, rows)
                for name, value in step(epoch, i, draws).items():
                    sums[name] = sums.get(name, torch.zeros_like(value, dtype=wide)) + value.detach().to(wide)
                seconds += time.perf_counter() - began
                done += 1
                progress.advance(batch_size)
                if done == stop_after:
                    run.stop_signal = run.stop_signal or 2
                if i + 1 < steps:
                    if _stop(fabric, run, done):
                        keep(epoch, i + 1)
                        raise run.interrupted(f"in epoch {epoch + 1} of {epochs}")
                    if save_every and (i + 1) % save_every == 0:
                        keep(epoch, i + 1)
            means = {k: v / steps for k, v in over_all(epoch).items()}
            extra = end_epoch(epoch) if end_epoch is not None else {}
            run.log(epoch=epoch + 1, **means, **extra, seconds=round(seconds, 3))
            first, sums, seconds = 0, {}, 0.0
            keep(epoch + 1, 0)
            if epoch + 1 < epochs and _stop(fabric, run, 0):
                raise run.interrupted(f"after epoch {epoch + 1} of {epochs}")


def _stop(fabric: Fabric, run: Run, done: int) -> bool:
    """Whether any process was asked to stop; several processes agree on it every 16 steps, not at each."""
    if fabric.world_size == 1:
        return run.stop_signal is not None
    if done % 16:
        return False
    asked = torch.tensor(float(run.stop_signal is not None), device=fabric.device)
    return _over_all(fabric, asked, "sum") > 0


def _over_all(fabric: Fabric, value: Tensor, how: str) -> float:
    """Mean or sum of a number over all processes."""
    reduced = fabric.all_reduce(value, reduce_op=how)
    assert isinstance(reduced, Tensor)
    return float(reduced)

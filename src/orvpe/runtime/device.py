"""Processes, device and precision through Lightning Fabric, the same for every job."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
from typing import TYPE_CHECKING

import torch

from orvpe.errors import InputError, unknown

if TYPE_CHECKING:
    from lightning.fabric import Fabric

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32", "bf16", "16")


def resolve_precision(precision: str, device: str) -> str:
    """What "auto" stands for on this machine: bf16 where the hardware multiplies it, else 32.

    A CPU without bf16 instructions emulates them, ten times slower than float32.

    Args:
        precision: auto, 32, bf16 or 16; all but auto come back as they are.
        device: auto, cpu, cuda or mps, as `open_fabric` takes it.

    Raises:
        InputError: unknown precision or device.
    """
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise InputError(unknown(name, value, known))
    if precision != "auto":
        return precision
    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        return "bf16" if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8 else "32"
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return "32"
    return "bf16" if _cpu_multiplies_bf16() else "32"


def _cpu_multiplies_bf16() -> bool:
    # torch has it only under private names, which differ from version to version: without them, no
    asked = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return any(bool(ask()) for ask in asked if callable(ask))


def pick_device(device: str = "auto", threads: int = 0) -> torch.device:
    """The device for work of one process that trains nothing, without the seconds that importing Lightning takes.

    Args:
        device: auto (CUDA, else Apple's GPU, else the CPU), cpu, cuda or mps.
        threads: CPU threads of this process, 0 to leave them.

    Raises:
        InputError: unknown device, or one that is not there; fewer than 0 threads.
    """
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    if threads < 0:
        raise InputError(f"threads is {threads}, expected at least 0")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is 'cuda', but torch sees no CUDA GPU here")
    if device == "mps" and not torch.backends.mps.is_available():
        raise InputError("device is 'mps', but torch sees no Apple GPU here")
    if threads:
        torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("high")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(device)


def open_fabric(device: str = "auto", precision: str = "32", threads: int = 0) -> Fabric:
    """A launched Fabric: one process, or the ones `torchrun` (or a cluster's launcher) started.

    Args:
        device: auto, cpu, cuda or mps.
        precision: 32, bf16 (autocast), 16 (autocast with gradient scaling), or auto, see `resolve_precision`.
        threads: CPU threads of this process, 0 to leave them.

    Raises:
        InputError: unknown device or precision, or a device that is not there.
    """
    import warnings

    precision = resolve_precision(precision, device)
    pick_device(device, threads)
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import LightningEnvironment
    from lightning.fabric.strategies import DDPStrategy

    for name in ("lightning.fabric", "lightning.pytorch"):  # which of them speaks depends on what was imported first
        for logger in (name, f"{name}.utilities.rank_zero"):  # says what a user has just asked for
            logging.getLogger(logger).setLevel(logging.WARNING)
    world, nodes = _started()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = Fabric(
            accelerator=device,
            devices=world // nodes if world > 1 else 1,
            num_nodes=nodes,
            # buffers agree by themselves: batch-norm is synchronised, the bank gets every process's rows
            strategy=DDPStrategy(broadcast_buffers=False) if world > 1 else "auto",
            # alone, whatever a cluster's environment says: an allocation of many tasks is no sign of many processes
            plugins=[LightningEnvironment()] if world == 1 else None,
            precision={"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision],  # type: ignore[arg-type]
        )
        fabric.launch()
    if world > 1:
        atexit.register(_leave_group)
    if precision == "16" and fabric.device.type == "cpu":  # Fabric would take bf16 and say nothing of it
        raise InputError("precision is '16', which a CPU does not train in; give 32 or bf16")
    return fabric


def _leave_group() -> None:
    """End gloo's threads while Python still runs: left alone they sometimes abort a process that is done.

    NCCL's group stays, as leaving it waits for processes that may have failed.
    """
    from torch import distributed

    if distributed.is_initialized() and distributed.get_backend() == "gloo":
        distributed.destroy_process_group()


def _started() -> tuple[int, int]:
    """Processes and nodes, as torchrun says to each process."""
    if "LOCAL_RANK" not in os.environ:
        for name, launcher in (("SLURM_STEP_NUM_TASKS", "srun"), ("OMPI_COMM_WORLD_SIZE", "mpirun")):
            if (tasks := int(os.environ.get(name, "1"))) > 1:  # each would train alone, in one folder
                advice = "start one task a node, and in it torchrun (docs/guides/scaling.md)"
                raise InputError(f"{launcher} started {tasks} tasks, which would know nothing of each other; {advice}")
        return 1, 1
    world = int(os.environ.get("WORLD_SIZE", "1"))
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1")) if world > 1 else 1
    if world % nodes:
        raise InputError(
            f"{world} processes on {nodes} nodes, expected as many on each; give all the same --nproc-per-node"
        )
    return world, nodes


def check_shared(fabric: Fabric, **what: str | int) -> None:
    """See that all processes found the same, before they train for hours on what differs.

    Args:
        fabric: launched; with one process there is nothing to do.
        what: named facts of this process, e.g. ``store="a1b2c3d4"``.

    Raises:
        InputError: on every process, if a fact differs between any two.
    """
    if fabric.world_size == 1:
        return
    digests = [int.from_bytes(hashlib.blake2b(repr(v).encode(), digest_size=7).digest(), "big") for v in what.values()]
    mine = torch.tensor(digests, dtype=torch.int64, device=fabric.device)
    every = fabric.all_gather(mine)
    assert isinstance(every, torch.Tensor)
    for name, alike in zip(what, (every == every[0]).all(dim=0).tolist(), strict=True):
        if not alike:
            raise InputError(
                f"the {fabric.world_size} processes do not see the same {name} (here {what[name]}); "
                f"all nodes need the same store and one shared run folder"
            )


def local_rows(global_batch: int, rank: int, world: int) -> slice:
    """This process's rows of a global batch.

    Raises:
        InputError: a batch that does not divide among the processes.
    """
    if global_batch % world:
        raise InputError(f"batch_size is {global_batch}, which {world} processes cannot share evenly")
    share = global_batch // world
    return slice(rank * share, (rank + 1) * share)

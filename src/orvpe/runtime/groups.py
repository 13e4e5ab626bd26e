"""Arguments that several commands share; each of their fields is a flag."""

from __future__ import annotations

from dataclasses import dataclass

from orvpe.runtime.typed import Group


@dataclass(frozen=True)
class Hardware(Group):
    """Hardware.

    Args:
        device: auto, cpu, cuda or mps.
        threads: CPU threads, 0 for all.
    """

    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class TrainingHardware(Hardware):
    """Hardware.

    Args:
        device: auto, cpu, cuda or mps.
        threads: CPU threads, 0 for all.
        precision: 32, bf16, 16, or auto: bf16 where this machine's hardware has it, else 32.
        compile: let torch.compile make one program of the encoder; minutes at the start, faster from there on.
    """

    precision: str = "32"
    compile: bool = False


@dataclass(frozen=True)
class Resuming(Group):
    """Stopping and resuming.

    Args:
        save_every: keep a checkpoint every so many steps too, 0 for once an epoch.
        restart: begin again although the folder holds a run.
        stop_after: stop (resumably) after so many steps.
    """

    save_every: int = 0
    restart: bool = False
    stop_after: int | None = None

"""Settings of the benchmark, validated once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orvpe.errors import InputError


@dataclass(frozen=True)
class Settings:
    """The arguments of `orvpe.lab.bench.bench`, with its 0 for "as suits this machine" kept.

    Args:
        work: folder for files that a part makes and reads; it is emptied afterwards.
        threads: CPU threads, 0 for all.
        device: cpu, cuda or mps, resolved.
        precision: 32, bf16 or 16, resolved.
        repeats: timed rounds of everything.
        frames: clip lengths of the encoders part.
        batch_size: clips a step of the train part.
        clips: clips of the embed and train parts, 0 for a number that suits the device.
        files: NTU files of the ingest part.
        store: a store for the embed part, None to generate one.
        compile: also measure with torch.compile.
        seed: seed of inputs and weights.
        quick: sizes that only show that it works.
    """

    work: Path
    threads: int = 0
    device: str = "cpu"
    precision: str = "32"
    repeats: int = 5
    frames: tuple[int, ...] = (150, 64)
    batch_size: int = 32
    clips: int = 0
    files: int = 2000
    store: str | None = None
    compile: bool = False
    seed: int = 0
    quick: bool = False

    def __post_init__(self) -> None:
        least = {"repeats": 1, "batch_size": 2, "files": 1, "clips": 0, "threads": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least {low}")
        if not self.frames or min(self.frames) < 1:
            raise InputError(f"frames is {list(self.frames)}, expected numbers of at least 1")
        if 0 < self.clips < self.batch_size:
            raise InputError(f"clips is {self.clips}, expected at least batch_size ({self.batch_size}), or 0")

    @property
    def cores(self) -> int:
        """Processes and threads that a part may use."""
        return self.threads or os.cpu_count() or 1

    @property
    def least_seconds(self) -> float:
        """A timed repeat calls what it times until that much has passed, so that the clock's grain does not matter."""
        return 0.0 if self.quick else 0.2

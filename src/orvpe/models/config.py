"""Arguments that several jobs share, as dataclasses that check themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orvpe.errors import InputError, unknown

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("step", "cosine", "one-cycle", "constant")


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder to build.

    Args:
        name: "agcn", the paper's backbone, "light", several times cheaper, or one that the paper compares with:
            "stgcn", "msaagcn", "msg3d", "lstm", "unik", "ctrgcn".
        options: keyword arguments of the encoder's class.
    """

    name: str = "agcn"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Optim:
    """Optimiser and learning-rate schedule.

    Args:
        name: sgd (with momentum) or adamw.
        lr: peak learning rate.
        encoder: share of it that the encoder gets; below 1, fine-tuning keeps more of what pre-training learned.
        momentum: of sgd.
        nesterov: of sgd.
        weight_decay: of both; spares biases, batch-norm and learned graphs when ``decay_norm`` is false.
        decay_norm: whether weight decay also acts on biases, batch-norm and learned graphs, as the paper's does.
        schedule: "step" multiplies by ``gamma`` at each of ``milestones`` (epochs); "cosine" falls to zero;
            "one-cycle" rises over ``warmup`` and falls as a cosine from lr to lr/1e4; "constant".
        milestones: for "step".
        gamma: for "step".
        warmup: epochs of linear rise from zero (for one-cycle: from lr/25).
        clip_norm: largest gradient norm, 0 for no limit.
    """

    name: str = "sgd"
    lr: float = 0.1
    encoder: float = 1.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_norm: bool = True
    schedule: str = "step"
    milestones: list[int] = field(default_factory=lambda: [30, 50])
    gamma: float = 0.1
    warmup: float = 0.0
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (("name", self.name, OPTIMIZERS), ("schedule", self.schedule, SCHEDULES)):
            if value not in known:
                raise InputError(unknown(f"optim.{name}", value, known))
        for name in ("lr", "weight_decay", "warmup", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise InputError(f"optim.{name} is {getattr(self, name)}, expected at least 0")
        if not 0 < self.encoder <= 1:
            raise InputError(f"optim.encoder is {self.encoder}, expected above 0, at most 1")
        if not 0 <= self.momentum < 1:
            raise InputError(f"optim.momentum is {self.momentum}, expected 0 up to below 1")
        if self.nesterov and not self.momentum:
            raise InputError("optim.nesterov is true, which needs optim.momentum above 0")
        if not 0 < self.gamma <= 1:
            raise InputError(f"optim.gamma is {self.gamma}, expected above 0, at most 1")

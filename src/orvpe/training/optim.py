"""Optimiser and learning-rate schedule. The rate is a pure function of progress, so that resuming is exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from orvpe.errors import InputError, unknown

# biases, also those of several convolutions in one; the encoders' graphs
_SPARED = ("bias", "adjacency", "learned", "importance")


def build_optimizer(modules: Iterable[nn.Module], config: Optim, device_type: str = "cpu") -> torch.optim.Optimizer:
    """SGD or AdamW over all trainable parameters, fused on CUDA."""
    named = [(n, p) for m in modules for n, p in m.named_parameters() if p.requires_grad]
    # batch-norm scales and shifts are vectors; a graph that decays forgets the skeleton
    free = [p for n, p in named if not config.decay_norm and (p.ndim <= 1 or n.endswith(_SPARED))]
    exempt = {id(p) for p in free}
    groups: list[dict[str, Any]] = [
        {"params": [p for _, p in named if id(p) not in exempt]},
        {"params": free, "weight_decay": 0.0},
    ]
    if config.encoder != 1:
        inside = {id(p) for n, p in named if n.startswith("encoder.")}
        groups = [
            {**group, "params": [p for p in group["params"] if (id(p) in inside) == slow], "share": share}
            for group in groups
            for slow, share in ((True, config.encoder), (False, 1.0))
        ]
    fused = device_type == "cuda" or None
    if config.name == "sgd":
        return torch.optim.SGD(
            groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov,
            weight_decay=config.weight_decay, fused=fused,
        )  # fmt: skip
    return torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay, fused=fused)


def learning_rate(config: Optim, progress: float, epochs: int) -> float:
    """Learning rate after ``progress`` epochs (a fraction inside an epoch) of ``epochs``."""
    warmup = min(config.warmup, float(epochs))
    if progress < warmup:
        low = config.lr / 25 if config.schedule == "one-cycle" else 0.0
        # the first step of a warm-up from zero would otherwise do nothing
        return low + (config.lr - low) * max(progress / warmup, 1e-3)
    if config.schedule == "step":
        return config.lr * config.gamma ** sum(progress >= m for m in config.milestones)
    if config.schedule == "constant":
        return config.lr
    share = (progress - warmup) / max(epochs - warmup, 1e-9)
    low = config.lr / 1e4 if config.schedule == "one-cycle" else 0.0
    return low + (config.lr - low) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group, each times its share."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("share", 1.0)


OPTIMIZERS = ("sgd", "adamw")


SCHEDULES = ("step", "cosine", "one-cycle", "constant")


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

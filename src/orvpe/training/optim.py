"""Optimiser from its configuration; the learning rate as a pure function of progress, so that resuming is exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from orvpe.models.config import Optim

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
    """Give every group of parameters its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("share", 1.0)

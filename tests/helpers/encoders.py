"""Encoders in which every term matters, for comparing with slow references."""

from __future__ import annotations

import torch
from torch import nn

from orvpe.models.encoders.agcn import AGCN


def scrambled(seed: int = 0, dtype: torch.dtype = torch.float32, **config: object) -> AGCN:
    """An encoder in which every term matters: at initialisation B and the inner gammas are 1e-6."""
    torch.manual_seed(seed)
    model = AGCN(**config)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                m.weight.uniform_(0.5, 1.5)
                m.bias.uniform_(-0.3, 0.3)
                m.running_mean.uniform_(-0.2, 0.2)
                m.running_var.uniform_(0.5, 2.0)
            elif isinstance(m, nn.Conv2d) and m.bias is not None:
                m.bias.uniform_(-0.3, 0.3)
        for block in model.blocks:
            block.spatial.learned.uniform_(-0.3, 0.3)
            block.spatial.mix_bias.uniform_(-0.3, 0.3)
    return model.to(dtype)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    """Within ``tolerance`` of the larger of 1 and the greatest value."""
    a, b = a.detach(), b.detach()
    return float((a - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max()))

"""The projection head of pre-training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError, unknown


def unit(x: Tensor) -> Tensor:
    """Normalise rows to unit length, in full precision also under autocast."""
    return F.normalize(x if x.dtype == torch.float64 else x.float(), dim=-1)


class Projection(nn.Module):
    """phi of eq. 4 over its norm: feature (B, inputs) -> embedding (B, outputs) of unit length.

    Args:
        inputs, outputs: widths, 256 -> 128 in the paper.
        kind: "linear", one fully connected layer (section IV-D), or "mlp", FC-ReLU-FC (non-linear, eq. 4).

    Raises:
        InputError: another kind.
    """

    def __init__(self, inputs: int = 256, outputs: int = 128, kind: str = "linear") -> None:
        super().__init__()
        if kind not in ("linear", "mlp"):
            raise InputError(unknown("projection", kind, ("linear", "mlp")))
        self.layers = (
            nn.Linear(inputs, outputs)
            if kind == "linear"
            else nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, outputs))
        )

    def forward(self, feature: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        return unit(self.layers(feature))

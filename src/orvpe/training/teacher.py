"""A teacher network: a moving average of the encoder, which sees whole bodies while the encoder sees sub-graphs.

Ours, not the paper's. A row of the bank is up to an epoch old and comes from a sub-graph; a teacher's embedding is
current and comes from all that is visible, so the encoder learns to embed half a body like the whole one.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.views.view import View, pool_people


class Teacher(nn.Module):
    """The moving average of an encoder and its projection (He et al., CVPR 2020).

    Its batch-norm normalises by the batch, as the encoder's does, and keeps its own running statistics.

    Args:
        encoder, projection: copied.
        momentum: the share of the old weights that stays at each step, above 0 and below 1.

    Raises:
        InputError: another momentum.
    """

    def __init__(self, encoder: nn.Module, projection: nn.Module, momentum: float) -> None:
        super().__init__()
        if not 0 < momentum < 1:
            raise InputError(f"contrast.teacher is {momentum}, expected above 0 and below 1, or 0 for none")
        self.momentum = momentum
        self.encoder, self.projection = deepcopy(encoder), deepcopy(projection)
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, view: View) -> Tensor:
        """(N, outputs) embeddings of unit length, without gradient."""
        return self.projection(pool_people(self.encoder(view.joints, view.visible), view))

    @torch.no_grad()
    def follow(self, encoder: nn.Module, projection: nn.Module) -> None:
        """Update the moving average with the weights of ``encoder`` and ``projection``."""
        for mine, theirs in ((self.encoder, encoder), (self.projection, projection)):
            torch._foreach_lerp_(list(mine.parameters()), list(theirs.parameters()), 1 - self.momentum)

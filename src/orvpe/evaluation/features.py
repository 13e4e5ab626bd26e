"""Compute features of many clips with a frozen model: one fixed view each, no gradient, batch-norm unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from orvpe.models.model import Model
from orvpe.runtime.draws import ClipDraws
from orvpe.views.augment import mirror_image
from orvpe.views.batch import batches
from orvpe.views.resident import ResidentStore
from orvpe.views.view import View, ViewConfig, fixed_view, training_view


def clip_draws(data: ResidentStore, chosen: np.ndarray, occlusion: str, seed: int, version: int = 0) -> ClipDraws:
    """Draws of the corruption of clips, a function of seed, pattern, version and each clip's place in the store."""
    return ClipDraws(data.device, chosen, seed, "view", occlusion, *((version,) if version else ()))


@torch.no_grad()
def extract(
    model: Model,
    data: ResidentStore,
    indices: np.ndarray,
    occlusion: str = "none",
    seed: int = 0,
    batch_size: int = 64,
    random_view: ViewConfig | None = None,
    version: int = 0,
    mirrored: bool = False,
) -> Tensor:
    """Compute features (len(indices), 256), on the model's device.

    Args:
        model: in any mode; it is evaluated, and put back.
        data: where the clips are.
        indices: which clips.
        occlusion: corruption of every clip, drawn from ``seed``, the pattern and the clip's place in the store.
        seed: of the corruption or of the random view.
        batch_size: clips at a time.
        random_view: a training view instead of the fixed one.
        version: another draw of the corruption for each.
        mirrored: the clips' mirror images, corrupted after that.
    """
    training = model.training
    model.eval()
    views = fixed_views(model, data, indices, occlusion, seed, batch_size, version, mirrored, random_view)
    parts = [model.features(view) for view in views]
    model.train(training)
    return torch.cat(parts)


def fixed_views(
    model: Model,
    data: ResidentStore,
    indices: np.ndarray,
    occlusion: str = "none",
    seed: int = 0,
    batch_size: int = 64,
    version: int = 0,
    mirrored: bool = False,
    random_view: ViewConfig | None = None,
) -> Iterator[View]:
    """What `extract` gives to the encoder, batch by batch; the arguments are its own."""
    for chosen in batches(np.ascontiguousarray(indices), batch_size):
        raw = mirror_image(data.batch(chosen)) if mirrored else data.batch(chosen)
        draws = clip_draws(data, chosen, occlusion, seed, version)
        if random_view is None:
            yield fixed_view(raw, model.view, occlusion, draws)
        else:
            yield training_view(raw, random_view, draws)

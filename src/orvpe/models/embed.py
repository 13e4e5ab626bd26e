"""Compute features of clips in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from orvpe.data.formats.gate import check_pixels, warn_of_strange
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.model import Model
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.poses.unify import to_unified
from orvpe.poses.windows import seen_people
from orvpe.runtime.draws import ClipDraws
from orvpe.views.batch import Batch, batches, collate
from orvpe.views.view import fixed_view, input_dims

if TYPE_CHECKING:
    pass


@torch.no_grad()
def embed_batch(
    model: Model, batch: Batch, occlusion: str = "none", seed: int = 0, first: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Compute features (N, 256) and, if the model has a projection, embeddings (N, 128) of unit length.

    The model may be in any mode; it is evaluated, and put back.  A random occlusion is drawn from ``seed`` and each
    clip's place, which is ``first`` for the first of the batch.
    """
    training = model.training
    model.eval()
    draws = ClipDraws(batch.joints.device, range(first, first + len(batch)), seed, "embed", occlusion)
    feature = model.features(fixed_view(batch, model.view, occlusion, draws))
    embedding = model.projection(feature).float().cpu().numpy() if model.projection is not None else None
    model.train(training)
    return feature.float().cpu().numpy(), embedding


def embed_clips(
    model: Model, clips: list[Clip], batch_size: int = 64, occlusion: str = "none", seed: int = 0
) -> np.ndarray:
    """Compute features (len(clips), 256) of clips in memory, mapped onto the model's layout.

    Warns where 3D clips are not in metres with y up; `orvpe.checked` turns them.

    Args:
        model: in any mode.
        clips: of one dimension.
        batch_size: clips at a time.
        occlusion: hide joints first, see `orvpe evaluate`.
        seed: places a random occlusion.

    Raises:
        InputError: clips of another dimension, or that share no joint with the model's layout; no such occlusion.
    """
    device = next(model.parameters()).device
    warn_of_strange(clips)
    ready = [fit_clip(model, c) for c in clips]
    parts = [
        embed_batch(model, collate([ready[i] for i in chosen], device), occlusion, seed, int(chosen[0]))[0]
        for chosen in batches(np.arange(len(ready)), batch_size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, model.feature_dim), np.float32)


def fit_clip(model: Model, clip: Clip) -> Clip:
    if input_dims(model.view, clip.dims) != model.dims:
        raise InputError(f"clip {clip.name!r} is {clip.dims}D, the model reads {model.dims}D joints")
    check_pixels(clip)
    if clip.layout.joints == model.layout.joints:
        return seen_people(clip)
    if model.layout.joints != unified.joints:
        raise InputError(f"clip {clip.name!r} has layout {clip.layout.name!r}, the model reads {model.layout.name!r}")
    return seen_people(to_unified(clip))


def check_fits(model: Model, store: Store, weights: str) -> None:
    """Raise InputError unless a store's clips have the model's dimension and layout."""
    if model.dims != input_dims(model.view, store.dims):
        raise InputError(f"model {weights} reads {model.dims}D joints, the store holds {store.dims}D")
    if model.layout.joints != store.layout.joints:
        option = "unified" if model.layout.joints == unified.joints else "native"
        raise InputError(
            f"model {weights} reads layout {model.layout.name!r} ({len(model.layout)} joints), "
            f"the store holds {store.layout.name!r} ({len(store.layout)}); ingest its files with --layout {option}"
        )

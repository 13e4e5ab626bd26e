"""Compute features of clips in memory."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from orvpe.data.formats.gate import check_pixels, warn_of_strange
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.encoders.tokens import Tokens
from orvpe.models.model import Model
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.poses.unify import to_unified
from orvpe.poses.windows import seen_people
from orvpe.runtime.draws import ClipDraws
from orvpe.views.batch import Batch, batches, collate
from orvpe.views.view import fixed_view, input_dims


@torch.no_grad()
def embed_batch(model: Model, batch: Batch, occlusion: str = "none", seed: int = 0, first: int = 0) -> Vectors:
    """Compute the vectors of a batch.

    The model may be in any mode; it is evaluated, and put back.  A random occlusion is drawn from ``seed`` and each
    clip's place, which is ``first`` for the first of the batch.
    """
    training = model.training
    model.eval()
    draws = ClipDraws(batch.joints.device, range(first, first + len(batch)), seed, "embed", occlusion)
    view = fixed_view(batch, model.view, occlusion, draws)
    feature = model.features(view)
    embedding = model.projection(feature).float().cpu().numpy() if model.projection is not None else None
    tokens = to_rows(model.tokens(view)) if model.structured else None
    model.train(training)
    return Vectors(feature.float().cpu().numpy(), embedding, tokens)


class Vectors(NamedTuple):
    """What a model makes of N clips.

    Args:
        feature: (N, 256).
        embedding: (N, 128) of unit length, None where the model has no projection.
        tokens: (N, V S D) structured embeddings, joints x segments x numbers, NaN where hidden; None where the encoder
            gives none.
    """

    feature: np.ndarray
    embedding: np.ndarray | None
    tokens: np.ndarray | None


def to_rows(tokens: Tokens) -> np.ndarray:
    """Structured embeddings as (N, V S D) float32, NaN where hidden."""
    return tokens.values.masked_fill(~tokens.visible[..., None], torch.nan).flatten(1).float().cpu().numpy()


def from_rows(model: Model, rows: np.ndarray) -> Tokens:
    """The inverse of `to_rows`, on the model's device.

    Raises:
        InputError: rows of another model.
    """
    shape = model.token_shape
    if rows.ndim != 2 or rows.shape[1] != math.prod(shape):
        raise InputError(f"tokens have shape {rows.shape}, expected (clips, {math.prod(shape)})")
    values = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).view(-1, *shape)
    values = values.to(next(model.parameters()).device)
    visible = ~values.isnan().any(dim=-1)
    return Tokens(values.masked_fill(~visible[..., None], 0.0), visible)


def similarity(model: Model, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q, G) similarity of structured embeddings over what the query shows, -1 to 1.

    Args:
        model: whose tokens they are.
        query, gallery: (Q, V, S, D) and (G, V, S, D), or flat as (Q, V S D), NaN where hidden.

    Raises:
        InputError: another shape, a model that gives one vector only.
    """
    rows = [np.asarray(x).reshape(len(x), -1) for x in (query, gallery)]
    q, g = (from_rows(model, x) for x in rows)
    return model.similarity(q, g).cpu().numpy()


def embed_tokens(
    model: Model, clips: list[Clip], batch_size: int = 64, occlusion: str = "none", seed: int = 0
) -> np.ndarray:
    """(len(clips), V, S, D) structured embeddings: joints x segments x numbers, NaN where hidden; see `similarity`.

    Of a clip with several people the first who is seen counts.

    Args:
        model: of encoder "tokens", in any mode.
        clips, batch_size, occlusion, seed: as for `embed_clips`.

    Raises:
        InputError: a model that gives one vector only; as `embed_clips`.
    """
    shape = model.token_shape
    device = next(model.parameters()).device
    ready = [fit_clip(model, c) for c in clips]
    parts = []
    for chosen in batches(np.arange(len(ready)), batch_size):
        found = embed_batch(model, collate([ready[i] for i in chosen], device), occlusion, seed, int(chosen[0])).tokens
        assert found is not None
        parts.append(found)
    return np.concatenate(parts).reshape(-1, *shape) if parts else np.zeros((0, *shape), np.float32)


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
    """Map a clip onto the model's layout, without people who are never visible.

    Raises:
        InputError: a clip of another dimension or layout, or without a known unit.
    """
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

"""What the token encoder learns: how people who do the same differ, from any number of labelled stores.

Not a loop over epochs: three moments, each a sum over clips.  Every store has labels of its own, every class and every
store counts alike.  A clip is seen several times: whole, then cut and turned (or, in 2D, from other cameras), so that
where a cut or a camera is counts as a difference among people who do the same.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.encoders.tokens import TokenEncoder, Tokens
from orvpe.models.model import Model
from orvpe.poses.skeleton import unified
from orvpe.runtime.draws import ClipDraws
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import check_folder, environment
from orvpe.views.augment import Augment
from orvpe.views.batch import batches
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig, fixed_view, training_view, without_camera

VIEW = ViewConfig(tau=32, crop="resample", shortest=0.75, centre="none", align=False, image="body")
_ROUNDS = 2  # hidden tokens are filled from the total moments, which need them filled
_LEAST_SEEN = 0.5  # of its tokens a view must show
_KNOWN = 0.02  # share of the views in which a joint must be visible, else the encoder does not use it
_BATCH = 256


class Sample(NamedTuple):
    """Labelled views of one store.

    Args:
        tokens: of N views.
        classes: (N,) int64.
    """

    tokens: Tokens
    classes: Tensor


@alone_in("out", folder=True)
def metric(
    stores: list[str],
    out: str,
    dims: int = 3,
    views: int = 2,
    clips: int = 2500,
    turn: float = 26.0,
    segments: int = 8,
    seed: int = 0,
) -> Path:
    """Learn the metric of a token encoder from labelled stores, in seconds; writes a model.

    Args:
        stores: stores with labels; each has classes of its own.  With dims 2, those in 3D are seen by virtual cameras.
        out: folder of the model.
        dims: 3 for metres or 2 for pixels.
        views: how often a clip is seen: once whole, then cut at random; from another camera each with dims 2.
        clips: of each store, so many at most, drawn at random.
        turn: 3D: largest turn of the cut views about the vertical, degrees.
        segments: temporal segments of a clip.
        seed: of cuts, turns, cameras and of the clips that are drawn.

    Returns:
        The folder.

    Raises:
        InputError: a store without labels, of another layout or dimension, a value out of its range.
    """
    begun = time.monotonic()
    if not stores:
        raise InputError("stores are empty, expected at least one")
    if dims not in (2, 3):
        raise InputError(f"dims is {dims}, expected 2 or 3")
    for name, value in (("views", views), ("clips", clips)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1")
    check_folder(out)
    view = replace(VIEW, camera="virtual" if dims == 2 else "none", augment=Augment(yaw=turn if dims == 3 else 0.0))
    model = Model(EncoderConfig("tokens", {"segments": segments}), unified, dims, view)
    opened = [Store.open_whole(path) for path in stores]
    samples = [sample(model, store, views, clips, seed) for store in opened]
    assert isinstance(model.encoder, TokenEncoder)
    learn_moments(model.encoder, samples)
    seen = sum(len(s.classes) for s in samples)
    model.save(
        out,
        half=True,
        trained={
            "job": "metric", "stores": [Path(p).name for p in stores], "store_checksums": [s.checksum for s in opened],
            "views": views, "clips": clips, "turn": turn, "seed": seed, "seen": seen,
            "classes": [int(s.classes.max()) + 1 for s in samples],
        },
        environment=environment(),
    )  # fmt: skip
    print(f"{seen:,} views of {len(stores)} stores, {time.monotonic() - begun:.1f} s -> {out}")
    return Path(out)


@torch.no_grad()
def sample(model: Model, store: Store, views: int = 2, clips: int = 2500, seed: int = 0) -> Sample:
    """Labelled views of a store's clips.

    Raises:
        InputError: no labels, another layout or dimension.
    """
    if store.layout.joints != model.layout.joints:
        raise InputError(f"{store.path}: layout {store.layout.name!r}, expected {model.layout.name!r}; ingest it so")
    if store.dims != model.dims and not (store.dims == 3 and model.view.camera == "virtual"):
        raise InputError(f"{store.path}: {store.dims}D clips, expected {model.dims}D")
    labelled = np.flatnonzero(store.labels != "")
    if not len(labelled):
        raise InputError(f"{store.path}: no clip has a label, which the metric is learned from")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(labelled)[:clips])
    classes = np.unique(store.labels[chosen], return_inverse=True)[1]
    view, data = without_camera(model.view, store.dims), ResidentStore(store)
    tokens, targets = [], []
    for number in range(views):
        for rows in batches(np.arange(len(chosen)), _BATCH):
            batch = data.batch(chosen[rows])
            draws = ClipDraws("cpu", chosen[rows], seed, "metric", number)
            if number == 0 and view.camera == "none":
                made = fixed_view(batch, view)
            else:
                made = training_view(batch, replace(view, shortest=1.0) if number == 0 else view, draws)
            found = model.tokens(made)
            shown = found.visible.flatten(1).float().mean(dim=1) > _LEAST_SEEN
            tokens.append(Tokens(found.values[shown], found.visible[shown]))
            targets.append(torch.from_numpy(classes[rows])[shown])
    both = Tokens(torch.cat([t.values for t in tokens]), torch.cat([t.visible for t in tokens]))
    if not len(both.values):
        raise InputError(f"{store.path}: no clip shows more than half of a body")
    return Sample(both, torch.unique(torch.cat(targets), return_inverse=True)[1])


@torch.no_grad()
def learn_moments(encoder: TokenEncoder, samples: list[Sample]) -> None:
    """Set the encoder's mean, within and total from labelled views of several stores, each counted alike."""
    shares = [s.tokens.visible.float().mean(dim=(0, 2)) for s in samples]  # (V,) each
    known = (torch.stack(shares).amax(dim=0) > _KNOWN).float()
    flat, seen = [], []
    encoder.mean.zero_()
    for s in samples:
        x, v = encoder.flat(s.tokens)
        flat.append(x)
        seen.append(v)
    total_seen = [v.sum(dim=0).clamp(min=1) for v in seen]
    some = [(v.sum(dim=0) > 0).float() for v in seen]
    weight = torch.stack(some).sum(dim=0).clamp(min=1)
    mean = torch.stack([x.sum(dim=0) / n for x, n in zip(flat, total_seen, strict=True)]).sum(dim=0) / weight  # (K, D)
    within = total = torch.zeros_like(encoder.within, dtype=torch.float64)
    for number in range(1 + _ROUNDS):
        w, t = torch.zeros_like(within), torch.zeros_like(total)
        for s, x, v in zip(samples, flat, seen, strict=True):
            deviation = (x - mean) * v[:, None] if number == 0 else encoder.filled(s.tokens)
            a, b = scatter(deviation.double(), s.classes)
            scale = a.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[:, None, None].clamp(min=1e-12)
            w, t = w + a / scale / len(samples), t + b / scale / len(samples)
        within, total = w, t
        encoder.set_moments(mean, within, total, known)


def scatter(x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance within classes, and about the mean of all: (N, K, D), (N,) -> (K, D, D) twice; each class alike."""
    count = torch.bincount(classes).to(x.dtype)
    centre = torch.zeros(len(count), *x.shape[1:], dtype=x.dtype).index_add_(0, classes, x) / count[:, None, None]
    share = (1 / count[classes] / len(count)).sqrt()[:, None, None]
    inner = (x - centre[classes]) * share
    outer = (x - x.mean(dim=0)) * share
    return torch.einsum("nkd,nke->kde", inner, inner), torch.einsum("nkd,nke->kde", outer, outer)

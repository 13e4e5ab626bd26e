"""Baselines without an encoder: compare raw joints. An encoder has to do better.

Nearest neighbour: the distance of two clips is the root mean square over the (frame, joint)s visible in both, after the
translation that makes it smallest.  Linear: logistic regression on the joints around their mean and the visibility
mask, fitted on whole clips and on occluded copies.  Both read the same corrupted clips as the encoders.

Shapes: N, Q, G clips, F frames, V joints, C coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from orvpe.data.protocols.task import Task
from orvpe.evaluation.features import clip_draws
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.evaluation.metrics import accuracy
from orvpe.runtime.draws import seeded
from orvpe.views.augment import mirror_image
from orvpe.views.batch import Batch, batches
from orvpe.views.normalize import normalize_2d
from orvpe.views.occlusion import SEVERAL, corruption
from orvpe.views.resident import ResidentStore

FRAMES = 32  # that clips are resampled to
MOST = 5000  # training clips that queries are compared with, or that the linear classifier is fitted on
COPIES = 3
_EVERY = 4  # the linear classifier reads every fourth of the frames
_CHUNK = 512  # queries at a time


class RawClips(NamedTuple):
    """Raw clips, resampled to one length.

    Args:
        joints: (N, F, V, C) float32, metres or (2D) body heights, zero where hidden.
        visible: (N, F, V) bool.
    """

    joints: np.ndarray
    visible: np.ndarray


def raw_clips(batch: Batch, frames: int = FRAMES) -> RawClips:
    """The first person of raw, already corrupted clips at the nearest of ``frames`` evenly spaced frames.

    2D clips are divided by the body's height, estimated from the visible bones, because pixels have no size.
    """
    if batch.dims == 2:
        batch = normalize_2d(batch, "body", "none")
    share = torch.arange(frames, device=batch.frames.device) / max(frames - 1, 1)
    t = (share * (batch.frames[:, None] - 1)).round().long()  # (N, F)
    n = torch.arange(len(batch), device=t.device)[:, None]
    return RawClips(batch.joints[:, 0][n, t].cpu().numpy(), batch.visible[:, 0][n, t].cpu().numpy())


def extract_raw(
    data: ResidentStore,
    indices: np.ndarray,
    occlusion: str = "none",
    seed: int = 0,
    batch_size: int = 64,
    version: int = 0,
    mirrored: bool = False,
) -> RawClips:
    """The clips at ``indices`` under the corruption that `orvpe.evaluation.features.extract` draws for an encoder."""
    parts = []
    for chosen in batches(np.ascontiguousarray(indices), batch_size):
        batch = mirror_image(data.batch(chosen)) if mirrored else data.batch(chosen)
        parts.append(raw_clips(corruption(occlusion)(batch, clip_draws(data, chosen, occlusion, seed, version))))
    return RawClips(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def distances(queries: RawClips, gallery: RawClips) -> np.ndarray:
    """(Q, G) root mean square distance over the joints visible in both, after the best translation.

    A pair that shares less than half of what the query's best pair shares is infinitely far: too little to compare.
    """
    found = [
        _distances(RawClips(queries.joints[i : i + _CHUNK], queries.visible[i : i + _CHUNK]), gallery)
        for i in range(0, len(queries.joints), _CHUNK)
    ]
    return np.concatenate(found)


def _distances(queries: RawClips, gallery: RawClips) -> np.ndarray:
    (q, m), (g, k) = _centred(queries), _centred(gallery)
    shared = np.maximum(m @ k.T, 1)  # (Q, G)
    total = np.zeros_like(shared)
    for a, b in zip(q, g, strict=True):  # one coordinate at a time, (Q, F V) and (G, F V)
        square = a**2 @ k.T - 2 * a @ b.T + m @ (b**2).T
        mean = (a @ k.T - m @ b.T) / shared  # the best translation is the mean difference
        total += square / shared - mean**2
    few = shared < 0.5 * shared.max(axis=1, keepdims=True)
    return np.where(few, np.inf, np.sqrt(np.maximum(total, 0)))


def _centred(clips: RawClips) -> tuple[np.ndarray, np.ndarray]:
    """(C, N, F V) around each clip's mean visible joint, zero where hidden, and the mask (N, F V), as float64."""
    mask = clips.visible.reshape(len(clips.visible), -1).astype(np.float64)
    joints = np.moveaxis(clips.joints, -1, 0).reshape(clips.joints.shape[-1], len(mask), -1).astype(np.float64)
    mean = (joints * mask).sum(axis=-1, keepdims=True) / np.maximum(mask.sum(axis=-1, keepdims=True), 1)
    return (joints - mean) * mask, mask


def raw_vectors(clips: RawClips) -> np.ndarray:
    """(N, F/4 V (C + 1)) float32: joints around the clip's mean visible joint, zero where hidden, and the mask."""
    few = RawClips(clips.joints[:, ::_EVERY], clips.visible[:, ::_EVERY])
    joints, mask = _centred(few)
    return np.concatenate([*joints, mask], axis=1).astype(np.float32)


def some_of_each(target: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Positions (at most ``most``, ascending) in (N,) targets, spread over the classes as these are."""
    if len(target) <= most:
        return np.arange(len(target))
    drawn = torch.randperm(len(target), generator=seeded("cpu", seed, "raw")).numpy()
    by_class = drawn[np.argsort(target[drawn], kind="stable")]
    return np.sort(by_class[np.linspace(0, len(target) - 1, most).round().astype(int)])


def raw_rows(
    data: ResidentStore,
    task: Task,
    occlusions: list[str],
    seed: int = 0,
    batch_size: int = 64,
    copies: int = COPIES,
) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy of a task without an encoder, in per cent.

    Args:
        data: where the clips are.
        task: its training clips are the neighbours; at most `MOST` of them are used.
        occlusions: of the test clips, as for an encoder.
        seed: of the corruptions.
        batch_size: clips at a time.
        copies: occluded copies of each training clip that the linear classifier is fitted on too.

    Returns:
        For "raw 1-NN" and "raw logistic" and each occlusion ``top1``; of "raw 1-NN" also ``recall``, the share of
        corrupted test clips whose nearest whole test clip is their own.  Empty where the task has no training clip, and
        without "raw logistic" where these are of one class.
    """
    if not len(task.train) or not len(task.test):
        return {}
    train = task.train[some_of_each(task.target[task.train], MOST, seed)]
    target, truth = task.target[train], task.target[task.test]
    gallery = extract_raw(data, train, batch_size=batch_size)
    whole = extract_raw(data, task.test, batch_size=batch_size)
    rows: dict[str, dict[str, dict[str, float]]] = {"raw 1-NN": {}}
    head = None
    if len(np.unique(target)) > 1:
        rows["raw logistic"] = {}
        more = [extract_raw(data, train, SEVERAL, seed, batch_size, v) for v in range(1, copies + 1)]
        vectors = torch.from_numpy(np.stack([raw_vectors(c) for c in (gallery, *more)]))  # (1 + copies, N, D)
        head = logistic_of_versions(vectors, torch.from_numpy(target), len(task.classes))
    for occlusion in occlusions:
        hidden = whole if occlusion == "none" else extract_raw(data, task.test, occlusion, seed, batch_size)
        nearest = distances(hidden, gallery).argmin(axis=1)
        own = distances(hidden, whole).argmin(axis=1) == np.arange(len(truth))
        right = target[nearest] == truth
        rows["raw 1-NN"][occlusion] = {"top1": 100 * float(right.mean()), "recall": 100 * float(own.mean())}
        if head is not None:
            scores = _scores(head, hidden)
            rows["raw logistic"][occlusion] = {"top1": accuracy(scores, truth).top1}
    return rows


@torch.no_grad()
def _scores(head: torch.nn.Module, clips: RawClips) -> np.ndarray:
    scores: Tensor = head(torch.from_numpy(raw_vectors(clips)))
    return scores.numpy()

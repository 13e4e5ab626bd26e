"""Temporal sub-graph: choose the frames of a clip (section III-A b, temporal dimension)."""

from __future__ import annotations

import torch
from torch import Tensor

from orvpe.errors import InputError, unknown
from orvpe.runtime.draws import Draws
from orvpe.views.batch import Batch

CROPS = ("run", "resample")


def sample_frames(
    batch: Batch, tau: int, crop: str = "run", shortest: float = 1.0, draws: Draws | None = None
) -> Batch:
    """Cut or resample every clip to ``tau`` frames.

    Args:
        batch: raw, already corrupted clips.
        tau: frames that come out.
        crop: "run" takes a run of ``tau`` frames at a random place (the paper's temporal sub-graph) and repeats a
            clip that is shorter, as the backbone's preprocessing does; "resample" takes a random part of the clip and
            interpolates it linearly to ``tau`` frames, so that no frame is wasted on padding.
        shortest: for "resample", the part is a share of the clip drawn from [shortest, 1].
        draws: None takes the middle run, or the whole clip: the test-time crop.

    Returns:
        A batch of exactly ``tau`` frames.

    Raises:
        InputError: unknown ``crop``, ``tau`` below 1, ``shortest`` outside (0, 1].
    """
    if tau < 1:
        raise InputError(f"tau is {tau}, expected at least 1 frame")
    if not 0 < shortest <= 1:
        raise InputError(f"shortest is {shortest}, expected a share in (0, 1]")
    length = batch.frames[:, None]  # (N, 1)
    place = torch.full_like(length, 0.5, dtype=torch.float32) if draws is None else draws.uniform(1)
    t = torch.arange(tau, device=length.device)
    if crop == "run":
        spare = (length - tau).clamp(min=0)
        first = (place * (spare + 1)).long().clamp(max=spare) if draws is not None else spare // 2
        return _gather(batch, (first + t) % length)
    if crop == "resample":
        share = 1.0 if draws is None else shortest + (1 - shortest) * draws.uniform(1)
        last = (length - 1).float()
        span = last * share
        first = (last - span) * place
        step = t.float() / max(tau - 1, 1)
        return _interpolate(batch, first + span * step)
    raise InputError(unknown("crop", crop, CROPS))


def _take(x: Tensor, frame: Tensor) -> Tensor:
    """Take frames (N, tau) of x (N, M, T, ...) -> (N, M, tau, ...)."""
    n = torch.arange(x.shape[0], device=x.device)[:, None, None]
    m = torch.arange(x.shape[1], device=x.device)[None, :, None]
    return x[n, m, frame[:, None, :]]


def _gather(batch: Batch, frame: Tensor) -> Batch:
    tau = frame.shape[1]
    return batch.with_(
        joints=_take(batch.joints, frame),
        visible=_take(batch.visible, frame),
        frames=torch.full_like(batch.frames, tau),
    )


def _interpolate(batch: Batch, position: Tensor) -> Batch:
    """Interpolate linearly between frames if both are visible; else use value and visibility of the nearer frame."""
    length = batch.frames[:, None]
    low = position.floor().long().clamp(min=0)
    low = torch.minimum(low, length - 1)
    high = torch.minimum(low + 1, length - 1)
    weight = (position - low).clamp(0, 1)[:, None, :, None]  # (N, 1, tau, 1)
    seen_low, seen_high = _take(batch.visible, low), _take(batch.visible, high)
    near_high = (weight >= 0.5).expand_as(seen_low)
    weight = torch.where(seen_low & seen_high, weight, near_high.float())
    visible = (near_high & seen_high) | (~near_high & seen_low)  # not where(): onnxruntime chooses among no bools
    joints = torch.lerp(_take(batch.joints, low), _take(batch.joints, high), weight[..., None])
    return batch.with_joints(joints, visible, frames=torch.full_like(batch.frames, position.shape[1]))

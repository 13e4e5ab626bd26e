"""Occlusions and other corruptions of clips, SubG-DA among them; nothing else hides joints.

Corruptions act on the raw clip, before resampling, centring, normalisation and bones, in training and evaluation
alike, so nothing of a hidden joint can leak into what is left.  Each is a function of (batch, draws, value) that
returns a batch; a clip gets a draw of its own at each visit, all on the device, without a loop over clips.

A corruption is named by a short text, ``name`` or ``name:value``, as in ``upper``, ``joints:0.4``, ``frames:0.3``;
several are joined by ``+``, and of several with ``/`` between them each clip draws one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import Tensor

from orvpe.errors import InputError, unknown
from orvpe.poses.body_parts import PARTS, part_indices
from orvpe.poses.skeleton import Layout
from orvpe.runtime.draws import Draws
from orvpe.views.batch import Batch
from orvpe.views.constants import constant

Corruption = Callable[[Batch, Draws], Batch]

# (1) upper, (2) lower, (3) right, (4) left, (5) centre body invisible, (6) all visible: section IV-D a
SUBGRAPHS = ("upper", "lower", "right", "left", "centre")
# one of: the whole body, SubG-DA (twice as often), joints, a gap in time, what is behind a plane, noise
SEVERAL = "none/subgraph/subgraph/joints:0.4/frames:0.4/block:0.3/jitter:0.03"


def keep(batch: Batch, mask: Tensor) -> Batch:
    """Hide every joint where ``mask`` (broadcastable to (N, M, T, V), bool) is False.

    Hiding a source joint also hides its means (`Layout.derived`), from which it could be computed.
    """
    visible = batch.visible & mask
    if batch.layout.derived:
        hidden = batch.visible & ~mask
        reach = _reach(batch.layout.derived_index, len(batch.layout), batch.joints.device)
        visible = visible & ~(hidden.float() @ reach).bool()
    return batch.with_joints(batch.joints, visible)


@lru_cache(maxsize=64)
def _reach(pairs: tuple[tuple[int, int], ...], joints: int, device: torch.device) -> Tensor:
    """Matrix (V, V) float32 with 1 at [source, derived], cached on the device."""
    reach = torch.zeros(joints, joints)
    for derived, source in pairs:
        reach[source, derived] = 1.0
    return reach.to(device)


def part_mask(parts: tuple[str, ...], layout: Layout, device: torch.device) -> Tensor:
    """Masks of body parts, (len(parts), V) bool: False for the joints of the part."""
    hidden = [set(part_indices(part, layout)) for part in parts]
    return constant(tuple(tuple(v not in h for v in range(len(layout))) for h in hidden), device)


def subgraph(batch: Batch, draws: Draws, value: float) -> Batch:
    """Spatial SubG-DA: one of the six masks per clip, over all its frames and people.

    ``value`` is the probability of one of the five occlusions; 5/6, all six alike, is the paper's
    (docs/concepts/method.md, 7).
    """
    masks = part_mask(SUBGRAPHS, batch.layout, batch.joints.device)
    hidden = draws.uniform() < value
    chosen = masks[draws.integers(len(SUBGRAPHS))] | ~hidden[:, None]  # (N, V)
    return keep(batch, chosen[:, None, None, :])


def joints(batch: Batch, draws: Draws, value: float) -> Batch:
    """Hide each joint in the whole clip with probability ``value``."""
    v = batch.joints.shape[3]
    return keep(batch, (draws.uniform(v) >= value)[:, None, None, :])


def flicker(batch: Batch, draws: Draws, value: float) -> Batch:
    """Hide each joint of each frame with probability ``value``."""
    _, m, t, v, _ = batch.joints.shape
    return keep(batch, draws.uniform_at(m, t, v) >= value)


_LIMBS = ("left_arm", "right_arm", "left_leg", "right_leg", "trunk")


def tubes(batch: Batch, draws: Draws, value: float) -> Batch:
    """Hide one random limb or the trunk over a contiguous share ``value`` of the frames."""
    masks = part_mask(_LIMBS, batch.layout, batch.joints.device)
    chosen = masks[draws.integers(len(_LIMBS))]  # (N, V)
    gap = _gap(batch, draws, (batch.frames * value).round().long())  # (N, T)
    return keep(batch, (chosen[:, None, :] | ~gap[:, :, None])[:, None])


def frames(batch: Batch, draws: Draws, value: float) -> Batch:
    """Hide a contiguous run of frames: the share ``value`` if below 1, else that many frames; never all."""
    size = (batch.frames * value).round().long() if value < 1 else torch.full_like(batch.frames, int(value))
    return keep(batch, ~_gap(batch, draws, torch.minimum(size, batch.frames - 1))[:, None, :, None])


def _gap(batch: Batch, draws: Draws, size: Tensor) -> Tensor:
    """Mask (N, T) bool of a run of ``size`` (N,) frames at a random place."""
    length, gap = batch.frames[:, None], size[:, None]
    first = (draws.uniform(1) * (length - gap + 1)).long()
    first = torch.minimum(first, length - gap)  # a draw just below 1 may round up
    t = torch.arange(batch.joints.shape[2], device=length.device)
    return (t >= first) & (t < first + gap)


def block(batch: Batch, draws: Draws, value: float) -> Batch:
    """Hide joints behind a moving occluder.

    2D: an upright rectangle with sides ``value`` of the body's own bounding box, that drifts over it on a straight
    line in the image.  3D: a half-space whose boundary has a random direction and drifts between two depths, hiding
    on average a share ``value`` of the body's extent along that direction.
    """
    _, _, t, _, c = batch.joints.shape
    low, high = _extent(batch.joints, batch.visible)  # (N, C)
    time = torch.arange(t, device=batch.joints.device) / (batch.frames[:, None] - 1).clamp(min=1)  # (N, T)
    time = time.clamp(max=1)[..., None]
    if c == 2:
        ends = draws.uniform(2, 2)
        centre = low[:, None] + (high - low)[:, None] * torch.lerp(ends[:, :1], ends[:, 1:], time)  # (N, T, 2)
        half = (value / 2 * (high - low))[:, None]
        inside = ((batch.joints - centre[:, None, :, None]).abs() < half[:, None, :, None]).all(dim=-1)
        return keep(batch, ~inside)
    normal = torch.nn.functional.normalize(draws.normal(3), dim=-1)  # (N, 3)
    along = (batch.joints * normal[:, None, None, None]).sum(dim=-1, keepdim=True)  # (N, M, T, V, 1)
    low, high = _extent(along, batch.visible)  # (N, 1)
    ends = (value + (draws.uniform(2) - 0.5) * value).clamp(0, 0.95)  # (N, 2), mean ``value``
    share = torch.lerp(ends[:, None, :1], ends[:, None, 1:], time)  # (N, T, 1)
    edge = high[:, None] - (high - low)[:, None] * share
    return keep(batch, (along <= edge[:, None, :, None])[..., 0])


def jitter(batch: Batch, draws: Draws, value: float) -> Batch:
    """Add Gaussian noise to visible joints; sigma is ``value`` times the largest side of the body."""
    low, high = _extent(batch.joints, batch.visible)
    sigma = value * (high - low).amax(dim=-1)[:, None, None, None, None]
    noise = draws.normal_at(*batch.joints.shape[1:]) * sigma
    return batch.with_joints(batch.joints + noise)


def _extent(values: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest visible value: (N, M, T, V, C), (N, M, T, V) -> (N, C) twice; 0 where nothing is seen."""
    seen = visible.unsqueeze(-1)
    low = torch.where(seen, values, math.inf).amin(dim=(1, 2, 3))
    high = torch.where(seen, values, -math.inf).amax(dim=(1, 2, 3))
    some = visible.any(dim=3).any(dim=2).any(dim=1)[:, None]
    return torch.where(some, low, 0.0), torch.where(some, high, 0.0)


# name -> (function, default value, largest allowed value)
PATTERNS: dict[str, tuple[Callable[[Batch, Draws, float], Batch], float, float]] = {
    "subgraph": (subgraph, 5 / 6, 1.0),
    "joints": (joints, 0.3, 1.0),
    "flicker": (flicker, 0.3, 1.0),
    "tubes": (tubes, 0.5, 1.0),
    "frames": (frames, 0.3, 1e6),
    "block": (block, 0.4, 1.0),
    "jitter": (jitter, 0.02, 1.0),
}
NAMES = ("none", *PARTS, *PATTERNS)
# These read coordinates, so they come last: what another pattern hides must not steer the block or size the noise.
READS_COORDINATES = ["block", "jitter"]


def corruption(spec: str) -> Corruption:
    """Parse a corruption: "none", body parts and patterns with values, joined by "+".

    Whatever their order in the text, patterns that only hide act first, then ``block``, then ``jitter``.  Of
    alternatives, as in "none/upper/joints:0.3+jitter", each clip draws one, all alike.

    Raises:
        InputError: unknown name (nearest ones suggested), a value that is no number or out of range.
    """
    spec = str(spec)
    if spec.strip() and not all(name.strip() for name in re.split("[/+]", spec)):
        raise InputError(f"occlusion {spec!r}: a name is missing next to a '/' or '+', expected one on either side")
    alternatives = [_together(one) for one in spec.split("/")]
    return alternatives[0] if len(alternatives) == 1 else partial(_one_of, alternatives)


def check_occlusion(spec: str, argument: str) -> None:
    """Check the text of a corruption.

    Raises:
        InputError: as `corruption`, with the ``argument`` that it was given to.
    """
    try:
        corruption(spec)
    except InputError as error:
        raise InputError(f"{argument}: {error}") from None


def _one_of(alternatives: list[Corruption], batch: Batch, draws: Draws) -> Batch:
    """Apply to each clip the alternative that it drew."""
    drawn = draws.integers(len(alternatives))  # (N,)
    joints, visible = batch.joints, batch.visible
    for k, step in enumerate(alternatives):
        made, mine = step(batch, draws), (drawn == k)[:, None, None, None]
        visible = torch.where(mine, made.visible, visible)
        joints = torch.where(mine[..., None], made.joints, joints)
    return batch.with_(joints=joints, visible=visible)


def _together(spec: str) -> Corruption:
    """The corruption of patterns joined by "+"."""
    names = sorted((s.strip() for s in spec.split("+")), key=_turn)
    steps = [_one(name) for name in names]

    def apply(batch: Batch, draws: Draws) -> Batch:
        for step in steps:
            batch = step(batch, draws)
        return batch

    return apply


def _turn(spec: str) -> int:
    name = spec.partition(":")[0]
    return 1 + READS_COORDINATES.index(name) if name in READS_COORDINATES else 0


def _one(spec: str) -> Corruption:
    name, colon, text = spec.partition(":")
    if name != "none" and name not in PARTS and name not in PATTERNS:
        raise InputError(unknown("occlusion", name, ("none", *PARTS, *PATTERNS)))
    if name == "none" or name in PARTS:
        if colon:
            raise InputError(f"occlusion {spec!r}: {name!r} takes no value")
        if name == "none":
            return lambda batch, draws: batch
        return lambda batch, draws: keep(batch, part_mask((name,), batch.layout, batch.joints.device)[0])
    function, default, most = PATTERNS[name]
    try:
        value = float(text) if colon else default
    except ValueError:
        raise InputError(f"occlusion {spec!r}: {text!r} is not a number") from None
    if not 0 <= value <= most:
        raise InputError(f"occlusion {spec!r}: value is {value:g}, expected 0 to {most:g}")
    if name == "frames" and value > 1 and not value.is_integer():
        raise InputError(
            f"occlusion {spec!r}: value is {value:g}, expected a share below 1 or a whole number of frames"
        )
    return lambda batch, draws: function(batch, draws, value)

"""Normalise corrupted clips: centre, rotate, scale, using visible joints only, vectorised over the batch.

3D follows the backbone: centred on the spine, spine to the z axis, shoulders to the x axis.
2D follows VideoPose3D: x -> 2x/w - 1, y -> 2y/w - h/w from each clip's true width and height.

Each reference (centre, spine, shoulders) has fall-backs in a fixed order for bodies that are partly hidden, so the
result is a function of visible joints alone.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton import Layout, unified, unified_sources
from orvpe.views.batch import Batch, hide
from orvpe.views.constants import constant

CENTRES = ("frame", "clip", "none")
SCALES = ("none", "body")
IMAGES = ("image", "body")

_Point = tuple[str, ...]  # the mean of these unified joints
_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
_ANCHORS: tuple[_Point, ...] = (("chest",), ("mid_hip",), _HIPS, ("neck",), _SHOULDERS)
_UP: tuple[tuple[_Point, _Point], ...] = (
    (("mid_hip",), ("neck",)), (("mid_hip",), ("chest",)), (("chest",), ("neck",)),
    (_HIPS, _SHOULDERS), (("left_hip",), ("left_shoulder",)), (("right_hip",), ("right_shoulder",)),
    (("left_ankle", "right_ankle"), _HIPS), (("left_ankle",), ("left_hip",)), (("right_ankle",), ("right_hip",)),
)  # fmt: skip
_RIGHT: tuple[tuple[_Point, _Point], ...] = (
    (("left_shoulder",), ("right_shoulder",)), (("left_hip",), ("right_hip",)),
    (("neck",), ("right_shoulder",)), (("left_shoulder",), ("neck",)),
    (("mid_hip",), ("right_hip",)), (("left_hip",), ("mid_hip",)),
)  # fmt: skip

# Length of each bone as a share of stature: joint-centre distances of an average adult, rounded.
BONES: dict[tuple[str, str], float] = {
    ("neck", "mid_hip"): 0.29, ("head", "neck"): 0.11,
    **{(f"{s}_{a}", f"{s}_{b}"): share for s in ("left", "right") for a, b, share in (
        ("elbow", "shoulder", 0.17), ("wrist", "elbow", 0.15), ("knee", "hip", 0.24), ("ankle", "knee", 0.23))},
}  # fmt: skip


def normalize_3d(
    batch: Batch, centre: str = "frame", align: bool = True, scale: str = "none", upright: bool = False
) -> Batch:
    """Centre, turn and scale 3D clips; z points up afterwards.

    Args:
        batch: joints (N, M, T, V, 3) in metres, y up (as sensors and motion capture give them).
        centre: "frame" moves the spine to the origin in every frame (the backbone's way), "clip" only that of the
            first frame, so that walking stays visible; "none" leaves it.
        align: turn so that at the first frame the spine is z and the shoulders are x; otherwise y-up becomes z-up.
        scale: "body" divides by the stature estimated from visible bones; "none" keeps metres.
        upright: with ``align``, turn about the vertical only, so that a stooping body stays stooped.

    Raises:
        InputError: unknown ``centre`` or ``scale``.
    """
    _check("centre", centre, CENTRES)
    _check("scale", scale, SCALES)
    joints = batch.joints
    if centre != "none":
        joints = joints - _centre(batch, centre)[:, None, :, None]
    rotation = (
        _frame_of_body(batch, upright)
        if align
        else constant(_Y_TO_Z, joints.device, joints.dtype).expand(batch.clips, 3, 3)
    )
    joints = torch.einsum("nij,nmtvj->nmtvi", rotation, joints)
    if scale == "body":
        joints = joints / _stature(batch)[:, None, None, None, None]
    return batch.with_joints(joints)


def normalize_2d(batch: Batch, image: str = "image", centre: str = "clip") -> Batch:
    """Scale 2D clips.

    Args:
        batch: joints (N, M, T, V, 2) in pixels.
        image: "image" maps the image's width to [-1, 1] and keeps the aspect (VideoPose3D); a clip without a known
            image size uses the square around its visible joints.  "body" subtracts the body's centre and divides by
            its stature in pixels, which is indifferent to where in the image and how far away the person is.
        centre: for "body", as in `normalize_3d`.

    Raises:
        InputError: unknown ``image`` or ``centre``.
    """
    _check("image", image, IMAGES)
    _check("centre", centre, CENTRES)
    if image == "body":
        joints = batch.joints
        if centre != "none":
            joints = joints - _centre(batch, centre)[:, None, :, None]
        joints = joints / _stature(batch)[:, None, None, None, None]
        return batch.with_joints(joints)
    seen = batch.visible[..., None]
    low = torch.where(seen, batch.joints, torch.inf).amin(dim=(1, 2, 3))  # (N, 2)
    high = torch.where(seen, batch.joints, -torch.inf).amax(dim=(1, 2, 3))
    none = ~batch.visible.flatten(1).any(dim=1, keepdim=True)
    low, high = low.masked_fill(none, 0.0), high.masked_fill(none, 1.0)
    known = (batch.image_size > 0).all(dim=1, keepdim=True)
    side = (high - low).amax(dim=1, keepdim=True).clamp(min=1e-6).expand(-1, 2)
    size = torch.where(known, batch.image_size, side)  # (N, 2)
    origin = torch.where(known, 0.0, (low + high - side) / 2)
    half = size / 2
    joints = (batch.joints - (origin + half)[:, None, None, None]) / half[:, None, None, None, :1]
    return batch.with_joints(joints)


_Y_TO_Z = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(unknown(name, value, known))


def _point(batch: Batch, names: _Point) -> tuple[Tensor, Tensor] | None:
    """Mean of unified joints of the first person (N, T, C), visible (N, T); None if the layout lacks one."""
    index = _joints_of(batch.layout, names)
    if index is None:
        return None
    joints, visible = batch.joints[:, 0], batch.visible[:, 0]  # (N, T, V, C), (N, T, V)
    if len(index) == 1:  # views
        return joints[:, :, index[0]], visible[:, :, index[0]]
    chosen = constant(index, joints.device)
    return joints[:, :, chosen].mean(dim=2), visible[:, :, chosen].all(dim=2)


@lru_cache(maxsize=256)
def _joints_of(layout: Layout, names: _Point) -> tuple[int, ...] | None:
    """Joints of the layout whose mean the unified joints are; None if the layout lacks one."""
    sources = unified_sources(layout)
    if any(name not in sources for name in names):
        return None
    return tuple(layout.index(s) for name in names for s in sources[name])


def _centre(batch: Batch, centre: str) -> Tensor:
    """The body's centre in every frame, or in the first in which it is visible: (N, T or 1, C)."""
    seen = batch.visible.unsqueeze(-1)
    # last resort: the mean of whatever is visible, of anybody, in that frame, else in the clip
    count = seen.sum(dim=(1, 3))
    anchor = batch.joints.sum(dim=(1, 3)) / count.clamp(min=1)  # (N, T, C); hidden joints are zero
    have = count[..., 0] > 0
    whole = batch.joints.sum(dim=(1, 2, 3)) / count.sum(dim=1).clamp(min=1)
    anchor = torch.where(have[..., None], anchor, whole[:, None])
    for names in reversed(_ANCHORS):  # the most wanted last, so that it wins
        if (found := _point(batch, names)) is not None:
            value, ok = found
            anchor = torch.where(ok[..., None], value, anchor)
            have = have | ok
    if centre == "frame":
        return anchor
    first = have.to(torch.int8).argmax(dim=1)
    return anchor[torch.arange(batch.clips, device=first.device), first][:, None]


def _direction(batch: Batch, pairs: tuple[tuple[_Point, _Point], ...], default: tuple[float, ...]) -> Tensor:
    """Unit vector (N, 3) along the first pair of points that is ever visible, in the first frame where it is."""
    result = constant(default, batch.joints.device, batch.joints.dtype).expand(batch.clips, 3)
    n = torch.arange(batch.clips, device=batch.joints.device)
    for start, end in reversed(pairs):
        a, b = _point(batch, start), _point(batch, end)
        if a is None or b is None:
            continue
        along = b[0] - a[0]
        length = along.norm(dim=-1)
        ok = a[1] & b[1] & (length > 1e-6)  # (N, T)
        first = ok.to(torch.int8).argmax(dim=1)
        unit = along[n, first] / length[n, first].clamp(min=1e-6)[:, None]
        result = torch.where(ok.any(dim=1)[:, None], unit, result)
    return result


def _frame_of_body(batch: Batch, upright: bool) -> Tensor:
    """Rotation (N, 3, 3) with the body's right, front-back and up axes as rows; up is the world's if ``upright``."""
    z = _direction(batch, () if upright else _UP, (0.0, 1.0, 0.0))
    right = _direction(batch, _RIGHT, (1.0, 0.0, 0.0))
    x = right - (right * z).sum(dim=-1, keepdim=True) * z
    # shoulders along the spine leave no direction: take the world axis that is farthest from the spine
    axes = torch.arange(3, device=z.device)
    far = (axes == z.abs().argmin(dim=1, keepdim=True)).to(z)
    far = far - (far * z).sum(dim=-1, keepdim=True) * z
    x = torch.where(x.norm(dim=-1, keepdim=True) > 1e-3, x, far)
    x = torch.nn.functional.normalize(x, dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def _stature(batch: Batch) -> Tensor:
    """Estimated height of the first person (N,), from its visible bones.

    Where none is seen, 3D takes a metre, and 2D the largest side of the box around the first person's joints: of 2D
    a pixel has no known size, and a body left in pixels would outweigh all others of a batch.
    """
    total = batch.joints.new_zeros(batch.clips)
    share = torch.zeros_like(total)
    for (child, parent), part in BONES.items():
        a, b = _point(batch, (child,)), _point(batch, (parent,))
        if a is None or b is None:
            continue
        ok = a[1] & b[1]  # (N, T)
        length = ((a[0] - b[0]).norm(dim=-1) * ok).sum(dim=1) / ok.sum(dim=1).clamp(min=1)
        total, share = total + length, share + part * ok.any(dim=1)
    return torch.where((share > 0) & (total > 1e-6), total / share.clamp(min=1e-6), _unknown_stature(batch))


def _unknown_stature(batch: Batch) -> Tensor:
    """Substitute for the height of the first person (N,) when none of its bones is visible."""
    if batch.dims == 3:
        return batch.joints.new_ones(batch.clips)
    joints, seen = batch.joints[:, 0], batch.visible[:, 0, ..., None]
    low = torch.where(seen, joints, torch.inf).amin(dim=(1, 2))  # (N, 2)
    high = torch.where(seen, joints, -torch.inf).amax(dim=(1, 2))
    side = (high - low).amax(dim=1)  # -inf where nothing is seen
    return torch.where(side > 1e-6, side, 1.0)


def bones(joints: Tensor, visible: Tensor, layout: Layout = unified) -> tuple[Tensor, Tensor]:
    """Joint minus parent (..., V, C); a bone is visible when both its ends are.  A root's bone is zero."""
    parent = constant(layout.parent_index, joints.device)
    seen = visible & visible[..., parent]
    return hide(joints - joints[..., parent, :], seen), seen


def motion(joints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Next frame minus this one along dim -3 of (..., T, V, C); zero and hidden in the last frame."""
    delta = torch.zeros_like(joints)
    delta[..., :-1, :, :] = joints[..., 1:, :, :] - joints[..., :-1, :, :]
    seen = torch.zeros_like(visible)
    seen[..., :-1, :] = visible[..., 1:, :] & visible[..., :-1, :]
    return hide(delta, seen), seen


STREAMS = ("joint", "bone", "joint-motion", "bone-motion")


def stream(joints: Tensor, visible: Tensor, kind: str, layout: Layout) -> tuple[Tensor, Tensor]:
    """The encoder's input stream, from normalised joints (..., T, V, C).

    Raises:
        InputError: unknown stream.
    """
    _check("stream", kind, STREAMS)
    if kind.startswith("bone"):
        joints, visible = bones(joints, visible, layout)
    return motion(joints, visible) if kind.endswith("motion") else (joints, visible)

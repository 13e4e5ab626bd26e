"""Data augmentation of normalised clips: rotation, scale, shear, mirroring, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from orvpe.errors import InputError
from orvpe.runtime.draws import Draws
from orvpe.views.batch import Batch
from orvpe.views.constants import constant


@dataclass(frozen=True)
class Augment:
    """Strengths of the augmentations; all zero for none.

    Args:
        yaw: 3D: largest turn about the vertical, degrees.  2D: not used.
        tilt: largest turn about each other axis (3D) or in the image plane (2D), degrees.
        scale: sizes are multiplied by 1 +- this, each axis of 3D alike.
        shear: 3D: largest off-diagonal entry of a random shear matrix.
        flip: probability of a mirror image, left and right joints swapped.
        noise: sigma of Gaussian noise in normalised units.
    """

    yaw: float = 0.0
    tilt: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    flip: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (
            ("yaw", 180),
            ("tilt", 180),
            ("scale", 0.99),
            ("shear", 1),
            ("flip", 1),
            ("noise", 10),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"augment.{name} is {value}, expected 0 to {most}")


def augment(batch: Batch, strength: Augment, draws: Draws) -> Batch:
    """Augment a normalised batch; each clip has one draw, shared by its people and frames."""
    if strength == Augment():
        return batch
    joints, visible = batch.joints, batch.visible
    matrix = _matrix(batch, strength, draws)
    if matrix is not None:
        joints = torch.einsum("nij,nmtvj->nmtvi", matrix, joints)
    if strength.flip:
        mirrored = draws.uniform() < strength.flip
        order = constant(tuple(batch.layout.mirror), joints.device)
        sign = constant((-1.0, *(1.0,) * (batch.dims - 1)), joints.device)
        joints = torch.where(mirrored[:, None, None, None, None], joints[..., order, :] * sign, joints)
        visible = torch.where(mirrored[:, None, None, None], visible[..., order], visible)
    if strength.noise:
        joints = joints + strength.noise * draws.normal_at(*joints.shape[1:])
    return batch.with_joints(joints, visible)


def mirror_image(batch: Batch) -> Batch:
    """Each raw clip as a mirror shows it: x reversed, left and right joints swapped; 2D clips stay in the image."""
    order = constant(tuple(batch.layout.mirror), batch.joints.device)
    sign = constant((-1.0, *(1.0,) * (batch.dims - 1)), batch.joints.device)
    joints, visible = batch.joints[..., order, :] * sign, batch.visible[..., order]
    if batch.dims == 2:
        shift = torch.zeros_like(batch.image_size)
        shift[:, 0] = batch.image_size[:, 0]
        joints = joints + shift[:, None, None, None]
    return batch.with_joints(joints, visible)


def _matrix(batch: Batch, strength: Augment, draws: Draws) -> Tensor | None:
    """Random linear map of each clip (N, C, C), or None if all its strengths are zero."""
    if not (strength.yaw or strength.tilt or strength.scale or strength.shear):
        return None
    identity = torch.eye(batch.dims, device=batch.joints.device)
    # every draw is made whether used or not, so that one setting does not shift the others' numbers
    angle, size, lean = draws.uniform(3) * 2 - 1, draws.uniform(1) * 2 - 1, draws.uniform(3, 3) * 2 - 1
    tilt = angle[:, :2] * math.radians(strength.tilt)
    if batch.dims == 2:
        matrix = _turn(tilt[:, 0])
    else:
        yaw = angle[:, 2] * math.radians(strength.yaw)
        matrix = _about(tilt[:, 0], 0) @ _about(tilt[:, 1], 1) @ _about(yaw, 2)
        matrix = (identity + strength.shear * lean * (1 - identity)) @ matrix
    return matrix * (1 + strength.scale * size)[..., None]


def _turn(angle: Tensor) -> Tensor:
    """2D rotation matrices: (N,) radians -> (N, 2, 2)."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], dim=-1), torch.stack([s, c], dim=-1)], dim=-2)


def _about(angle: Tensor, axis: int) -> Tensor:
    """Rotation matrices about a coordinate axis: (N,) radians -> (N, 3, 3)."""
    i, j = ((1, 2), (0, 2), (0, 1))[axis]
    matrix = torch.eye(3, device=angle.device).repeat(len(angle), 1, 1)
    c, s = angle.cos(), angle.sin()
    matrix[:, i, i], matrix[:, j, j], matrix[:, i, j], matrix[:, j, i] = c, c, -s, s
    return matrix

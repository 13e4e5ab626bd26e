"""The joints that a request hides: a named part of the body, and a rectangle over the drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from orvpe.views.batch import Batch
from orvpe.views.occlusion import keep, part_mask


@dataclass(frozen=True)
class Rectangle:
    """An upright rectangle in the drawing.

    A 2D clip is drawn as it is, in pixels.  A 3D clip is turned about the vertical by ``angle`` and seen without
    perspective: a joint at (x, y, z) metres lies at (x cos angle + z sin angle, y).

    Args:
        x: its two ends along the drawing's x axis, in any order.
        y: its two ends along the drawing's y axis; pixels point down, metres up.
        angle: radians; of no effect in 2D.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    angle: float = 0.0

    def inside(self, joints: Tensor) -> Tensor:
        """Whether each joint is inside: coordinates (..., V, C) -> (..., V) bool."""
        across = joints[..., 0]
        if joints.shape[-1] == 3:
            across = across * math.cos(self.angle) + joints[..., 2] * math.sin(self.angle)
        found = (across >= min(self.x)) & (across <= max(self.x))
        return found & (joints[..., 1] >= min(self.y)) & (joints[..., 1] <= max(self.y))


def hidden(batch: Batch, part: str | None = None, rectangle: Rectangle | None = None) -> Batch:
    """Hide a part of the body, and every joint in the frames in which it is inside the rectangle.

    Args:
        batch: raw clips, before anything is computed of them.
        part: one of `orvpe.poses.body_parts.PARTS`.
        rectangle: over the drawn body.
    """
    mask = torch.ones_like(batch.visible)
    if part is not None:
        mask = mask & part_mask((part,), batch.layout, batch.joints.device)[0]
    if rectangle is not None:
        mask = mask & ~rectangle.inside(batch.joints)
    return keep(batch, mask)

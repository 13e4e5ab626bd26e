"""Virtual cameras: project 3D clips to 2D from random viewpoints, so that 2D encoders learn from 3D data.

A pinhole camera stands still while the body moves.  What lies outside the image, behind the camera or behind the
body itself is hidden.  Coordinates of the room are right-handed with y up; of the image, pixels with y down.

Shapes: N clips, M people, T frames, V joints, B bones of the layout.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from orvpe.poses.skeleton import Layout
from orvpe.runtime.draws import Draws
from orvpe.views.batch import Batch
from orvpe.views.constants import constant

IMAGE = (640.0, 480.0)  # pixels; only the ratio matters to an encoder
DISTANCE = (2.5, 7.0)  # metres from the body's centre
FOCAL = (0.8, 1.6)  # focal length as a share of the image's width: 64 to 35 degrees wide
HEIGHT = (-10.0, 30.0)  # degrees, from below and from above
ROLL = 5.0  # degrees, to either side
OFF_CENTRE = 0.25  # of the image's width and height: how far from its middle the body's centre may be
_NEAREST = 0.3  # metres before the camera
_LIMB, _TRUNK, _HEAD = 0.05, 0.13, 0.10  # metres: radii of what hides joints behind it
_BEHIND = 0.08  # metres a joint must lie behind the surface of a part to count as hidden by it


def virtual_camera(batch: Batch, draws: Draws | None = None) -> Batch:
    """Project 3D clips to 2D, each with its own camera.

    Args:
        batch: joints (N, M, T, V, 3), metres, right-handed, y up; already corrupted.
        draws: places the cameras; None is one where a depth sensor stands (towards -z), level, 4 m from the body.

    Returns:
        The clips in 2D: joints (N, M, T, V, 2) in pixels, with the image's size.
    """
    n, device = batch.joints.shape[0], batch.joints.device
    if draws is None:
        unit = torch.full((n, 7), 0.5, device=device)
        unit[:, 1] = 0.25  # level; azimuth 180 degrees looks along +z
        unit[:, 3] = (4.0 - DISTANCE[0]) / (DISTANCE[1] - DISTANCE[0])
    else:
        unit = draws.uniform(7)
    azimuth = 2 * torch.pi * unit[:, 0]
    height = torch.deg2rad(HEIGHT[0] + (HEIGHT[1] - HEIGHT[0]) * unit[:, 1])
    roll = torch.deg2rad(ROLL * (2 * unit[:, 2] - 1))
    distance = DISTANCE[0] + (DISTANCE[1] - DISTANCE[0]) * unit[:, 3]
    focal = IMAGE[0] * (FOCAL[0] + (FOCAL[1] - FOCAL[0]) * unit[:, 4])  # (N,) pixels
    middle = constant(IMAGE, device) * (0.5 + OFF_CENTRE * (2 * unit[:, 5:] - 1))  # (N, 2)

    # person by person, so that a person who is never visible does not even change the rounding
    total = batch.joints.flatten(2, 3).sum(dim=2).sum(dim=1)  # (N, 3); hidden joints are zero
    centre = total / batch.visible.flatten(1).sum(dim=1, keepdim=True).clamp(min=1)
    points = (batch.joints - centre[:, None, None, None]) @ axes(azimuth, height, roll).mT[:, None, None]
    points = points + torch.stack((0 * distance, 0 * distance, distance), dim=1)[:, None, None, None]
    depth = points[..., 2]
    visible = batch.visible & (depth > _NEAREST)
    visible = visible & ~behind_the_body(points, visible, batch.layout)
    pixels = points[..., :2] / depth.clamp(min=_NEAREST)[..., None] * focal[:, None, None, None, None]
    pixels = pixels + middle[:, None, None, None]
    size = constant(IMAGE, device).expand(n, 2)
    visible = visible & ((pixels >= 0) & (pixels <= size[:, None, None, None])).all(dim=-1)
    return batch.with_joints(pixels, visible, image_size=size)


def axes(azimuth: Tensor, height: Tensor, roll: Tensor) -> Tensor:
    """Axes of cameras, right, down and forward in the room: angles (N,) in radians -> (N, 3, 3).

    ``azimuth`` 0 stands at +z and looks along -z; a positive ``height`` looks down.
    """
    zero = torch.zeros_like(azimuth)
    flat = torch.stack((-azimuth.sin(), zero, -azimuth.cos()), dim=1)
    up = constant((0.0, 1.0, 0.0), azimuth.device, azimuth.dtype).expand_as(flat)
    right = torch.linalg.cross(flat, up)
    forward = flat * height.cos()[:, None] - up * height.sin()[:, None]
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos()[:, None], roll.sin()[:, None]
    return torch.stack((c * right + s * down, c * down - s * right, forward), dim=1)


def behind_the_body(points: Tensor, visible: Tensor, layout: Layout) -> Tensor:
    """Self-occlusion: joints hidden from the camera by a part of their own body, (N, M, T, V) bool.

    A part is a bone with a radius.  It hides a joint when the line of sight passes through it, in front of the joint;
    the bones that meet in a joint, and parts that the joint lies in or on, do not hide it.  Bones with a hidden end
    hide nothing: where they are is not known.

    Args:
        points: (N, M, T, V, 3) right, down, forward of the camera, metres.
        visible: (N, M, T, V).
        layout: the joints.
    """
    child, parent, radius, apart = _bones(layout, points.device)
    a, b = points[..., child, :], points[..., parent, :]  # (N, M, T, B, 3) ends of each bone
    d = b - a
    far = points.norm(dim=-1, keepdim=True).clamp(min=1e-6)  # (N, M, T, V, 1)
    ray = points / far
    # For each joint (rows) and bone (columns), the point a + t d nearest to the line of sight; in dot products, so that
    # nothing has three coordinates for each pair.
    ar, dr = ray @ a.mT, ray @ d.mT  # (N, M, T, V, B)
    aa, ad, dd = ((p * q).sum(dim=-1)[..., None, :] for p, q in ((a, a), (a, d), (d, d)))
    t = ((ar * dr - ad) / (dd - dr * dr).clamp(min=1e-6)).clamp(0, 1)
    along = ar + t * dr
    off = aa + t * (2 * ad + t * dd) - along * along  # squared distance from the line of sight
    known = visible[..., child] & visible[..., parent]
    hidden = (off < radius * radius) & (far - along > radius + _BEHIND) & apart & known[..., None, :]
    return hidden.any(dim=-1) & visible


@lru_cache(maxsize=16)
def _bones(layout: Layout, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Children and parents (B,), radii (B,), and (V, B): whether joint and bone do not touch."""
    child = torch.tensor([c for c, _ in layout.edges])
    parent = torch.tensor([p for _, p in layout.edges])
    trunk = {"neck", "chest", "mid_hip", "spine"}
    radius = []
    for c, p in layout.edges:
        names = {layout.joints[c], layout.joints[p]}
        radius.append(_HEAD if names & {"head", "nose"} else _TRUNK if names <= trunk else _LIMB)
    v = torch.arange(len(layout))[:, None]
    apart = (child != v) & (parent != v)
    return child.to(device), parent.to(device), torch.tensor(radius, device=device), apart.to(device)

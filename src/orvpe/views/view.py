"""From raw clips to encoder input: corrupt, cut, normalise, augment, choose a stream, in this order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from orvpe.errors import InputError, unknown
from orvpe.runtime.draws import Draws
from orvpe.views.augment import Augment, augment
from orvpe.views.batch import Batch
from orvpe.views.camera import virtual_camera
from orvpe.views.normalize import CENTRES, IMAGES, SCALES, STREAMS, normalize_2d, normalize_3d, stream
from orvpe.views.occlusion import check_occlusion, corruption
from orvpe.views.sampling import CROPS, sample_frames

CAMERAS = ("none", "virtual")


@dataclass(frozen=True)
class ViewConfig:
    """How a clip becomes an encoder's input. The settings of a trained encoder are in its card.

    Args:
        tau: frames the encoder sees.
        crop: "run", the paper's random run of tau frames, or "resample", a random part interpolated to tau frames.
        shortest: for "resample", the smallest share of the clip a training view may cover.
        camera: "virtual" sees 3D clips in 2D, each view from a random place (`orvpe.views.camera`); "none" as they are.
        stream: joint, bone, joint-motion or bone-motion.
        centre: 3D, or 2D with image=body: origin at the spine in every "frame", in the first of the "clip", or "none".
        align: 3D: turn the spine of the first frame to z and its shoulders to x.
        upright: 3D, with align: turn about the vertical only.
        scale: 3D: "body" divides by the estimated stature, "none" keeps metres.
        image: 2D: "image" scales by the image's true width, "body" by the body.
        occlusion: corruption of training views, e.g. "subgraph" (SubG-DA), "none", "joints:0.3+frames:0.2".
        augment: view augmentation of training views.
    """

    tau: int = 150
    crop: str = "run"
    shortest: float = 1.0
    camera: str = "none"
    stream: str = "joint"
    centre: str = "frame"
    align: bool = True
    upright: bool = False
    scale: str = "none"
    image: str = "image"
    occlusion: str = "none"
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name, known in (
            ("crop", CROPS), ("camera", CAMERAS), ("stream", STREAMS), ("centre", CENTRES),
            ("scale", SCALES), ("image", IMAGES),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise InputError(unknown(f"view.{name}", getattr(self, name), known))
        if self.tau < 1:
            raise InputError(f"view.tau is {self.tau}, expected at least 1 frame")
        if not 0 < self.shortest <= 1:
            raise InputError(f"view.shortest is {self.shortest}, expected a share in (0, 1]")
        check_occlusion(self.occlusion, "view.occlusion")


class View(NamedTuple):
    """An encoder's input, people folded into the batch.

    Args:
        joints: (P, C, T, V) float32, zero where hidden.
        visible: (P, T, V) bool.
        owner: (P,) int64, the clip (0 .. clips-1) each person belongs to.
        clips: N.
        present: (P,) bool, who counts; None for everybody.  Where it is given, P is N times M, in this order.
    """

    joints: Tensor
    visible: Tensor
    owner: Tensor
    clips: int
    present: Tensor | None = None


def training_view(batch: Batch, config: ViewConfig, draws: Draws) -> View:
    """Make a random view: each clip has its own occlusion, frames and camera."""
    batch = corruption(config.occlusion)(batch, draws)
    batch = sample_frames(batch, config.tau, config.crop, config.shortest, draws)
    if config.camera == "virtual" and batch.dims == 3:
        batch = virtual_camera(batch, draws)
    batch = augment(_normalized(batch, config), config.augment, draws)
    return fold(batch, config.stream)


def fixed_view(
    batch: Batch, config: ViewConfig, occlusion: str = "none", draws: Draws | None = None, everyone: bool = False
) -> View:
    """Make the fixed view for evaluation and embedding, optionally of a corrupted clip; ``everyone`` as in `fold`.

    Raises:
        InputError: an occlusion without ``draws`` to place it.
    """
    if occlusion != "none":
        if draws is None:
            raise InputError(f"occlusion {occlusion!r} needs random draws")
        batch = corruption(occlusion)(batch, draws)
    batch = sample_frames(batch, config.tau, config.crop)
    if config.camera == "virtual" and batch.dims == 3:
        batch = virtual_camera(batch)
    return fold(_normalized(batch, config), config.stream, everyone)


def _normalized(batch: Batch, config: ViewConfig) -> Batch:
    if batch.dims == 3:
        return normalize_3d(batch, config.centre, config.align, config.scale, config.upright)
    return normalize_2d(batch, config.image, config.centre)


def without_camera(config: ViewConfig, dims: int) -> ViewConfig:
    """Settings for clips of ``dims``: no virtual camera for 2D clips, which have been filmed already."""
    return replace(config, camera="none") if dims == 2 else config


def input_dims(config: ViewConfig, dims: int) -> int:
    """Coordinates per joint of an encoder's input, from clips of ``dims``."""
    return 2 if config.camera == "virtual" else dims


def other_input(theirs: ViewConfig, ours: ViewConfig, dims: int) -> str:
    """Differences between two inputs of an encoder, e.g. "view.stream was joint, is bone"; "" for none."""
    names = ("stream", "centre", "align", "upright", "scale") if dims == 3 else ("stream", "image")
    both = [(name, getattr(theirs, name), getattr(ours, name)) for name in names]
    return ", ".join(f"view.{name} was {was}, is {now}" for name, was, now in both if was != now)


def join(views: list[View]) -> View:
    """Concatenate views of one size, all of whose people are present."""
    if len(views) == 1:
        return views[0]
    before = [sum(v.clips for v in views[:i]) for i in range(len(views))]
    owner = torch.cat([v.owner + b for v, b in zip(views, before, strict=True)])
    joints, visible = torch.cat([v.joints for v in views]), torch.cat([v.visible for v in views])
    return View(joints, visible, owner, sum(v.clips for v in views))


def fold(batch: Batch, kind: str = "joint", everyone: bool = False) -> View:
    """The stream of every visible person, (P, C, T, V); of a clip without one, the first person.

    With ``everyone`` also of people who are never visible, which costs the encoder time; ``present`` marks the
    others.  In an exported graph P must not depend on what is visible.
    """
    joints, visible = stream(batch.joints, batch.visible, kind, batch.layout)
    n, m = joints.shape[:2]  # zero where hidden: a batch is, bones and motion are
    if everyone:
        present = _present(batch.visible)
        owner = torch.arange(n, device=joints.device)[:, None].expand(n, m).flatten()
        return View(joints.flatten(0, 1).permute(0, 3, 1, 2), visible.flatten(0, 1), owner, n, present.flatten())
    if m == 1:  # nothing to select, and nothing to wait for on a GPU
        owner = torch.arange(n, device=joints.device)
        joints, visible = joints[:, 0], visible[:, 0]
    else:
        owner, person = _present(batch.visible).nonzero(as_tuple=True)
        joints, visible = joints[owner, person], visible[owner, person]
    return View(joints.permute(0, 3, 1, 2).contiguous(), visible, owner, n)


def _present(visible: Tensor) -> Tensor:
    """Mask of visible people (N, M) in (N, M, T, V); of a clip without one, the first person."""
    present = visible.flatten(2).any(dim=2)
    present[:, 0] |= ~present.any(dim=1)
    return present


def pool_people(features: Tensor, view: View) -> Tensor:
    """Mean feature over the people of each clip: (P, D) -> (N, D).

    Raises:
        InputError: a custom encoder returns features of another shape.
    """
    if features.ndim != 2:
        raise InputError(f"the encoder gives features of shape {tuple(features.shape)}, expected (N, feature_dim)")
    if view.present is not None:
        present = view.present.view(view.clips, -1, 1)  # (N, M, 1)
        total = torch.where(present, features.unflatten(0, (view.clips, -1)), 0.0).sum(dim=1)
        return total / present.sum(dim=1)
    if features.shape[0] == view.clips:
        return features
    total = features.new_zeros(view.clips, features.shape[1]).index_add_(0, view.owner, features)
    return total / people_of(view)[:, None]


def first_people(view: View) -> Tensor:
    """(N,) int64: the row of the first person in each clip who is seen."""
    clips = torch.arange(view.clips, device=view.owner.device)
    if view.present is not None:
        people = view.present.view(view.clips, -1)
        return clips * people.shape[1] + people.long().argmax(dim=1)
    return clips if view.joints.shape[0] == view.clips else torch.searchsorted(view.owner, clips)


def people_of(view: View) -> Tensor:
    """Number of people in each clip, (N,) int64; bincount would wait for a GPU."""
    ones = torch.ones_like(view.owner)
    return ones.new_zeros(view.clips).index_add_(0, view.owner, ones)

"""A clip: one pose sequence of one or more people, with what is known about it.

Missing joints are NaN at the public boundary and ``False`` in ``visible`` inside; a coordinate under a hidden
joint carries no information and nothing in the library reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from orvpe.errors import InputError

if TYPE_CHECKING:
    from orvpe.poses.skeleton import Layout


_UNWRITABLE = re.compile("[\ud800-\udfff]")  # lone surrogates
_MOST_FPS = 1e6
_MOST_PIXELS = 2**31 - 1  # a store's integers


@dataclass(frozen=True, eq=False)
class Clip:
    """One pose sequence.

    Args:
        joints: (M, T, V, C) float32; M people, T frames, V joints of ``layout``, C = 2 (pixels) or 3 (metres).
        visible: (M, T, V) bool; whether that joint was seen.
        layout: the named joints, with parents and left/right (`orvpe.poses.skeleton.Layout`).
        fps: frames per second, None when unknown.
        image_size: (width, height) in pixels; 2D clips only, None when unknown.
        name: identifies the clip within its data set.
        label, subject, camera, split: what the source says, as text; None when it says nothing.  A number becomes
            text.
        notes: what was strange about it and put right or left; not kept in a store.

    Raises:
        InputError: shapes that disagree, no frame, no joint ever visible, an infinite coordinate under a visible
            joint, an image or frame rate that is none or that a store cannot hold.
    """

    joints: np.ndarray
    visible: np.ndarray
    layout: Layout
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    name: str = ""
    label: str | None = None
    subject: str | None = None
    camera: str | None = None
    split: str | None = None
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints, dtype=np.float32)
        visible = np.asarray(self.visible, dtype=bool)
        object.__setattr__(self, "joints", joints)
        object.__setattr__(self, "visible", visible)
        where = f"clip {self.name!r}"
        if joints.ndim != 4 or joints.shape[-1] not in (2, 3):
            raise InputError(f"{where}: joints has shape {joints.shape}, expected (people, frames, joints, 2 or 3)")
        if visible.shape != joints.shape[:3]:
            raise InputError(f"{where}: visible has shape {visible.shape}, expected {joints.shape[:3]} as in joints")
        if joints.shape[2] != len(self.layout.joints):
            raise InputError(
                f"{where}: {joints.shape[2]} joints, but layout {self.layout.name!r} has {len(self.layout.joints)}"
            )
        if joints.shape[0] == 0 or joints.shape[1] == 0:
            raise InputError(f"{where}: empty ({joints.shape[0]} people, {joints.shape[1]} frames)")
        if not visible.any():
            raise InputError(f"{where}: all joints are missing in all {joints.shape[1]} frames")
        if not (np.isfinite(joints).all() or np.isfinite(joints[visible]).all()):  # the second copies, and seldom runs
            raise InputError(
                f"{where}: a visible joint has an infinite or NaN coordinate; mark it missing (NaN) instead"
            )
        if self.image_size is not None:
            object.__setattr__(self, "image_size", _whole_size(self.image_size, where))
        if self.fps is not None and not (isinstance(self.fps, (int, float, np.number)) and 0 < self.fps <= _MOST_FPS):
            raise InputError(f"{where}: fps is {self.fps}, expected a number above 0, at most {_MOST_FPS:g}")
        for field in ("name", "label", "subject", "camera", "split"):
            if (value := getattr(self, field)) is not None and type(value) is not str:
                object.__setattr__(self, field, str(value))
            text = getattr(self, field)
            if text is not None and not text.isascii() and _UNWRITABLE.search(text):
                raise InputError(f"{field} {text[:80]!a}: not UTF-8; rename the file or folder, or mend the text")

    @classmethod
    def from_array(cls, joints: np.ndarray, layout: Layout, **info: Any) -> Clip:
        """A clip from (M, T, V, C), or (T, V, C) for one person, in which NaN marks a missing joint.

        Raises:
            InputError: as the class; also for an infinite coordinate.
        """
        joints = np.asarray(joints, dtype=np.float32)
        if joints.ndim == 3:
            joints = joints[None]
        if np.isinf(joints).any():
            raise InputError(f"clip {info.get('name', '')!r}: infinite coordinate; use NaN for a missing joint")
        return cls(joints, ~np.isnan(joints).any(axis=-1), layout, **info)

    # what estimators return; ``info`` is any of fps, image_size, name, label, subject, camera and split.  Each raises
    # InputError where nobody is in any frame, or joints are not those of the layout.

    @classmethod
    def from_ultralytics(
        cls, results: Any, layout: str | Layout | None = None, *, min_confidence: float = 0.1, **info: Any
    ) -> Clip:
        """A clip from the ``Results`` of a video's frames: pixels, people by their track where ``model.track`` ran."""
        from orvpe.poses.objects import from_ultralytics

        return cls(**{**from_ultralytics(results, layout, min_confidence), **info})

    @classmethod
    def from_mediapipe(
        cls,
        results: Any,
        *,
        world: bool = True,
        image_size: tuple[int, int] | None = None,
        min_confidence: float = 0.1,
        **info: Any,
    ) -> Clip:
        """A clip from pose results, one a frame: world landmarks in metres with y up; pixels with ``world=False``."""
        from orvpe.poses.objects import from_mediapipe

        return cls(**{**from_mediapipe(results, world, image_size, min_confidence), **info})

    @classmethod
    def from_mmpose(
        cls,
        results: Any,
        layout: str | Layout | Sequence[str] | None = None,
        *,
        min_confidence: float = 0.1,
        **info: Any,
    ) -> Clip:
        """A clip from ``PoseDataSample`` or an inferencer's results; ``layout`` may be the joints' names."""
        from orvpe.poses.objects import from_mmpose

        return cls(**{**from_mmpose(results, layout, min_confidence), **info})

    @classmethod
    def from_rtmlib(
        cls,
        keypoints: Any,
        scores: Any,
        layout: str | Layout | None = None,
        *,
        min_confidence: float = 0.1,
        **info: Any,
    ) -> Clip:
        """A clip from each frame's keypoints (P, V, 2) and scores (P, V), pixels; people are linked."""
        from orvpe.poses.objects import from_rtmlib

        return cls(**{**from_rtmlib(keypoints, scores, layout, min_confidence), **info})

    @classmethod
    def from_supervision(
        cls,
        key_points: Any,
        tracker_ids: Sequence[Any] | None = None,
        layout: str | Layout | None = None,
        *,
        min_confidence: float = 0.1,
        **info: Any,
    ) -> Clip:
        """A clip from ``KeyPoints``, one a frame, and the ``Detections.tracker_id`` of each frame if there are any."""
        from orvpe.poses.objects import from_supervision

        return cls(**{**from_supervision(key_points, tracker_ids, layout, min_confidence), **info})

    @classmethod
    def from_pose_format(cls, pose: Any, *, world: bool = False, min_confidence: float = 0.1, **info: Any) -> Clip:
        """A clip from pose-format's ``Pose``: pixels, or world landmarks in metres with y up."""
        from orvpe.poses.objects import from_pose_format

        return cls(**{**from_pose_format(pose, world, min_confidence), **info})

    @property
    def people(self) -> int:
        return self.joints.shape[0]

    @property
    def frames(self) -> int:
        return self.joints.shape[1]

    @property
    def dims(self) -> int:
        """2 (pixels) or 3 (metres)."""
        return self.joints.shape[3]

    def to_array(self) -> np.ndarray:
        """(M, T, V, C) float32 with NaN where a joint is missing."""
        return np.where(self.visible[..., None], self.joints, np.float32(np.nan))

    def with_(self, **changes: Any) -> Clip:
        """A copy with some fields replaced (checked again)."""
        return replace(self, **changes)


def _whole_size(size: Sequence[float], where: str) -> tuple[int, int]:
    """(width, height) as two ints."""
    try:
        width, height = (int(v) for v in size)
        whole = (width, height) == tuple(size)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise InputError(f"{where}: image size is {size!r}, expected two whole numbers, (width, height)")
    if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS):
        raise InputError(f"{where}: image size {width} x {height}, expected both above 0, at most {_MOST_PIXELS}")
    return width, height


@dataclass(frozen=True)
class Note:
    """One finding.

    Args:
        text: a sentence that is the same for all clips it is true of, so that they can be counted.
        part, whole: how many of how many (joints, frames ...), added up over the clips; no share is printed when whole
            is 0.
    """

    text: str
    part: int = 0
    whole: int = 0

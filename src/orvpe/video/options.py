"""Options for processing videos."""

from __future__ import annotations

from dataclasses import dataclass

from orvpe.errors import InputError, unknown
from orvpe.runtime.typed import Group
from orvpe.video.decode import MAX_SECONDS

ESTIMATOR_NAMES = ("mediapipe", "rtmlib")


@dataclass(frozen=True)
class PersonFinder(Group):
    """Finding people in videos.

    Args:
        estimator: 'mediapipe', or 'rtmlib' where that is installed.
        weights_file: MediaPipe's .task file; fetched once and kept when not given.
    """

    estimator: str = "mediapipe"
    weights_file: str | None = None


@dataclass(frozen=True)
class PoseOptions:
    """How people in a video are found and turned into clips.

    Args:
        estimator: 'mediapipe' (33 joints) or 'rtmlib' (RTMPose, COCO's 17 joints; installed apart).
        weights_file: MediaPipe's `.task` file; fetched and kept when None.
        max_people: largest number of people to look for in a picture.
        layout: 'unified' maps onto the 17 common joints, 'native' keeps the estimator's.
        joints: 'image' for 2D in pixels, 'world' for MediaPipe's 3D in metres, around the hips, y up.
        fps: frames per second to take; the video's own when None.
        start: seconds to skip.
        seconds: how many to take; all when None.
        min_confidence: a joint that the estimator is less sure of is missing; the estimator's own when None.
        max_gap: seconds for which a person may be lost and keep the same number.
        min_frames: leave out people seen in fewer frames.
        interpolate: interpolate a joint over gaps of up to that many frames; 0 for none.
        smooth: smooth jitter with the one-euro filter.
        smooth_cutoff: its cut-off frequency at rest, Hz.
        smooth_beta: growth of the cut-off frequency with speed, in Hz per body size per second.
        threads: CPU threads for decoding; 0 for all. With 1, decoding and estimation alternate.
        max_seconds: refuse longer videos.

    Raises:
        InputError: a value that cannot be.
    """

    estimator: str = "mediapipe"
    weights_file: str | None = None
    max_people: int = 4
    layout: str = "unified"
    joints: str = "image"
    fps: float | None = None
    start: float = 0.0
    seconds: float | None = None
    min_confidence: float | None = None
    max_gap: float = 1.0
    min_frames: int = 10
    interpolate: int = 0
    smooth: bool = False
    smooth_cutoff: float = 1.0
    smooth_beta: float = 3.0
    threads: int = 0
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        choices = {"estimator": ESTIMATOR_NAMES, "layout": ("unified", "native"), "joints": ("image", "world")}
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(unknown(name, value, known))
        if self.joints == "world" and self.estimator != "mediapipe":
            raise InputError(f"joints is 'world', but estimator {self.estimator!r} finds pixels only, expected 'image'")
        for name, least in (("max_people", 1), ("min_frames", 1), ("interpolate", 0)):
            if (value := getattr(self, name)) < least:
                raise InputError(f"{name} is {value}, expected at least {least}")
        for name in ("smooth_cutoff", "max_seconds"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}, expected more than 0")
        for name in ("smooth_beta", "max_gap"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name):g}, expected at least 0")
        if self.min_confidence is not None and not 0 <= self.min_confidence <= 1:
            raise InputError(f"min_confidence is {self.min_confidence:g}, expected 0 to 1")

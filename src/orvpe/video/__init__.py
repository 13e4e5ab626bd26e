"""From video to clips: decoding, pose estimation, tracking.

    from orvpe.video import PoseOptions, read_clips

    clips = read_clips("walk.mp4", PoseOptions(max_people=2))

`follow` gives who is in each picture as it comes, for live use.  Names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orvpe.video.decode import open_frames
    from orvpe.video.estimate import ESTIMATORS, Estimator, Poses
    from orvpe.video.frames import Frame, Frames
    from orvpe.video.options import PoseOptions
    from orvpe.video.overlay import draw_people, write_overlay
    from orvpe.video.people import Person, Seen, VideoPeople, find_people, follow, open_video, read_clips
    from orvpe.video.track import Tracker
    from orvpe.video.weights import pose_weights

_HOME = {
    "decode": "open_frames",
    "estimate": "ESTIMATORS Estimator Poses",
    "frames": "Frame Frames",
    "options": "PoseOptions",
    "overlay": "draw_people write_overlay",
    "people": "Person Seen VideoPeople find_people follow open_video read_clips",
    "track": "Tracker",
    "weights": "pose_weights",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = [
    "ESTIMATORS", "Estimator", "Frame", "Frames", "Person", "PoseOptions", "Poses", "Seen", "Tracker", "VideoPeople",
    "draw_people", "find_people", "follow", "open_frames", "open_video", "pose_weights", "read_clips", "write_overlay",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'orvpe.video' has no attribute {name!r}")
    return getattr(import_module(f"orvpe.video.{_MODULE[name]}"), name)

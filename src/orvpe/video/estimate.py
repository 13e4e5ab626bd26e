"""Pose estimators: a picture -> joints of its people, with confidences.

An estimator is anything that is called like `Estimator`; `orvpe.video.track` follows people over time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS, Layout


@dataclass(frozen=True, eq=False)
class Poses:
    """The people of one picture, in no particular order.

    Args:
        joints: (P, V, 2) float32 pixels; a joint that cannot be seen has the estimator's guess.
        confidence: (P, V) float32, 0 to 1: how sure the estimator is that the joint is there and can be seen.
        world: (P, V, 3) float32 metres around the hips, y down as in the picture; None where it has none.
    """

    joints: np.ndarray
    confidence: np.ndarray
    world: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.joints)

    def chosen(self, rows: np.ndarray) -> Poses:
        """A subset of the people."""
        return Poses(self.joints[rows], self.confidence[rows], None if self.world is None else self.world[rows])


class Estimator(Protocol):
    """Interface of a pose estimator; one object processes the frames of one video, in order.

    Attributes:
        layout: the joints it finds.
        min_confidence: below that a joint is missing, unless the user says otherwise.
    """

    layout: Layout
    min_confidence: float

    def __call__(self, image: np.ndarray, seconds: float) -> Poses:
        """Find the people in a frame (H, W, 3) uint8 RGB at that time of the video."""

    def close(self) -> None:
        """Release resources."""


# --- MediaPipe ----------------------------------------------------------------------------------------------


class MediaPipe:
    """MediaPipe's PoseLandmarker: 33 joints, in pixels and in metres.

    Args:
        weights_file: see `orvpe.video.weights.pose_weights`.
        max_people: look for at most that many.

    Raises:
        InputError: mediapipe is not installed or does not load; no weights.
    """

    layout = LAYOUTS["mediapipe"]
    min_confidence = 0.5

    def __init__(self, weights_file: str | None = None, max_people: int = 4) -> None:
        from orvpe.video.weights import pose_weights

        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except (ImportError, OSError) as error:  # OSError: its library lacks one of the system's
            raise InputError(
                "estimator 'mediapipe' needs the package mediapipe; install orvpe with its extra: "
                f"orvpe[video] ({error})"
            ) from None
        weights = pose_weights(weights_file)
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(weights)),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=max_people,
        )
        self._image = lambda data: mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        self._last = -1  # milliseconds
        self._talks = True  # until it has done everything once
        try:
            with _native_silence():
                self._landmarker: Any = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{weights}: MediaPipe cannot use these weights ({_first_line(error)})") from None

    def __call__(self, image: np.ndarray, seconds: float) -> Poses:
        height, width = image.shape[:2]
        now = max(round(seconds * 1000), self._last + 1)  # it wants them to grow
        self._last = now
        with _native_silence() if self._talks else nullcontext():
            found = self._landmarker.detect_for_video(self._image(np.ascontiguousarray(image)), now)
        people = len(found.pose_landmarks)
        self._talks = self._talks and not people
        # one (x, y, visibility, presence) a joint; a joint outside the picture is visible nowhere
        marks = np.array(
            [[(m.x, m.y, m.visibility, m.presence) for m in person] for person in found.pose_landmarks], np.float32
        ).reshape(people, len(self.layout), 4)
        world = np.array(
            [[(m.x, m.y, m.z) for m in person] for person in found.pose_world_landmarks], np.float32
        ).reshape(people, len(self.layout), 3)
        return Poses(marks[..., :2] * np.array([width, height], np.float32), marks[..., 2:].min(axis=-1), world)

    def close(self) -> None:
        self._landmarker.close()


@contextmanager
def _native_silence() -> Iterator[None]:
    """Suppress what MediaPipe's native library prints to stderr when it starts."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- RTMPose ------------------------------------------------------------------------------------------------


class RTMPose:
    """RTMPose through rtmlib: COCO's 17 joints, in pixels; the better estimator, if slower.

    rtmlib fetches its own weights from the open web when it is first used.

    Args:
        weights_file: not for this one.
        max_people: keep at most that many, the largest.

    Raises:
        InputError: rtmlib is not installed, or cannot get its weights.
    """

    layout = LAYOUTS["coco"]
    min_confidence = 0.3

    def __init__(self, weights_file: str | None = None, max_people: int = 4) -> None:
        if weights_file is not None:
            raise InputError(f"weights file {weights_file}: is for estimator 'mediapipe'; rtmlib fetches its own")
        try:
            from rtmlib import Body
        except (ImportError, OSError) as error:
            raise InputError(
                f"estimator 'rtmlib' needs the package rtmlib, which is not part of orvpe: pip install rtmlib ({error})"
            ) from None
        try:
            body = Body(mode="balanced", backend="onnxruntime", device="cpu")
        except Exception as error:  # a download can fail in many ways
            raise InputError(
                f"estimator 'rtmlib' cannot start, most likely for want of its weights ({_first_line(error)})"
            ) from None
        self._detect, self._pose, self._most = body.det_model, body.pose_model, max_people

    def __call__(self, image: np.ndarray, seconds: float) -> Poses:
        picture = np.ascontiguousarray(image[..., ::-1])  # OpenCV's order
        boxes = np.asarray(self._detect(picture), np.float32).reshape(-1, 4)  # x, y of two corners
        if not len(boxes):  # asked for no box, rtmlib would take the whole picture for a person
            v = len(self.layout)
            return Poses(np.zeros((0, v, 2), np.float32), np.zeros((0, v), np.float32))
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        boxes = boxes[np.argsort(-area, kind="stable")[: self._most]]
        joints, confidence = self._pose(picture, bboxes=boxes)
        return Poses(np.asarray(joints, np.float32), np.clip(np.asarray(confidence, np.float32), 0.0, 1.0))

    def close(self) -> None:
        pass


ESTIMATORS: dict[str, Callable[[str | None, int], Estimator]] = {"mediapipe": MediaPipe, "rtmlib": RTMPose}

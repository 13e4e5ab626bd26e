"""Clips of what estimators return in Python: stand-ins with the attributes that the libraries document, no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, get_layout

FRAMES, V = 6, 17


def walkers(frames: int = FRAMES, joints: int = V, dims: int = 2) -> np.ndarray:
    """(2, T, V, C): two people who stand apart, one of whom walks."""
    rng = np.random.default_rng(0)
    poses = rng.uniform(50, 150, (2, 1, joints, dims)) + np.array([0, 400])[:, None, None, None]
    return poses + np.arange(frames)[None, :, None, None] * np.array([3.0, 0.0])[:, None, None, None]


def swapped(people: np.ndarray, t: int) -> np.ndarray:
    """(2, V, C) of a frame, in an order that changes: estimators list people again."""
    return people[:, t] if t % 2 else people[::-1, t]


def check(clip: Clip, people: np.ndarray) -> None:
    """The same two people, each one's frames together."""
    assert (clip.people, clip.frames) == people.shape[:2]
    order = np.argsort(clip.joints[:, 0, 0, 0])
    np.testing.assert_allclose(clip.joints[order], people, rtol=1e-5)


# --- Ultralytics ---


def result(xy: np.ndarray, ids: list[int] | None = None, conf: float | None = 0.9) -> Any:
    points = SimpleNamespace(
        xy=torch.tensor(np.ascontiguousarray(xy)), conf=None if conf is None else torch.full(xy.shape[:2], conf),
    )  # fmt: skip
    boxes = SimpleNamespace(id=None if ids is None else torch.tensor(ids, dtype=torch.float32))
    return SimpleNamespace(keypoints=points, boxes=boxes, orig_shape=(720, 1280))


@pytest.mark.parametrize("tracked", [True, False])
def test_ultralytics(tracked: bool) -> None:
    people = walkers()
    ids = [[7, 4], [4, 7]]
    results = [result(swapped(people, t), ids[t % 2] if tracked else None) for t in range(FRAMES)]
    clip = Clip.from_ultralytics(iter(results), fps=30, name="walk")
    check(clip, people)
    assert (clip.layout.name, clip.image_size, clip.fps, clip.name) == ("coco", (1280, 720), 30, "walk")


def test_ultralytics_frames_with_nobody_and_joints_not_found() -> None:
    people = walkers()
    results = [result(people[:1, t]) for t in range(FRAMES)]
    results[2] = result(np.zeros((0, V, 2)))
    results[3].keypoints.xy[0, 5] = 0
    results[4].keypoints.conf[0, 6] = 0.01
    clip = Clip.from_ultralytics(results)
    assert clip.people == 1
    hidden = {(int(t), int(v)) for _, t, v in np.argwhere(~clip.visible)}
    assert hidden == {*((2, v) for v in range(V)), (3, 5), (4, 6)}


def test_ultralytics_of_one_picture_and_of_nobody() -> None:
    assert Clip.from_ultralytics(result(walkers()[:, 0])).frames == 1
    with pytest.raises(InputError, match="Ultralytics' results: nobody in any frame"):
        Clip.from_ultralytics([result(np.zeros((0, V, 2)))])


# --- MediaPipe ---


def landmarks(points: np.ndarray) -> list[Any]:
    return [SimpleNamespace(x=x, y=y, z=z, visibility=0.9, presence=0.9) for x, y, z in points.tolist()]


@pytest.mark.parametrize("older", [True, False])
def test_mediapipe_world_and_image(older: bool) -> None:
    rng = np.random.default_rng(1)
    world, image = rng.normal(0, 0.4, (FRAMES, 33, 3)), rng.uniform(0.1, 0.9, (FRAMES, 33, 3))
    results = []
    for t in range(FRAMES):
        sets = landmarks(image[t]), landmarks(world[t])
        wrapped = [SimpleNamespace(landmark=s) for s in sets] if older else [[s] for s in sets]
        results.append(SimpleNamespace(pose_landmarks=wrapped[0], pose_world_landmarks=wrapped[1]))
    none = None if older else []
    results.append(SimpleNamespace(pose_landmarks=none, pose_world_landmarks=none))
    clip = Clip.from_mediapipe(results, fps=25)
    assert (clip.dims, clip.frames, clip.layout.name, clip.fps) == (3, FRAMES + 1, "mediapipe", 25)
    np.testing.assert_allclose(clip.joints[0, :FRAMES], world * (1, -1, -1), atol=1e-6)
    assert not clip.visible[0, FRAMES].any()
    pixels = Clip.from_mediapipe(results, world=False, image_size=(640, 480))
    np.testing.assert_allclose(pixels.joints[0, :FRAMES], image[..., :2] * (640, 480), atol=1e-3)
    with pytest.raises(InputError, match="image_size is not given"):
        Clip.from_mediapipe(results, world=False)


# --- MMPose ---


def test_mmpose_samples_and_an_inferencers_results() -> None:
    people = walkers()
    samples, results = [], []
    for t in range(FRAMES):
        found = swapped(people, t)
        scores = np.full((2, V), 0.9)
        samples.append(SimpleNamespace(pred_instances=SimpleNamespace(keypoints=found, keypoint_scores=scores)))
        listed = [{"keypoints": k.tolist(), "keypoint_scores": s.tolist()} for k, s in zip(found, scores, strict=True)]
        results.append({"visualization": [], "predictions": [listed]})
    check(Clip.from_mmpose(samples), people)
    check(Clip.from_mmpose(results), people)
    check(Clip.from_mmpose(iter(results)), people)


def test_mmpose_joints_by_name() -> None:
    names = ["left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
             "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "top_head", "neck"]  # fmt: skip
    people = walkers(joints=14)
    samples = [
        SimpleNamespace(pred_instances=SimpleNamespace(keypoints=people[:, t], keypoint_scores=np.ones((2, 14))))
        for t in range(FRAMES)
    ]
    assert Clip.from_mmpose(samples, names).layout == get_layout("crowdpose")
    with pytest.raises(InputError, match="14 joints a person, which several layouts have or none; give layout"):
        Clip.from_mmpose(samples)


# --- rtmlib, supervision, pose-format ---


def test_rtmlib_lists_and_stacks() -> None:
    people = walkers()
    keypoints = [swapped(people, t) for t in range(FRAMES)]
    scores = [np.full((2, V), 0.8)] * FRAMES
    check(Clip.from_rtmlib(keypoints, scores), people)
    check(Clip.from_rtmlib(np.stack(keypoints), np.stack(scores)), people)
    found = (2, 0, 1, 2, 2, 2)  # people in each frame
    some = [[a[:n] for a, n in zip(part, found, strict=True)] for part in (keypoints, scores)]
    one = Clip.from_rtmlib(*some)
    assert one.people == 2
    assert not one.visible[:, 1].any()
    with pytest.raises(InputError, match="6 frames of keypoints, but 5 of scores"):
        Clip.from_rtmlib(keypoints, scores[:5])
    with pytest.raises(InputError, match="scores of shape"):
        Clip.from_rtmlib(keypoints, [np.ones((2, 3))] * FRAMES)


@pytest.mark.parametrize("key", ["confidence", "keypoint_confidence"])
def test_supervision(key: str) -> None:
    people = walkers()
    frames = [SimpleNamespace(xy=swapped(people, t), **{key: np.full((2, V), 0.7)}) for t in range(FRAMES)]
    check(Clip.from_supervision(frames), people)
    ids = [np.array([[2, 1], [1, 2]][t % 2]) for t in range(FRAMES)]
    check(Clip.from_supervision(frames, ids), people)
    with pytest.raises(InputError, match="tracker_ids of 2 frames for 6"):
        Clip.from_supervision(frames, ids[:2])


def test_pose_format() -> None:
    names = [j.upper() for j in LAYOUTS["mediapipe"].joints]
    rng = np.random.default_rng(0)
    data = np.ma.masked_array(rng.uniform(10, 400, (FRAMES, 1, 35, 3)))
    data[2, 0, 0] = np.ma.masked
    components = [SimpleNamespace(name="FACE", points=["A", "B"]), SimpleNamespace(name="POSE_LANDMARKS", points=names)]
    pose = SimpleNamespace(
        header=SimpleNamespace(components=components, dimensions=SimpleNamespace(width=640, height=480)),
        body=SimpleNamespace(data=data, confidence=np.ones((FRAMES, 1, 35)), fps=24.0),
    )
    clip = Clip.from_pose_format(pose)
    assert (clip.layout.name, clip.fps, clip.image_size) == ("mediapipe", 24.0, (640, 480))
    np.testing.assert_allclose(clip.joints[0, 1], np.asarray(data[1, 0, 2:, :2]), rtol=1e-5)
    with pytest.raises(InputError, match="no component with joints of a body, found FACE"):
        Clip.from_pose_format(SimpleNamespace(header=SimpleNamespace(components=components[:1]), body=pose.body))


def test_what_joints_are_named_wins_over_their_number() -> None:
    people = walkers()
    clip = Clip.from_rtmlib(people.transpose(1, 0, 2, 3), np.ones((FRAMES, 2, V)), "h36m")
    assert clip.layout == get_layout("h36m")
    with pytest.raises(InputError, match="17 joints a person, but layout 'halpe' has 26"):
        Clip.from_rtmlib(people.transpose(1, 0, 2, 3), np.ones((FRAMES, 2, V)), "halpe")

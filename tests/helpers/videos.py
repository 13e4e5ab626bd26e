"""Tiny videos that the tests encode themselves, and an estimator that sees the coloured squares in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from orvpe.poses.skeleton import LAYOUTS
from orvpe.video.estimate import Poses

SIZE = (96, 64)  # width, height
_TEMPLATE = np.random.default_rng(3).uniform(-8, 8, (33, 2))  # a body around its square's middle


def picture(*squares: tuple[int, float, float], size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8: dark, with a square of a colour (0 red, 1 green, 2 blue) around each x, y."""
    image = np.full((size[1], size[0], 3), 16, dtype=np.uint8)
    for channel, x, y in squares:
        left, top = max(0, round(x) - 6), max(0, round(y) - 6)
        image[top : round(y) + 6, left : round(x) + 6, channel] = 235
    return image


def encode(
    path: Path,
    images: Sequence[np.ndarray],
    fps: int = 30,
    ticks: Sequence[int] | None = None,
    codec: str = "mpeg4",
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """A video of pictures, at ``ticks / fps`` seconds where given; key frames everywhere."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", 1, 2_000_000
        stream.codec_context.time_base = Fraction(1, fps)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (i if ticks is None else ticks[i]), Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path, degrees: int) -> Path:
    """Note in an .mp4's header that it is to be shown turned clockwise, as phones do."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, id, duration, layer ..., then nine numbers
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    return path


class Squares:
    """An estimator: each coloured square is a person whose joints lie around its middle, surer the brighter."""

    layout = LAYOUTS["mediapipe"]
    min_confidence = 0.5
    made = 0

    def __init__(self, weights_file: str | None = None, max_people: int = 4) -> None:
        type(self).made += 1
        self.closed = False

    def __call__(self, image: np.ndarray, seconds: float) -> Poses:
        joints, confidence = [], []
        for channel in range(3):
            others = np.delete(image, channel, axis=2).max(axis=2).astype(int)
            y, x = np.nonzero(image[..., channel].astype(int) - others > 80)
            if len(x) > 20:
                joints.append(_TEMPLATE + np.array([x.mean() + 0.5, y.mean() + 0.5]))
                confidence.append(np.where(np.arange(33) < 30, 0.9, 0.2))
        found = np.array(joints, np.float32).reshape(-1, 33, 2)
        world = np.concatenate([found / 20, np.zeros((len(found), 33, 1), np.float32)], axis=2)
        return Poses(found, np.array(confidence, np.float32).reshape(-1, 33), world)

    def close(self) -> None:
        self.closed = True

"""Times of pictures as their containers keep them, or do not: every container is as long as its header says."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.videos import encode, picture

from orvpe.video.decode import open_frames

CASES = Path(__file__).parent.parent / "data" / "cases"
COUNT, FPS = 24, 12


def numbered(path: Path, codec: str, bframes: int, fps: int = FPS) -> Path:
    """``COUNT`` pictures that grow brighter, so that each can be told by its mean."""
    try:
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=fps)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 12
            stream.bit_rate = 2_000_000
            stream.codec_context.max_b_frames = bframes
            stream.codec_context.time_base = Fraction(1, fps)
            for i in range(COUNT):
                image = np.full((64, 96, 3), 20 + 9 * i, dtype=np.uint8)
                image[:, : 4 * (i + 1)] //= 2  # moves, so that pictures between have something to say
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this PyAV cannot write {codec} in {path.suffix}: {error}")
    return path


CONTAINERS = [
    ("mp4", "libx264", 2), ("mp4", "mpeg4", 2), ("mov", "libx264", 2), ("mkv", "libx264", 2), ("mkv", "mpeg4", 2),
    ("avi", "libx264", 2), ("avi", "mpeg4", 2), ("avi", "mpeg4", 0), ("ts", "libx264", 2), ("wmv", "wmv2", 0),
    ("flv", "libx264", 2), ("mpg", "mpeg2video", 2), ("webm", "libvpx", 0),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "codec", "bframes"), CONTAINERS, ids=lambda v: str(v))
def test_every_picture_once_and_in_its_place(tmp_path: Path, suffix: str, codec: str, bframes: int) -> None:
    path = numbered(tmp_path / f"a.{suffix}", codec, bframes, 25 if suffix == "mpg" else FPS)
    video = open_frames(path, threads=1)
    frames = list(video)
    assert len(frames) == COUNT
    assert [f.index for f in frames] == list(range(COUNT))
    assert not any(f.repeated for f in frames)
    bright = [float(f.image[:, -2:].mean()) for f in frames[:-1]]
    assert np.all(np.diff(bright) > 0)
    assert video.fps == pytest.approx(25 if suffix == "mpg" else FPS, rel=0.02)
    assert not video.notes
    if shutil.which("ffprobe"):  # not everywhere
        words = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_frames", "-of", "json", str(path)]
        said = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["frames"]
        assert len(said) == len(frames)


def test_an_avi_of_which_the_times_step_back() -> None:
    video = open_frames(CASES / "video-avi-b-frames" / "in" / "clock.avi", threads=1)
    frames = list(video)
    assert (len(frames), video.fps, video.count) == (50, 25.0, 50)
    assert not any(f.repeated for f in frames)
    assert not video.notes


def test_an_edit_list_hides_frames_and_damages_nothing() -> None:
    video = open_frames(CASES / "video-trimmed-edit-list" / "in" / "trimmed.mp4", threads=1)
    assert len(list(video)) in (37, 38)
    assert abs(len(list(video)) / video.fps - 1.5) < 0.05
    assert not video.notes


MATRICES = {  # a b c d of x' = ax + cy, y' = bx + dy, and what numpy makes of it
    "as it is": ((1, 0, 0, 1), lambda m: m),
    "clockwise": ((0, 1, -1, 0), lambda m: np.rot90(m, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda m: np.rot90(m)),
    "half a turn": ((-1, 0, 0, -1), lambda m: np.rot90(m, 2)),
    "mirrored": ((-1, 0, 0, 1), lambda m: m[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda m: m[::-1]),
    "transposed": ((0, 1, 1, 0), lambda m: m.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda m: np.rot90(m, 2).swapaxes(0, 1)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrices_with_a_flip(tmp_path: Path, name: str) -> None:
    (a, b, c, d), shown = MATRICES[name]
    image = picture((0, 20, 12), (1, 70, 40))
    path = encode(tmp_path / "a.mp4", [image] * 3)
    data, one = bytearray(path.read_bytes()), 1 << 16
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
    seen = next(iter(open_frames(path, threads=1))).image.astype(int)
    assert seen.shape == shown(image).shape
    assert np.abs(seen - shown(image)).mean() < 12

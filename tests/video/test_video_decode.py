"""Pictures of videos: upright, at a steady rate, and what becomes of files that are damaged or none."""

from __future__ import annotations

import itertools
import math
import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import SIZE, encode, picture, turned
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orvpe.data.formats.source import IMAGE_SUFFIXES
from orvpe.errors import InputError
from orvpe.video.decode import camera, open_frames
from orvpe.video.frames import LONGEST_HOLD, Clock, ahead


def walk(n: int = 20) -> list[np.ndarray]:
    """A square that moves 3 pixels a frame to the right."""
    return [picture((0, 12 + 3 * i, 20)) for i in range(n)]


def where(image: np.ndarray) -> tuple[float, float]:
    """Middle of the red square."""
    y, x = np.nonzero(image[..., 0] > 128)
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mpg"])
def test_every_picture_once_and_in_order(tmp_path: Path, suffix: str, threads: int) -> None:
    codec = "mpeg2video" if suffix == ".mpg" else "mpeg4"
    video = open_frames(encode(tmp_path / f"a{suffix}", walk(), codec=codec), threads=threads)
    assert (video.fps, video.size, video.name) == (pytest.approx(30, rel=1e-3), SIZE, "a")
    for _ in range(2):  # again and again
        frames = list(video)
        assert [f.index for f in frames] == list(range(20))
        assert not any(f.repeated for f in frames)
        assert [where(f.image)[0] for f in frames] == pytest.approx([11.5 + 3 * i for i in range(20)], abs=1.5)
        assert video.notes == []
    assert video.count in (20, 0) or abs(video.count - 20) <= 1


@pytest.mark.parametrize(
    ("degrees", "place"), [(0, "left top"), (90, "right top"), (180, "right bottom"), (270, "left bottom")]
)
def test_rotation_in_the_header_is_applied(tmp_path: Path, degrees: int, place: str) -> None:
    path = turned(encode(tmp_path / "a.mp4", [picture((0, 12, 12))] * 3), degrees)
    video = open_frames(path)
    width, height = SIZE if degrees % 180 == 0 else SIZE[::-1]
    assert video.size == (width, height)
    for frame in video:
        assert frame.image.shape == (height, width, 3)
        assert frame.image.flags.c_contiguous
        x, y = where(frame.image)
        assert ("left" if x < width / 2 else "right", "top" if y < height / 2 else "bottom") == tuple(place.split())


def test_pixels_become_square(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", walk(3), aspect=Fraction(4, 3))
    assert open_frames(path).size == (128, 64)
    assert next(iter(open_frames(path))).image.shape == (64, 128, 3)


def test_variable_rate_becomes_steady(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]  # three pictures are missing after the sixth
    video = open_frames(encode(tmp_path / "a.mp4", walk(12), ticks=ticks))
    assert video.fps == pytest.approx(30)
    frames = list(video)
    assert [f.index for f in frames] == list(range(15))
    shown = [round((where(f.image)[0] - 11.5) / 3) for f in frames]
    assert shown[:6] + shown[9:] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert shown[6:9] in ([5, 5, 6], [5, 6, 6])  # the one in the middle is as near to both
    assert [f.repeated for f in frames[1:]] == [a == b for a, b in itertools.pairwise(shown)]


def test_a_jump_in_time_is_not_filled_for_hours(tmp_path: Path) -> None:
    video = open_frames(encode(tmp_path / "a.mkv", walk(6), ticks=[0, 1, 2, 3 + 60 * 300, 4 + 60 * 300, 5 + 60 * 300]))
    frames = list(video)
    assert len(frames) == pytest.approx(6 + LONGEST_HOLD * 30, abs=2)
    assert ["breaks of 599.0 s" in note for note in video.notes] == [True]


@given(
    st.lists(st.floats(0.001, 0.9), min_size=1, max_size=30),
    st.sampled_from([5.0, 12.5, 29.97, 60.0]),
)
def test_clock_takes_the_nearest_picture(gaps: list[float], fps: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    clock: Clock[int] = Clock(fps)
    got = list(clock.steady(zip((times + 7.25).tolist(), range(len(times)), strict=True)))
    assert [tick for _, tick, _ in got] == list(range(len(got)))
    assert abs(len(got) - (times[-1] * fps + 1)) <= 1
    for shown, tick, repeated in got:
        off = abs(times - tick / fps)
        assert off[shown] <= off.min() + 1e-9
        assert repeated == (tick > 0 and got[tick - 1][0] == shown)
    assert clock.cut == 0


@given(st.lists(st.one_of(st.none(), st.floats(-1e5, 1e5, width=32)), max_size=20))
def test_clock_stands_any_times(stamps: list[float | None]) -> None:
    clock: Clock[int] = Clock(30.0)
    got = list(clock.steady((t, i) for i, t in enumerate(stamps)))
    assert [tick for _, tick, _ in got] == list(range(len(got)))
    assert [s for s, _, _ in got] == sorted(s for s, _, _ in got)
    assert len(got) <= len(stamps) * (LONGEST_HOLD * 30 + 2)


def test_a_lower_rate_and_a_part(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", walk(25))
    shown = [round((where(f.image)[0] - 11.5) / 3) for f in open_frames(path, fps=10)]
    assert shown == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    part = open_frames(path, start=0.3, seconds=0.2)
    frames = list(part)
    assert part.count == len(frames) == 6
    assert [round((where(f.image)[0] - 11.5) / 3) for f in frames] == [9, 10, 11, 12, 13, 14]
    assert part.notes == []


def test_a_file_that_ends_early_gives_what_is_there(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(40)]
    path = encode(tmp_path / "a.mp4", images, options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: int(0.6 * len(data))])
    video = open_frames(path)
    frames = list(video)
    assert 15 <= len(frames) < 35
    assert len(video.notes) == 1
    assert f"a.mp4: damaged, {len(frames)} of 40 pictures could be read (" in video.notes[0]
    assert "\n" not in video.notes[0]


def test_without_a_count_of_pictures_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(90)]
    path = encode(tmp_path / "a.mkv", images)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = open_frames(path)
    n = len(list(video))
    assert 30 <= n < 60
    assert [f"damaged, {n} pictures" in note for note in video.notes] == [True]


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", walk(40))
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat")
    middle = begin + (len(data) - begin) // 4
    data[middle : middle + 1500] = os.urandom(1500)
    path.write_bytes(bytes(data))
    frames = list(open_frames(path))
    assert len(frames) >= 30
    assert [f.index for f in frames] == list(range(len(frames)))


def test_damage_that_a_decoder_chokes_on_costs_what_follows_up_to_the_next_key_frame(tmp_path: Path) -> None:
    """VP9 keeps the packet that it could not decode, and takes no other before it is flushed."""
    if "libvpx-vp9" not in av.codecs_available:
        pytest.skip("this PyAV cannot encode VP9")
    path = encode(tmp_path / "a.mp4", walk(24), codec="libvpx-vp9")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for at, size in packets[4:6]:
        data[at : at + size] = bytes([0xFF]) * size
    path.write_bytes(bytes(data))
    video = open_frames(path, threads=1)
    frames = list(video)
    assert len(frames) >= 20
    assert any("damaged" in note for note in video.notes)
    part = open_frames(path, seconds=0.5, threads=1)  # what is wrong is said of a part, too
    assert len(list(part)) == 15
    assert any("damaged" in note for note in part.notes)
    assert not open_frames(path, seconds=0.1, threads=1).notes


def no_video(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "text.mp4").write_text("this is no video " * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "empty.mp4").write_bytes(b"")
    whole = encode(tmp_path / "whole.mp4", walk(5)).read_bytes()
    (tmp_path / "headless.mp4").write_bytes(whole[: len(whole) // 2])  # the index was to come at the end
    target = (tmp_path / "whole.mp4").as_posix()
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.txt").write_text(f"ffconcat version 1.0\nfile '{target}'\n")
    (tmp_path / "nothing").mkdir()
    return {p.stem: p for p in tmp_path.iterdir() if p.stem != "whole"} | {"missing": tmp_path / "missing.mp4"}


@pytest.mark.parametrize("kind", ["text", "noise", "empty", "headless", "list", "concat", "nothing", "missing"])
def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = no_video(tmp_path)[kind]
    with pytest.raises(InputError) as refused:
        list(open_frames(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "Errno" not in str(refused.value)


def test_sound_is_no_video(tmp_path: Path) -> None:
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    with pytest.raises(InputError, match=r"a\.wav: no video in it"):
        open_frames(tmp_path / "a.wav")


def test_limits_on_length_and_size(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", walk(60))
    with pytest.raises(InputError, match=r"2 s long, expected at most 1 s; take a part"):
        open_frames(path, max_seconds=1)
    assert len(list(open_frames(path, max_seconds=1, seconds=0.5))) == 15
    with pytest.raises(InputError, match="96 x 64 pixels, expected at most"):
        open_frames(path, max_pixels=5000)
    with pytest.raises(InputError, match="nothing is left from start 3 s on"):
        open_frames(path, start=3)
    for bad in ({"fps": 0.0}, {"fps": math.nan}, {"start": -1.0}, {"seconds": 0.0}, {"threads": -1}):
        with pytest.raises(InputError, match=f"^{next(iter(bad))} is "):
            open_frames(path, **bad)  # type: ignore[arg-type]


def test_a_length_that_the_header_does_not_tell_is_cut(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.h264", walk(60), codec="libx264")  # a bare stream: no times, no length
    video = open_frames(path, max_seconds=1)
    assert len(list(video)) == pytest.approx(video.fps, abs=1)
    assert ["longer than 1 s" in note for note in video.notes] == [True]


def test_a_folder_of_images_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for i in (0, 1, 2, 9, 10, 11):
        av.VideoFrame.from_ndarray(picture((0, 12 + 3 * i, 20)), format="rgb24").to_image().save(folder / f"f{i}.png")
    video = open_frames(folder, fps=15)
    assert (video.name, video.fps, video.size, video.count) == ("run", 15, SIZE, 6)
    assert [round((where(f.image)[0] - 11.5) / 3) for f in video] == [0, 1, 2, 9, 10, 11]
    assert len(list(open_frames(folder, fps=15, start=2 / 15, seconds=0.2))) == 3
    av.VideoFrame.from_ndarray(picture(size=(80, 64)), format="rgb24").to_image().save(folder / "f5.png")
    with pytest.raises(InputError, match=r"f5\.png: 80 x 64 pixels, expected 96 x 64 as in f0\.png"):
        list(open_frames(folder))


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize("size", [(96, 64), (801, 603)])
def test_images_of_every_kind(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    image = Image.fromarray(picture((0, 40, 20), size=size))
    image.save(tmp_path / f"IMG_0001{suffix}")
    image.save(tmp_path / f"IMG_0002{suffix}")
    frames = list(open_frames(tmp_path))
    assert [f.image.shape for f in frames] == [(size[1], size[0], 3)] * 2
    assert where(frames[1].image) == pytest.approx((39.5, 19.5), abs=1)


def test_cameras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    assert camera("0") == ("/dev/video0", "v4l2")
    assert camera("/dev/video2") == ("/dev/video2", "v4l2")
    assert camera("a.mp4") is None
    monkeypatch.setattr("sys.platform", "darwin")
    assert camera("1") == ("1", "avfoundation")
    monkeypatch.undo()
    with pytest.raises(InputError, match="97: no camera that can be opened there"):
        open_frames("97", seconds=1)
    monkeypatch.chdir(tmp_path)
    Path("0").write_text("a file of that name goes first")
    assert camera("0") is None


def test_reading_ahead_passes_on_errors_and_ends_its_thread() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield 1
        raise ValueError("there")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(ValueError, match="there"):
        next(items)

    closed = []

    def endless():  # type: ignore[no-untyped-def]
        try:
            i = 0
            while True:
                yield (i := i + 1)
        finally:
            closed.append(True)

    items = ahead(endless())
    assert [next(items) for _ in range(10)] == list(range(1, 11))
    items.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert not any(t.name == "orvpe-video-reader" for t in threading.enumerate())

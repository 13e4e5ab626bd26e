"""Frames of a video file, a folder of images or a camera: upright, at a constant rate.

Video files are `orvpe.video.file`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats.source import IMAGE_SUFFIXES
from orvpe.errors import InputError
from orvpe.video.file import VideoFile, reason
from orvpe.video.frames import MAX_FPS, Clock, Frame, Frames, pyav

MAX_SECONDS = 4 * 3600.0
MAX_PIXELS = 8192 * 8192
_FOLDER_FPS = 30.0


def open_frames(
    path: str | Path,
    *,
    fps: float | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    threads: int = 0,
    max_seconds: float = MAX_SECONDS,
    max_pixels: int = MAX_PIXELS,
) -> Frames:
    """Open a video file, a folder of images, or a camera.

    Args:
        path: the file, the folder, or a camera: its number (``0``) or device (``/dev/video0``).
        fps: frames per second to take; the video's own when None, 30 for a folder.
        start: seconds to skip.
        seconds: how many to take; all when None.
        threads: CPU threads for decoding; 0 for all. With 1, decoding and estimation alternate.
        max_seconds: refuse what is longer; whose length is unknown is cut there, with a note.
        max_pixels: refuse larger pictures.

    Raises:
        InputError: nothing there, no video, too long, too large, or av is not installed.
    """
    _check_numbers(fps, start, seconds, threads)
    pyav()
    longest = max_seconds if seconds is None else min(seconds, max_seconds)
    if seconds is not None and seconds > max_seconds:
        raise InputError(f"{path}: {seconds:g} s asked for, expected at most {max_seconds:g} s; take it in parts")
    if (device := camera(path)) is not None:
        return _Camera(str(path), device, fps or 30.0, longest, threads, max_pixels)
    where = Path(path)
    if not where.exists():
        raise InputError(f"{path}: no such file or folder")
    if where.is_dir():
        return _Folder(where, fps or _FOLDER_FPS, start, longest, seconds is None, threads, max_pixels)
    return VideoFile(where, fps, start, longest, seconds is None, threads, max_pixels)


def camera(path: str | Path) -> tuple[str, str] | None:
    """(file, format) of a camera for PyAV; None for anything else, as for a file that is called ``0``."""
    text = str(path)
    if re.fullmatch(r"\d{1,3}", text) and not Path(text).exists():
        if sys.platform == "darwin":
            return text, "avfoundation"
        if sys.platform == "win32":
            return f"video={text}", "dshow"
        return f"/dev/video{text}", "v4l2"
    return (text, "v4l2") if re.fullmatch(r"/dev/video\d+", text) else None


def _check_numbers(fps: float | None, start: float, seconds: float | None, threads: int) -> None:
    if fps is not None and not 0 < fps <= MAX_FPS:
        raise InputError(f"fps is {fps:g}, expected more than 0, at most {MAX_FPS:g}")
    if not 0 <= start < float("inf"):
        raise InputError(f"start is {start:g}, expected at least 0 seconds")
    if seconds is not None and not 0 < seconds < float("inf"):
        raise InputError(f"seconds is {seconds:g}, expected more than 0")
    if threads < 0:
        raise InputError(f"threads is {threads}, expected 1 or more, or 0 for all")


# --- a folder of images -------------------------------------------------------------------------------------


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in the order of the numbers in their names."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    return sorted(found, key=lambda p: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", p.name)])


class _Folder(Frames):
    def __init__(
        self, folder: Path, fps: float, start: float, longest: float, whole: bool, threads: int, max_pixels: int
    ) -> None:
        files = image_files(folder)
        if not files:
            raise InputError(f"{folder}: no images ({', '.join(IMAGE_SUFFIXES)}) in this folder")
        if whole and len(files) / fps - start > longest:
            raise InputError(
                f"{folder}: {len(files):,} images are {len(files) / fps:,.0f} s, expected at most {longest:,.0f} s"
            )
        self._files = files[round(start * fps) :][: max(1, round(longest * fps))]
        if not self._files:
            raise InputError(f"{folder}: {len(files)} images, so none from start {start:g} s on")
        self._max_pixels = max_pixels
        height, width = self._image(self._files[0]).shape[:2]
        super().__init__(str(folder), folder.resolve().name, fps, (width, height), len(self._files), threads)

    def _image(self, file: Path) -> np.ndarray:
        one = VideoFile(file, None, 0.0, 1.0, False, 1, self._max_pixels)
        return next(one._frames()).image

    def _frames(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            image = self._image(file)
            if (found := image.shape[1::-1]) != self.size:
                raise InputError(
                    f"{file}: {found[0]} x {found[1]} pixels, expected {self.size[0]} x {self.size[1]} as in "
                    f"{self._files[0].name}; images of one video are of one size"
                )
            yield Frame(image, index)


# --- a camera -----------------------------------------------------------------------------------------------


class _Camera(Frames):
    def __init__(
        self, path: str, device: tuple[str, str], fps: float, longest: float, threads: int, max_pixels: int
    ) -> None:
        av = pyav()
        try:
            self._container = av.open(device[0], format=device[1])
            stream = self._container.streams.video[0]
        except (av.error.FFmpegError, ValueError, IndexError) as error:
            raise InputError(f"{path}: no camera that can be opened there ({reason(error)})") from None
        codec = stream.codec_context
        if codec.width * codec.height > max_pixels:
            raise InputError(f"{path}: {codec.width} x {codec.height} pixels, too large")
        self._most = round(longest * fps)
        super().__init__(path, f"camera{re.sub(r'[^0-9]', '', path)}", fps, (codec.width, codec.height),
                         self._most, threads)  # fmt: skip

    def _frames(self) -> Iterator[Frame]:
        av, clock = pyav(), Clock[Any](self.fps)
        width, height = self.size

        def pictures() -> Iterator[tuple[float | None, Any]]:
            try:
                for picture in self._container.decode(video=0):
                    yield picture.time, picture
            except av.error.FFmpegError as error:
                self.notes.append(f"{self.path}: the camera stopped ({reason(error)})")

        try:
            for picture, index, repeated in clock.steady(pictures()):
                if index >= self._most:
                    break
                image = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
                yield Frame(image, index, repeated)
        finally:
            self._container.close()

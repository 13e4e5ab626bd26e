"""A video file: its frames, upright, with square pixels, at a constant rate.

Anything that PyAV (FFmpeg) decodes will do.  A damaged file gives what can be decoded, and a note.
"""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orvpe.errors import InputError
from orvpe.video.frames import MAX_FPS, Clock, Frame, Frames, pyav

if TYPE_CHECKING:
    import av

_PROBED_PACKETS = 600
_PROBED_DAMAGE = 50  # packets that may be damaged before the first picture
# These open further files or addresses that a file names, draw what nobody filmed, or are devices.
_NO_VIDEO = {
    "hls",
    "dash",
    "concat",
    "sdp",
    "rtsp",
    "rtp",
    "sap",
    "image2",
    "image2pipe",
    "webm_dash_manifest",
    "lavfi",
    "tty",
    "svg_pipe",
    "alsa",
    "fbdev",
    "kmsgrab",
    "video4linux2,v4l2",
    "v4l2",
}


_JPEG = b"\xff\xd8\xff"


_REORDERED = 1.0  # seconds; further back is another recording


@dataclass(frozen=True)
class Shown:
    """How a picture is to be shown: first transposed, then mirrored."""

    transposed: bool = False
    mirrored: bool = False  # left and right
    upside_down: bool = False

    def applied(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) of the picture as it is coded -> as it is to be shown."""
        if self == Shown():
            return image
        image = image.swapaxes(0, 1) if self.transposed else image
        image = image[:, ::-1] if self.mirrored else image
        return np.ascontiguousarray(image[::-1] if self.upside_down else image)


def shown(picture: Any) -> Shown:
    """By the display matrix ((a b u) (c d v) (x y w)), which takes a point (x, y) to (ax + cy, bx + dy)."""
    with suppress(ValueError):  # of side data that this PyAV has no name for
        for data in picture.side_data:
            if data.type.name == "DISPLAYMATRIX":
                a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
                if abs(b) + abs(c) > abs(a) + abs(d):
                    return Shown(True, c < 0, b < 0)
                return Shown(False, a < 0, d < 0)
    return (Shown(), Shown(True, False, True), Shown(False, True, True), Shown(True, True))[
        round(picture.rotation / 90) % 4
    ]


def _in_order_of_coding(stamps: list[float]) -> bool:
    """Whether the times of the packets only rise, where the pictures are coded in another order than they are shown."""
    return len(stamps) > 2 and all(a < b for a, b in pairwise(stamps))


class VideoFile(Frames):
    """A video file, opened once for its properties and again for every iteration; see
    `orvpe.video.decode.open_frames`.
    """

    def __init__(
        self, path: Path, fps: float | None, start: float, longest: float, whole: bool, threads: int, max_pixels: int
    ) -> None:
        self._start, self._longest, self._whole, self._max_pixels = start, longest, whole, max_pixels
        self._file = path
        av = pyav()
        container = self._open()
        try:
            stream = container.streams.video[0]
            duration = _duration(container, stream)
            if whole and duration is not None and duration - start > longest:
                raise InputError(
                    f"{path}: {duration:,.0f} s long, expected at most {longest:,.0f} s; take a part (start, seconds)"
                )
            if duration is not None and start >= duration > 0:
                raise InputError(f"{path}: {duration:.3g} s long, so nothing is left from start {start:g} s on")
            try:
                first, stamps = self._probe(container, stream)
            except av.error.FFmpegError as error:
                raise InputError(f"{path}: no picture can be decoded ({reason(error)})") from None
            own = nominal_fps(stamps, stream)
            self._shape = _square_pixels(first, stream)  # (width, height) before turning
            self._shown = shown(first)
            self._expected, self._duration = int(stream.frames or 0), duration or 0.0
            self._timeless = bool(stream.codec_context.has_b_frames) and _in_order_of_coding(stamps)
            if duration and own and self._expected > duration * own * 1.05 + 2:  # an edit list shows a part of it
                self._expected = 0
            taken = fps or own
            count = round(min(max(duration - start, 0.0), longest) * taken) if duration else 0
            if fps is None and whole and not start and abs(count - self._expected) <= 2:
                count = self._expected
        finally:
            container.close()
        size = self._shape[::-1] if self._shown.transposed else self._shape
        super().__init__(str(path), path.stem, taken, size, count, threads)

    def _open(self) -> av.container.InputContainer:
        av = pyav()
        known = ",".join(sorted(av.formats_available - _NO_VIDEO))
        options = {"format_whitelist": known, "protocol_whitelist": "file"}
        try:
            # "file:" keeps FFmpeg from taking a name with a colon for an address
            container = av.open(f"file:{self._file.absolute()}", format=self._known_format(), options=options)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            raise InputError(f"{self._file}: not a video that can be read ({reason(error)})") from None
        if not container.streams.video:
            container.close()
            raise InputError(f"{self._file}: no video in it ({container.format.long_name})")
        codec = container.streams.video[0].codec_context
        if codec is None:
            container.close()
            raise InputError(f"{self._file}: a video with a codec that this PyAV does not know")
        if codec.width * codec.height > self._max_pixels:
            container.close()
            raise InputError(
                f"{self._file}: {codec.width} x {codec.height} pixels, expected at most "
                f"{self._max_pixels / 1e6:.0f} million"
            )
        return container

    def _known_format(self) -> str | None:
        """Name of the container format; FFmpeg alone would take a JPEG for a pattern of file names (image2)."""
        with open(self._file, "rb") as file:
            return "jpeg_pipe" if file.read(len(_JPEG)) == _JPEG else None

    def _probe(self, container: Any, stream: Any) -> tuple[av.VideoFrame, list[float]]:
        """The first picture, and the times of the first packets in seconds."""
        av = pyav()
        first, stamps, damaged = None, [], 0
        for packet in container.demux(stream):
            if packet.pts is not None:
                stamps.append(float(packet.pts * packet.time_base))
            if first is None:
                try:
                    first = next(iter(_decoded(packet, stream)), None)
                except av.error.FFmpegError:
                    damaged += 1
                    if damaged > _PROBED_DAMAGE:
                        raise
            if first is not None and len(stamps) >= _PROBED_PACKETS:
                break
        if first is None:
            raise InputError(f"{self._file}: no picture can be decoded")
        return first, stamps

    def _frames(self) -> Iterator[Frame]:
        self.notes.clear()
        clock: Clock[Any] = Clock(self.fps)
        most = round(self._longest * self.fps)
        index, image = -1, np.zeros((0, 0, 3), dtype=np.uint8)
        with closing(self._pictures()) as pictures:
            for picture, index, repeated in clock.steady(pictures):
                if index >= most:
                    if self._whole:
                        self.notes.append(f"{self.path}: longer than {self._longest:,.0f} s, the rest was left out")
                    break
                if not repeated:
                    image = self._upright(picture)
                yield Frame(image, index, repeated)
        if index < 0:
            raise InputError(f"{self.path}: no picture from start {self._start:g} s on")
        if clock.cut:
            self.notes.append(f"{self.path}: breaks of {clock.cut:.1f} s without pictures were left out")

    def _pictures(self) -> Generator[tuple[float | None, Any], None, None]:
        """(seconds, picture) of all that can be decoded; what went wrong goes to ``notes``."""
        av = pyav()
        damaged, decoded, hidden, broken, seconds, ended = 0, 0, 0, "", None, False
        stamps: list[float] = []  # of packets whose pictures have not come out yet
        last: float | None = None
        stepping = False  # whether the times of pictures turned out to be none
        try:
            with self._open() as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = self.threads
                unit = float(stream.time_base or 1)
                begin = (stream.start_time or 0) * unit + self._start
                if self._start:
                    with suppress(av.error.FFmpegError):  # what cannot be sought is read from the beginning
                        container.seek(int(begin / unit), stream=stream)
                packets = container.demux(stream)
                while True:
                    try:
                        packet = next(packets)
                    except StopIteration:
                        break
                    except av.error.FFmpegError as error:
                        broken = reason(error)
                        break
                    if getattr(packet, "is_discard", False):  # hidden by an edit list
                        hidden += 1
                    elif self._timeless and packet.pts is not None:
                        heapq.heappush(stamps, float(packet.pts * packet.time_base))
                    try:
                        pictures = _decoded(packet, stream)
                    except av.error.EOFError:
                        continue
                    except av.error.FFmpegError:
                        damaged += 1
                        continue
                    for picture in pictures:
                        seconds = picture.time
                        if self._timeless:
                            seconds = heapq.heappop(stamps) if stamps else None
                        elif last is not None and seconds is not None and last - _REORDERED < seconds <= last:
                            stepping = True  # by less than two recordings that were joined would
                        last = seconds if seconds is not None else last
                        if stepping:
                            seconds = None
                        if self._start and seconds is not None and seconds < begin - 1e-6:
                            continue
                        decoded += 1
                        yield seconds, picture
            ended = True
        finally:
            # what was not asked for was never tried
            all_of_it = ended and self._whole and not self._start
            short = decoded < self._expected - hidden
            if not self._expected and seconds is not None:
                short = seconds - begin < self._duration - max(1.0, 0.05 * self._duration)
            if broken or damaged or (all_of_it and short):
                of = f" of {self._expected:,}" if self._expected and all_of_it else ""
                why = broken or (f"{damaged:,} packets damaged" if damaged else "the file ends early")
                self.notes.append(f"{self.path}: damaged, {decoded:,}{of} pictures could be read ({why})")

    def _upright(self, picture: Any) -> np.ndarray:
        if picture.width * picture.height > self._max_pixels:
            raise InputError(f"{self.path}: a picture of {picture.width} x {picture.height} pixels, too large")
        width, height = self._shape
        image = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
        return self._shown.applied(image)


def _decoded(packet: Any, stream: Any) -> list[av.VideoFrame]:
    """Decode a packet into pictures."""
    try:
        return packet.decode()
    except (
        BlockingIOError
    ):  # after damage some decoders (VP9) hold on to a packet and take no other until they are flushed
        stream.codec_context.flush_buffers()
        return packet.decode()


def nominal_fps(stamps: list[float], stream: Any) -> float:
    """The most common frame rate.

    The median step between the times says it, as exactly as the file counts time; where a rate in the file's header
    agrees with that, it is taken.

    Args:
        stamps: times of the first pictures in seconds, in any order.
        stream: PyAV's stream, for its header's rates and its unit of time.
    """
    steps = [b - a for a, b in zip(sorted(stamps), sorted(stamps)[1:], strict=False) if b > a]
    rates = [float(r) for r in (stream.base_rate, stream.average_rate) if r]
    if not steps:
        fps = rates[-1] if rates else 25.0
    else:
        step = statistics.median(steps)
        near = float(stream.time_base) / step + 0.005
        fps = next((r for r in rates if abs(r * step - 1) <= near), 1 / step)
    return fps if fps <= MAX_FPS else fps / np.ceil(fps / MAX_FPS)


def _duration(container: Any, stream: Any) -> float | None:
    """Duration in seconds from the header, or None."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None


def _square_pixels(picture: Any, stream: Any) -> tuple[int, int]:
    """(width, height) with square pixels."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not ratio or ratio == 1 or not 0.1 < ratio < 10:
        return picture.width, picture.height
    if ratio > 1:
        return round(picture.width * ratio), picture.height
    return picture.width, round(picture.height / ratio)


def reason(error: BaseException) -> str:
    """FFmpeg's error text without number and file name."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())

"""Draw skeletons onto a video: one colour per person, hidden joints hollow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.skeleton import Layout
from orvpe.runtime.files import whole_file
from orvpe.video.frames import Frames, pyav
from orvpe.video.people import Person, VideoPeople

# Tableau's ten without grey, so that neighbours differ
COLOURS = ((255, 127, 14), (31, 119, 180), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
           (227, 119, 194), (188, 189, 34), (23, 190, 207))  # fmt: skip
_LAYOUT_DOTS = 130  # a body's size over a joint's radius
OVERLAY_SUFFIXES = (".mp4", ".mkv", ".mov")


def colour(who: int) -> tuple[int, int, int]:
    """A person's colour."""
    return COLOURS[(who - 1) % len(COLOURS)]


def draw_people(
    image: np.ndarray,
    layout: Layout,
    ids: list[int],
    joints: np.ndarray,
    visible: np.ndarray,
    labels: list[str] | None = None,
) -> np.ndarray:
    """Draw skeletons onto a picture.

    Args:
        image: (H, W, 3) uint8 RGB; is not changed.
        layout: whose joints.
        ids: P numbers, for the colours.
        joints: (P, V, 2) pixels; a hidden joint is drawn hollow at its place here, or not at all where that is NaN.
        visible: (P, V) bool.
        labels: P texts above the heads; the numbers when None.

    Returns:
        (H, W, 3) uint8.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    texts = labels if labels is not None else [str(i) for i in ids]
    for who, places, seen, text in zip(ids, joints, visible, texts, strict=True):
        placed = np.isfinite(places).all(axis=-1)
        if not placed.any():
            continue
        low, high = places[placed].min(axis=0), places[placed].max(axis=0)
        radius = max(2.0, float(np.linalg.norm(high - low)) / _LAYOUT_DOTS)
        paint = colour(who)
        for child, parent in layout.edges:
            if placed[child] and placed[parent]:
                both = bool(seen[child] and seen[parent])
                ends = [tuple(places[child].tolist()), tuple(places[parent].tolist())]
                draw.line(ends, fill=paint, width=max(1, round(radius)) if both else 1)
        for v in np.flatnonzero(placed):
            x, y = places[v].tolist()
            box = [x - radius, y - radius, x + radius, y + radius]
            if seen[v]:
                draw.ellipse(box, fill=paint, outline=(255, 255, 255))
            else:
                draw.ellipse(box, outline=paint, width=max(1, round(radius / 3)))
        _write(draw, text, float(low[0] + high[0]) / 2, float(low[1]), paint, image.shape[0])
    return np.asarray(picture)


def _write(draw: object, text: str, x: float, y: float, paint: tuple[int, int, int], height: int) -> None:
    """Draw a label with its bottom centre at (x, y), moved into the picture."""
    from PIL import ImageFont

    size = max(12, height // 36)
    font = ImageFont.load_default(size)
    width = draw.textlength(text, font=font)  # type: ignore[attr-defined]
    top = max(0.0, y - 1.6 * size)
    left = max(0.0, x - width / 2)
    draw.rectangle([left - 4, top, left + width + 4, top + 1.3 * size], fill=paint)  # type: ignore[attr-defined]
    draw.text((left, top + 0.1 * size), text, fill=(255, 255, 255), font=font)  # type: ignore[attr-defined]


Labels = Callable[[Person, int], str]  # a person and a frame of the video -> the text above the head


def write_overlay(
    path: str | Path,
    frames: Frames,
    found: VideoPeople,
    each: Callable[[], None] | None = None,
    labels: Labels | None = None,
) -> Path:
    """Write a video with its people drawn onto it; the file appears when it is complete.

    Args:
        path: the video to write, ending in .mp4, .mkv or .mov.
        frames: the pictures, opened as they were for ``found``.
        found: the people.
        each: called after every frame.
        labels: what to write above the people; their numbers when None.

    Raises:
        InputError: another suffix, no such folder, or this PyAV has no encoder.
    """
    target = Path(path)
    check_overlay(target)
    with whole_file(target) as temporary:
        write_video(temporary, _drawn(frames, found, each, labels), found.fps, found.size)
    return target


def check_overlay(target: Path) -> None:
    """Refuse a path that cannot be written.

    Raises:
        InputError: its suffix, or no such folder.
    """
    if target.suffix.lower() not in OVERLAY_SUFFIXES:
        raise InputError(f"overlay {target}: expected a name that ends in {', '.join(OVERLAY_SUFFIXES)}")
    if not target.parent.is_dir():
        raise InputError(f"overlay {target}: folder {target.parent} does not exist")


def _drawn(
    frames: Frames, found: VideoPeople, each: Callable[[], None] | None, labels: Labels | None
) -> Iterator[np.ndarray]:
    for frame in frames:
        there = [(p, frame.index - p.first) for p in found.people if 0 <= frame.index - p.first < p.frames]
        drawn = [(p.id, *places(p, t)) for p, t in there]
        if drawn:
            ids, joints, visible = zip(*drawn, strict=True)
            texts = None if labels is None else [labels(p, frame.index) for p, _ in there]
            yield draw_people(frame.image, found.layout, list(ids), np.stack(joints), np.stack(visible), texts)
        else:
            yield frame.image
        if each is not None:
            each()


def places(person: Person, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Drawing positions (V, 2) of a person's joints in frame t, with estimates of hidden ones, and their
    visibility (V,).
    """
    seen = person.visible[t]
    return np.where(seen[:, None], person.joints[t], person.found[t]), seen


def write_video(path: Path, images: Iterator[np.ndarray], fps: float, size: tuple[int, int]) -> None:
    """Images (H, W, 3) uint8 RGB as an H.264 video (MPEG-4 where PyAV has no encoder for that).

    Raises:
        InputError: this PyAV has neither encoder.
    """
    write_timed(path, enumerate(images), fps, size)


def write_timed(path: Path, images: Iterator[tuple[int, np.ndarray]], fps: float, size: tuple[int, int]) -> None:
    """Write (number, image) pairs as a video, each shown from number / fps seconds until the next.

    Raises:
        InputError: this PyAV has neither encoder.
    """
    av = pyav()
    codec = next((c for c in ("libx264", "libopenh264", "mpeg4") if c in av.codecs_available), None)
    if codec is None:
        raise InputError(f"{path}: this PyAV cannot encode H.264 or MPEG-4")
    width, height = size[0] - size[0] % 2, size[1] - size[1] % 2  # H.264 halves the colours' resolution
    rate = Fraction(fps).limit_denominator(1001 * 64)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.codec_context.time_base = 1 / rate
        stream.width, stream.height, stream.pix_fmt = max(width, 2), max(height, 2), "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "21", "preset": "veryfast"}
        else:
            stream.bit_rate = max(1_000_000, int(0.1 * width * height * fps))
        for number, image in images:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:height, :width]), format="rgb24")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))

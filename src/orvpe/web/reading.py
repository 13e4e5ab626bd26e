"""Read an uploaded file in a separate process with limits on time and memory.

    python -m orvpe.web.reading FILE OUT OPTIONS

writes the clips to OUT as npz, without a pickle; exit code 2 and a line on stderr when the file is of no use.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.store.grid import grid
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Notes
from orvpe.poses.skeleton import get_layout, layout_from_dict

MAX_CLIPS = 24  # of one file; the page shows one at a time
_MAX_UNPACKED = 512 << 20  # bytes of all files in a zip
_MAX_MEMBERS = 20_000
_MAX_MEMORY = 6 << 30  # bytes of address space, most of which is libraries
_INFO = ("fps", "image_size", "name", "label", "subject", "camera", "split")


@dataclass(frozen=True)
class ReadOptions:
    """What a file does not state itself, and how much of it to read.

    Args:
        dims: 2 or 3, the model's, for formats that hold both.
        max_frames: refuse longer clips; of a video the beginning is taken.
        format: a pose format's name, None to recognise it.
        joints: a known layout's name, None where the format says it.
        fps: frames per second, where the file does not say.
        up: the axis that points up in 3D.
        video_seconds: how much of a video to take.
    """

    dims: int = 3
    max_frames: int = 3000
    format: str | None = None
    joints: str | None = None
    fps: float | None = None
    up: str = "auto"
    video_seconds: float = 20.0


def read_file(path: Path, options: ReadOptions) -> tuple[list[Clip], list[str]]:
    """Read the clips of a pose file or video, at most `MAX_CLIPS`, with notes for the user.

    Raises:
        InputError: of no known format, damaged, too large when unpacked, nobody in it, too long.
    """
    clips, notes = _of_video(path, options) if is_video(path) else _of_pose_file(path, options)
    if not clips:
        raise InputError(f"{path.name}: nobody is in it")
    for clip in clips:
        if clip.frames > options.max_frames:
            raise InputError(
                f"{path.name}: clip {clip.name!r} has {clip.frames:,} frames, expected at most {options.max_frames:,}; "
                "cut it, or start orvpe serve with --max-frames"
            )
        grid(clip)  # coordinates that no store takes
    return clips, notes


def is_video(path: Path) -> bool:
    from orvpe.data.formats.source import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def _of_video(path: Path, options: ReadOptions) -> tuple[list[Clip], list[str]]:
    from orvpe.video import PoseOptions, find_people

    joints = "world" if options.dims == 3 else "image"
    wanted = PoseOptions(joints=joints, seconds=options.video_seconds, max_people=2, fps=options.fps)
    found = find_people(path, wanted)
    return found.clips(wanted.layout, joints)[:MAX_CLIPS], list(found.notes)


def _of_pose_file(path: Path, options: ReadOptions) -> tuple[list[Clip], list[str]]:
    from orvpe.data.formats import choose_reader
    from orvpe.data.formats.base import NoSkeleton, Options
    from orvpe.data.formats.reading import left_out, read_clips
    from orvpe.data.formats.source import Source

    check_unpacked(path)
    source = Source(path)
    reader = choose_reader(source, options.format)
    how = Options(
        layout=get_layout(options.joints) if options.joints else None, fps=options.fps, dims=options.dims, up=options.up
    )
    clips: list[Clip] = []
    items = reader.items(source)
    if not items:
        raise InputError(f"{path.name}: nothing of format {reader.name!r} in it")
    more = False
    for item in items:
        if more := len(clips) >= MAX_CLIPS:
            break
        with suppress(NoSkeleton):
            clips += read_clips(reader, source, item, how)
    more = more or len(clips) > MAX_CLIPS
    notes = [f"more than {MAX_CLIPS} clips in it, the first {MAX_CLIPS} were taken"] if more else []
    strange = Notes()
    strange.add(clips[:MAX_CLIPS])
    notes += [*strange.lines(), *left_out(source, items)]
    return clips[:MAX_CLIPS], notes


def check_unpacked(path: Path) -> None:
    """Refuse a zip or npz that unpacks to too much.

    A member never unpacks to more than the zip's directory says (`zipfile` stops there), so that is what is added up.

    Raises:
        InputError: too many files in it, or too many bytes.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # a damaged directory fails in many ways
        raise InputError(f"{path.name}: not a readable zip ({error})") from None
    total = sum(m.file_size for m in members)
    if len(members) > _MAX_MEMBERS:
        raise InputError(f"{path.name}: {len(members):,} files in it, expected at most {_MAX_MEMBERS:,}")
    if total > _MAX_UNPACKED:
        raise InputError(
            f"{path.name}: unpacks to {total / 2**20:,.0f} MB, expected at most {_MAX_UNPACKED / 2**20:,.0f} MB"
        )


def save_clips(path: Path, clips: list[Clip], notes: list[str]) -> None:
    """Write clips as npz: arrays, and all text as JSON."""
    arrays: dict[str, np.ndarray] = {}
    about: list[dict[str, Any]] = []
    for i, clip in enumerate(clips):
        arrays[f"joints_{i}"], arrays[f"visible_{i}"] = clip.joints, clip.visible
        about.append({"layout": clip.layout.to_dict(), **{k: getattr(clip, k) for k in _INFO}})
    text = json.dumps({"clips": about, "notes": notes}, default=float)
    np.savez(path, about=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]


def load_clips(path: Path) -> tuple[list[Clip], list[str]]:
    """Read clips that `save_clips` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        data = json.loads(arrays["about"].tobytes())
        clips = []
        for i, info in enumerate(data["clips"]):
            layout = layout_from_dict(info.pop("layout"), where=f"clip {info['name']!r}")
            size = info.pop("image_size")
            image_size = (int(size[0]), int(size[1])) if size else None
            clips.append(Clip(arrays[f"joints_{i}"], arrays[f"visible_{i}"], layout, image_size=image_size, **info))
    return clips, list(data["notes"])


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    with suppress(ValueError, OSError):  # macOS refuses it
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_the_server() -> None:
    """Wait for the end of stdin, which the server holds open, also where it is killed."""
    with suppress(OSError):
        while os.read(0, 1024):  # not sys.stdin, which cannot be closed while a thread waits in it
            pass
    os._exit(3)


def main(argv: list[str]) -> int:
    path, out, options = Path(argv[0]), Path(argv[1]), ReadOptions(**json.loads(argv[2]))
    _limit_memory()
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        clips, notes = read_file(path, options)
        save_clips(out, clips, notes)
    except (InputError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except (MemoryError, RecursionError):
        print(f"{path.name}: needs too much memory to be read", file=sys.stderr)
        return 2
    return 0


def arguments(path: Path, out: Path, options: ReadOptions) -> list[str]:
    """Command line of the process that reads ``path`` into ``out``."""
    return [sys.executable, "-m", "orvpe.web.reading", str(path), str(out), json.dumps(asdict(options))]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

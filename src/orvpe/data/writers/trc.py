"""TRC, a file a person, joints by name: metres, or pixels (unit ``px``) of a 2D clip; empty where missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from orvpe.data.writers.base import Writer
from orvpe.poses.clip import Clip
from orvpe.runtime.files import write_atomic

RATE = 30.0  # of a clip that does not say its own: TRC must


def write(clips: Iterable[Clip], out: Path) -> None:
    (clip,) = clips
    for person in range(clip.people):
        target = out if person == 0 else out.with_name(f"{out.stem}_p{person + 1}{out.suffix}")
        write_atomic(target, text(clip, person, target.name))


def text(clip: Clip, person: int, name: str) -> str:
    rate = f"{clip.fps or RATE:.10g}"
    joints, visible = clip.joints[person], clip.visible[person]
    names = clip.layout.joints
    counts = (rate, rate, clip.frames, len(names), "m" if clip.dims == 3 else "px", rate, 1, clip.frames)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        "\t".join(map(str, counts)),
        "Frame#\tTime\t" + "\t\t\t".join(names),
        "\t\t" + "\t".join(f"{a}{v}" for v in range(1, len(names) + 1) for a in "XYZ"),
        "",
    ]
    flat = joints if clip.dims == 3 else np.concatenate([joints, np.zeros_like(joints[..., :1])], axis=-1)
    for t in range(clip.frames):
        cells = [
            str(np.float32(x)) if seen else "" for point, seen in zip(flat[t], visible[t], strict=True) for x in point
        ]
        lines.append(f"{t + 1}\t{t / (clip.fps or RATE):.6f}\t" + "\t".join(cells))
    return "\n".join(lines) + "\n"


WRITER = Writer("trc", "TRC, a file a clip and person: joints by name", (".trc",), write, one_clip=True)

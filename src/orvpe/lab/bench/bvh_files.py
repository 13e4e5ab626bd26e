"""Write BVH motion capture of a whole body, for tests and benchmarks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

Point = tuple[float, float, float]
# name, parent, offset in cm, end site below; a T pose of 174 cm
RIG: list[tuple[str, str | None, Point, Point | None]] = [
    ("Hips", None, (0, 92, 0), None),
    ("Spine", "Hips", (0, 12, 1), None),
    ("Chest", "Spine", (0, 20, -1), None),
    ("Neck", "Chest", (0, 22, 0), None),
    ("Head", "Neck", (0, 10, 2), (0, 17, 0)),
    *(
        (f"{side}{name}", parent if parent in ("Chest", "Hips") else f"{side}{parent}",
         (sign * x, y, z), end)
        for side, sign in (("Left", 1), ("Right", -1))
        for name, parent, (x, y, z), end in (
            ("Shoulder", "Chest", (3, 18, 0), None),
            ("Arm", "Shoulder", (14, 0, 0), None),
            ("ForeArm", "Arm", (28, 0, 0), None),
            ("Hand", "ForeArm", (25, 0, 0), (18, 0, 0)),
            ("UpLeg", "Hips", (9, -3, 0), None),
            ("Leg", "UpLeg", (0, -43, 1), None),
            ("Foot", "Leg", (0, -42, -2), (0, -5, 15)),
        )
    ),
]  # fmt: skip


def write(
    path: Path, orders: dict[str, list[str]], motion: np.ndarray, scale: float = 1.0, time: str = "0.033333"
) -> Path:
    """A BVH of the rig with the channels of each joint and values (T, channels) in file order."""
    out = io.StringIO()

    def joint(name: str, offset: Point, end: Point | None, depth: int) -> None:
        pad = "\t" * depth
        out.write(f"{pad}{'JOINT' if depth else 'ROOT'} {name}\n{pad}{{\n")
        out.write(f"{pad}\tOFFSET {' '.join(repr(v * scale) for v in offset)}\n")
        out.write(f"{pad}\tCHANNELS {len(orders[name])} {' '.join(orders[name])}\n")
        for child, parent, below, last in RIG:
            if parent == name:
                joint(child, below, last, depth + 1)
        if end:
            place = " ".join(repr(v * scale) for v in end)
            out.write(f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET {place}\n{pad}\t}}\n")
        out.write(f"{pad}}}\n")

    out.write("HIERARCHY\n")
    joint(RIG[0][0], RIG[0][2], RIG[0][3], 0)
    out.write(f"MOTION\nFrames: {len(motion)}\nFrame Time: {time}\n")
    for row in motion:
        out.write(" ".join(repr(float(v)) for v in row) + "\n")
    path.write_text(out.getvalue())
    return path


def file_order() -> list[str]:
    """Joints depth first, as the file lists them."""
    names: list[str] = []

    def visit(name: str) -> None:
        names.append(name)
        for child, parent, _, _ in RIG:
            if parent == name:
                visit(child)

    visit("Hips")
    return names

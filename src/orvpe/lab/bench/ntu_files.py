"""Writes NTU RGB+D ``.skeleton`` files exactly in their published format, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

FIRST_ID = 72057594037931101  # identifiers of this size do not fit a double: neighbours collapse


def write_skeleton(
    path: Path,
    joints: np.ndarray,
    colour: np.ndarray | None = None,
    state: np.ndarray | None = None,
    present: np.ndarray | None = None,
    ids: Iterable[int] | None = None,
    newline: str = "\r\n",
) -> Path:
    """One file from ``joints`` (M, T, 25, 3) metres and ``colour`` (M, T, 25, 2) pixels.

    ``state`` (M, T, 25) is the tracking state (2 where not given); ``present`` (M, T) says in which frames a
    body is listed.  Numbers are written with seven digits, as the data set has them.
    """
    people, frames = joints.shape[:2]
    colour = project(joints) if colour is None else colour
    state = np.full(joints.shape[:3], 2) if state is None else state
    present = np.ones((people, frames), bool) if present is None else present
    ids = [FIRST_ID + i for i in range(people)] if ids is None else list(ids)
    lines = [str(frames)]
    for t in range(frames):
        bodies = np.flatnonzero(present[:, t])
        lines.append(str(len(bodies)))
        for m in bodies:
            lines += [f"{ids[m]} 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
            for v in range(25):
                xyz, pixel = joints[m, t, v], colour[m, t, v]
                values = [*xyz, *(pixel * 0.25), *pixel, -0.2059419, 0.053499, 0.96921, 0]
                lines.append(" ".join(number(x) for x in values) + f" {int(state[m, t, v])}")
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


def number(value: float) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text := f"{float(value):.7g}", text)


def project(joints: np.ndarray) -> np.ndarray:
    """Colour pixels of camera points, by the sensor's intrinsics."""
    z = np.maximum(joints[..., 2:], 0.1)
    return joints[..., :2] / z * (1081.37, -1081.37) + (959.5, 539.5)


def random_body(rng: np.random.Generator, people: int = 1, frames: int = 12, motion: float = 0.05) -> np.ndarray:
    """(M, T, 25, 3) metres: bodies that move at random, about three metres from the sensor."""
    rest = rng.normal(size=(people, 1, 25, 3)) * 0.3 + (0.0, 0.0, 3.0)
    return rest + rng.normal(size=(people, frames, 25, 3)).cumsum(axis=1) * motion


def name(setup: int = 1, camera: int = 1, subject: int = 1, replication: int = 1, action: int = 1) -> str:
    return f"S{setup:03d}C{camera:03d}P{subject:03d}R{replication:03d}A{action:03d}.skeleton"


def plain_read(path: Path) -> dict[int, dict[int, list[list[float]]]]:
    """The obvious reader, line by line: frame -> body -> 25 rows of 12 numbers."""
    with open(path) as file:
        result: dict[int, dict[int, list[list[float]]]] = {}
        for t in range(int(file.readline())):
            result[t] = {}
            for _ in range(int(file.readline())):
                body = int(file.readline().split()[0])
                rows = int(file.readline())
                result[t][body] = [[float(x) for x in file.readline().split()] for _ in range(rows)]
        return result

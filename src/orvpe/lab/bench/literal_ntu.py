"""The plain reader of NTU ``.skeleton`` files, line by line with float(), on several processes: what most code does."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

Joint = list[float]
Bodies = dict[int, dict[int, list[Joint]]]  # identifier -> frame -> 25 joints of x, y, z


def read(path: str | Path) -> Bodies:
    """Every body of a file: identity and 3D joints."""
    bodies: Bodies = {}
    with open(path) as file:
        for t in range(int(file.readline())):
            for _ in range(int(file.readline())):
                identity = int(file.readline().split()[0])
                joints = []
                for _ in range(int(file.readline())):
                    values = [float(v) for v in file.readline().split()]
                    joints.append(values[:3])
                bodies.setdefault(identity, {})[t] = joints
    return bodies


def frames_in(path: str) -> int:
    """Frames of a person in a file: little to send back from another process."""
    return sum(len(frames) for frames in read(path).values())


def read_all(folder: Path, processes: int) -> int:
    """Reads every file of a folder on so many processes; returns the frames of a person in all of them."""
    paths = sorted(str(p) for p in folder.iterdir() if p.suffix == ".skeleton")
    if processes == 1:
        return sum(map(frames_in, paths))
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return sum(pool.imap_unordered(frames_in, paths, chunksize=32))

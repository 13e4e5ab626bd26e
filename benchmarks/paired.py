"""The same moment filmed clean and with somebody in front: do their embeddings agree?  Prints a table.

The pairs are Pose2Sim's demo videos (BSD-3): `Demo_SinglePerson` and, with a person composited in front of the same
footage, `Demo_MultiPerson`, four cameras each.

orvpe pose Demo_SinglePerson/videos Demo_MultiPerson/videos -o pairs.orvpe --max-people 2
python benchmarks/paired.py pairs.orvpe kinder-light-2d-joint runs/penn-scratch
"""

from __future__ import annotations

import sys

import numpy as np

from orvpe.data.store import Store
from orvpe.models.embed import embed_clips
from orvpe.models.model import load
from orvpe.poses.clip import Clip

WINDOW, STRIDE = 40, 10  # frames at 60 a second


def camera_of(name: str) -> str:
    return next(part[:5] for part in name.split("/") if part.startswith("cam"))


def apart(a: Clip, b: Clip) -> float:
    """Mean distance in pixels of joints that both see, over the frames that both have."""
    frames = min(a.frames, b.frames)
    seen = a.visible[0, :frames] & b.visible[0, :frames]
    return float(np.linalg.norm(a.joints[0, :frames] - b.joints[0, :frames], axis=-1)[seen].mean())


def windows(clip: Clip) -> list[Clip]:
    starts = range(0, clip.frames - WINDOW + 1, STRIDE)
    return [clip.with_(joints=clip.joints[:, s : s + WINDOW], visible=clip.visible[:, s : s + WINDOW]) for s in starts]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main(path: str, *weights: str) -> None:
    """Table of a store of pairs and any number of models."""
    store = Store.open(path)
    clips = {str(name): store.clip(i) for i, name in enumerate(store.names)}
    clean = {camera_of(n): c for n, c in clips.items() if "SinglePerson" in n}
    covered: dict[str, Clip] = {}
    other: list[Clip] = []
    for camera, whole in clean.items():
        there = [c for n, c in clips.items() if "MultiPerson" in n and camera_of(n) == camera]
        there.sort(key=lambda c: apart(whole, c))  # the same man lies nearest
        covered[camera] = there[0]
        other += there[1:]
        print(f"{camera}: the occluded man lies {apart(whole, there[0]):.0f} pixels from the clean one on average")
    print("\n| encoder | same moment | other moments | other people | recall@1 |\n|---|---|---|---|---|")
    for name in weights:
        model = load(name)
        a = {c: unit(embed_clips(model, windows(clip))) for c, clip in clean.items()}
        b = {c: unit(embed_clips(model, windows(clip))) for c, clip in covered.items()}
        strangers = unit(np.concatenate([embed_clips(model, windows(c)) for c in other if c.frames >= WINDOW]))
        gallery = np.concatenate(list(a.values()))
        place = {(c, i): k for k, (c, i) in enumerate((c, i) for c in a for i in range(len(a[c])))}
        same, elsewhere, hits = [], [], []
        for camera, rows in b.items():
            for i, row in enumerate(rows[: len(a[camera])]):
                similar = gallery @ row
                same.append(similar[place[camera, i]])
                elsewhere.append(np.delete(a[camera] @ row, i).mean())
                hits.append(int(similar.argmax()) == place[camera, i])
        people = np.concatenate(list(b.values())) @ strangers.T
        print(
            f"| {name} | {np.mean(same):.3f} | {np.mean(elsewhere):.3f} | {people.mean():.3f} | "
            f"{100 * np.mean(hits):.0f} % of {len(hits)} among {len(gallery)} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])

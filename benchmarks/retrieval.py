"""How well clips are found by their vectors, and how long that takes; prints the tables of docs/guides/search.md.

python benchmarks/retrieval.py nucla.orvpe kinder-light-3d-joint
python benchmarks/retrieval.py --speed 100000
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

OCCLUSIONS = ("upper", "lower", "right", "left", "centre", "joints:0.3", "frames:0.3", "block:0.4", "jitter:0.05")


def quality(path: str, weights: str) -> None:
    """Feature against embedding: same label across cameras, and the whole clip by an occluded one.

    A clip with the poses of an earlier one is left out: it would be found for nothing.
    """
    from orvpe.data.duplicates import original
    from orvpe.data.store import Store
    from orvpe.models.embed import embed_batch
    from orvpe.models.model import load
    from orvpe.views.batch import batches
    from orvpe.views.resident import ResidentStore

    store, model = Store.open(path), load(weights).for_inference()
    data = ResidentStore(store, "cpu")
    everything = np.arange(len(store))
    same_poses = original(store, everything, everything)
    kept = everything[(same_poses < 0) | (same_poses > everything)]
    print(f"{len(kept):,} of {len(store):,} clips; the others have the poses of one of these")
    vectors: dict[str, dict[str, np.ndarray]] = {"feature": {}, "embedding": {}}
    for occlusion in ("none", *OCCLUSIONS):
        parts = [embed_batch(model, data.batch(i), occlusion, 0, int(i[0])) for i in batches(kept, 64)]
        for kind, found in zip(vectors, zip(*parts, strict=True), strict=True):
            if found[0] is not None:
                joined = np.concatenate(found)
                vectors[kind][occlusion] = joined / np.linalg.norm(joined, axis=1, keepdims=True)
    labels, cameras, subjects = store.labels[kept], store.cameras[kept], store.subjects[kept]
    same = labels[:, None] == labels
    other_camera = cameras[:, None] != cameras
    other_person = other_camera & (subjects[:, None] != subjects)
    for kind, of in vectors.items():
        if not of:
            continue
        for name, allowed in (("other camera", other_camera), ("other camera and person", other_person)):
            p1, p10, mean = precision(of["none"] @ of["none"].T, same, allowed)
            print(f"{kind:<10}{name:<24}  precision@1 {p1:5.1f}  @10 {p10:5.1f}  mean average precision {mean:5.1f}")
        for occlusion in OCCLUSIONS:
            similar = of[occlusion] @ of["none"].T
            rank = (similar > np.diag(similar)[:, None]).sum(axis=1)
            r1, r10 = (100 * (rank < k).mean() for k in (1, 10))
            print(f"{kind:<10}{occlusion + ' hidden':<24}  recall@1 {r1:5.1f}  @10 {r10:5.1f}")


def precision(similar: np.ndarray, same: np.ndarray, allowed: np.ndarray) -> tuple[float, float, float]:
    """Per cent: precision at 1 and at 10, mean average precision; of (N, N) each, a row a query."""
    order = np.argsort(-np.where(allowed, similar, -np.inf), axis=1)
    relevant = np.take_along_axis(same & allowed, order, axis=1)
    at = relevant.cumsum(axis=1) / np.arange(1, len(order) + 1)
    average = (at * relevant).sum(axis=1) / np.maximum(relevant.sum(axis=1), 1)
    return 100 * relevant[:, 0].mean(), 100 * relevant[:, :10].mean(), 100 * average.mean()


def speed(count: int) -> None:
    """Adding, opening and searching ``count`` vectors of 256 numbers; the median of 20 queries."""
    from orvpe.vectors.search import Index

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        index = Index.create(Path(folder) / "db", {"name": "none", "feature_dim": 256})
        begun = time.perf_counter()
        for first in range(0, count, 2048):
            size = min(2048, count - first)
            names = [f"c{first + i}" for i in range(size)]
            camera = [f"v{i % 20}" for i in range(size)]
            marks = list(range(first, first + size))
            index.add(rng.normal(size=(size, 256)).astype(np.float32), names, "s", {"camera": camera}, marks)
        print(f"{count:,} vectors added in {time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        index = Index.open(Path(folder) / "db")
        print(f"open {1e3 * (time.perf_counter() - begun):.0f} ms")
        for what, where in (("all", None), ("one camera of 20", {"camera": "v3"})):
            seconds = []
            for query in rng.normal(size=(20, 256)):
                begun = time.perf_counter()
                index.search(query, 10, where)
                seconds.append(time.perf_counter() - begun)
            print(f"search, {what}: first {1e3 * seconds[0]:.1f} ms, median {1e3 * np.median(seconds):.1f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--speed"] and len(sys.argv) == 3:
        speed(int(sys.argv[2]))
    elif len(sys.argv) == 3:
        quality(sys.argv[1], sys.argv[2])
    else:
        sys.exit(__doc__)

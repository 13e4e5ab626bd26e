"""Fuse score files: two streams, or ours with those of another model (e.g. an RGB network)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats.source import not_a_source
from orvpe.errors import InputError
from orvpe.evaluation.metrics import accuracy
from orvpe.evaluation.scores import fuse_scores, load_scores
from orvpe.runtime.run import check_folder


def fuse(files: list[str], weights: list[float] | None = None, out: str | None = None) -> dict[str, Any]:
    """Sum class probabilities of several score files and print the accuracy of each and of the sum.

    Args:
        files: two or more score files: scores.npz of our runs, or .npz/.csv from elsewhere (a ``name`` column, one
            column a class; numbers may be logits or probabilities).
        weights: one a file; equal when not given.
        out: write the fused scores here (.npz or .csv).

    Returns:
        {"files": {file: top-1 or None}, "fused": {"top1", "top5", "mean_class"} or None without labels}

    Raises:
        InputError: files that cannot be read or do not hold the same clips and classes; ``out`` is one of them, or no
            .npz or .csv.
    """
    if out is not None:
        not_a_source(out, files)
        check_folder(Path(out).parent)
        if Path(out).suffix.lower() not in (".npz", ".csv") or Path(out).is_dir():
            raise InputError(f"--out {out}: expected a file that ends in .npz or .csv")
    parts = [load_scores(f) for f in files]
    fused = fuse_scores(parts, weights)
    if out is not None:
        fused.save(out)
    known = {c: i for i, c in enumerate(fused.classes.tolist())}
    if not (fused.labels != "").all():
        print(f"fused {len(files)} score files of {len(fused.names)} clips (no labels in them, so no accuracy)")
        return {"files": dict.fromkeys(files), "fused": None}
    strange = [label for label in fused.labels.tolist() if label not in known]
    if strange:
        raise InputError(f"label {strange[0]!r} is not among the classes of the scores")
    label = dict(zip(fused.names.tolist(), fused.labels.tolist(), strict=True))
    singles: dict[str, float] = {}
    for file, part in zip(files, parts, strict=True):
        own = {c: i for i, c in enumerate(part.classes.tolist())}
        singles[file] = accuracy(part.scores, np.array([own[label[n]] for n in part.names.tolist()])).top1
        print(f"{singles[file]:6.2f}  {file}")
    total = accuracy(fused.scores, np.array([known[v] for v in fused.labels.tolist()]))
    print(f"{total.top1:6.2f}  fused (top-1; top-5 {total.top5:.2f}, mean per-class {total.mean_class:.2f})")
    return {
        "files": singles,
        "fused": {"top1": total.top1, "top5": total.top5, "mean_class": total.mean_class},
    }

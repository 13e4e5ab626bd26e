"""Evaluate a classifier on a test split, clean and with body parts occluded (docs/concepts/method.md, 12)."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orvpe.data.duplicates import original, pairs
from orvpe.data.protocols.task import Task, few_labels, make_task
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.evaluation.features import extract
from orvpe.evaluation.metrics import Accuracy, accuracy
from orvpe.evaluation.scores import Scores
from orvpe.models.embed import check_fits
from orvpe.models.model import Model, load
from orvpe.runtime.device import pick_device
from orvpe.runtime.files import write_atomic
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import RECIPE, check_folder, environment
from orvpe.runtime.typed import flat_arguments
from orvpe.views.occlusion import SUBGRAPHS, check_occlusion
from orvpe.views.resident import ResidentStore

FIVE = ("none", *SUBGRAPHS)  # clean, and the five occlusions of SubG-DA


@torch.no_grad()
def class_scores(
    model: Model,
    data: ResidentStore,
    indices: np.ndarray,
    occlusion: str = "none",
    seed: int = 0,
    batch_size: int = 64,
) -> np.ndarray:
    """Scores (len(indices), classes) of a model with a head."""
    if model.head is None:
        raise InputError("this model has no classifier; fine-tune or probe it first")
    return model.head(extract(model, data, indices, occlusion, seed, batch_size)).float().cpu().numpy()


Scorer = Callable[[str], np.ndarray]


def model_scorer(model: Model, data: ResidentStore, task: Task, seed: int = 0, batch_size: int = 64) -> Scorer:
    """A function from an occlusion to scores (test clips, classes)."""
    return lambda occlusion: class_scores(model, data, task.test, occlusion, seed, batch_size)


@flat_arguments
@alone_in("out", folder=True)
def evaluate(
    store: str,
    weights: str,
    protocol: str,
    out: str | None = None,
    occlusions: list[str] = list(FIVE),  # noqa: B006  (never changed)
    seed: int = 0,
    batch_size: int = 64,
    hardware: Hardware = Hardware(),  # noqa: B008
) -> dict[str, Any]:
    """Evaluate a fine-tuned or probed model, clean and under occlusions; prints a table.

    Args:
        store: a store with labels.
        weights: folder of the model.
        protocol: which clips are the test split, e.g. nucla-cv, penn-official, subject:3,5 or random:0.2.
        out: folder for results.json, scores.npz, per-class table and confusion matrix; none writes nothing.
        occlusions: none (clean), a body part (upper, lower, right, left, centre, left_arm, hands, ...), or a pattern
            with a value (joints:0.4, flicker:0.3, tubes:0.5, frames:0.3, block:0.4, jitter:0.02), joined by "+";
            with "/" between several each clip draws one.
        seed: places random occlusions.
        batch_size: clips at a time.
        hardware: processor and threads.

    Returns:
        What results.json holds.

    Raises:
        InputError: a model without a classifier or for other data, an unknown occlusion or protocol.
    """
    check_occlusions(occlusions)
    if out is not None:
        check_folder(out)
        if (Path(out) / RECIPE).exists():
            raise InputError(f"--out {out}: holds a run, whose results would be written over; choose another folder")
    where = pick_device(hardware.device, hardware.threads)
    opened = Store.open_whole(store)
    model = load(weights, where)
    check_fits(model, opened, weights)
    if model.classes is None:
        raise InputError(f"model {weights} has no classifier; fine-tune or probe it first")
    task = make_task(opened, protocol, model.classes)
    tell_trained_on(weights, model.card.get("trained"), opened, task)
    task = learned_by(model.card.get("trained"), opened, task)
    data = ResidentStore(opened, where)
    return report(
        model_scorer(model.for_inference(), data, task, seed, batch_size), data.store, task, occlusions, out, seed
    )


def check_occlusions(occlusions: list[str]) -> None:
    """Check occlusions before any work is done.

    Raises:
        InputError: none, or one that is not known.
    """
    if not occlusions:
        raise InputError("occlusions is empty, expected at least 'none'")
    for occlusion in occlusions:
        check_occlusion(occlusion, "occlusions")


def tell_trained_on(weights: str, trained: Any, store: Store, task: Task) -> None:
    """Print a note on stderr if test clips were among a model's training clips."""
    if seen := trained_on(trained, store, task):
        print(
            f"note: {weights} was trained on {seen} of these {len(task.test)} test clips (protocol "
            f"{trained['protocol']!r} of the same store)",
            file=sys.stderr,
        )


def trained_on(trained: Any, store: Store, task: Task) -> int:
    """Number of a task's test clips that a model was trained on, as far as its card says."""
    theirs = _training_clips(trained, store)
    return 0 if theirs is None else len(np.intersect1d(theirs, task.test))


def learned_by(trained: Any, store: Store, task: Task) -> Task:
    """The task with the clips that the model was trained on as training clips, as far as its card says."""
    theirs = _training_clips(trained, store)
    return task if theirs is None else replace(task, train=theirs)


def _training_clips(trained: Any, store: Store) -> np.ndarray | None:
    """Indices of this store's clips that a model was trained on; None if its card does not say."""
    if not isinstance(trained, dict) or trained.get("store_checksum") != store.checksum:
        return None
    try:
        labels, seed = float(trained.get("labels", 1.0)), int(trained.get("seed", 0))
        return few_labels(make_task(store, str(trained.get("protocol"))), labels, seed)
    except (InputError, TypeError, ValueError):  # e.g. a custom protocol
        return None


def report(
    scorer: Scorer,
    store: Store,
    task: Task,
    occlusions: list[str],
    out: str | Path | None,
    seed: int = 0,
    raw: dict[str, dict[str, dict[str, float]]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Evaluate, print the table, and write it into ``out``: results.json, scores.npz, per_class.csv, confusion.png.

    Shares retained and score files refer to clean clips, or to the first occlusion where "none" is not asked for.
    Where test clips are copies of training clips, the accuracy on the others is reported too.  ``raw`` is what
    `orvpe.evaluation.raw.raw_rows` found of the same clips: the numbers that an encoder has to beat.
    """
    check_occlusions(occlusions)
    if not len(task.test):
        raise InputError(f"protocol {task.protocol!r} leaves no clip to test")
    base = "none" if "none" in occlusions else occlusions[0]
    first = scorer(base)
    truth = task.target[task.test]
    same = original(store, task.train, task.test)
    new = same < 0
    found, without_copies = {}, {}
    for occlusion in occlusions:
        scores = first if occlusion == base else scorer(occlusion)
        found[occlusion] = accuracy(scores, truth)
        if new.any() and not new.all():
            without_copies[occlusion] = accuracy(scores[new], truth[new]).of(task.metric)
    clean = found[base]
    results: dict[str, Any] = {
        "protocol": task.protocol, "metric": task.metric, "test_clips": len(task.test),
        "generated_data": bool(store.meta.get("generated", False)), "seed": seed,
        "occlusions": {
            name: {"top1": a.top1, "top5": a.top5, "mean_class": a.mean_class,
                   "retained": 100 * a.of(task.metric) / whole if (whole := clean.of(task.metric)) else None}
            for name, a in found.items()
        },
        "per_class": {c: v if n else None for c, v, n in zip(
            task.classes, clean.per_class.tolist(), clean.confusion.sum(axis=1), strict=True)},
        **more, "environment": environment(),
    }  # fmt: skip
    if raw:
        results["raw"] = raw
    if not new.all():
        results["copies"] = {"clips": int((~new).sum()), "pairs": pairs(store, task.test, same),
                             "without": without_copies}  # fmt: skip
    print(table(results))
    if out is not None:
        folder = Path(out)
        write_atomic(folder / "results.json", json.dumps(results, indent=1) + "\n")
        Scores(store.names[task.test], np.array(task.classes), first, store.labels[task.test]).save(
            folder / "scores.npz"
        )
        write_atomic(folder / "per_class.csv", per_class_table(task, found))
        from orvpe.evaluation.charts import confusion_chart

        title = f"{task.protocol}, top-1 {clean.top1:.1f} %"
        confusion_chart(clean.confusion, task.classes, folder / "confusion.png", title)
    return results


def table(results: dict[str, Any]) -> str:
    """The occlusion table as text."""
    name = {"top1": "top-1", "mean_class": "mean per-class"}[results["metric"]]
    note = "  [generated data]" if results["generated_data"] else ""
    wide = max(16, *(len(o) + 1 for o in results["occlusions"]))  # alternatives have long names
    lines = [
        f"{results['protocol']}: {results['test_clips']} test clips, counts {name}{note}",
        f"{'occlusion':<{wide}}{'top-1':>8}{'top-5':>8}{'per-class':>11}{'retained':>10}",
    ]
    copies = results.get("copies", {"without": {}})
    if copies["without"]:
        lines[-1] += f"{'no copies':>11}"
    raw = results.get("raw", {})
    lines[-1] += "".join(f"{method:>14}" for method in raw)
    for occlusion, row in results["occlusions"].items():
        retained = "-" if row["retained"] is None else f"{row['retained']:.1f}%"
        lines.append(
            f"{'clean' if occlusion == 'none' else occlusion:<{wide}}{row['top1']:>8.1f}{row['top5']:>8.1f}"
            f"{row['mean_class']:>11.1f}{retained:>10}"
            + (f"{copies['without'][occlusion]:>11.1f}" if copies["without"] else "")
            + "".join(f"{found[occlusion]['top1']:>14.1f}" for found in raw.values())
        )
    if copies.get("clips"):
        of, first = f"{copies['clips']} of the {results['test_clips']} test clips", " is ".join(copies["pairs"][0])
        rest = f"; 'no copies' is {name} of the others" if copies["without"] else ""
        lines.append(f"{of} are training clips under another name ({first}){rest}")
    return "\n".join(lines)


def per_class_table(task: Task, found: dict[str, Accuracy]) -> str:
    """CSV with a row per class: its clips, and per cent right under each occlusion."""
    count = next(iter(found.values())).confusion.sum(axis=1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["class", "clips", *found])
    for i, c in enumerate(task.classes):
        rows.writerow([c, count[i], *("" if count[i] == 0 else f"{a.per_class[i]:.2f}" for a in found.values())])
    return text.getvalue()

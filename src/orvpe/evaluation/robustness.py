"""Measure how accuracy, retrieval and similarity fall as more of the body is occluded.

Models are trained as they were; only test clips are corrupted, each clip with draws of its own that depend on the
seed, the pattern and the clip alone, so that all models meet the same corruption.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from orvpe.data.duplicates import example, original
from orvpe.data.protocols.task import Task, make_task
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.evaluation.evaluate import learned_by, tell_trained_on
from orvpe.evaluation.features import extract
from orvpe.evaluation.metrics import accuracy
from orvpe.evaluation.raw import raw_rows
from orvpe.models.embed import check_fits
from orvpe.models.model import Model, load, note_unfinished
from orvpe.runtime.device import pick_device
from orvpe.runtime.files import write_atomic
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.run import check_folder, environment
from orvpe.runtime.typed import flat_arguments
from orvpe.views.batch import batches
from orvpe.views.occlusion import SUBGRAPHS, check_occlusion
from orvpe.views.resident import ResidentStore

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
# what is swept: title -> (pattern, values); the parts stand by themselves
SWEEPS = {
    "random joints": ("joints", _SHARES),
    "frame gap": ("frames", _SHARES),
    "moving block": ("block", (0.2, 0.4, 0.6, 0.8)),
    "noise": ("jitter", (0.01, 0.02, 0.05, 0.1)),
}
RA_GCN = ("left_arm", "right_arm", "hands", "legs", "trunk")
_FEW = 200  # clips that retrieval needs at least to be meaningful; fewer are reported


def battery() -> list[str]:
    """All corruptions of the curve: the five masks, the parts of RA-GCN, and the sweeps."""
    swept = [f"{pattern}:{value:g}" for pattern, values in SWEEPS.values() for value in values]
    return list(dict.fromkeys([*SUBGRAPHS, *RA_GCN, *swept]))


@flat_arguments
@alone_in("out", folder=True)
def robustness(
    store: str,
    weights: list[str],
    protocol: str,
    out: str,
    names: list[str] | None = None,
    occlusions: list[str] = battery(),  # noqa: B008  (never changed)
    raw: bool = True,
    seed: int = 0,
    batch_size: int = 64,
    hardware: Hardware = Hardware(),  # noqa: B008
) -> dict[str, Any]:
    """Accuracy, retrieval and similarity of several models on corrupted test clips, as a table and a figure.

    Args:
        store: a store with labels.
        weights: folders (or names) of fine-tuned or probed models of the same classes; one without a classifier is
            compared by its features alone.
        protocol: which clips are the test split.
        out: folder for robustness.json, robustness.md and robustness.png.
        names: what to call the models, in the same order; the folders' names when not given.
        occlusions: corruptions, see `orvpe evaluate`.
        raw: add what the same clips give without an encoder: 1-NN and logistic regression on raw joints.
        seed: places random occlusions.
        batch_size: clips at a time.
        hardware: processor and threads.

    Returns:
        What robustness.json holds: for each model and occlusion ``top1`` (per cent), ``retained`` (per cent of its
        own clean accuracy), ``cosine`` (mean over clips of whole against occluded), ``others`` (mean between different
        whole clips), ``recall`` (per cent of occluded clips whose nearest whole clip is their own).

    Raises:
        InputError: a store, model, protocol, name or value that does not fit.
    """
    if not weights:
        raise InputError("weights are empty, expected at least one model")
    labels = names if names is not None else [Path(w).name for w in weights]
    if len(labels) != len(weights) or len(set(labels)) != len(labels):
        raise InputError(f"names are {', '.join(labels)}, expected {len(weights)} different ones, one a model")
    if not all(label.strip() for label in labels):
        raise InputError("a name is empty, expected what to call its model")
    check_folder(out)
    for occlusion in occlusions:
        check_occlusion(occlusion, "occlusions")
    where = pick_device(hardware.device, hardware.threads)
    opened = Store.open_whole(store)
    found: dict[str, Any] = {}
    # all of them before the first is tested, which may take an hour
    models = [_fitting(path, opened, protocol, where) for path in weights]
    data = ResidentStore(opened, where)
    learned = np.unique(np.concatenate([task.train for _, task in models]))
    same = original(opened, learned, models[0][1].test)
    clips = sum(len(task.test) for _, task in models)
    with Progress("robustness", (1 + len(occlusions)) * clips, "clips") as progress:
        for label, path, (model, task) in zip(labels, weights, models, strict=True):
            ready = model.for_inference()
            whole = extract(ready, data, task.test, "none", seed, batch_size)
            progress.advance(len(task.test))
            rows = {"none": _measured(ready.head, whole, whole, task)}
            for occlusion in occlusions:
                if occlusion == "none":
                    continue
                hidden = extract(ready, data, task.test, occlusion, seed, batch_size)
                rows[occlusion] = _measured(ready.head, whole, hidden, task)
                progress.advance(len(task.test))
            visibility = _by_visibility(ready.head, whole, data, task)
            clean = rows["none"]["top1"]
            for row in rows.values():
                row["retained"] = 100 * row["top1"] / clean if clean else None
            others = between(whole) if len(whole) > 1 else None  # JSON has no NaN
            found[label] = {"weights": path, "others": others, "occlusions": rows}
            if visibility:
                found[label]["by_visibility"] = visibility
    results: dict[str, Any] = {
        "protocol": protocol, "test_clips": len(task.test), "seed": seed, "models": found,
        "environment": environment(),
    }  # fmt: skip
    if raw:
        results["raw"] = raw_rows(data, models[0][1], list(dict.fromkeys(["none", *occlusions])), seed, batch_size)
    if (same >= 0).any():
        results["copies"] = {"clips": int((same >= 0).sum()), "example": example(opened, task.test, same)}
    folder = Path(out)
    text = markdown(results)
    write_atomic(folder / "robustness.md", text)
    from orvpe.evaluation.charts import robustness_chart

    robustness_chart(results, SWEEPS, folder / "robustness.png")
    # last: where it is, `orvpe reproduce` takes all for done
    write_atomic(folder / "robustness.json", json.dumps(results, indent=1) + "\n")
    print(text)
    return results


def _fitting(path: str, store: Store, protocol: str, device: torch.device) -> tuple[Model, Task]:
    """Load a model and its test clips.

    Raises:
        InputError: as `robustness`.
    """
    model = load(path, device)
    check_fits(model, store, path)
    note_unfinished(model, path)
    task = make_task(store, protocol, model.classes)
    if not len(task.test):
        raise InputError(f"protocol {protocol!r} leaves no clip to test")
    if model.classes is not None:
        tell_trained_on(path, model.card.get("trained"), store, task)
    return model, learned_by(model.card.get("trained"), store, task)


def _measured(head: torch.nn.Module | None, whole: Tensor, hidden: Tensor, task: Task) -> dict[str, Any]:
    top1 = None
    if head is not None:
        with torch.no_grad():
            scores = head(hidden).float().cpu().numpy()
        top1 = accuracy(scores, task.target[task.test]).top1
    a, b = F.normalize(whole, dim=1), F.normalize(hidden, dim=1)
    nearest = (b @ a.T).argmax(dim=1).cpu()
    recall = 100 * float((nearest == torch.arange(len(nearest))).float().mean())
    return {"top1": top1, "cosine": float((a * b).sum(dim=1).mean()), "recall": recall}


def _by_visibility(
    head: torch.nn.Module | None, whole: Tensor, data: ResidentStore, task: Task
) -> list[dict[str, float]]:
    """`by_visibility` of the test clips, if they differ in what is visible of them as they are (Penn Action's do)."""
    share = np.concatenate([_visible_share(data, chosen) for chosen in batches(task.test, 256)])
    if head is None or share.max() - share.min() < 0.1:
        return []
    with torch.no_grad():
        scores = head(whole).float().cpu().numpy()
    return by_visibility(scores, task.target[task.test], share)


def _visible_share(data: ResidentStore, indices: np.ndarray) -> np.ndarray:
    """(N,) visible share of the joints of each clip's frames and people, of the joints its source has at all."""
    batch = data.batch(indices)
    used = batch.visible.any(dim=0).any(dim=0).any(dim=0)  # (V,) joints that anybody has
    seen = batch.visible[..., used]
    present = seen.flatten(2).any(dim=2)[..., None, None]  # (N, M, 1, 1) people who are there
    frames = batch.frames[:, None, None, None] > torch.arange(seen.shape[2], device=seen.device)[:, None]
    total = (present & frames).expand_as(seen).flatten(1).sum(dim=1).clamp(min=1)
    return (seen.flatten(1).sum(dim=1) / total).cpu().numpy()


def between(features: Tensor) -> float:
    """Mean cosine between different rows of (N, D), N at least 2; NaN for fewer."""
    unit = F.normalize(features, dim=1)
    n = len(unit)
    return float((unit.sum(dim=0).square().sum() - unit.square().sum()) / (n * (n - 1))) if n > 1 else float("nan")


_MEASURES = {
    "top1": ("Top-1, %", 1),
    "retained": ("Share of the clean accuracy retained, %", 0),
    "cosine": ("Cosine of a whole clip and its occluded copy", 2),
    "recall": ("Recall@1, %: occluded copies whose nearest whole clip is their own", 0),
}


def markdown(results: dict[str, Any]) -> str:
    """A table for each measure: a row for each occlusion, a column for each model and for the raw joints."""
    models, raw = results["models"], results.get("raw", {})
    columns = {name: model["occlusions"] for name, model in models.items()} | raw
    names = list(next(iter(models.values()))["occlusions"])
    lines = [
        f"Protocol {results['protocol']}, {results['test_clips']} test clips, corruption seed {results['seed']}."
        + (f" {', '.join(raw)}: raw joints, without an encoder." if raw else "")
    ]
    for measure, (title, digits) in _MEASURES.items():
        rows = names if measure == "top1" else [name for name in names if name != "none"]
        shown = {
            column_title: column
            for column_title, column in columns.items()
            if any(column[name].get(measure) is not None for name in rows)
        }
        if not shown:
            continue
        lines += [
            "",
            f"{title}:",
            "",
            "| occlusion | " + " | ".join(name.replace("|", "\\|") for name in shown) + " |",
            "|---" * (1 + len(shown)) + "|",
        ]
        for name in rows:
            values = [column[name].get(measure) for column in shown.values()]
            cells = ["-" if value is None else f"{value:.{digits}f}" for value in values]
            lines.append(f"| {'clean' if name == 'none' else name} | " + " | ".join(cells) + " |")
    known = {name: model["others"] for name, model in models.items() if model["others"] is not None}
    if known:
        lines += ["", f"Cosine between different whole clips: {', '.join(f'{n} {v:.2f}' for n, v in known.items())}."]
    for name, model in models.items():
        groups = [
            f"{g['top1']:.1f} of {g['clips']} clips with {100 * g['low']:.0f} to {100 * g['high']:.0f} %"
            for g in model.get("by_visibility", [])
        ]
        if groups:
            lines += ["", f"{name}, top-1 by the share of joints really visible: {'; '.join(groups)}."]
    if copies := results.get("copies"):
        lines += ["", f"{copies['clips']} test clips are training clips under another name ({copies['example']})."]
    if results["test_clips"] < _FEW:
        lines.append("")
        lines.append(f"Only {results['test_clips']} clips: recall among so few says little.")
    return "\n".join(lines) + "\n"


def by_visibility(scores: np.ndarray, target: np.ndarray, share: np.ndarray, groups: int = 3) -> list[dict[str, float]]:
    """Accuracy by how much of a clip is really visible: equal groups of clips, fewest visible joints first.

    Args:
        scores: (N, classes).
        target: (N,) classes.
        share: (N,) visible share of each clip's joints.
        groups: how many.

    Returns:
        For each group ``clips``, ``low`` and ``high`` (its visible shares) and ``top1``.
    """
    order = np.argsort(share, kind="stable")
    found = []
    for part in np.array_split(order, groups):
        if len(part):
            top1 = accuracy(scores[part], target[part]).top1
            found.append(
                {"clips": len(part), "low": float(share[part[0]]), "high": float(share[part[-1]]), "top1": top1}
            )
    return found

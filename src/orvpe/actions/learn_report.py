"""Results of `orvpe learn` as text and files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.protocols.task import clip_seconds
from orvpe.data.store import Store
from orvpe.evaluation.metrics import Accuracy
from orvpe.models.model import Model
from orvpe.models.open_set import RISK
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import environment, plain


@dataclass(frozen=True)
class LearnReport:
    """Result of `learn`; ``str()`` is a readable report.

    Args:
        run: the folder of the model.
        how: what was trained.
        classes: labels.
        clips, recordings: of each class.
        tested: clips that were tested.
        accuracy: of the tested clips; None without cross-validation.
        right: per cent right by occlusion, "none" first, every recording counting once, however many clips it was cut
            into; empty without cross-validation.
        interval: 95 % of what is right of whole bodies (Wilson).
        folds: parts of the cross-validation.
        warnings: one line each.
        seconds: of wall-clock time.
        unknown: in per cent ``answered`` of the tested clips, whole and with parts hidden, ``right`` of these answers,
            ``named`` of clips of classes left out in turn, ``answered_at_risk`` where one answer in ten may be wrong;
            empty for a model that does not know when it does not know.
    """

    run: str
    how: str
    classes: list[str]
    clips: list[int]
    recordings: list[int]
    tested: int = 0
    accuracy: Accuracy | None = None
    right: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] = (0.0, 100.0)
    folds: int = 0
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    unknown: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Accuracy on whole bodies in %, 0 without cross-validation."""
        return self.right.get("none", 0.0)

    def __str__(self) -> str:
        wide = max(5, *(len(c) for c in self.classes))
        lines = [f"{'class':<{wide}}  {'recordings':>10}  {'clips':>6}  {'right':>7}  taken for"]
        for i, c in enumerate(self.classes):
            right, other = "-", ""
            if self.accuracy is not None and (row := self.accuracy.confusion[i]).sum():
                right = f"{self.accuracy.per_class[i]:.1f} %"
                wrong = [(int(n), self.classes[j]) for j, n in enumerate(row) if j != i and n]
                other = ", ".join(f"{name} {n}" for n, name in sorted(wrong, key=lambda w: (-w[0], w[1]))[:3])
            lines.append(f"{c:<{wide}}  {self.recordings[i]:>10}  {self.clips[i]:>6}  {right:>7}  {other}".rstrip())
        if self.accuracy is not None:
            low, high = self.interval
            lines += ["", *confusion_text(self.accuracy.confusion, self.classes), ""]
            lines.append(
                f"{self.score:.1f} % right, every recording counting once (95 %: {low:.0f} to {high:.0f}; guessing: "
                f"{100 / len(self.classes):.0f}); {self.tested} clips, each tested by a model that has not seen its "
                f"recording, {self.folds} parts"
            )
            hidden = ", ".join(f"{part} {share:.1f}" for part, share in self.right.items() if part != "none")
            lines += [f"with a part of the body hidden: {hidden} % right"] if hidden else []
        if self.unknown:
            answered, correct, named, at_risk = self.unknown.values()
            lines += [
                f"unknown: {answered:.0f} % of these clips, whole or partly hidden, get a name, {correct:.0f} % of "
                f"them the right one; of clips of classes left out in turn {named:.0f} % get a name",
                f"with --risk {RISK:g} (orvpe classify, live, demo) {at_risk:.0f} % of the clips get one",
            ]
        lines += [f"warning: {text}" for text in self.warnings]
        lines.append(f"{self.how} on all {sum(self.clips)} clips in {self.seconds:.1f} s -> {self.run}")
        return "\n".join(lines)


def confusion_text(confusion: np.ndarray, classes: list[str]) -> list[str]:
    """The confusion matrix as lines: rows are the truth, columns are numbered."""
    if len(classes) > 24:
        return ["confusion: see confusion.png"]
    wide = max(len(c) for c in classes) + 4
    cell = max(3, len(str(confusion.max())) + 1)
    head = f"{'true class, named as':<{max(wide, 20)}}" + "".join(f"{i + 1:>{cell}}" for i in range(len(classes)))
    rows = [f"{f'{i + 1:>2} {c}':<{max(wide, 20)}}" + "".join(f"{n or '.':>{cell}}" for n in row)
            for i, (c, row) in enumerate(zip(classes, confusion.tolist(), strict=True))]  # fmt: skip
    return [head, *rows]


_KEPT = (
    "folds",
    "tested",
    "score",
    "interval",
    "right",
    "top1",
    "mean_class",
    "unknown",
)  # of the results, in the model's card


def write_report(
    report: LearnReport, model: Model, store: Store, arguments: dict[str, Any], temperature: float
) -> None:
    """Write the model with its card, results.json and confusion.png into the run's folder."""
    folder = Path(report.run)
    found = report.accuracy
    results: dict[str, Any] = {
        "classes": report.classes, "clips": report.clips, "recordings": report.recordings, "folds": report.folds,
        "tested": report.tested, "score": report.score if found else None, "top1": found.top1 if found else None,
        "mean_class": found.mean_class if found else None, "interval": report.interval if found else None,
        "right": report.right, "unknown": report.unknown,
        "confusion": found.confusion.tolist() if found else None, "temperature": temperature,
        "warnings": report.warnings, "seconds": report.seconds, "arguments": arguments, "environment": environment(),
    }  # fmt: skip
    everyone = np.arange(len(store))
    model.save(
        folder, trained={**arguments, "clips": len(store), "clip_seconds": clip_seconds(store, everyone),
                         "data": store.meta.get("sources", [])},
        cross_validation={k: results[k] for k in _KEPT},
        environment=environment(),
    )  # fmt: skip
    write_atomic(folder / "results.json", json.dumps(plain(results), indent=1) + "\n")
    if found is not None:
        from orvpe.evaluation.charts import confusion_chart

        title = f"cross-validation, {report.score:.1f} %"
        confusion_chart(found.confusion, report.classes, folder / "confusion.png", title)

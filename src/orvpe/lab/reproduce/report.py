"""Write a table as Markdown: the paper's numbers and ours, mean and range, with commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.evaluation.charts import curve_chart
from orvpe.lab.reproduce.steps import PROTOCOL, Plan, read_json
from orvpe.lab.reproduce.tables import Table
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import RECIPE

NOT_RUN = "not run"


class Copies:
    """Test clips of a data set that are training clips under another name; without its store none are known."""

    def __init__(self, work: Path, data: str) -> None:
        self._found: dict[tuple[float, int], set[str]] = {}
        self._store, path = None, work / f"{data}.orvpe"
        if path.is_file():
            from orvpe.data.protocols.task import make_task
            from orvpe.data.store import Store

            self._store = Store.open(path)
            self._task = make_task(self._store, PROTOCOL[data])

    def of(self, labels: float = 1.0, seed: int = 0) -> set[str]:
        """Their names, where a training sees that share of the labels, drawn from that seed."""
        if self._store is None:
            return set()
        if (labels, seed) not in self._found:
            from orvpe.data.duplicates import original
            from orvpe.data.protocols.task import few_labels

            test = self._task.test
            same = original(self._store, few_labels(self._task, labels, seed), test)
            self._found[labels, seed] = set(self._store.names[test[same >= 0]].tolist())
        return self._found[labels, seed]


def write(table: Table, plan: Plan, work: Path, out: Path, name: str, copies: Copies) -> Path:
    """Write ``name``.md, and the pictures it shows, into the folder ``out``, from what is done.

    Args:
        table: what it shows.
        plan: its steps.
        work: folder of all runs.
        out: folder for the table.
        name: of its file.
        copies: of its data set; what is right of the other test clips gets a column.
    """
    out.mkdir(parents=True, exist_ok=True)
    shown = [
        o for o in table.occlusions if any(_number(work, run, o) is not None for r in table.rows for run in r.runs)
    ]
    new = ["without duplicates"] if copies.of() else []
    head = ["", "paper", "ours", *new, *shown, "seeds", "command of the first seed", "commit", "device"]
    about = ""
    if new:
        about = f" {len(copies.of())} test clips are training clips under another name (fewer, of few labels); "
        about += "without duplicates: top-1 of the others."
    lines = [f"# {table.title}", "", _note(plan) + about, "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in table.rows:
        found = [run for run in row.runs if _number(work, run, "none") is not None]
        cells = [
            row.name,
            row.paper or "-",
            _spread([v for run in found if (v := _number(work, run, "none")) is not None]),
        ]
        if new:
            known = [(run, copies.of(*_learned(work, run))) for run in found]
            cells.append(_spread([v for run, of in known if (v := _top1(work / run, of)) is not None]))
        for occlusion in shown:
            cells.append(_spread([v for run in found if (v := _number(work, run, occlusion)) is not None]))
        step = plan.steps[row.runs[0]]
        where = [_environment(work, run) for run in found]
        commits = _each(str(e.get("commit") or "-") for e in where)
        cells += [
            str(len(found)) if found else "-",
            f"`{step.command()}`",
            commits,
            _each(_device(work, run) for run in found),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for folder in table.robustness:
        text = work / folder / "robustness.md"
        lines += ["", "## Under occlusion", ""]
        if not text.exists():
            lines.append(NOT_RUN + ".")
            continue
        picture = f"{name}-robustness.png"
        shutil.copyfile(work / folder / "robustness.png", out / picture)
        lines += [f"![accuracy under occlusion]({picture})", "", text.read_text(encoding="utf-8")]
    curves = {label: points for label, run in table.curve.items() if (points := _curve(work / run))[0]}
    if curves:
        picture = f"{name}-curve.png"
        curve_chart(curves, out / picture, "epoch", "test top-1, %", table.title)
        lines += ["", f"![test accuracy over training]({picture})"]
    for i, run in enumerate(table.confusion):
        if (work / run / "confusion.png").exists():
            picture = f"{name}-confusion-{i}.png"
            shutil.copyfile(work / run / "confusion.png", out / picture)
            lines += ["", f"![confusion matrix of {run}]({picture})"]
    target = out / f"{name}.md"
    write_atomic(target, "\n".join(lines).rstrip() + "\n")
    return target


def _note(plan: Plan) -> str:
    share = (
        f" Only {100 * plan.share:g} % of each training's epochs were run (a probe has all)." if plan.share < 1 else ""
    )
    return (
        f"Recipes: {plan.recipes}. Last epoch, top-1 in per cent: mean, and the range over seeds in brackets. "
        f"Pre-training is one seed.{share} Commands run in the folder of all runs; `orvpe reproduce` runs what is "
        "missing."
    )


def _spread(values: list[float]) -> str:
    if not values:
        return NOT_RUN
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _number(work: Path, run: str, occlusion: str) -> float | None:
    """Top-1 of a run's results, or of a fused score file; None where it is not done."""
    path = work / run
    if run.endswith(".npz"):
        return _top1(path) if occlusion == "none" else None
    results = path / "results.json"
    if not results.exists():
        return None
    found = read_json(results, "occlusions").get(occlusion)
    return None if found is None else float(found["top1"])


def _top1(run: Path, without: Collection[str] = ()) -> float | None:
    """Top-1 of a run's stored scores, or of a score file, of the clips that are not in ``without``."""
    path = run if run.suffix == ".npz" else run / "scores.npz"
    if not path.exists():
        return None
    from orvpe.evaluation.metrics import accuracy
    from orvpe.evaluation.scores import load_scores

    scores = load_scores(path)
    place = {c: i for i, c in enumerate(scores.classes.tolist())}
    kept = np.array([name not in without for name in scores.names.tolist()])
    truth = np.array([place[label] for label in scores.labels.tolist()])
    return accuracy(scores.scores[kept], truth[kept]).top1 if kept.any() else None


def _learned(work: Path, run: str) -> tuple[float, int]:
    """Share of the labels that a run has learned, and the seed that drew them."""
    path = work / run / RECIPE
    given = read_json(path, "arguments") if path.is_file() else {}
    return float(given.get("labels", 1.0)), int(given.get("seed", 0))


def _environment(work: Path, run: str) -> dict[str, Any]:
    path = work / run / "results.json"
    return read_json(path, "environment") if path.exists() else {}


def _device(work: Path, run: str) -> str:
    """The GPU that a run saw, else its CPU's threads; its precision unless float32; "-" for one that says nothing."""
    path, environment = work / run / RECIPE, _environment(work, run)
    threads = environment.get("threads")
    device = str(environment.get("gpu") or (f"CPU, {threads} threads" if threads else "-"))
    precision = (read_json(path, "arguments") if path.is_file() else {}).get("precision", "32")
    return device if precision == "32" else f"{device}, {precision}"


def _each(values: Iterable[str]) -> str:
    """What the seeds of a row say, each thing once, in their order."""
    return "; ".join(dict.fromkeys(values)) or "-"


def _curve(run: Path) -> tuple[list[float], list[float]]:
    path = run / "metrics.jsonl"
    if not path.exists():
        return [], []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # a killed run may have cut its last line
    rows = [r for r in rows if "test_top1" in r]
    return [float(r["epoch"]) for r in rows], [float(r["test_top1"]) for r in rows]

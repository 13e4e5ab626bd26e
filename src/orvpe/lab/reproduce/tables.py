"""Definitions of the tables: rows, the paper's numbers, and the runs of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from orvpe.lab.reproduce.steps import DIMS, Plan

TITLES = {"nucla": "N-UCLA, cross-view", "penn": "Penn Action"}


@dataclass
class Row:
    """One line of a table.

    Args:
        name: what was done.
        paper: the paper's number, "" where it has none.
        runs: folders (or fused score files) of ours, one a seed; their mean is the number.
    """

    name: str
    paper: str
    runs: list[str]


@dataclass
class Table:
    """A table of accuracies, or a curve.

    Args:
        title: above it.
        rows: its lines.
        occlusions: columns next to the clean accuracy.
        robustness: folders whose robustness.md and robustness.png follow it.
        curve: name -> run whose test accuracy by epoch is drawn.
        confusion: runs whose confusion matrix is shown.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    occlusions: tuple[str, ...] = ()
    robustness: list[str] = field(default_factory=list)
    curve: dict[str, str] = field(default_factory=dict)
    confusion: list[str] = field(default_factory=list)

    def wanted(self) -> list[str]:
        """All runs it needs."""
        rows = [run for row in self.rows for run in row.runs]
        return list(dict.fromkeys([*rows, *self.robustness, *self.curve.values(), *self.confusion]))


_PAPER = {  # FG 2021, tables I and II, joint stream
    "nucla": {
        "random": "35.6", "probe": "56.7", "scratch": "78.2", "temporal": "78.9", "subgraph": "84.5",
        "supervised": "87.6", "two": "86.9",
    },
    "penn": {
        "random": "28.5", "probe": "78.5", "scratch": "77.2", "temporal": "78.8", "subgraph": "93.3",
        "supervised": "90.7", "two": "94.0",
    },
}  # fmt: skip
FIVE = ("upper", "lower", "right", "left", "centre")
ENCODERS = ("lstm", "stgcn", "agcn", "msaagcn", "msg3d", "unik", "ctrgcn", "light")


class _Several(NamedTuple):
    """A start of the trainings with mixed occlusion, and how their runs are named."""

    start: str
    tuned: str
    probed: str
    name: str


def _several(plan: Plan, data: str) -> list[_Several]:
    """The last of them in pre-training too; in 2D, where that came later, before it from parts alone."""
    name = "mixed occlusion"
    robust, also = plan.robust(data), f"{name}, also in pre-training"
    if DIMS[data] == 3:
        return [_Several(robust, "several", "versions", also)]
    parts = _Several(plan.pretrained(data), "robust", "versions", name)  # fine-tuned it is a row of table I
    return [parts, _Several(robust, "several", "versions-mix", also)]


def table_1(plan: Plan, data: str, seeds: list[int]) -> Table:
    """Table I: what pre-training gives, joint stream."""
    paper, start = _PAPER[data], plan.pretrained(data)
    temporal, supervised = plan.pretrained(data, occlusion="none"), plan.supervised(data)

    def tuned(what: str, weights: str | None = None) -> list[str]:
        return [plan.finetuned(data, s, weights, what) for s in seeds]

    once = seeds[:1] if plan.ours else seeds  # a logistic regression of given features is the same from any seed
    rows = [
        Row("linear probe, random encoder", paper["random"], [plan.probed(data, s) for s in seeds]),
        Row("linear probe, pre-trained", paper["probe"], [plan.probed(data, s, start, "pretrained") for s in once]),
        Row("from scratch", paper["scratch"], tuned("scratch")),
        Row("fine-tuned, temporal SubG-DA only", paper["temporal"], tuned("temporal", temporal)),
        Row("fine-tuned, spatio-temporal SubG-DA", paper["subgraph"], tuned("tuned", start)),
        Row("fine-tuned, supervised pre-training", paper["supervised"], tuned("supervised", supervised)),
    ]
    if plan.ours:
        runs = [plan.finetuned(data, s, start, "robust", robust=True) for s in seeds]
        rows.append(Row("fine-tuned, mixed occlusion", "", runs))
        *_, also = kinds = _several(plan, data)
        runs = [plan.finetuned(data, s, also.start, also.tuned, robust=True) for s in seeds]
        rows.append(Row(f"fine-tuned, {also.name}", "", runs))
        runs = [plan.probed(data, s, also.start, "mix") for s in seeds[:1]]
        rows.append(Row("linear probe, mixed occlusion in pre-training", "", runs))
        for kind in kinds:
            runs = [plan.probed(data, s, kind.start, kind.probed, robust=True) for s in seeds]
            rows.append(Row(f"linear probe, {kind.name}", "", runs))
    if (widest := plan.widest(data)) is not None:
        rows.append(Row("linear probe, all corpora", "", [plan.probed(data, s, widest, "all") for s in seeds[:1]]))
        rows.append(Row("fine-tuned, all corpora", "", tuned("all", widest)))
    return Table(f"Table I, {TITLES[data]}", rows, FIVE)


def table_2(plan: Plan, data: str, seeds: list[int]) -> Table:
    """Table II: joint, bone and both."""
    rows = []
    kinds = [("scratch", "from scratch"), ("tuned", "fine-tuned")]
    kinds += [("robust", "fine-tuned, mixed occlusion")] if plan.ours else []
    paper = {
        ("scratch", "joint"): _PAPER[data]["scratch"],
        ("tuned", "joint"): _PAPER[data]["subgraph"],
        ("tuned", "both"): _PAPER[data]["two"],
    }
    for what, name in kinds:
        streams = {}
        for stream in ("joint", "bone"):
            start = plan.pretrained(data, stream) if what != "scratch" else None
            robust = what == "robust"
            streams[stream] = [plan.finetuned(data, s, start, what, stream, robust=robust) for s in seeds]
            rows.append(Row(f"{name}, {stream}", paper.get((what, stream), ""), streams[stream]))
        pairs = zip(seeds, streams["joint"], streams["bone"], strict=True)
        both = [plan.fused(data, s, joint, bone, what) for s, joint, bone in pairs]
        rows.append(Row(f"{name}, two-stream", paper.get((what, "both"), ""), both))
    return Table(f"Table II, {TITLES[data]}: two-stream", rows)


def table_3(plan: Plan, data: str, seeds: list[int]) -> Table:
    """Table III: the compared pose methods as encoders of ours, from scratch with one recipe."""
    rows = [
        Row(f"{name}, from scratch", "", [plan.finetuned(data, s, encoder=name) for s in seeds]) for name in ENCODERS
    ]
    return Table(f"Table III, {TITLES[data]}: encoders", rows)


def few_labels(plan: Plan, data: str, seeds: list[int]) -> Table:
    """Few labels: with and without pre-training."""
    rows = []
    kinds: list[tuple[str, str, str | None]] = [("scratch", "from scratch", None)]
    kinds.append(("tuned", "fine-tuned", plan.pretrained(data)))
    if (widest := plan.widest(data)) is not None:
        kinds.append(("all", "fine-tuned, all corpora", widest))
    for share in (0.01, 0.05, 0.1, 0.5, 1.0):
        for what, name, weights in kinds:
            runs = [plan.finetuned(data, s, weights, what, labels=share) for s in seeds]
            rows.append(Row(f"{100 * share:g} % of the labels, {name}", "", runs))
        if plan.ours:
            few = f"{100 * share:g} % of the labels"
            runs = [plan.finetuned(data, s, None, "scratch-several", labels=share, robust=True) for s in seeds]
            rows.append(Row(f"{few}, from scratch, mixed occlusion", "", runs))
            for kind in _several(plan, data):
                runs = [plan.finetuned(data, s, kind.start, kind.tuned, labels=share, robust=True) for s in seeds]
                rows.append(Row(f"{few}, fine-tuned, {kind.name}", "", runs))
                runs = [plan.probed(data, s, kind.start, kind.probed, share, robust=True) for s in seeds]
                rows.append(Row(f"{few}, linear probe, {kind.name}", "", runs))
    return Table(f"Few labels, {TITLES[data]}", rows, FIVE)


def occlusion(plan: Plan, data: str, seeds: list[int]) -> Table:
    """The occlusion curve: trained on whole bodies or with hidden parts, tested on corrupted clips."""
    start, temporal = plan.pretrained(data), plan.pretrained(data, occlusion="none")
    seed = seeds[0]
    hides = plan.ours  # whether the recipe hides parts in training as it is

    def tuned(what: str, weights: str | None, hidden: bool) -> str:
        if hidden == hides:
            return plan.finetuned(data, seed, weights, what)
        name, pattern = ("hidden", "subgraph") if hidden else ("whole", "none")
        return plan.finetuned(data, seed, weights, f"{what}-{name}", occlusion=pattern)

    runs = {
        "scratch": tuned("scratch", None, False),
        "scratch with occlusion": tuned("scratch", None, True),
        "temporal only": tuned("temporal", temporal, False),
        "SubG-DA": tuned("tuned", start, False),
        "SubG-DA with occlusion": tuned("tuned", start, True),
        "SubG-DA frozen": plan.probed(data, seed, start, "pretrained"),
    }
    rows = [Row(name, "", [run]) for name, run in runs.items()]
    return Table(f"Occlusion, {TITLES[data]}", rows, FIVE, robustness=[plan.robustness(data, runs, seed)])


def figure_3(plan: Plan, data: str, seeds: list[int]) -> Table:
    """Fig. 3: test accuracy over training, from scratch and pre-trained; Fig. 4: their confusion matrices."""
    start, seed = plan.pretrained(data), seeds[0]
    runs = {
        "from scratch": plan.finetuned(data, seed, None, "scratch-curve", curve=True),
        "pre-trained": plan.finetuned(data, seed, start, "tuned-curve", curve=True),
    }
    rows = [Row(name, "", [run]) for name, run in runs.items()]
    return Table(f"Figures 3 and 4, {TITLES[data]}", rows, curve=runs, confusion=list(runs.values()))


TABLES: dict[str, Callable[[Plan, str, list[int]], Table]] = {
    "table-1": table_1,
    "table-2": table_2,
    "table-3": table_3,
    "few-labels": few_labels,
    "occlusion": occlusion,
    "figures": figure_3,
}

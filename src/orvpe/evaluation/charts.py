"""Charts of results: confusion matrix, training curves, accuracy under occlusion.  matplotlib is imported when used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from orvpe.poses.drawing import new_figure, save_figure


def _literal(text: str) -> str:
    """Escape dollar signs, between which matplotlib reads a formula."""
    return text.replace("$", r"\$")


def confusion_chart(confusion: np.ndarray, classes: list[str], path: str | Path, title: str = "") -> None:
    """Confusion matrix; rows are the true classes, in per cent of their clips."""
    count = confusion.sum(axis=1, keepdims=True)
    share = 100 * confusion / np.maximum(count, 1)
    k = len(classes)
    classes = [_literal(c) for c in classes]
    side = max(4.0, 0.42 * k + 2.2)
    figure = new_figure(side + 0.6, side)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(k), classes, rotation=90)
    axes.set_yticks(range(k), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(_literal(title))
    if k <= 40:
        for i, j in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if share[i, j] > 55 else "black"
            axes.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="% of the true class")
    save_figure(figure, path)


def curve_chart(
    curves: dict[str, tuple[list[float], list[float]]], path: str | Path, x: str, y: str, title: str = ""
) -> None:
    """Line chart of (x, y) series by name."""
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    for name, (xs, ys) in curves.items():
        axes.plot(xs, ys, label=name, linewidth=1.6, marker="." if len(xs) < 15 else None)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title)
    if x == "epoch":
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        axes.legend(frameon=False)
    save_figure(figure, path)


def occlusion_chart(rows: dict[str, dict[str, float]], path: str | Path, y: str, title: str = "") -> None:
    """Grouped bars: model -> occlusion -> accuracy in per cent."""
    occlusions = list(dict.fromkeys(o for values in rows.values() for o in values))
    figure = new_figure(max(6.4, 1.1 * len(occlusions) + 1.5), 4.0)
    axes = figure.add_subplot()
    width = 0.8 / len(rows)
    for i, (name, values) in enumerate(rows.items()):
        place = np.arange(len(occlusions)) + (i - (len(rows) - 1) / 2) * width
        bars = axes.bar(place, [values.get(o, np.nan) for o in occlusions], width, label=name)
        axes.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axes.set_xticks(range(len(occlusions)), ["clean" if o == "none" else o for o in occlusions])
    axes.set_ylabel(y)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    lines = (len(rows) + 1) // 2
    figure.subplots_adjust(left=0.1, right=0.98, top=0.92, bottom=0.14 + 0.05 * lines)  # room for the legend
    save_figure(figure, path)


def robustness_chart(
    results: dict[str, Any], sweeps: dict[str, tuple[str, tuple[float, ...]]], path: str | Path
) -> None:
    """Accuracy of every model over the strength of each swept occlusion, and over the named parts."""
    models = results["models"]
    kind = "top1" if all(m["occlusions"]["none"]["top1"] is not None for m in models.values()) else "recall"
    every = list(next(iter(models.values()))["occlusions"])
    parts = [o for o in every if ":" not in o]
    panels = {title: [v for v in values if f"{pattern}:{v:g}" in every] for title, (pattern, values) in sweeps.items()}
    panels = {title: values for title, values in panels.items() if values}
    figure = new_figure(12.0, 3.4 * (1 + (len(panels) + 1) // 2))
    grid = figure.add_gridspec(1 + (len(panels) + 1) // 2, 2, hspace=0.5, wspace=0.18)
    label = {"top1": "top-1, %", "recall": "recall@1, %"}[kind]
    axes = figure.add_subplot(grid[0, :])
    width = 0.8 / len(models)
    bars: dict[str, Any] = {}
    for i, (name, model) in enumerate(models.items()):
        place = np.arange(len(parts)) + (i - (len(models) - 1) / 2) * width
        bars[_literal(name)] = axes.bar(place, [model["occlusions"][p][kind] for p in parts], width)
    axes.set_xticks(range(len(parts)), ["clean" if p == "none" else p.replace("_", "\n") for p in parts])
    axes.set_ylabel(label)
    axes.set_title(_literal(f"{results['protocol']}: hidden parts"))
    # named here, as a label that starts with an underscore is left out of a legend that collects them
    look = {"frameon": False, "fontsize": 8, "ncols": len(models)}
    axes.legend(list(bars.values()), list(bars), loc="upper center", bbox_to_anchor=(0.5, -0.24), **look)
    for i, (title, values) in enumerate(panels.items()):
        panel = figure.add_subplot(grid[1 + i // 2, i % 2])
        pattern = sweeps[title][0]
        for model in models.values():
            rows = model["occlusions"]
            ys = [rows["none"][kind], *(rows[f"{pattern}:{v:g}"][kind] for v in values)]
            panel.plot([0.0, *values], ys, marker=".")
        panel.set_xlabel(title)
        panel.set_ylabel(label)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)

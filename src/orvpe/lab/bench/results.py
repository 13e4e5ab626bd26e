"""Benchmark results: JSON with every raw number, Markdown tables; one entry per part."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orvpe.errors import InputError
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import plain

JSON, MARKDOWN = "bench.json", "bench.md"
Cell = str | int | float | None


@dataclass
class Table:
    """A table for people.

    Args:
        title: what is measured, with its unit where all columns share one.
        columns: names; the first is the row's name.
        rows: cells; numbers are shown with three significant digits, None as a dash.
        notes: what one must know to read it.
    """

    title: str
    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Found:
    """What a part returns.

    Args:
        tables: for people.
        values: raw repeats, medians and counts, as JSON data.
    """

    tables: list[Table] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


def number(value: Cell) -> str:
    """Three significant digits, thousands with commas; text as it is."""
    if value is None:
        return "-"
    if isinstance(value, (str, bool, int)):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not math.isfinite(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    if not value:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percent(share: float | None) -> str:
    return "-" if share is None or not math.isfinite(share) else f"{100 * share:.3g} %"


def markdown(table: Table) -> str:
    """A Markdown table whose columns also line up as text."""
    cells = [table.columns] + [[number(c) for c in row] for row in table.rows]
    wide = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]

    def line(row: list[str]) -> str:
        fitted = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, wide, strict=True))]
        return f"| {' | '.join(fitted)} |"

    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(wide)) + "|"
    lines = [f"**{table.title}**", "", line(cells[0]), rule, *(line(row) for row in cells[1:])]
    return "\n".join(lines + ([""] + [f"* {note}" for note in table.notes] if table.notes else []))


def read(folder: Path) -> dict[str, Any]:
    """What an earlier run left in the folder.

    Raises:
        InputError: bench.json is not ours.
    """
    path = folder / JSON
    if not path.exists():
        return {"parts": {}}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data["parts"], dict):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a result of orvpe bench; choose another folder or remove it") from None
    return data


def keep(folder: Path, part: str, entry: dict[str, Any]) -> None:
    """Put one part's entry in place of its older one, and leave the others."""
    data = read(folder)
    data["environment"] = entry["environment"]  # of the latest part; each has its own
    data["parts"][part] = without_nan(plain(entry))
    write_atomic(folder / JSON, json.dumps(data, indent=1) + "\n")
    write_atomic(folder / MARKDOWN, page(data))


def without_nan(value: Any) -> Any:
    """JSON has no NaN or infinity; null says the same."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(data: dict[str, Any]) -> str:
    """All parts' tables."""
    lines = ["# orvpe bench", ""]
    for part, entry in data["parts"].items():
        made, asked = entry["environment"], entry["arguments"]
        machine = made["gpu"] if asked["device"] == "cuda" else made.get("processor") or made["system"]
        lines += [
            f"## {part}",
            "",
            f"{machine}, {made['threads']} threads, precision {asked['precision']}, torch {made['torch']}, "
            f"orvpe {made['commit'] or made['orvpe']}; {asked['repeats']} repeats, medians; {entry['seconds']:.0f} s",
            "",
        ]
        for table in entry["tables"]:
            lines += [markdown(Table(**table)), ""]
    return "\n".join(lines)

"""``orvpe reproduce TABLE``: run what a table needs, skipping what is done, and write it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orvpe.errors import InputError, Interrupted, unknown
from orvpe.reproduce.report import write
from orvpe.reproduce.steps import FILES, Plan, Step
from orvpe.reproduce.tables import TABLES, Table


def reproduce(
    table: str | None = None,
    data: str | None = None,
    work: str = "runs/reproduce",
    out: str = "docs/results",
    recipes: str = "strong",
    datasets: list[str] = ["nucla", "penn"],  # noqa: B006  (never changed)
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    share: float = 1.0,
    from_shipped: bool = False,
    device: str = "auto",
    threads: int = 0,
    dry_run: bool = False,
    report: bool = False,
) -> None:
    """Run the trainings and tests of a table, and write it as Markdown beside the paper's numbers.

    What is done is skipped, what was stopped goes on, so the same command can be given again and again.

    Args:
        table: table-1, table-2, table-3, few-labels, occlusion, figures; all of them when not given.
        data: folder with nw-ucla-skeletons.zip, penn-action-labels.zip and corpora/*.npz; the environment variable
            ORVPE_DATA when not given.
        work: folder of all runs.
        out: folder for the tables.
        recipes: "paper", or "strong", ours.
        datasets: nucla, penn.
        seeds: of the trainings on labels; pre-trainings have seed 0.
        share: of every recipe's epochs, for a rehearsal; the table says so.
        from_shipped: start from the weights that come with orvpe, where there are, instead of pre-training anew.
        device: auto, cpu, cuda or mps.
        threads: CPU threads, 0 for all.
        dry_run: only print the commands that would run.
        report: run nothing, write the table from what is done.

    Raises:
        InputError: unknown table, recipes or data set; no data; a step that failed.
        Interrupted: stopped by a signal; the running step is saved.
    """
    if table is not None and table not in TABLES:
        raise InputError(unknown("table", table, TABLES))
    for name in datasets:
        if name not in FILES:
            raise InputError(unknown("data set", name, FILES))
    if not seeds or not datasets:
        raise InputError("seeds and datasets need at least one value each")
    plan = Plan(recipes, share, from_shipped)
    chosen = {t: {d: TABLES[t](plan, d, seeds) for d in datasets} for t in ([table] if table else TABLES)}
    wanted = [run for tables in chosen.values() for one in tables.values() for run in one.wanted()]
    folder = Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    steps = plan.in_order(list(dict.fromkeys(wanted)))
    if dry_run:
        for step in steps:
            print(("done   " if step.done(folder) else "to run ") + step.command())
        return
    if not report:
        source = data if data is not None else os.environ.get("ORVPE_DATA")
        how = [*(["--device", device] if device != "auto" else []), *(["--threads", str(threads)] if threads else [])]
        _run_all(steps, folder, source, how, lambda: _write(chosen, plan, folder, Path(out)))
    for path in _write(chosen, plan, folder, Path(out)):
        print(path)


def _write(chosen: dict[str, dict[str, Table]], plan: Plan, work: Path, out: Path) -> list[Path]:
    return [
        write(one, plan, work, out, f"{plan.recipes}-{name}-{d}")
        for name, tables in chosen.items()
        for d, one in tables.items()
    ]


def _run_all(steps: list[Step], work: Path, data: str | None, how: list[str], after: Callable[[], object]) -> None:
    left = [s for s in steps if not s.done(work)]
    print(f"{len(steps) - len(left)} of {len(steps)} steps are done", flush=True)
    began = time.perf_counter()
    for i, step in enumerate(left):
        print(f"[{i + 1}/{len(left)}, {time.perf_counter() - began:,.0f} s so far] {step.command()}", flush=True)
        _run(step, work, data, how)
        after()  # so that the table shows what there is, whenever this is stopped


def _run(step: Step, work: Path, data: str | None, how: list[str]) -> None:
    if step.job == "ingest":
        if data is None:
            raise InputError("no data: give --data FOLDER, or set ORVPE_DATA; docs/data.md says what lies there")
        source = Path(data).resolve()
        words = [w.replace("{data}", str(source)) for w in step.words]
        for word in words[1 : words.index("-o")]:
            if not Path(word).exists():
                raise InputError(
                    f"{word}: no such file; --data is {data}, expected {', '.join(FILES.values())}, corpora/"
                )
    else:
        words = [*step.words, *([] if step.job == "fuse" else how)]
    process = subprocess.Popen([sys.executable, "-m", "orvpe", *words], cwd=work)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the step has it too, and saves itself
        process.send_signal(signal.SIGINT)
        process.wait()
        raise Interrupted(signal.SIGINT, "stopped; the same command goes on from here") from None
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise Interrupted(code - 128, "stopped; the same command goes on from here")
    if code:
        raise InputError(f"{step.command()!r} failed with exit code {code}; what it said stands above")

"""``orvpe reproduce TABLE``: run what a table needs, skip what is done, and write it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orvpe.errors import InputError, unknown
from orvpe.lab.reproduce.everyday import run_everyday
from orvpe.lab.reproduce.report import Copies, write
from orvpe.lab.reproduce.side_by_side import run_steps
from orvpe.lab.reproduce.steps import FILES, Plan, Step
from orvpe.lab.reproduce.tables import TABLES, Table
from orvpe.lab.reproduce.transfer import Transfer, run_transfer
from orvpe.lab.reproduce.transfer_sets import SETS
from orvpe.models.card import read_card
from orvpe.runtime.device import pick_device, resolve_precision
from orvpe.runtime.run import check_folder

TRANSFER, EVERYDAY = "transfer", "everyday"


def reproduce(
    table: str | None = None,
    data: str | None = None,
    work: str = "runs/reproduce",
    out: str = "docs/lab/tables",
    recipes: str = "strong",
    datasets: list[str] | None = None,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    share: float = 1.0,
    from_shipped: bool = False,
    ours: str = "metric",
    encoders: list[str] = ["robust-light-3d-joint", "robust-light-2d-joint"],  # noqa: B006  (never changed)
    device: str = "auto",
    threads: int = 0,
    precision: str | None = None,
    compile: bool = False,
    jobs: int = 1,
    dry_run: bool = False,
    report: bool = False,
) -> None:
    """Run the trainings and tests of a table, and write it as Markdown next to the paper's numbers.

    What is done is skipped, what was stopped goes on, so the same command can be given again and again.

    Args:
        table: table-1, table-2, table-3, few-labels, occlusion, figures; all of these when not given. Or transfer: each
            labelled set tested by encoders that were pre-trained on the others; or everyday: a classifier of everyday
            actions of all sets that says "unknown".
        data: folder with nw-ucla-skeletons.zip, penn-action-labels.zip and corpora/*.npz; the environment variable
            ORVPE_DATA when not given.
        work: folder of all runs.
        out: folder for the tables.
        recipes: "paper"; "paper-light", the same with our light encoder, 64 frames and less to pre-train on, for a CPU;
            or "strong", ours.
        datasets: nucla, penn; both when not given. Of transfer also utd, kinder, precog, msrc; all six.
        seeds: seeds of the trainings with labels; pre-training has seed 0.
        share: share of every recipe's epochs, for a rehearsal; noted in the table.
        from_shipped: start from shipped weights, if there are any, instead of pre-training.
        encoders: of everyday, the models whose frozen features are used, one of 3D and one of 2D, or one of them.
        ours: of transfer, the row "ours": metric (`orvpe metric`), or a recipe of `pretrain`.
        device: auto, cpu, cuda or mps.
        threads: CPU threads of a step, 0 for all, shared among those that run at once.
        precision: of the trainings, 32, bf16, 16 or auto, instead of the recipes'.
        compile: use torch.compile in pre-training.
        jobs: steps that run at once, if they do not depend on each other. A GPU has room for several: a step of so
            small
            a network mostly waits for its host.
        dry_run: only print the commands that would run.
        report: write the table from finished runs, without running anything.

    Raises:
        InputError: unknown table, recipes or data set; no data; a step that failed.
        Interrupted: stopped by a signal; the running steps are saved.
    """
    if table is not None and table not in (*TABLES, TRANSFER, EVERYDAY):
        raise InputError(unknown("table", table, (*TABLES, TRANSFER, EVERYDAY)))
    known = SETS if table in (TRANSFER, EVERYDAY) else FILES
    datasets = list(known) if datasets is None else datasets
    for name in datasets:
        if name not in known:
            raise InputError(unknown("data set", name, known))
    if not seeds or not datasets:
        raise InputError("seeds and datasets need at least one value each")
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        told = " ".join(map(str, seeds))
        raise InputError(f"seeds are {told}, expected different whole numbers of at least 0")  # one run is one seed
    if jobs < 1:
        raise InputError(f"jobs is {jobs}, expected at least 1")
    if from_shipped and recipes != "strong":
        raise InputError(f"--from-shipped goes with --recipes strong: no weights of {recipes!r} come with orvpe")
    source = data or os.environ.get("ORVPE_DATA") or None
    if table in (TRANSFER, EVERYDAY):
        check_folder(work, "--work")
        check_folder(out)
        how = _How(device, threads, precision, compile)
        paper = recipes if recipes.startswith("paper") else "paper-light"
        made = Transfer(Path(work), source, datasets, ours, paper, share, how.words("pretrain"))
        where = pick_device(device, threads)
        if table == EVERYDAY:
            print(run_everyday(made, Path(out), {read_card(w)["dims"]: w for w in encoders}, where))
            return
        path = run_transfer(made, Path(out), where, dry_run, report, lambda step: _told(step, source))
        print(path if path is not None else "")
        return
    plan = Plan(recipes, share, from_shipped)
    chosen = {t: {d: TABLES[t](plan, d, seeds) for d in datasets} for t in ([table] if table else TABLES)}
    wanted = [run for tables in chosen.values() for one in tables.values() for run in one.wanted()]
    folder = Path(work)
    check_folder(work, "--work")
    check_folder(out)
    steps = plan.in_order(list(dict.fromkeys(wanted)))
    if dry_run:
        for step in steps:
            print(("done   " if step.done(folder) else "to run ") + _told(step, source))
        return
    if report and not any((folder / step.folder).exists() for step in steps if step.job != "ingest"):
        # or a mistyped folder would fill finished tables with "not run"
        raise InputError(f"--work {work}: holds none of these runs, so there is nothing to report")
    if not report:
        if device != "auto" or threads or precision:
            pick_device(device, threads)
            resolve_precision(precision or "32", device)
        folder.mkdir(parents=True, exist_ok=True)
        if jobs > 1 and not threads:
            threads = max(1, (os.cpu_count() or 1) // jobs)
        how = _How(device, threads, precision, compile)
        _run_all(steps, folder, source, how, jobs, lambda: _write(chosen, plan, folder, Path(out)))
    for path in _write(chosen, plan, folder, Path(out)):
        print(path)


def _write(chosen: dict[str, dict[str, Table]], plan: Plan, work: Path, out: Path) -> list[Path]:
    copies = {d: Copies(work, d) for tables in chosen.values() for d in tables}
    return [
        write(one, plan, work, out, f"{plan.recipes}-{name}-{d}", copies[d])
        for name, tables in chosen.items()
        for d, one in tables.items()
        if any((work / run).exists() for run in one.wanted())  # or a table of others' runs would be lost
    ]


def _run_all(
    steps: list[Step], work: Path, data: str | None, how: _How, jobs: int, after: Callable[[], object]
) -> None:
    left = [s for s in steps if not s.done(work)]
    for step in left:
        _words(step, data, how)  # what is missing is reported now, not after the trainings before it
    print(f"{len(steps) - len(left)} of {len(steps)} steps are done", flush=True)
    began, begun, ended = time.perf_counter(), itertools.count(1), itertools.count(1)

    def begins(step: Step) -> None:
        print(
            f"[{next(begun)}/{len(left)}, {time.perf_counter() - began:,.0f} s so far] {_told(step, data)}", flush=True
        )

    def ends(step: Step) -> None:
        if jobs > 1:
            print(f"done: {step.folder}, {next(ended)} of {len(left)}", flush=True)
        after()

    run_steps(left, work, lambda step: _words(step, data, how), lambda step: _told(step, data), jobs, begins, ends)


def _told(step: Step, data: str | None) -> str:
    return step.command().replace("{data}", data or "$ORVPE_DATA")


@dataclass(frozen=True)
class _How:
    """Options that change how steps run, not their results."""

    device: str
    threads: int
    precision: str | None
    compile: bool

    def words(self, job: str) -> list[str]:
        """What to add to a step's command."""
        if job == "fuse":
            return []
        words = ["--device", self.device] if self.device != "auto" else []
        words += ["--threads", str(self.threads)] if self.threads else []
        words += ["--precision", self.precision] if self.precision and job in ("pretrain", "finetune") else []
        return words + (["--compile", "true"] if self.compile and job == "pretrain" else [])


def _words(step: Step, data: str | None, how: _How) -> list[str]:
    """What to type for a step on this machine.

    Raises:
        InputError: data that it reads are not there.
    """
    if step.job != "ingest":
        return [*step.words, *how.words(step.job)]
    if data is None:
        raise InputError("no data: give --data FOLDER, or set ORVPE_DATA; docs/guides/data.md says what lies there")
    words = [w.replace("{data}", str(Path(data).resolve())) for w in step.words]
    for word in words[1 : words.index("-o")]:
        if not Path(word).exists():
            raise InputError(f"{word}: no such file; --data is {data}, expected {', '.join(FILES.values())}, corpora/")
    return words

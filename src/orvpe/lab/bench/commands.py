"""Wall time and peak memory of every command as a user types it, on a small generated store."""

from __future__ import annotations

import shutil
from pathlib import Path

from orvpe.data.generated import write_generated
from orvpe.lab.bench import pose_files
from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import median
from orvpe.lab.bench.usage import Usage, measured

TARGETS = {"orvpe --help": 0.5, "import orvpe": 0.3}  # seconds


def lines(work: Path, settings: Settings) -> dict[str, list[str]]:
    """What is typed after ``python``, by the name it has in the table."""
    count = 20 if settings.quick else 200
    store, poses = str(work / "clips.orvpe"), work / "poses"
    write_generated(store, count=count, seed=settings.seed, overwrite=True)
    poses.mkdir()
    pose_files.WRITERS["arrays"](poses, count, settings.seed)
    run = ["--device", settings.device, "--batch-size", "16", "--epochs", "1"]
    run += ["--threads", str(settings.threads)] if settings.threads else []
    test = ["-p", "random:0.2"]
    orvpe = ["-m", "orvpe"]
    found = {
        "python -c pass": ["-c", "pass"],
        "import orvpe": ["-c", "import orvpe"],
        "orvpe --help": [*orvpe, "--help"],
        "inspect": [*orvpe, "inspect", str(poses)],
        "ingest": [*orvpe, "ingest", str(poses), "-o", str(work / "ingested.orvpe"), "--overwrite"],
        "pretrain, 1 epoch": [
            *orvpe, "pretrain", store, "-r", str(work / "pre"), "--recipe", "quick-pretrain", *run, "--restart",
        ],
        "probe": [*orvpe, "probe", store, "-r", str(work / "probe"), "-w", str(work / "pre"), *test,
                  "--recipe", "quick-probe", "--restart"],
        "finetune, 1 epoch": [
            *orvpe, "finetune", store, "-r", str(work / "ft"), "--recipe", "quick-finetune-nucla", *test, *run,
            "--restart",
        ],
        "evaluate": [*orvpe, "evaluate", store, "-w", str(work / "ft"), *test],
        "embed": [*orvpe, "embed", store, "-w", str(work / "pre"), "-o", str(work / "vectors.parquet"), "--overwrite"],
    }  # fmt: skip
    if settings.quick:  # those that do not import torch
        return {name: found[name] for name in ("python -c pass", "import orvpe", "orvpe --help")}
    return found


def run(settings: Settings) -> Found:
    """Medians over the rounds; every round runs each command once."""
    work = settings.work / "commands"
    work.mkdir()
    asked = lines(work, settings)
    rounds = 1 if settings.quick else min(settings.repeats, 3)  # a process is slow enough to be timed by few
    used: dict[str, list[Usage]] = {name: [] for name in asked}
    measured(asked["python -c pass"], settings)  # the interpreter's own files come into the cache
    for _ in range(rounds):
        for name, command in asked.items():
            used[name].append(measured(command, settings))
    shutil.rmtree(work)
    table = Table("Commands, on a small generated store", ["", "s", "peak MB", "without mapped files", "target"])
    found = Found([table])
    for name, usages in used.items():
        seconds = median([u.seconds for u in usages])
        over = f"< {TARGETS[name]} s: {'met' if seconds < TARGETS[name] else 'missed'}" if name in TARGETS else None
        peak, own = _most([u.peak_bytes for u in usages]), _most([u.own_bytes for u in usages])
        table.rows.append([name, seconds, peak and peak / 1e6, own and own / 1e6, over])
        found.values[name] = {
            "command": [w.replace(str(work), "WORK") for w in asked[name]], "seconds": [u.seconds for u in usages],
            "median": seconds, "peak_bytes": peak, "own_bytes": own, "target": TARGETS.get(name),
        }  # fmt: skip
    return found


def _most(values: list[int | None]) -> int | None:
    return max((v for v in values if v is not None), default=None)

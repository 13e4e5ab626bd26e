"""Ingest of each format from generated files; NTU next to a plain line-by-line reader on the same cores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from orvpe.data.formats import FORMATS
from orvpe.data.ingest import IngestReport, ingest
from orvpe.lab.bench import literal_ntu, pose_files
from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median, ratios, speedup

TARGET = 5.0  # times the plain reader


def run(settings: Settings) -> Found:
    """A table of NTU against the plain reader, and one of all formats."""
    found = Found()
    rounds = 1 if settings.quick else min(settings.repeats, 3)  # seconds long, so few are enough
    _ntu(found, settings, rounds)
    columns = ["format", "files", "clips", "MB", "s", "files/s", "clips/s", "MB/s", "store, bytes/frame"]
    table = Table(f"Ingest of every format, {settings.cores} processes", columns)
    for name in ("table",) if settings.quick else [f for f in FORMATS if f in pose_files.WRITERS]:
        folder = settings.work / name
        folder.mkdir()
        pose_files.WRITERS[name](folder, 4 if settings.quick else 256, settings.seed)
        files, size = weighed(folder)
        reports: list[IngestReport] = []
        call = _call(folder, name, settings, reports)
        seconds = interleave({name: call}, rounds, least_seconds=0.0)[name]
        s, last = median(seconds), reports[-1]
        table.rows.append(
            [name, files, last.clips, size / 1e6, s, files / s, last.clips / s, size / 1e6 / s,
             last.bytes / last.frames]
        )  # fmt: skip
        found.values[name] = {
            "files": files, "bytes": size, "clips": last.clips, "frames": last.frames, "seconds": seconds,
            "median": s, "store_bytes_per_frame": last.bytes / last.frames,
        }  # fmt: skip
        shutil.rmtree(folder)
    table.notes.append(
        "small folders: starting the processes takes a second or two of each; the files are in the system's cache; "
        "bytes of the store a frame of a person, 17 joints of 16-bit integers, text columns included"
    )
    found.tables.append(table)
    return found


def _ntu(found: Found, settings: Settings, rounds: int) -> None:
    folder = settings.work / "ntu-many"
    folder.mkdir()
    pose_files.ntu(folder, min(settings.files, 6) if settings.quick else settings.files, settings.seed)
    files, size = weighed(folder)
    reports: list[IngestReport] = []
    counts: list[int] = []
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: counts.append(literal_ntu.read_all(folder, settings.cores)),
        "orvpe": _call(folder, "ntu", settings, reports),
    }
    # no round to warm up but a small one: the files were written a moment ago
    taken = interleave(calls, rounds, least_seconds=0.0) if settings.quick else _cold(calls, rounds)
    shutil.rmtree(folder)
    title = f"NTU: {files:,} .skeleton files, {size / 1e6:,.0f} MB, {settings.cores} processes"
    table = Table(title, ["reader", "s", "files/s", "MB/s", "times plain"])
    for name, label in (("plain", "plain float() reader, nothing written"), ("orvpe", "orvpe ingest, store written")):
        s = median(taken[name])
        table.rows.append([label, s, files / s, size / 1e6 / s, speedup(taken[name], taken["plain"])])
    table.notes.append(f"target: at least {TARGET:.0f} times on 10,000 files (--files 10000)")
    found.tables.append(table)
    found.values["ntu-against-plain"] = {
        "files": files, "bytes": size, "processes": settings.cores, "seconds": taken,
        "ratios": ratios(taken["orvpe"], taken["plain"]), "times_plain": speedup(taken["orvpe"], taken["plain"]),
        "frames_plain": counts[-1], "frames_orvpe": reports[-1].frames,
    }  # fmt: skip


def _cold(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Rounds without a warm-up, for what takes minutes."""
    from orvpe.lab.bench.timing import timed

    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(timed(call))
    return taken


def weighed(folder: Path) -> tuple[int, int]:
    """Number of files and their bytes, each link counted in full: it is read in full."""
    sizes = [p.stat().st_size for p in folder.iterdir()]
    return len(sizes), sum(sizes)


def _call(folder: Path, name: str, settings: Settings, reports: list[IngestReport]) -> Callable[[], object]:
    out = settings.work / f"{name}.orvpe"
    dims = pose_files.DIMS.get(name, 3)

    def call() -> None:
        report = ingest([str(folder)], str(out), format=name, dims=dims, workers=settings.cores, overwrite=True)
        reports.append(report)

    return call

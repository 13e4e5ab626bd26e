"""`orvpe bench`: run the parts by name; each result is written when its part is done."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

# part -> module with a ``run(settings) -> Found``; imported when run, so that naming the parts costs nothing
PARTS = {
    "machine": "orvpe.lab.bench.machine",
    "encoders": "orvpe.lab.bench.encoders",
    "zoo": "orvpe.lab.bench.zoo",
    "profile": "orvpe.lab.bench.profile",
    "data": "orvpe.lab.bench.data",
    "ingest": "orvpe.lab.bench.ingest",
    "embed": "orvpe.lab.bench.embed",
    "commands": "orvpe.lab.bench.commands",
    "train": "orvpe.lab.bench.train",
}


def bench(
    parts: list[str] = ["all"],  # noqa: B006  (never changed)
    out: str = "bench",
    threads: int = 0,
    device: str = "auto",
    precision: str = "32",
    repeats: int = 5,
    frames: list[int] = [150, 64],  # noqa: B006
    batch_size: int = 32,
    clips: int = 0,
    files: int = 2000,
    store: str | None = None,
    compile: bool = False,
    seed: int = 0,
    quick: bool = False,
) -> Path:
    """Measure the library's speed next to literal references and the hardware's limits, in one run.

    A part that is run again replaces its own entry in OUT/bench.json and leaves the others; on Ctrl-C the parts that
    are done are kept.

    Args:
        parts: machine, encoders, zoo, profile, data, ingest, embed, commands, train, or all.
        out: folder for bench.json (every repeat, medians, arguments, environment) and bench.md (tables).
        threads: CPU threads, and processes of ingest; 0 for all.
        device: auto, cpu, cuda or mps.
        precision: 32, bf16, 16, or auto, see `orvpe pretrain`; the literal reference is measured in 32 too.
        repeats: timed rounds; candidates take turns in each, and medians are shown.
        frames: encoders: lengths of the clips; zoo: the last of them.
        batch_size: train: clips a step.
        clips: embed and train: generated clips, 0 for a number that suits the device.
        files: ingest: NTU .skeleton files.
        store: embed: a custom store instead of generated clips.
        compile: encoders: also with torch.compile.
        seed: seed of inputs and weights.
        quick: tiny sizes that only check that it works; the numbers are meaningless.

    Returns:
        The folder.

    Raises:
        InputError: an unknown part, a value out of its range, a folder that holds something else.
    """
    import os
    import tempfile
    import time

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler reports every start; read when torch is loaded
    from orvpe.errors import InputError, unknown
    from orvpe.lab.bench.machine import processor
    from orvpe.lab.bench.results import Table, keep, markdown, read
    from orvpe.lab.bench.settings import Settings
    from orvpe.runtime.device import open_fabric, resolve_precision
    from orvpe.runtime.run import environment

    if not parts:
        raise InputError(f"parts is empty, expected all or some of {', '.join(PARTS)}")
    for part in parts:
        if part != "all" and part not in PARTS:
            raise InputError(unknown("part", part, ["all", *PARTS]))
    chosen = list(PARTS) if "all" in parts else list(dict.fromkeys(parts))
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{out}: is a file, expected a folder or a new name")
    read(folder)  # says now, not after the first part, that something else is there
    precision = resolve_precision(precision, device)
    # the work folder is made only when all else is known to be right
    options = {
        "threads": threads, "precision": precision, "repeats": repeats, "frames": tuple(frames),
        "batch_size": batch_size, "clips": clips, "files": files, "store": store, "compile": compile, "seed": seed,
        "quick": quick,
    }  # fmt: skip
    Settings(folder, **options)  # type: ignore[arg-type]
    if store is not None and "embed" in chosen:
        from orvpe.data.store import Store

        Store.open(store)
    where = open_fabric(device, precision, threads).device.type
    folder.mkdir(parents=True, exist_ok=True)
    for part in chosen:
        with tempfile.TemporaryDirectory(prefix=".work-", dir=folder) as work:
            settings = Settings(Path(work).absolute(), device=where, **options)  # type: ignore[arg-type]
            began = time.perf_counter()
            found = import_module(PARTS[part]).run(settings)
            seconds = time.perf_counter() - began
        asked = {**options, "device": where}
        made = {**environment(), "processor": processor()}
        entry = {"arguments": asked, "environment": made, "seconds": seconds, "tables": found.tables}
        keep(folder, part, {**entry, "values": found.values})
        print(f"\n## {part} ({seconds:.0f} s)\n")
        for table in found.tables:
            assert isinstance(table, Table)
            print(markdown(table) + "\n", flush=True)
    print(f"tables: {folder / 'bench.md'}; every number: {folder / 'bench.json'}")
    return folder

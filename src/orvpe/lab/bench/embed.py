"""`orvpe embed` of a whole store from disk, as a user types it: clips a second; memory at 1 and 8 times the clips."""

from __future__ import annotations

from orvpe.data.store import Store
from orvpe.lab.bench import generated_stores
from orvpe.lab.bench.recipes import recipe, view
from orvpe.lab.bench.results import Found, Table
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import median
from orvpe.lab.bench.usage import Usage, measured
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model
from orvpe.poses.skeleton import unified

TIMES = 8


def run(settings: Settings) -> Found:
    """A light encoder with the view of quick-pretrain; the start of the process is counted apart from the clips."""
    weights = settings.work / "weights"
    if settings.store is None:
        count = settings.clips or (16 if settings.quick else 4096 if settings.device == "cuda" else 512)
        stores = {}
        for times in (1, TIMES):
            path = settings.work / f"{times}.orvpe"
            generated_stores.write(path, count * times, settings.seed)
            stores[f"{times} x"] = str(path)
    else:
        stores = {"your store": settings.store}
    opened = {name: Store.open(path) for name, path in stores.items()}
    first = next(iter(opened.values()))
    name = str(recipe("quick-pretrain")["encoder"]["name"])
    Model(EncoderConfig(name), first.layout if settings.store else unified, first.dims, view("quick-pretrain"),
          projection=("linear", 128)).save(weights)  # fmt: skip

    def command(path: str) -> list[str]:
        threads = ["--threads", str(settings.threads)] if settings.threads else []
        out = str(settings.work / "vectors.parquet")
        words = ["-m", "orvpe", "embed", path, "-w", str(weights), "-o", out, "--overwrite"]
        return [*words, "--device", settings.device, *threads]

    rounds = 1 if settings.quick else min(settings.repeats, 3)
    used: dict[str, list[Usage]] = {name: [] for name in stores}
    if not settings.quick:  # what is imported comes into the cache
        measured(command(stores[next(iter(stores))]), settings)
    for _ in range(rounds):
        for name, source in stores.items():
            used[name].append(measured(command(source), settings))

    columns = ["store", "clips", "store MB", "s", "clips/s", "peak MB", "without mapped files"]
    table = Table(f"embed of a whole store, light encoder, tau {view('quick-pretrain').tau}", columns)
    found = Found([table])
    for name, store in opened.items():
        seconds, size = median([u.seconds for u in used[name]]), store.path.stat().st_size
        peaks = [u.peak_bytes for u in used[name] if u.peak_bytes]
        own = [u.own_bytes for u in used[name] if u.own_bytes]
        table.rows.append(
            [name, len(store), size / 1e6, seconds, len(store) / seconds,
             max(peaks) / 1e6 if peaks else None, max(own) / 1e6 if own else None]
        )  # fmt: skip
        found.values[name] = {
            "clips": len(store), "bytes": size, "seconds": [u.seconds for u in used[name]], "median": seconds,
            "peak_bytes": peaks, "own_bytes": own,
        }  # fmt: skip
    if len(opened) == 2:
        few, many = (found.values[name] for name in opened)
        rate = (many["clips"] - few["clips"]) / max(many["median"] - few["median"], 1e-9)
        found.values["clips_per_second"] = rate
        if few["own_bytes"] and many["own_bytes"]:
            found.values["memory_growth"] = max(many["own_bytes"]) / max(few["own_bytes"])
            table.notes.append(
                f"memory without mapped files at {TIMES} x over that at 1 x: {found.values['memory_growth']:.3f}"
            )
        table.notes.append(f"{rate:,.0f} clips/s once it runs (from the difference of the two, without the start)")
    return found

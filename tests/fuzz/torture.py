"""Kills at random moments, two at once, a full disk: nothing is lost and the same command ends as if nothing had been.

    python tests/fuzz/torture.py --kills 300 --seed 1            (make torture KILLS=300)

Each command runs once undisturbed; that result is the measure.  Then it is killed (SIGKILL) after a random time, again
and again, and started again until it ends; two of it are started at once; and it runs where files may not grow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

SMALL = "--encoder.name light --encoder.options.width [8,8] --encoder.options.strides [1,1] --encoder.options.groups 4"
SMALL += " --view.tau 8 --view.crop resample --epochs 3 --batch-size 10 --device cpu --threads 1 --save-every 2"
MODEL = "robust-light-3d-joint"


def of_store(path: Path) -> str:
    from orvpe.data.store import Store

    digest = hashlib.sha256()
    for clip in Store.open(path):
        digest.update(repr((clip.name, clip.label, clip.subject)).encode() + clip.joints.tobytes())
    return digest.hexdigest()


def of_run(path: Path) -> str:
    digest = hashlib.sha256((path / "weights.safetensors").read_bytes())
    for line in (path / "metrics.jsonl").read_text().splitlines():
        found = json.loads(line)
        digest.update(repr((found["epoch"], found["loss"])).encode())
    return digest.hexdigest()


def of_learned(path: Path) -> str:
    return hashlib.sha256((path / "weights.safetensors").read_bytes()).hexdigest()


def of_tables(path: Path) -> str:
    """Names, and the features rounded: items may be batched otherwise after a kill."""
    import pyarrow.parquet as pq

    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    rows = sorted((r["id"], np.round(r["feature"], 3).tolist()) for r in rows)
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def of_index(path: Path) -> str:
    from orvpe.vectors.vector_index import Index

    index = Index.open(path)
    hits = index.search(np.ones(index.dim), 10_000)
    return hashlib.sha256(repr(sorted((h.name, round(h.similarity, 3)) for h in hits)).encode()).hexdigest()


# command -> its words, what it writes, how that is compared
JOBS: dict[str, tuple[str, str, Callable[[Path], str]]] = {
    "ingest": ("ingest poses -o t.orvpe --workers 2", "t.orvpe", of_store),
    "pretrain": (f"pretrain s.orvpe -r t {SMALL} --contrast.negatives 9", "t", of_run),
    "finetune": (f"finetune s.orvpe -r t -p random:0.3 {SMALL}", "t", of_run),
    "learn": ("learn classes -r t --folds 2 --versions 1 --threads 1", "t", of_learned),
    "embed": (f"embed s.orvpe -w {MODEL} -o t.parquet --overwrite --threads 1", "t.parquet", of_tables),
    "index": (f"index s.orvpe -w {MODEL} -o t --threads 1", "t", of_index),
    "embed-many": (f"embed-many poses -w {MODEL} -o t --workers 1", "t", of_tables),
    "select": ("select s.orvpe -o t.orvpe -p random:0.3 --overwrite", "t.orvpe", of_store),
}


def make_data() -> None:
    from orvpe.data.generated import generated_clip, write_generated

    write_generated("s.orvpe", count=60)
    Path("poses").mkdir()
    for i in range(400):
        clip = generated_clip(i)
        folder = Path("classes", str(clip.label))
        folder.mkdir(parents=True, exist_ok=True)
        joints = np.where(clip.visible[..., None], clip.joints, np.nan)
        for where in (Path("poses"), *([folder] if i < 60 else [])):
            np.savez(where / f"{clip.name}.npz", joints=joints, joint_names=np.array(clip.layout.joints),
                     fps=np.array(30.0), label=np.array(clip.label))  # fmt: skip


def start(words: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
    def limit() -> None:
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond it fails, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words.split()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=limit,
    )  # fmt: skip


def finished(words: str, most_bytes: int | None = None) -> tuple[int, str]:
    process = start(words, most_bytes)
    told = process.communicate(timeout=600)[1]
    return process.returncode, told


def clean(target: str) -> None:
    for name in (target, f"{target}.parts", f"{target}.orvpe", f"{target}.orvpe.parts"):
        path = Path(name)
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def litter(target: str) -> list[str]:
    """What is left beside and in the target under temporary names."""
    inside = Path(target).glob(".*.tmp*") if Path(target).is_dir() else []
    return [str(p) for p in (*Path().glob(".*.tmp*"), *inside)]


def torture(job: str, kills: int, draw: random.Random) -> Counter[str]:
    words, target, measured = JOBS[job]
    found: Counter[str] = Counter()
    clean(target)
    began = time.monotonic()
    code, told = finished(words)
    length = time.monotonic() - began
    if code:
        print(f"{job}: {told.strip().splitlines()[-1]}")
        return Counter({"not run": 1})
    right = measured(Path(target))

    def compare(what: str) -> None:
        same = measured(Path(target)) == right
        found[what if same else f"{what}: DIFFERS"] += 1
        if litter(target):
            found["LITTER"] += 1
            print(f"{job}: left {litter(target)}")

    while found["kills"] < kills:
        clean(target)
        for _ in range(draw.randint(1, 4)):
            process = start(words)
            try:
                process.communicate(timeout=draw.uniform(0.2, 1.1) * length)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                found["kills"] += 1
        code, told = finished(words)
        if code or "Traceback" in told:
            found["DOES NOT RESUME"] += 1
            print(f"{job}: {told.strip()[-300:]}")
            continue
        compare("resumed equal")

    clean(target)
    pair = [start(words), start(words)]
    told_both = [p.communicate(timeout=600)[1] for p in pair]
    codes = sorted(p.returncode for p in pair)
    refused = [t for p, t in zip(pair, told_both, strict=True) if p.returncode == 2]
    fine = codes in ([0, 2], [0, 0]) and all("in use by another process" in t and t.count("\n") == 1 for t in refused)
    found["two at once" if fine else "TWO AT ONCE: " + repr((codes, told_both))[:300]] += 1
    compare("two at once equal")

    size = max([p.stat().st_size for p in (Path(target).rglob("*") if Path(target).is_dir() else [Path(target)])])
    clean(target)
    code, told = finished(words, max(1, size // 2))
    fine = code == 2 and "Traceback" not in told and ".tmp" not in told
    found["full disk" if fine else "FULL DISK: " + repr((code, told))[-300:]] += 1
    code, told = finished(words)
    if code:
        print(f"{job}: after a full disk: {told.strip()[-300:]}")
        found["DOES NOT RESUME"] += 1
    else:
        compare("after a full disk equal")
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=24, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="*", default=list(JOBS))
    asked = parser.parse_args(argv)
    draw = random.Random(asked.seed)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="orvpe-torture-") as folder:
        os.chdir(folder)
        make_data()
        for job in asked.jobs:
            found = torture(job, -(-asked.kills // len(asked.jobs)), draw)
            print(f"{job:<12}" + ", ".join(f"{what} {n}" for what, n in found.items()), flush=True)
            bad += sum(n for what, n in found.items() if what.upper()[:6] == what[:6])
        os.chdir("/")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

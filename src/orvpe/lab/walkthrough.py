"""The method end to end: ingest, pre-training without labels, probes, occlusions.

Every step is a command that a user could type; it is printed and then run as printed.  Training resumes by itself and
finished steps are left alone, so an interrupted walkthrough goes on when it is started again.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.runtime.files import write_atomic
from orvpe.runtime.lock import alone_in

NUCLA = "nw-ucla-skeletons.zip"
GENERATED_CLIPS = 1500  # about as many as N-UCLA
MOST_EPOCHS = 35  # a fast machine need not go on for longer
BATCH = 64
PROBES = {
    "random": "random encoder, frozen",
    "temporal": "pre-trained, temporal sub-graph only",
    "subgraph": "pre-trained with SubG-DA",
}


@dataclass(frozen=True)
class Data:
    """What the walkthrough runs on.

    Args:
        name: of its store.
        path: the pose files; None for the generated set.
        about: for people.
        protocol: who trains and who tests.
    """

    name: str
    path: Path | None
    about: str
    protocol: str


def find_data(given: str | None) -> Data:
    """N-UCLA in the folder given, in ``ORVPE_DATA`` or in ../shared/data, else the generated set.

    Raises:
        InputError: a folder was given, here or by ``ORVPE_DATA``, and N-UCLA is not in it.
    """
    named = os.environ.get("ORVPE_DATA")
    for folder in (given, named, Path("..", "shared", "data")):
        path = Path(folder) / NUCLA if folder else None
        if path is not None and path.is_file():
            about = "N-UCLA, real: 10 actions, 10 people, 3 cameras; cameras 1 and 2 train, 3 tests"
            return Data("nucla", path, about, "nucla-cv")
        if folder and folder == given:
            raise InputError(f"data folder {given}: no {NUCLA} in it")
        if folder and folder == named:
            raise InputError(f"ORVPE_DATA is {named!r}: no {NUCLA} in it; unset it to run on generated clips")
    about = "GENERATED clips, no real people: 10 actions, 10 bodies, 3 cameras; cameras 1 and 2 train, 3 tests"
    return Data("generated", None, about, "camera:v03")


class Steps:
    """Run commands in order and record finished ones in ``steps.json``."""

    def __init__(self, folder: Path, restart: bool) -> None:
        self.record = folder / "steps.json"
        self.done: dict[str, list[str]] = {}
        if self.record.exists() and not restart:
            self.done = json.loads(self.record.read_text(encoding="utf-8"))
        self.count = 0

    def run(self, key: str, title: str, command: list[str], result: Path) -> None:
        """Run ``orvpe COMMAND``, unless the same words have made ``result`` before.

        Raises:
            SystemExit: the command failed or was interrupted; it has said why.
        """
        from orvpe.cli.main import main

        self.count += 1
        print(f"\n[{self.count}] {title}\n$ {shlex.join(['orvpe', *command])}", flush=True)
        if self.done.get(key) == command and result.exists():
            print("done before, left as it is")
            return
        if code := main(command):
            raise SystemExit(code)
        self._finished(key, command)

    def side_by_side(self, title: str, commands: dict[str, tuple[list[str], Path]]) -> None:
        """Several commands at once, a process each; the first shows its progress, the others write to a log.

        Raises:
            SystemExit: one failed or was interrupted.
        """
        self.count += 1
        print(f"\n[{self.count}] {title}")
        for words, _ in commands.values():
            print(f"$ {shlex.join(['orvpe', *words])} &")
        todo = {k: words for k, (words, made) in commands.items() if self.done.get(k) != words or not made.exists()}
        print("(both at once, one core each)" if todo else "done before, left as it is", flush=True)
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for key, words in todo.items():
                with open(self.record.with_name(f"{key}.log"), "wb") as log:
                    running[key] = subprocess.Popen(
                        [sys.executable, "-m", "orvpe", *words], stderr=log if running else None
                    )
            codes = {key: process.wait() for key, process in running.items()}
        except KeyboardInterrupt:  # the terminal has told them too; they save and end
            codes = {key: process.wait() for key, process in running.items()}
        finally:
            for process in running.values():
                if process.poll() is None:
                    process.terminate()
        for key, code in codes.items():
            log_text = self.record.with_name(f"{key}.log").read_text(encoding="utf-8", errors="replace")
            if code:
                print(log_text[-2000:], file=sys.stderr, end="")
                raise SystemExit(code)
            self._finished(key, todo[key])

    def _finished(self, key: str, command: list[str]) -> None:
        self.done[key] = command
        write_atomic(self.record, json.dumps(self.done, indent=1) + "\n")


@alone_in("out", folder=True)
def walkthrough(out: str = "walkthrough", data: str | None = None, minutes: float = 3.0, restart: bool = False) -> Path:
    """Run the whole method on N-UCLA, or on generated clips if that is not available, and explain each step.

    Args:
        out: output folder.
        data: folder with nw-ucla-skeletons.zip; else ORVPE_DATA and ../shared/data are looked into.
        minutes: minutes of pre-training on two idle cores; determines the number of epochs, at most 35.
        restart: start again even if the folder holds an earlier run.

    Returns:
        The page with the results, index.html in the folder.

    Raises:
        InputError: no N-UCLA in the folder given; a number of minutes that is not above 0; a folder that holds one
            with other settings.
    """
    if not minutes > 0:
        raise InputError(f"minutes is {minutes}, expected above 0")
    began = time.perf_counter()
    source = find_data(data)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder, restart)
    store, train = folder / f"{source.name}.orvpe", folder / f"{source.name}-train.orvpe"
    again = ["--restart"] if restart else []
    print(f"orvpe walkthrough: everything goes into {folder}\ndata: {source.about}")

    if source.path is None:
        words = ["generate", str(store), "--count", str(GENERATED_CLIPS), "--overwrite"]
        steps.run("store", "N-UCLA is not here (set ORVPE_DATA to its folder): generate clips", words, store)
    else:
        words = ["ingest", str(source.path), "-o", str(store), "--overwrite"]
        steps.run("store", "Read the pose files, map them onto 17 common joints, write one store", words, store)
    picture = folder / "skeletons.png"
    steps.run("inspect", "What is in it?", ["inspect", str(store), "--figure", str(picture)], picture)
    words = ["select", str(store), "-o", str(train), "-p", source.protocol, "--overwrite"]
    steps.run("select", "Set the training clips apart: pre-training never sees a test clip", words, train)

    clips = len(Store.open(train))
    epochs = _planned(folder / "plan.json", minutes, clips, restart)
    pretrainings = {}
    for kind, hidden in (("subgraph", "subgraph"), ("temporal", "none")):
        run = folder / f"pretrained-{kind}"
        words = ["pretrain", str(train), "-r", str(run), "--recipe", "quick-pretrain", "--view.occlusion", hidden]
        words += ["--epochs", str(epochs), "--batch-size", str(BATCH), "--threads", "1", *again]
        pretrainings[f"pretrain-{kind}"] = (words, run / "card.json")
    title = "Pre-train twice without labels: hiding parts of the body (SubG-DA), and hiding nothing"
    steps.side_by_side(title, pretrainings)
    for kind, title in PROBES.items():
        run = folder / f"probe-{kind}"
        weights = [] if kind == "random" else ["-w", str(folder / f"pretrained-{kind}")]
        words = ["probe", str(store), "-r", str(run), "-p", source.protocol, "--recipe", "quick-probe", *weights]
        words += ["--threads", "1"]
        about = f"A linear classifier on its 256 numbers a clip: {title}"
        steps.run(f"probe-{kind}", about, words, run / "results.json")

    results = {kind: json.loads((folder / f"probe-{kind}" / "results.json").read_text()) for kind in PROBES}
    page = _present(folder, source, results, epochs, clips)
    print(f"\n{_table(results)}\n")
    print(f"random -> SubG-DA: {_gain(results)}")
    for what, path in {
        "all of this as a page": page, "pictures": folder / "*.png",
        "weights to go on with": folder / "pretrained-subgraph", "per class, confusion, scores": folder / "probe-*",
    }.items():  # fmt: skip
        print(f"  {what:<30}{path}")
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes")
    return page


def _planned(plan: Path, minutes: float, clips: int, restart: bool) -> int:
    """Number of epochs that fit into ``minutes`` on this machine; a resumed run keeps its number."""
    if plan.exists() and not restart:
        before = json.loads(plan.read_text(encoding="utf-8"))
        if before["minutes"] == minutes:
            return int(before["epochs"])
    rate = clips_a_minute()
    epochs = min(MOST_EPOCHS, max(2, round(minutes * rate / clips)))
    print(f"\none core trains on about {rate:,.0f} clips a minute here: {epochs} epochs in {minutes:g} minutes")
    write_atomic(plan, json.dumps({"minutes": minutes, "epochs": epochs, "clips_a_minute": rate}) + "\n")
    return epochs


def clips_a_minute() -> float:
    """Clips that one thread pre-trains on in a minute by its recipe, from a few seconds of doing it."""
    import torch

    from orvpe.models.encoders import build_encoder
    from orvpe.runtime.device import resolve_precision
    from orvpe.training.pretrain import pretrain
    from orvpe.training.recipes import from_shipped

    recipe = from_shipped(pretrain, "quick-pretrain", store="", run="")
    encoder = build_encoder(recipe["encoder"].name, **recipe["encoder"].options)
    x = torch.randn(BATCH, 3, recipe["view"].tau, 17)
    half = resolve_precision(recipe["precision"], "cpu") == "bf16"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def step() -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = encoder(x).float().square().mean()
        loss.backward()
        return time.perf_counter() - began

    try:
        step()
        # data, loss and optimiser take a tenth; the second process shares caches and memory with this one
        return 0.8 * 60 * BATCH / min(step() for _ in range(3))
    finally:
        torch.set_num_threads(threads)


def _present(folder: Path, source: Data, results: dict[str, dict[str, Any]], epochs: int, clips: int) -> Path:
    """The figures and the page."""
    from orvpe.evaluation.charts import curve_chart, occlusion_chart
    from orvpe.lab.walkthrough_page import draw_occlusions, write_page

    note = "" if source.path else " (generated data)"
    rows = {PROBES[k]: {o: v["top1"] for o, v in r["occlusions"].items()} for k, r in results.items()}
    occlusion_chart(rows, folder / "occlusions.png", "top-1 (%)", f"Linear probe under occlusion{note}")
    curves = {}
    for kind in ("subgraph", "temporal"):
        lines = (folder / f"pretrained-{kind}" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        curves[PROBES[kind]] = ([m["epoch"] for m in found], [m["loss"] for m in found])
    curve_chart(curves, folder / "loss.png", "epoch", "InfoNCE loss", f"Pre-training{note}")
    draw_occlusions(folder / f"{source.name}.orvpe", folder / "hidden.png")
    commands = json.loads((folder / "steps.json").read_text(encoding="utf-8")).values()
    lines = [shlex.join(["orvpe", *words]) for words in commands]
    return write_page(folder, source.about, _table(results), _gain(results), epochs, clips, lines)


def _gain(results: dict[str, dict[str, Any]]) -> str:
    random, ours = (results[k]["occlusions"] for k in ("random", "subgraph"))
    clean = ours["none"]["top1"] - random["none"]["top1"]
    hidden = [ours[o]["top1"] - random[o]["top1"] for o in ours if o != "none"]
    return f"{clean:+.1f} points clean, {sum(hidden) / len(hidden):+.1f} on average over the five occlusions"


def _table(results: dict[str, dict[str, Any]]) -> str:
    first = next(iter(results.values()))
    names = ["clean" if o == "none" else o for o in first["occlusions"]]
    note = "  [GENERATED data]" if first["generated_data"] else ""
    lines = [f"top-1 of a linear probe, {first['protocol']}, {first['test_clips']} test clips{note}"]
    lines.append(f"{'':<38}" + "".join(f"{n:>8}" for n in names))
    for kind, title in PROBES.items():
        values = results[kind]["occlusions"].values()
        lines.append(f"{title:<38}" + "".join(f"{v['top1']:>8.1f}" for v in values))
    return "\n".join(lines)

"""`orvpe reproduce transfer`: what embeddings are worth on a set that their pre-training has not seen.

Leave one set out: for each labelled set, pre-train on all others, freeze, and test on this one with its people held
out.  Beside it what learns nothing: a random encoder, and raw joints.  Each part is a file in the folder of all runs,
so the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orvpe.data.ingest import ingest
from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.evaluation.frozen import CORRUPTIONS, Embedding, ModelEmbedding, RawEmbedding, TokenEmbedding, frozen_test
from orvpe.evaluation.raw import COPIES
from orvpe.lab.reproduce.side_by_side import run_steps
from orvpe.lab.reproduce.steps import FRAMES_FOR_A_CPU, Step, load_recipe, read_json, scaled
from orvpe.lab.reproduce.transfer_sets import ALSO, SETS, write_others, write_set
from orvpe.models.config import EncoderConfig
from orvpe.models.model import Model, load
from orvpe.runtime.draws import seeded
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import environment
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig

METRIC = "metric"  # instead of a recipe: the structured embedding of `orvpe metric`
RAW, RANDOM, PAPER, OURS = "raw joints", "random encoder", "paper recipe", "ours"
_VIEW = ViewConfig(tau=32, crop="resample", centre="clip", align=False, image="body")  # of the random encoder


class Transfer:
    """The parts of the table and where they lie.

    Args:
        work: folder of all runs.
        data: folder of the data sets.
        sets: which sets are left out, one after the other.
        ours: of the row "ours": "metric", a shipped recipe or a YAML file of one.
        paper: "paper", or "paper-light" with the light encoder and 64 frames, for a CPU.
        share: of every recipe's epochs.
        how: words that say how a training runs, as --threads 1.
    """

    def __init__(
        self, work: Path, data: str | None, sets: list[str], ours: str, paper: str, share: float, how: list[str]
    ) -> None:
        self.work, self.folder, self.data, self.sets = work, work / "transfer", data, sets
        self.ours = str(Path(ours).resolve()) if ours.endswith((".yaml", ".yml")) else ours  # steps run in ``work``
        self.paper, self.share, self.how = paper, share, how

    # --- pre-training ---

    def step(self, row: str, left_out: str) -> Step:
        """The pre-training of a row without a set."""
        dims = SETS[left_out].dims
        if row == OURS and self.ours == METRIC:
            stores = [f"transfer/{name}-clips.orvpe" for name in self.labelled_others(left_out)]
            run = f"transfer/{METRIC}-without-{left_out}"
            return Step(run, (METRIC, *stores, "--out", run, "--dims", str(dims)), tuple(stores))
        recipe = self.ours if row == OURS else "paper-pretrain-corpora-3d"
        name = Path(recipe).stem if row == OURS else self.paper
        share = f"-{100 * self.share:g}pc" if self.share < 1 else ""
        store = f"transfer/without-{left_out}.orvpe"
        run = f"transfer/{name}{share}-without-{left_out}"
        words = ["pretrain", store, "-r", run, *scaled(recipe, self.share)]
        if row == PAPER:
            words += ["--encoder.name", "light", *FRAMES_FOR_A_CPU] if self.paper == "paper-light" else []
            words += ["--contrast.negatives", "null"] if self.paper == "paper-light" else []
        elif load_recipe(recipe).get("weights"):
            raise InputError(f"recipe {recipe} starts from weights that may have seen the set left out; choose another")
        if dims == 2:
            words += ["--view.camera", "virtual", "--view.image", "body"]
        return Step(run, tuple(words), (store,))

    def steps(self) -> list[Step]:
        return [self.step(row, name) for name in self.sets for row in (PAPER, OURS)]

    # --- stores ---

    def recordings(self, name: str) -> Store:
        """A set as it is distributed, in the unified layout."""
        file = SETS[name].file if name in SETS else ALSO[name]
        out = self.folder / f"{name}.orvpe"
        if not out.exists():
            if self.data is None:
                raise InputError("no data: give --data FOLDER, or set ORVPE_DATA; see docs/guides/data.md")
            path = Path(self.data) / file
            if not path.exists():
                raise InputError(f"{path}: no such file; --data is {self.data}")
            out.parent.mkdir(parents=True, exist_ok=True)
            print(ingest([str(path)], str(out)), flush=True)
        return Store.open(out)

    def labelled(self, name: str) -> Store:
        """A set's clips of one action, gallery and test."""
        out = self.folder / f"{name}-clips.orvpe"
        if out.exists():
            return Store.open(out)
        file = SETS[name].file if name in SETS else ALSO[name]
        return write_set(name, self.recordings(name), Path(self.data or "") / file, out)

    def labelled_others(self, left_out: str) -> list[str]:
        """The sets whose labels may be learned when one is left out: of its dimension, or 3D."""
        dims = SETS[left_out].dims
        return [n for n in (*SETS, *ALSO) if n != left_out and (n in ALSO or SETS[n].dims in (3, dims))]

    def others(self, left_out: str) -> Store:
        """What is pre-trained on without a set: windows of all other 3D sets (2D is seen through virtual cameras)."""
        out = self.folder / f"without-{left_out}.orvpe"
        if out.exists():
            return Store.open(out)
        names = [n for n in (*SETS, *ALSO) if n != left_out and (n in ALSO or SETS[n].dims == 3)]
        return write_others({n: self.recordings(n) for n in names}, out)

    def prepare(self, step: Step, left_out: str) -> None:
        """Write the stores that a step reads."""
        if step.job == METRIC:
            for name in self.labelled_others(left_out):
                self.labelled(name)
        else:
            self.others(left_out)

    # --- tests ---

    def result(self, row: str, name: str) -> Path:
        """Where a row's numbers on a set lie."""
        of = (
            self.step(row, name).folder.rsplit("/", 1)[-1]
            if row in (PAPER, OURS)
            else f"{row.replace(' ', '-')}-on-{name}"
        )
        return self.folder / "tests" / f"{of}.json"

    def test(self, row: str, name: str, device: torch.device) -> dict[str, Any]:
        """A row's numbers on a set; computed once."""
        path = self.result(row, name)
        if path.exists():
            return read_json(path)
        store = self.labelled(name)
        found = frozen_test(
            self.embedding(row, name, device), ResidentStore(store, device), make_task(store, "split"), copies=COPIES
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        found |= {"row": row, "set": name, "store_checksum": store.checksum, "environment": environment()}
        write_atomic(path, json.dumps(found, indent=1) + "\n")
        return found

    def embedding(self, row: str, name: str, device: torch.device) -> Embedding:
        """What is tested.

        Raises:
            InputError: a pre-training that is not there.
        """
        if row == RAW:
            return RawEmbedding()
        if row == RANDOM:
            torch.manual_seed(seeded("cpu", 0, "weights").initial_seed())
            store = self.labelled(name)
            model = Model(EncoderConfig("light"), store.layout, store.dims, _VIEW)
            return ModelEmbedding(model.to(device))
        model = load(self.work / self.step(row, name).folder, device)
        return TokenEmbedding(model) if model.structured else ModelEmbedding(model)


def _nothing(step: Step) -> None:
    pass


def run_transfer(
    made: Transfer, out: Path, device: torch.device, dry_run: bool, report: bool, told: Callable[[Step], str]
) -> Path | None:
    """Run what is missing and write transfer.md; ``dry_run`` prints commands, ``report`` runs no training."""
    steps = made.steps()
    if dry_run:
        for step in steps:
            print(("done   " if step.done(made.work) else "to run ") + told(step))
        return None
    rows = (RANDOM, RAW, PAPER, OURS)
    if not report:
        made.folder.mkdir(parents=True, exist_ok=True)
        for name in made.sets:
            made.labelled(name)
        for row in (RANDOM, RAW, OURS, PAPER):  # the dearest last
            for name in made.sets:
                if row in (PAPER, OURS) and not (step := made.step(row, name)).done(made.work):
                    made.prepare(step, name)
                    print(told(step), flush=True)
                    words = [*step.words, *(made.how if step.job == "pretrain" else [])]
                    run_steps([step], made.work, dict.fromkeys([step], words).__getitem__, told, 1, _nothing, _nothing)
                made.test(row, name, device)
                _write(made, out, rows)
    return _write(made, out, rows)


# --- the table ---


def _write(made: Transfer, out: Path, rows: tuple[str, ...]) -> Path:
    found = {
        name: {row: read_json(path) for row in rows if (path := made.result(row, name)).exists()} for name in made.sets
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "transfer.md", markdown(found, made))
    return out / "transfer.md"


def _mean(row: dict[str, float]) -> float:
    return float(np.mean([row[part] for part in SUBGRAPHS]))


_COLUMNS = ("clean", "five masks", "upper", *CORRUPTIONS[len(SUBGRAPHS) :])


def _cells(row: dict[str, float]) -> list[float]:
    return [row["none"], _mean(row), row["upper"], *(row[c] for c in CORRUPTIONS[len(SUBGRAPHS) :])]


def beaten(found: dict[str, dict[str, Any]], row: str = OURS) -> tuple[int, int, float]:
    """In how many cells of 1-NN a row beats raw joints, of how many, and by how many points in the mean."""
    gains = [
        tests[row]["nn"][occlusion] - tests[RAW]["nn"][occlusion]
        for tests in found.values()
        if row in tests and RAW in tests
        for occlusion in ("none", *CORRUPTIONS)
    ]
    return sum(g > 0 for g in gains), len(gains), float(np.mean(gains)) if gains else float("nan")


def markdown(found: dict[str, dict[str, Any]], made: Transfer) -> str:
    """The tables: class by nearest neighbour and by probe, retrieval, left against right."""
    share = f" {100 * made.share:g} % of each recipe's epochs." if made.share < 1 else ""
    lines = [
        "# Leave one set out",
        "",
        "For each set an encoder is pre-trained on all other sets, frozen, and tested on this one with its people held "
        "out: the gallery is whole, the test clips are corrupted. Per cent. `orvpe reproduce transfer`; paper recipe: "
        f"`{made.paper}`; ours: `{Path(made.ours).stem}`.{share} Probes are fitted on {COPIES} occluded copies of each "
        "clip too. N-UCLA: cameras 1 and 2; Penn Action: its training split.",
    ]
    titles = {"nn": "Class of the nearest gallery clip", "probe": "Class by logistic regression"}
    for kind, title in titles.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| set | row | " + " | ".join(_COLUMNS) + " |",
            "|---" * (2 + len(_COLUMNS)) + "|",
        ]
        for name, tests in found.items():
            for row, test in tests.items():
                lines.append(
                    f"| {SETS[name].title} | {row} | " + " | ".join(f"{v:.0f}" for v in _cells(test[kind])) + " |"
                )
    if any(OURS in tests for tests in found.values()):
        for row in (PAPER, OURS):
            better, compared, gain = beaten(found, row)
            if compared:
                lines += ["", f"{row}: above raw 1-NN in {better} of {compared} cells, {gain:+.1f} points in the mean."]
    lines += [
        "", "## Retrieval, and left against right", "",
        "recall@1: the nearest whole test clip is the corrupted clip's own; raw joints find it by construction, the "
        "same numbers are in both. Sides: one-armed clips and their mirror images, which arm acts; chance is 50. "
        "Mirror: cosine of a clip and its mirror image.", "",
        "| set | row | recall, masks | upper | joints:0.5 | frames:0.5 | block:0.4 | sides 1-NN | probe | mirror |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, tests in found.items():
        for row, test in tests.items():
            recall, sides = test["recall"], test.get("sides")
            shown = [f"{v:.0f}" for v in (_mean(recall), recall["upper"], *(recall[c] for c in CORRUPTIONS[5:]))]
            shown += [f"{sides['nn']:.0f}", f"{sides['probe']:.0f}"] if sides else ["-", "-"]
            shown.append(f"{sides['cosine']:.3f}" if sides and row != RAW else "-")
            lines.append(f"| {SETS[name].title} | {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"

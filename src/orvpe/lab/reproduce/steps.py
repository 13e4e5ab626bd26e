"""Steps of a table: orvpe commands that each write a store or a run folder.

A step's command is written as one would type it in the folder of all runs, so that cards and tables can quote it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orvpe.errors import InputError
from orvpe.models.card import BY_DIMS, shipped
from orvpe.training.recipes import recipe_path

CORPORA = ("kinder_gator.npz", "bandai_namco.npz", "msrc12.npz", "precog16.npz")  # in the order of the shipped runs
FILES = {"nucla": "nw-ucla-skeletons.zip", "penn": "penn-action-labels.zip"}
DIMS = {"nucla": 3, "penn": 2}
PROTOCOL = {"nucla": "nucla-cv", "penn": "penn-official"}
SETS = ("paper", "paper-light", "strong")
PRETRAIN = {
    ("paper", 3): "paper-pretrain-corpora-3d",
    ("paper", 2): "paper-pretrain-corpora-2d",
    ("strong", 3): "quick-pretrain-kinder",
    ("strong", 2): "strong-pretrain-2d",
}
_EPOCHS_FOR_FEW = ((0.01, 10), (0.05, 2))  # (share of the labels up to which, times the recipe's epochs)
_IN_3D = next(data for data, dims in DIMS.items() if dims == 3)
_WIDEST = "corpora-light-3d-joint"
_BONE_EPOCHS = 20  # of ours, which starts from the joint encoder
FRAMES_FOR_A_CPU = ("--view.tau", "64")  # with the light encoder, what makes the paper's recipes fit a CPU


@dataclass(frozen=True)
class Step:
    """One command.

    Args:
        folder: what it makes, a run's folder or a store, relative to the folder of all runs.
        words: the command's words without ``orvpe``; ``{data}`` stands for the folder of the data sets.
        needs: folders of steps that come before.
    """

    folder: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def job(self) -> str:
        return self.words[0]

    def command(self) -> str:
        return " ".join(("orvpe", *self.words))

    def done(self, work: Path) -> bool:
        """Whether its result is there, whole, and of this command.

        Raises:
            InputError: the folder holds the run of another command, or a damaged file.
        """
        path = work / self.folder
        if self.job == "ingest":
            return path.is_file()
        if self.job == "fuse":
            return path.is_file()
        if self.job == "metric":
            return (path / "card.json").is_file()
        told = path / ("robustness.json" if self.job == "robustness" else "recipe.json")
        if not told.exists():
            return False
        typed = read_json(told, "environment").get("command")
        if typed is not None and _deciding(typed.split()[1:]) != _deciding(list(self.words)):
            raise InputError(f"run folder {path} was made by {typed!r}, expected {self.command()!r}; move it away")
        if self.job == "robustness":
            return True
        if self.job == "pretrain":
            card = path / "card.json"
            epochs = read_json(told, "arguments").get("epochs")
            return card.exists() and read_json(card).get("epochs_done") == epochs
        return (path / "results.json").exists()


def read_json(path: Path, part: str | None = None) -> dict[str, Any]:
    """What a file of a run holds, or one part of it.

    Raises:
        InputError: something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found = found if part is None else found[part]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error}); move its folder away") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds {str(found)[:40]!r}, expected names and values; move its folder away")
    return found


# how a command runs, not what comes out
_HOW = (
    "--threads", "--device", "--precision", "--save-every", "--save_every", "--compile", "--restart",
    "--eval-every", "--eval_every",
)  # fmt: skip


def _deciding(words: list[str]) -> list[list[str]]:
    """A command without options that do not change its result, in a canonical order."""
    options: list[list[str]] = [[]]  # first the words before any option, then each option with its values
    for word in words:
        if word.startswith("-"):
            options.append([word])
        else:
            options[-1].append(word)
    kept = [option for option in options[1:] if option[0].split("=")[0] not in _HOW]
    return [options[0], *sorted(kept, key=lambda option: option[0])]


class Plan:
    """Steps by what they make, for one set of recipes and a share of its epochs.

    Args:
        recipes: "paper"; "paper-light", the paper's recipes with the light encoder and 64 frames, pre-trained on
            Kinder-Gator's recordings as ours are, for a CPU; or "strong", ours.
        share: of every recipe's epochs, for a rehearsal or a slow machine; 1 is the recipe.
        from_shipped: start from the pre-trained weights that come with orvpe, where there are, instead of making them.
    """

    def __init__(self, recipes: str = "strong", share: float = 1.0, from_shipped: bool = False) -> None:
        if recipes not in SETS:
            raise InputError(f"recipes is {recipes!r}, expected one of {', '.join(SETS)}")
        if not 0 < share <= 1:
            raise InputError(f"share is {share}, expected above 0, at most 1")
        self.recipes, self.share, self.from_shipped = recipes, share, from_shipped
        self.ours = recipes == "strong"
        self._whose = "strong" if self.ours else "paper"  # the shipped recipes
        self.light = recipes == "paper-light"
        self.steps: dict[str, Step] = {}

    def _add(self, folder: str, *words: str, needs: tuple[str, ...] = ()) -> str:
        self.steps.setdefault(folder, Step(folder, words, needs))
        return folder

    def in_order(self, wanted: list[str]) -> list[Step]:
        """The steps that make ``wanted``, each after what it needs."""
        order: dict[str, Step] = {}

        def visit(folder: str) -> None:
            if folder not in order:
                step = self.steps[folder]
                for before in step.needs:
                    visit(before)
                order[folder] = step

        for folder in wanted:
            visit(folder)
        return list(order.values())

    def _made(self, start: str | None) -> list[str]:
        """The step that makes these weights, if one does."""
        return [start] if start in self.steps else []

    # --- stores ---

    def store(self, data: str) -> str:
        """The store of a data set."""
        return self._add(f"{data}.orvpe", "ingest", f"{{data}}/{FILES[data]}", "-o", f"{data}.orvpe")

    def corpora(self) -> str:
        """What is pre-trained on: windows of all corpora, or on a CPU Kinder-Gator's recordings."""
        if self.recipes != "paper":
            return self._add("kinder.orvpe", "ingest", "{data}/corpora/kinder_gator.npz", "-o", "kinder.orvpe")
        return self._all_corpora()

    def _all_corpora(self) -> str:
        files = [f"{{data}}/corpora/{c}" for c in CORPORA]
        words = ("--window", "200", "--stride", "200", "--min-frames", "24")
        return self._add("corpora-200.orvpe", "ingest", *files, "-o", "corpora-200.orvpe", *words)

    def labelled(self) -> str:
        """The store of whole recordings of the corpora whose recordings have a label."""
        files = [f"{{data}}/corpora/{c}" for c in ("bandai_namco.npz", "kinder_gator.npz")]
        return self._add("labelled.orvpe", "ingest", *files, "-o", "labelled.orvpe", "--min-frames", "24")

    # --- trainings ---

    def _variant(self, encoder: str | None = None) -> list[str]:
        """What of a recipe is replaced."""
        name = encoder or ("light" if self.light else None)
        return [*(["--encoder.name", name] if name else []), *(FRAMES_FOR_A_CPU if self.light else ())]

    def _recipe(self, job: str, data: str) -> tuple[str, ...]:
        """The recipe of a job, with what this set replaces in it."""
        name = self._shipped_recipe(data) if job == "finetune" else PRETRAIN[self._whose, DIMS[data]]
        words = scaled(name, self.share)
        if self.light and job == "pretrain":
            words += ["--contrast.negatives", "null"]  # Kinder-Gator has fewer recordings than the paper's K
        return tuple(words)

    def _shipped_recipe(self, data: str) -> str:
        return f"{self._whose}-finetune-{data}"

    def pretrained(self, data: str, stream: str = "joint", occlusion: str | None = None) -> str:
        """Pre-training for a data set's dimensions, without labels; seed 0.  Or the name of shipped weights.

        With another ``occlusion`` than the recipe's, what it starts from has had no other either.
        """
        dims = DIMS[data]
        ready = f"kinder-light-{dims}d-{stream}"
        if self.from_shipped and self.ours and stream == "joint" and not occlusion and ready in shipped():
            return ready  # bones go on from the joints' weights in minutes
        store = self.corpora()
        name = f"{self.recipes}/pretrain-{dims}d-{stream}" + (f"-{occlusion}" if occlusion else "")
        words = ["pretrain", store, "-r", name, *self._recipe("pretrain", data), *self._variant()]
        needs = [store]
        if stream != "joint":
            words += ["--view.stream", stream]
            if self.ours:
                start = self.pretrained(data, occlusion=occlusion)
                needs += self._made(start)
                epochs = max(1, round(self.share * _BONE_EPOCHS))
                words += ["-w", start, "--epochs", str(epochs), "--optim.warmup", "1"]
        elif occlusion and self.ours and dims == 2:
            # the recipe starts from shipped weights that learned with SubG-DA, which would stay in what comes of them
            start = self.pretrained(_IN_3D, occlusion=occlusion)
            needs += self._made(start)
            words += ["-w", start]
        if occlusion:
            words += ["--view.occlusion", occlusion]
        return self._add(name, *words, needs=tuple(needs))

    def widest(self, data: str) -> str | None:
        """Our pre-training that goes on from Kinder-Gator's weights to all corpora, or the name of its shipped weights.

        None where there is no such recipe.
        """
        if not self.ours or DIMS[data] != 3:
            return None
        return _WIDEST if self.from_shipped else self._of_all_corpora("all", "strong-pretrain-3d", 3)

    def robust(self, data: str) -> str:
        """Our pre-training with mixed occlusion, or its shipped weights."""
        if self.from_shipped:
            return BY_DIMS[DIMS[data]]
        return self._of_all_corpora("mix", f"robust-pretrain-{DIMS[data]}d", DIMS[data])

    def _of_all_corpora(self, what: str, recipe: str, dims: int) -> str:
        store = self._all_corpora()
        name = f"strong/pretrain-{dims}d-{what}"
        return self._add(name, "pretrain", store, "-r", name, *scaled(recipe, self.share), needs=(store,))

    def supervised(self, data: str) -> str:
        """Pre-training on the labels that the corpora have."""
        store = self.labelled()
        name = f"{self.recipes}/supervised-{DIMS[data]}d"
        words = ["finetune", store, "-r", name, *self._recipe("finetune", data), "-p", "random:0.1"]
        words += [*self._variant(), "--occlusions", "none"]
        if DIMS[data] == 2:
            words += ["--view.camera", "virtual"]
        return self._add(name, *words, needs=(store,))

    def finetuned(
        self,
        data: str,
        seed: int,
        start: str | None = None,
        what: str = "scratch",
        stream: str = "joint",
        labels: float = 1.0,
        encoder: str | None = None,
        occlusion: str | None = None,
        curve: bool = False,
        robust: bool = False,
    ) -> str:
        """Fine-tuning from the run ``start``, or from scratch.

        Args:
            data: the data set.
            seed: of this training.
            start: the run whose weights it starts from.
            what: names the run.
            stream: joint or bone.
            labels: share of the training labels.
            encoder: another encoder than the recipe's.
            occlusion: another training occlusion than the recipe's.
            curve: log test accuracy after every epoch.
            robust: with our recipe that hides more than parts of the body.
        """
        store = self.store(data)
        parts = [what, *([stream] if stream != "joint" else []), *([encoder] if encoder else [])]
        parts += [f"{100 * labels:g}pc"] if labels < 1 else []
        name = f"{self.recipes}/{data}-{'-'.join(parts)}-{seed}"
        recipe = scaled(f"robust-finetune-{data}", self.share) if robust else self._recipe("finetune", data)
        words = ["finetune", store, "-r", name, *recipe]
        if start:
            words += ["-w", start]
        if stream != "joint":
            words += ["--view.stream", stream]
        words += self._variant(encoder)
        if occlusion:
            words += ["--view.occlusion", occlusion]
        if labels < 1:
            words += ["--labels", f"{labels:g}", *self._for_few(data, labels, robust)]
        if curve:
            words += ["--eval-every", "1"]
        words += ["--seed", str(seed)]
        return self._add(name, *words, needs=(store, *self._made(start)))

    def _for_few(self, data: str, labels: float, robust: bool) -> list[str]:
        """More epochs for very few labels, else there are hardly any steps; and batches that 1 % of them fill."""
        times = next((t for most, t in _EPOCHS_FOR_FEW if labels <= most), 1)
        if times == 1:
            return []
        epochs = load_recipe(f"robust-finetune-{data}" if robust else self._shipped_recipe(data))["epochs"]
        batch = ["--batch-size", "8"] if labels <= 0.01 else []
        return ["--epochs", str(max(1, round(self.share * times * epochs))), *batch]

    def probed(
        self,
        data: str,
        seed: int,
        start: str | None = None,
        what: str = "random",
        labels: float = 1.0,
        robust: bool = False,
    ) -> str:
        """A linear probe: the paper's SGD, or logistic regression.

        Args:
            data: the data set.
            seed: of this probe.
            start: the run whose encoder is probed; None for a random one.
            what: names the run.
            labels: share of the training labels.
            robust: with our recipe whose classifier learns from occluded versions too.
        """
        store = self.store(data)
        few = f"-{100 * labels:g}pc" if labels < 1 else ""
        name = f"{self.recipes}/{data}-probe-{what}{few}-{seed}"
        recipe = "robust-probe" if robust else "quick-probe" if self.ours else f"paper-probe-{data}"
        words = ["probe", store, "-r", name, "--recipe", recipe, *self._variant(), "-p", PROTOCOL[data]]
        words += ["--labels", f"{labels:g}"] if labels < 1 else []
        if start:
            words += ["-w", start]
        elif DIMS[data] == 2 and self.ours:
            words += ["--view.image", "body"]
        words += ["--seed", str(seed)]
        return self._add(name, *words, needs=(store, *self._made(start)))

    def fused(self, data: str, seed: int, one: str, other: str, what: str) -> str:
        """The summed scores of two runs."""
        name = f"{self.recipes}/{data}-{what}-two-stream-{seed}.npz"
        words = ("fuse", f"{one}/scores.npz", f"{other}/scores.npz", "-o", name)
        return self._add(name, *words, needs=(one, other))

    def robustness(self, data: str, runs: dict[str, str], seed: int) -> str:
        """The occlusion curve of finished runs by name."""
        store = self.store(data)
        name = f"{self.recipes}/{data}-robustness-{seed}"
        words = ["robustness", store, "-w", *runs.values(), "-p", PROTOCOL[data], "-o", name]
        words += ["--names", *(n.replace(" ", "_") for n in runs), "--seed", str(seed)]
        return self._add(name, *words, needs=(store, *runs.values()))


def load_recipe(name: str) -> dict[str, Any]:
    """A recipe's arguments: a shipped one, or a YAML file.

    Raises:
        InputError: neither.
    """
    import yaml

    return yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))


def scaled(name: str, share: float) -> list[str]:
    """--recipe, and where only a share of its epochs is run, how many those are."""
    words = ["--recipe", name]
    if share < 1:
        recipe = load_recipe(name)
        words += ["--epochs", str(max(1, round(share * recipe["epochs"])))]
        optim = recipe["optim"]
        if optim["schedule"] == "step":
            words += ["--optim.milestones", *(str(max(1, round(share * m))) for m in optim["milestones"])]
        elif optim.get("warmup"):
            words += ["--optim.warmup", f"{share * optim['warmup']:g}"]
    return words

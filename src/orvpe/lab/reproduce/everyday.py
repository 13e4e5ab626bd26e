"""`orvpe reproduce everyday`: a classifier of everyday actions that says "unknown", and how well it does.

The labels of all sets are merged by everyday.yaml.  Each set is left out once: a classifier on frozen features learns
the others and answers the clips of this one, known actions and such that it has not learned.  On these answers
confidence and risk are fitted; the classifier that is kept learns from all sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orvpe.data.relabel import read_classes, relabel
from orvpe.data.store import Store, StoreWriter
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_of_versions
from orvpe.lab.reproduce.transfer import Transfer
from orvpe.lab.reproduce.transfer_sets import ALSO, SETS, cut, kinder_label, segments
from orvpe.models.model import Model, load
from orvpe.models.open_set import Answers, Learned, cues, fit_open_set, learned_clips
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.runtime.draws import ClipDraws
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import environment
from orvpe.views.batch import collate
from orvpe.views.camera import virtual_camera
from orvpe.views.occlusion import SEVERAL
from orvpe.views.resident import ResidentStore

CLASSES = Path(__file__).with_name("everyday.yaml")
UNKNOWN = "unknown"
NAMES = {3: "everyday-3d", 2: "everyday-2d"}
_SECONDS = (1.0, 4.0)  # of a window that is learned
_MOST = {"bandai": 50}  # recordings of a label that are taken, of a set that has many of few people
_LEARNED = 60  # windows of a class and set that a classifier learns
_TEST_SECONDS = 3.0
_RISKS = (0.1, 0.2, 0.3)


# --- clips ---


def labelled_clips(made: Transfer, dims: int) -> Iterator[tuple[str, Clip]]:
    """(set, clip labelled SET/LABEL); of N-UCLA cameras 1 and 2, of Penn Action its training split, which is 2D."""
    for name in (*SETS, *ALSO):
        if name in SETS and SETS[name].dims == 2:
            if dims == 2:
                for clip in made.labelled(name):
                    yield name, clip.with_(label=f"{name}/{clip.label}")
            continue
        store, count = made.recordings(name), dict[str, int]()
        if name == "msrc":
            clips: Iterator[Clip] = iter(made.labelled(name))
        elif name == "precog":
            clips = (cut(c, a, b).with_(label=x) for c in store for x, a, b in segments(c) if b - a >= 12)
        else:
            clips = iter(store)
        for clip in clips:
            label = kinder_label(clip.label or "") if name == "kinder" else str(clip.label)
            if name == "bandai":
                label = "/".join(label.split("/")[:2])
            elif name == "precog" and label != "0":
                label = f"p{label}"
            count[label] = count.get(label, 0) + 1
            if count[label] <= _MOST.get(name, 10**9) and (name not in SETS or SETS[name].allowed(clip)):
                yield name, clip.with_(label=f"{name}/{label}")


def active_part(clip: Clip) -> tuple[int, int]:
    """First and last frame between which the body moves, with a third of a second on either side."""
    joints = np.where(clip.visible[0][..., None], clip.joints[0], np.nan)
    if clip.frames < 31:
        return 0, clip.frames
    with np.errstate(all="ignore"):
        speed = np.nan_to_num(np.nanpercentile(np.linalg.norm(np.diff(joints, axis=0), axis=-1), 90, axis=1))
    speed = np.convolve(speed, np.ones(9) / 9, "same")
    moving = np.flatnonzero(speed > 0.25 * np.percentile(speed, 95))
    return (max(0, int(moving[0]) - 10), min(clip.frames, int(moving[-1]) + 11)) if len(moving) else (0, clip.frames)


def windows_of(clip: Clip, rng: np.random.Generator) -> Iterator[tuple[str, int, int]]:
    """("train" or "test", first, stop): random windows of 1 to 4 s to learn from, and those that a test looks at."""
    first, stop = active_part(clip)
    frames, fps = stop - first, clip.fps or 30.0
    short, long = (round(s * fps) for s in _SECONDS)
    for k in range(2):
        length = min(frames, frames if k == 0 and frames <= long else max(int(rng.integers(short, long + 1)), short))
        begin = first + int(rng.integers(0, frames - length + 1))
        yield "train", begin, begin + length
    length = frames if frames <= long else round(_TEST_SECONDS * fps)
    for begin in np.unique(np.linspace(first, stop - length, 1 + 2 * (frames // length - 1)).astype(int))[:5].tolist():
        yield "test", begin, begin + length


def write_windows(made: Transfer, dims: int, out: Path) -> Store:
    """All windows as a store: label SET/LABEL, camera the set, split train or test, name of the clip before "@@"."""
    rng, count = np.random.default_rng(1), 0
    with StoreWriter(out, unified, dims, {"everyday": dims}) as writer:
        for name, clip in labelled_clips(made, dims):
            one = clip.with_(joints=clip.joints[:1], visible=clip.visible[:1])
            for role, first, stop in windows_of(one, rng):
                window = cut(one, first, stop).with_(
                    name=f"{name}/{clip.name}@@{count}", subject=f"{name}:{clip.subject}", camera=name, split=role
                )
                count += 1
                if dims == 2 and window.dims == 3:
                    seen = virtual_camera(collate([window]), ClipDraws("cpu", [count], 0, "everyday"))
                    window = window.with_(
                        joints=seen.joints[0].numpy(), visible=seen.visible[0].numpy(), image_size=(640, 480)
                    )
                if window.frames >= 8 and window.visible.any():
                    writer.add(window)
    return Store.open(out)


# --- answers of classifiers that have not seen the set ---


@dataclass
class Everyday:
    """Windows of all sets with their frozen features.

    Args:
        features: (2, N, D) of whole and of occluded windows.
        label: (N,) class, "unknown", or "" for a window that is left out.
        sets, clips: (N,) where it is from.
        test: (N,) bool, one of the windows that a test looks at.
    """

    features: Tensor
    label: np.ndarray
    sets: np.ndarray
    clips: np.ndarray
    test: np.ndarray

    def classes(self, but: str | None = None) -> list[str]:
        """What is learned without a set."""
        return sorted(set(self.label[self.sets != but].tolist()) - {"", UNKNOWN})

    def chosen(self, but: str | None, classes: list[str]) -> np.ndarray:
        """Windows that are learned without a set: at most so many of a class and set."""
        kept: list[np.ndarray] = []
        rng = np.random.default_rng(0)
        usable = ~self.test & (self.sets != but) & np.isin(self.label, classes)
        for name in np.unique(self.sets[usable]):
            for c in classes:
                own = np.flatnonzero(usable & (self.sets == name) & (self.label == c))
                kept.append(rng.permutation(own)[:_LEARNED])
        return np.sort(np.concatenate(kept))

    def fit(self, but: str | None = None) -> tuple[nn.Linear, list[str], Learned]:
        """A classifier of the sets without one, its classes, and what `cues` compares with."""
        classes = self.classes(but)
        train = self.chosen(but, classes)
        target = torch.tensor([classes.index(c) for c in self.label[train].tolist()])
        head = logistic_of_versions(self.features[:, train], target, len(classes), 0.05)
        return (
            head,
            classes,
            learned_clips(self.features[0, train], target, self.clips[train], self.features[1:, train]),
        )

    @torch.no_grad()
    def answers(self, name: str) -> Answers:
        """What a classifier that has learned the other sets says of this one's test windows."""
        with torch.enable_grad():
            head, classes, learned = self.fit(name)
        asked = np.flatnonzero(self.test & (self.sets == name) & (self.label != ""))
        x, truth = self.features[0, asked], self.label[asked]
        scores = head(x)
        known = np.isin(truth, classes)
        right = (np.array(classes)[scores.argmax(dim=1).numpy()] == truth) & known
        return Answers(cues(x, scores, learned).double().numpy(), right, known)


def joined(parts: list[Answers]) -> Answers:
    return Answers(*(np.concatenate([getattr(p, field) for p in parts]) for field in ("cues", "right", "known")))


def shares(answers: Answers, others: Answers) -> dict[str, Any]:
    """Of one set's answers, by confidence and risk fitted on the others', in per cent."""
    nobody = learned_clips(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), np.zeros(1))
    made = fit_open_set(nobody, others)
    sure = (torch.from_numpy(answers.cues).float() @ made.weight + made.bias).sigmoid().numpy()
    known, right = answers.known, answers.right
    found: dict[str, Any] = {
        "known": int(known.sum()), "unknown": int((~known).sum()), "right": 100 * float(right[known].mean()),
        "named at 10 % refused": 100 * float((sure[~known] > np.quantile(sure[known], 0.1)).mean()),
    }  # fmt: skip
    for name, least in {"0.5": 0.5, **{f"risk {r:g}": made.threshold(r) for r in _RISKS}}.items():
        said = sure >= least
        found[name] = {
            "right": 100 * float((right & said)[known].mean()), "answered": 100 * float(said[known].mean()),
            "named": 100 * float(said[~known].mean()),
        }  # fmt: skip
    return found


# --- all of it ---


def run_everyday(made: Transfer, out: Path, weights: dict[int, str], device: torch.device) -> Path:
    """Write the models everyday-3d and everyday-2d below the folder of all runs, and everyday.md.

    Args:
        made: where data and runs lie.
        out: folder of the table.
        weights: of the frozen encoder by dimension.
        device: of the encoder.
    """
    made.folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for dims, name in weights.items():
        path = made.work / "everyday" / f"windows-{dims}d.orvpe"
        path.parent.mkdir(parents=True, exist_ok=True)
        store = Store.open(path) if path.exists() else write_windows(made, dims, path)
        source = load(name, device)
        data = everyday_of(source, store, device)
        sets = [s for s in np.unique(data.sets).tolist() if data.classes(s)]
        answers = {s: data.answers(s) for s in sets}
        both = {s: a for s, a in answers.items() if a.known.any() and not a.known.all()}
        table = {s: shares(a, joined([answers[o] for o in answers if o != s])) for s, a in both.items()}
        head, classes, learned = data.fit()
        model = Model(source.encoder_config, source.layout, source.dims, source.view, classes=classes)
        model.encoder, model.head = source.encoder, head
        model.open_set = fit_open_set(learned, joined(list(answers.values())))
        trained = {"job": "everyday", "weights": name, "clip_seconds": _TEST_SECONDS, "clips": len(store)}
        model.to("cpu").save(
            made.work / "everyday" / NAMES[dims], half=True, trained=trained, left_out=table, environment=environment()
        )
        found[NAMES[dims]] = {"weights": Path(name).name, "classes": classes, "sets": table}
        write_atomic(out / "everyday.md", markdown(found))
        write_atomic(made.work / "everyday" / "everyday.json", json.dumps(found, indent=1) + "\n")
    return out / "everyday.md"


def everyday_of(source: Model, store: Store, device: torch.device) -> Everyday:
    """The windows of a store with the features of an encoder and the classes of everyday.yaml."""
    present = np.unique(store.labels)
    classes = {c: [p for p in patterns if _fits(p, present)] for c, patterns in read_classes(str(CLASSES)).items()}
    label = relabel(store.labels, {c: p for c, p in classes.items() if p}, CLASSES.name).astype(str)
    data, everything = ResidentStore(store, device), np.arange(len(store))
    frozen = source.for_inference()
    whole = extract(frozen, data, everything).float().cpu()
    hidden = extract(frozen, data, everything, SEVERAL).float().cpu()
    clips = np.array([str(n).split("@@")[0] for n in store.names])
    return Everyday(torch.stack([whole, hidden]), label, store.cameras.astype(str), clips, store.splits == "test")


def _fits(pattern: str, labels: np.ndarray) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(str(label), pattern) for label in labels)


def markdown(found: dict[str, Any]) -> str:
    """The table: for each set left out what is right, what is answered, what is named wrongly."""
    columns = ("0.5", *(f"risk {r:g}" for r in _RISKS))
    lines = [
        "# Everyday actions, each set left out once", "",
        "A classifier on frozen features learns the other sets and answers windows of this one. Right: of known "
        "actions, if it always answers. Then, by a confidence of at least 0.5 and by `--risk` (fitted on the other "
        "sets), per cent of known actions that get the right name / any name / of unknown ones that get a name. Last: "
        "unknown ones named when a tenth of the known is refused. `orvpe reproduce everyday`.",
    ]  # fmt: skip
    for name, model in found.items():
        lines += [
            "", f"## {name}: {len(model['classes'])} classes, encoder {model['weights']}", "",
            "| set left out | known | unknown | right | " + " | ".join(columns) + " | 10 % refused |",
            "|---" * (5 + len(columns)) + "|",
        ]  # fmt: skip
        for left_out, row in model["sets"].items():
            cells = [f"{row[c]['right']:.0f} / {row[c]['answered']:.0f} / {row[c]['named']:.0f}" for c in columns]
            lines.append(
                f"| {left_out} | {row['known']} | {row['unknown']} | {row['right']:.0f} | " + " | ".join(cells)
                + f" | {row['named at 10 % refused']:.0f} |"
            )  # fmt: skip
    return "\n".join(lines) + "\n"

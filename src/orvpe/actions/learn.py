"""`orvpe learn`: train a classifier from one folder of clips per class, with cross-validation.

Every clip is tested once, by a model that has not learned from its recording (cross-validation).  The model that is
kept then learns from all clips.  By default the encoder is frozen and only a linear classifier is fitted, which takes
seconds; ``finetune`` trains the encoder too.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orvpe.actions.class_folders import FolderOptions, class_folders, folder_store, videos_of
from orvpe.actions.learn_numbers import best_temperature, by_recording, hideable, thin, twice, wilson
from orvpe.actions.learn_report import LearnReport, write_report
from orvpe.actions.learners import Finetune, Fit, Probe
from orvpe.data.formats.labels import column_pairs
from orvpe.data.formats.reading import check_choices
from orvpe.data.pose_files import PosesOrVideos
from orvpe.data.protocols import get_protocol
from orvpe.data.protocols.generic import recordings
from orvpe.data.protocols.task import make_task
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.evaluation.metrics import Accuracy, accuracy
from orvpe.models.embed import check_fits
from orvpe.models.model import Model, load, note_unfinished
from orvpe.poses.skeleton import unified
from orvpe.runtime.device import pick_device
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import Run, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.occluded_copies import VERSIONS, check_versions
from orvpe.video.options import PersonFinder

SCRATCH = "scratch"  # instead of a model's name


@flat_arguments
@alone_in("run", folder=True)
def learn(
    folder: str,
    run: str,
    weights: str | None = None,
    finetune: bool = False,
    folds: int = 5,
    by: str = "recording",
    strength: float = 1.0,
    versions: int | None = None,
    epochs: int | None = None,
    window: float = 2.0,
    labels: str | None = None,
    dims: int | None = None,
    seed: int = 0,
    restart: bool = False,
    reading: PosesOrVideos = PosesOrVideos(),  # noqa: B008
    finder: PersonFinder = PersonFinder(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> LearnReport:
    """Train a classifier from one folder of videos or pose files per class, for `orvpe classify`.

    The clips are kept in RUN.orvpe and read again only when something has changed.

    Args:
        folder: folder with one subfolder per class: videos, folders of images, or pose files.
        run: folder for the model, results.json, per-class table and confusion matrix.
        weights: pre-trained model to start from, a folder or a name; when not given, the shipped one for such joints,
            or from scratch if there is none. "scratch" begins there anyway, with ``finetune``.
        finetune: train the encoder too, instead of a classifier on frozen features.
        folds: folds of the cross-validation, fewer if a class has fewer recordings; 0 for none.
        by: what stays in one fold: recording, or subject if the pose files name it.
        strength: C of the logistic regression on frozen features; larger values fit the training clips more closely.
        versions: occluded copies of each clip that this regression also learns from, four in five of them with
            something hidden or noisy; 9 when not given, 0 for whole clips alone.
        epochs: epochs of fine-tuning; 90 when not given.
        window: length in seconds of the windows into which clips of at least twice that length are cut.
        labels: a CSV with the columns name and label (and optionally subject), where there is no folder per class; the
            labels of tables are taken with --column label=NAME.
        dims: 3 for metres or 2 for pixels, for pose formats that hold both; what ``weights`` reads, or 3.
        seed: seed of the folds and of training.
        restart: start again even if the folder holds a run.
        reading: what files do not say of themselves, and which people to keep.
        finder: how people are found in videos.
        hardware: processor and threads.

    Returns:
        What was learned, as a table with the confusion matrix of the cross-validation.

    Raises:
        InputError: fewer than two classes, what cannot be read, weights for other joints, a value that does not fit.
        Interrupted: stopped by a signal while fine-tuning; the same command goes on.
    """
    begun = time.monotonic()
    if folds < 0 or folds == 1:
        raise InputError(f"folds is {folds}, expected at least 2, or 0 for no cross-validation")
    if not window > 0:
        raise InputError(f"window is {window:g}, expected more than 0 seconds")
    if not strength > 0:
        raise InputError(f"strength is {strength:g}, expected more than 0")
    if epochs is not None and (epochs < 1 or not finetune):
        wanted = "at least 1" if finetune else "--finetune with it"
        raise InputError(f"epochs is {epochs}, expected {wanted}")
    if versions is not None:
        check_versions(versions)
        if finetune:
            raise InputError(f"versions is {versions}, expected it without --finetune, which hides parts itself")
    if weights == SCRATCH and not finetune:
        raise InputError(f"weights is {SCRATCH!r}, expected --finetune with it, or a model whose features to take")
    if weights == SCRATCH and Path(SCRATCH).exists():
        print(f"note: from scratch; the folder {SCRATCH} is ./{SCRATCH}", file=sys.stderr)
    check_choices(reading.up, reading.units)
    column_pairs(reading.column)
    labelled = bool(labels or reading.column)
    if not labelled:
        class_folders(folder)
    elif not Path(folder).exists():
        raise InputError(f"{folder}: no such file or folder")
    if Path(folder).resolve() in (Path(run).resolve(), *Path(run).resolve().parents):
        raise InputError(f"run {run}: lies in {folder}, where it would be taken for a class; choose another folder")
    if Path(run).exists() and not Path(run).is_dir():  # said before minutes are spent on videos
        raise InputError(f"run folder {run} is a file, expected a folder or a new name")
    where = pick_device(hardware.device, hardware.threads)
    source = load(weights, where) if weights not in (None, SCRATCH) else None
    if source is not None:
        _check_videos(source, {"": Path(folder)} if labelled else class_folders(folder), reading.joints)
    store = folder_store(folder, Path(f"{str(run).rstrip('/')}.orvpe"), FolderOptions(
        **asdict(reading), **asdict(finder), labels=labels, window=window, dims=dims or (source.dims if source else 3),
        native=source is not None and source.layout.joints != unified.joints, threads=hardware.threads,
    ))  # fmt: skip
    if weights is None and (name := _shipped_for(store)) is not None:
        weights, source = name, load(name, where)
        print(f"note: weights {name} (shipped with orvpe); choose others with -w", file=sys.stderr)
    if source is not None:
        check_fits(source, store, str(weights))
        if not finetune:  # which says it itself
            note_unfinished(source, str(weights))
    elif weights is None:
        print(f"note: orvpe has no shipped weights for {store.dims}D joints: trained from scratch", file=sys.stderr)
    if source is None:
        weights = None
    frozen = source is not None and not finetune
    versions = (VERSIONS if versions is None else versions) if frozen else 0
    arguments = plain({
        "job": "learn", "folder": Path(folder).resolve().name, "store_checksum": store.checksum, "weights": weights,
        "finetune": finetune, "folds": folds, "by": by, "strength": strength, "versions": versions, "epochs": epochs,
        "seed": seed,
    })  # fmt: skip
    Run(run, arguments, restart=restart)
    fit: Fit
    if source is not None and frozen:
        fit, how = Probe(source, store, strength, versions, seed), f"a classifier on the frozen features of {weights}"
        how += f" (whole clips and {versions} occluded copies of each)" if versions else ""
    else:
        fit = Finetune(source, weights, store, run, epochs, seed, hardware.device, hardware.threads, restart)
        how = f"encoder and classifier from {weights or 'scratch'}"
    return _learned(fit, store, run, how, arguments, folds, by, seed, begun)


def _check_videos(model: Model, classes: dict[str, Path], joints: str | None) -> None:
    """Refuse videos that do not fit the model, before poses are estimated."""
    from orvpe.actions.classify import check_video

    for path in classes.values():
        for video in videos_of(path)[:1]:
            check_video(model, video, joints or "image")


def _shipped_for(store: Store) -> str | None:
    """Name of the shipped encoder for such clips."""
    from orvpe.models.card import BY_DIMS, shipped

    name = BY_DIMS[store.dims]
    return name if name in shipped() and store.layout.joints == unified.joints else None


# --- cross-validation, and the model that is kept -----------------------------------------------------------


def _learned(
    fit: Fit, store: Store, run: str, how: str, arguments: dict[str, Any], folds: int, by: str, seed: int, begun: float
) -> LearnReport:
    task = make_task(store, "all")
    classes, groups = task.classes, recordings(store.names)
    clips = [int((task.target == c).sum()) for c in range(len(classes))]
    count = [len(np.unique(groups[task.target == c])) for c in range(len(classes))]
    if len(classes) < 2:
        raise InputError(f"{arguments['folder']}: clips of {len(classes)} class, expected 2 or more")
    warnings = [*thin(classes, count), *twice(store, groups)]
    parts = min(folds, max(count)) if by == "recording" else min(folds, len(np.unique(store.subjects)))
    scores = {occlusion: np.zeros((len(store), len(classes))) for occlusion in ("none", *hideable(store))}
    tested = np.zeros(len(store), bool)
    for part in range(1, parts + 1) if parts > 1 else ():
        protocol = f"fold:{part}/{parts},seed={seed},by={by}"
        chosen = np.flatnonzero(np.asarray(get_protocol(protocol).split(_info(store))) == "test")
        if not len(chosen):
            continue
        found = fit(protocol)[1]
        for occlusion, kept in scores.items():
            kept[chosen] = found[occlusion]
        tested[chosen] = True
    whole: Accuracy | None = None
    right: dict[str, float] = {}
    interval, temperature = (0.0, 100.0), 1.0
    if tested.any():
        whole = accuracy(scores["none"][tested], task.target[tested])
        # clips of one recording are not independent: a number and an interval over recordings
        right = {o: by_recording(s.argmax(axis=1) == task.target, groups, tested) for o, s in scores.items()}
        interval = wilson(right["none"] / 100, len(np.unique(groups[tested])))
        temperature = best_temperature(scores["none"][tested], task.target[tested])
    elif folds:
        warnings.append("no class has two recordings, so nothing can be tested")
    model, _ = fit("all")
    assert model.head is not None
    with torch.no_grad():  # probabilities that are right as often as they say, as far as the clips tell
        model.head.weight.div_(temperature)
        model.head.bias.div_(temperature)
    unknown: dict[str, float] = {}
    if isinstance(fit, Probe) and tested.any():
        model.open_set, unknown = fit.open_set(groups, temperature)
    report = LearnReport(
        run, how, classes, clips, count, int(tested.sum()), whole, right, interval,
        parts if tested.any() else 0, warnings, time.monotonic() - begun, unknown,
    )  # fmt: skip
    write_report(report, model, store, arguments, temperature)
    return report


def _info(store: Store) -> dict[str, np.ndarray]:
    return {
        "name": store.names, "label": store.labels, "subject": store.subjects, "camera": store.cameras,
        "split": store.splits,
    }  # fmt: skip

"""Linear and nearest-neighbour probes of a frozen encoder (section IV-A, "linear classification").

Frozen means frozen: the encoder runs in evaluation mode without gradients, so neither a weight nor a batch-norm
statistic moves.  Probes read the 256-d feature, not the 128-d embedding: 256 c + c parameters for c classes, the
7.97K, 3.85K and 2.57K of Table I.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.data.protocols.task import clip_seconds, few_labels, make_task
from orvpe.data.store import Store
from orvpe.errors import InputError, unknown
from orvpe.evaluation.evaluate import FIVE, check_occlusions, model_scorer, report
from orvpe.evaluation.features import extract
from orvpe.evaluation.linear import logistic_of_versions, ridge_probe
from orvpe.evaluation.raw import raw_rows
from orvpe.models.config import EncoderConfig
from orvpe.models.embed import check_fits
from orvpe.models.model import Model, load, note_unfinished
from orvpe.runtime.device import pick_device
from orvpe.runtime.draws import seeded
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.run import Run, environment, plain
from orvpe.runtime.typed import flat_arguments
from orvpe.training.occluded_copies import check_versions, with_versions
from orvpe.training.optim import Optim, build_optimizer, learning_rate, set_learning_rate
from orvpe.views.occlusion import SEVERAL, check_occlusion
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig, input_dims


def sgd_probe(features: Tensor, target: Tensor, classes: int, optim: Optim, epochs: int, seed: int) -> nn.Linear:
    """The paper's probe: one linear layer trained with SGD on frozen features (N, 256)."""
    torch.manual_seed(seeded("cpu", seed, "probe").initial_seed())
    head = nn.Linear(features.shape[1], classes).to(features.device)
    optimizer = build_optimizer([head], optim)
    size = min(16, len(features))
    steps = len(features) // size
    for epoch in range(epochs):
        order = torch.randperm(len(features), generator=seeded("cpu", seed, "probe", epoch)).to(features.device)
        for i in range(steps):
            chosen = order[i * size : (i + 1) * size]
            set_learning_rate(optimizer, learning_rate(optim, epoch + i / steps, epochs))
            loss = F.cross_entropy(head(features[chosen]), target[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return head


def knn_scores(train: Tensor, target: Tensor, classes: int, queries: Tensor, k: int) -> np.ndarray:
    """(Q, classes) probabilities: cosine-weighted votes of the k nearest training features."""
    k = min(k, len(train))
    near, index = (F.normalize(queries, dim=1) @ F.normalize(train, dim=1).T).topk(k, dim=1)  # (Q, k)
    votes = torch.zeros(len(queries), classes, device=queries.device)
    votes.scatter_add_(1, target[index], ((near - near[:, :1]) / 0.07).exp())
    return (votes / votes.sum(dim=1, keepdim=True)).cpu().numpy()


METHODS = ("sgd", "logistic", "ridge", "knn")


@flat_arguments
@alone_in("run", folder=True)
def probe(
    store: str,
    run: str,
    protocol: str,
    weights: str | None = None,
    method: str = "logistic",
    view: ViewConfig = ViewConfig(),  # noqa: B008  (frozen)
    encoder: EncoderConfig = EncoderConfig(),  # noqa: B008
    optim: Optim = Optim(milestones=[30, 40]),  # noqa: B008
    epochs: int = 50,
    strength: float = 1.0,
    neighbours: int = 5,
    labels: float = 1.0,
    versions: int = 0,
    occlusion: str = SEVERAL,
    occlusions: list[str] = list(FIVE),  # noqa: B006  (never changed)
    raw: bool = True,
    seed: int = 0,
    batch_size: int = 64,
    restart: bool = False,
    hardware: Hardware = Hardware(),  # noqa: B008
) -> dict[str, Any]:
    """Train a classifier on the features of a frozen encoder, and evaluate it.

    Args:
        store: a labelled store made by `orvpe ingest`.
        run: folder for the results and, with a linear method, the model with its classifier.
        protocol: which clips train and test, e.g. nucla-cv, penn-official, subject:3,5 or random:0.2.
        weights: folder of a pre-trained model; none probes a random encoder made from ``encoder``, ``view``, ``seed``.
        method: sgd (the paper's), logistic, ridge (closed form) or knn.
        view: how clips become input, for a random encoder; pre-trained ones bring their own.
        encoder: which random encoder.
        optim: of method sgd.
        epochs: of method sgd.
        strength: C of logistic, lambda of ridge.
        neighbours: of knn.
        labels: share of the training labels to use, of each class alike.
        versions: occluded copies of each training clip that a linear classifier also learns from, under ``occlusion``.
        occlusion: of these; each clip of each version draws for itself.  The default occludes four in five of them.
        occlusions: test corruptions, see `orvpe evaluate`.
        raw: also print what the same clips give without an encoder: 1-NN and logistic regression on raw joints.
        seed: of the random encoder, sgd, few labels and random occlusions.
        batch_size: clips at a time.
        restart: throw away another run that the folder holds.
        hardware: processor and threads.

    Returns:
        What results.json holds.

    Raises:
        InputError: a store, protocol, model, value or folder that does not fit.
    """
    if method not in METHODS:
        raise InputError(unknown("probe method", method, METHODS))
    if neighbours < 1:
        raise InputError(f"neighbours is {neighbours}, expected at least 1")
    for name, value in (("strength", strength), ("epochs", epochs)):
        if not value > 0:
            raise InputError(f"{name} is {value}, expected above 0")
    check_versions(versions)
    if versions and method == "knn":
        raise InputError(f"versions is {versions}, expected 0 with method knn, whose neighbours are whole clips")
    check_occlusion(occlusion, "occlusion")
    if not versions and occlusion != SEVERAL:
        raise InputError(f"occlusion is {occlusion!r}, expected versions with it; those of the test are occlusions")
    check_occlusions(occlusions)
    where = pick_device(hardware.device, hardware.threads)
    opened = Store.open_whole(store)
    task = make_task(opened, protocol)
    if not len(task.test):
        raise InputError(f"protocol {protocol!r} leaves no clip to test")
    trained = few_labels(task, labels, seed)
    learned = replace(task, train=trained)
    if weights is None:
        torch.manual_seed(seeded("cpu", seed, "weights").initial_seed())
        source = Model(encoder, opened.layout, input_dims(view, opened.dims), view)
    else:
        source = load(weights)
        check_fits(source, opened, weights)
        note_unfinished(source, weights)
    model = Model(source.encoder_config, source.layout, source.dims, source.view, classes=task.classes)
    model.encoder = source.encoder
    model.to(where).eval().requires_grad_(False)
    frozen = model.for_inference()
    data = ResidentStore(opened, where)

    arguments = plain({
        "job": "probe", "store": Path(store).name, "store_checksum": opened.checksum, "protocol": protocol,
        "weights": weights, "method": method, "view": model.view, "encoder": model.encoder_config, "labels": labels,
        "strength": strength, "neighbours": neighbours, "epochs": epochs, "optim": optim, "seed": seed,
    })  # fmt: skip
    if versions:
        arguments |= {"versions": versions, "occlusion": occlusion}
    Run(run, arguments, restart=restart)  # refuses the folder of the weights, say
    began = time.perf_counter()
    seen = with_versions(frozen, data, trained, versions, occlusion, seed, batch_size)  # (1 + versions, N, D)
    once = torch.from_numpy(task.target[trained]).to(where)
    features, target = seen.flatten(0, 1), once.repeat(1 + versions)
    classes = len(task.classes)
    more: dict[str, Any] = {"arguments": arguments, "train_clips": len(trained)}
    if raw:
        more["raw"] = raw_rows(data, learned, occlusions, seed, batch_size)
    if method == "knn":
        print(f"{neighbours}-nearest-neighbour probe on {len(trained)} training clips")

        def nearest(occlusion: str) -> np.ndarray:  # neighbours are whole clips, queries are occluded
            queries = extract(frozen, data, task.test, occlusion, seed, batch_size)
            return knn_scores(features, target, classes, queries, neighbours)

        return report(nearest, opened, learned, occlusions, run, seed, **more)
    if method == "sgd":
        model.head = sgd_probe(features, target, classes, optim, epochs, seed)
    elif method == "logistic":
        model.head = logistic_of_versions(seen, once, classes, strength)
    else:
        model.head = ridge_probe(features, target, classes, strength)
    more |= {
        "probe_parameters": sum(p.numel() for p in model.head.parameters()),
        "train_seconds": time.perf_counter() - began,
    }
    also = f" and {versions} occluded copies of each ({occlusion})" if versions else ""
    print(f"{method} probe, {more['probe_parameters']:,} parameters, on {len(trained)} training clips{also}")
    frozen.head = model.head
    scorer = model_scorer(frozen, data, task, seed, batch_size)
    results = report(scorer, opened, learned, occlusions, run, seed, **more)
    known = {**arguments, "clip_seconds": clip_seconds(opened, trained)}
    model.save(run, trained=known, results=results["occlusions"], environment=environment())
    return results

"""Probes against scikit-learn and brute force, frozen encoders that stay frozen, and results that agree."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW, make_store, metrics, results
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orvpe.data.protocols.task import few_labels, make_task
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError, Interrupted
from orvpe.evaluation.evaluate import class_scores, evaluate, report
from orvpe.evaluation.features import extract
from orvpe.evaluation.fusion import fuse
from orvpe.evaluation.linear import logistic_probe, ridge_probe
from orvpe.models.model import Model, load
from orvpe.training.finetune import finetune
from orvpe.training.optim import Optim
from orvpe.training.pretrain import Contrast, pretrain
from orvpe.training.probe import knn_scores, probe, sgd_probe
from orvpe.vectors.index import index
from orvpe.views.batch import batches
from orvpe.views.resident import ResidentStore

torch.set_num_threads(1)
SMALL: dict[str, Any] = {
    "view": VIEW, "encoder": ENCODER, "epochs": 2, "batch_size": 10, "device": "cpu", "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("data") / "clips.orvpe", count=60)


@pytest.fixture(scope="module")
def pre(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("pre") / "run"
    return pretrain(store, str(run), contrast=Contrast(outputs=8, negatives=None), optim=Optim(lr=0.01), **SMALL)


@pytest.fixture(scope="module")
def fine(store: str, pre: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("fine") / "run"
    return finetune(store, str(run), "random:0.4", str(pre), optim=Optim(lr=0.01), eval_every=1, **SMALL)


def blobs(
    classes: int, count: int, width: int = 256, spread: float = 1.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features with a mean and scale far from standard, and their classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.normal(size=(classes, width))[y] + spread * rng.normal(size=(count, width))
    x = x * rng.uniform(0.1, 10, width) + rng.normal(0, 5, width)
    x[:, 3] = 7.0  # a feature that never changes
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


# --- probes ---


@pytest.mark.parametrize(("classes", "parameters"), [(10, 2570), (15, 3855), (31, 7967)])
def test_the_papers_parameter_counts(classes: int, parameters: int) -> None:
    x, y = blobs(classes, 4 * classes)
    heads = [
        sgd_probe(x, y, classes, Optim(lr=0.01), 1, 0), logistic_probe(x, y, classes), ridge_probe(x, y, classes),
    ]  # fmt: skip
    assert [sum(p.numel() for p in head.parameters()) for head in heads] == [parameters] * 3


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_against_scikit_learn(classes: int, strength: float) -> None:
    x, y = blobs(classes, 80, width=20, spread=2.0)
    queries, _ = blobs(classes, 200, width=20, spread=3.0, seed=1)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    reference.fit(x.double().numpy(), y.numpy())
    with torch.no_grad():
        found = logistic_probe(x, y, classes, strength)(queries).softmax(dim=1)
    np.testing.assert_allclose(found, reference.predict_proba(queries.double().numpy()), atol=2e-4)


@pytest.mark.parametrize("classes", [2, 6])
def test_ridge_against_scikit_learn(classes: int) -> None:
    x, y = blobs(classes, 50, width=70)  # more features than clips
    queries, _ = blobs(classes, 40, width=70, seed=1)
    wide = x.double().numpy()
    scaler = StandardScaler().fit(wide)
    reference = Ridge(alpha=3.0 * len(x) / 1000).fit(scaler.transform(wide), np.eye(classes)[y.numpy()])
    expected = reference.predict(scaler.transform(queries.double().numpy()))
    with torch.no_grad():
        found = ridge_probe(x, y, classes, 3.0)(queries).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_knn_against_brute_force() -> None:
    x, y = blobs(4, 30, width=5, spread=2.0)
    queries, _ = blobs(4, 9, width=5, seed=1)
    for k in (1, 5, 99):  # 99: more than there are
        expected = np.zeros((9, 4))
        for i, q in enumerate(queries.double().numpy()):
            cosines = [
                (float(q @ t / np.linalg.norm(q) / np.linalg.norm(t)), int(c))
                for t, c in zip(x.double().numpy(), y, strict=True)
            ]
            for cosine, c in sorted(cosines, reverse=True)[:k]:
                expected[i, c] += np.exp(cosine / 0.07)
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(knn_scores(x, y, 4, queries, k), expected, rtol=1e-4)


def test_a_class_without_training_clips_is_never_predicted() -> None:
    x, y = blobs(3, 30, width=12)
    y = torch.tensor([0, 2, 4])[y]  # 1 and 3 of five classes are missing
    for head in (logistic_probe(x, y, 5), ridge_probe(x, y, 5)):
        with torch.no_grad():
            assert set(head(x).argmax(dim=1).tolist()) == {0, 2, 4}
    assert set(knn_scores(x, y, 5, x, 3).argmax(axis=1).tolist()) == {0, 2, 4}
    two = torch.where(y == 4, 2, y)
    with torch.no_grad():
        guess = logistic_probe(x, two, 5)(x).argmax(dim=1)
    expected = LogisticRegression(max_iter=2000).fit(StandardScaler().fit_transform(x.double().numpy()), two.numpy())
    assert guess.tolist() == expected.predict(StandardScaler().fit_transform(x.double().numpy())).tolist()
    with pytest.raises(InputError, match="all of one class"):
        logistic_probe(x, torch.zeros(30, dtype=torch.long), 5)


def test_sgd_probe_learns_and_depends_on_its_seed_alone() -> None:
    x, y = blobs(4, 64, width=16)
    x = (x - x.mean(dim=0)) / (x.std(dim=0) + 1e-6)
    heads = []
    for seed in (0, 0, 1):
        torch.rand(5)
        heads.append(sgd_probe(x, y, 4, Optim(lr=0.05), 20, seed))
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)
    with torch.no_grad():
        assert (heads[0](x).argmax(dim=1) == y).float().mean() > 0.9


# --- frozen means frozen ---


@pytest.mark.parametrize("method", ["sgd", "logistic", "ridge"])
def test_a_probe_moves_nothing_of_the_encoder(method: str, store: str, pre: Path, tmp_path: Path) -> None:
    found = probe(store, str(tmp_path / "p"), "random:0.4", str(pre), method, epochs=2, device="cpu", threads=1)
    before, after = load_file(pre / "weights.safetensors"), load_file(tmp_path / "p" / "weights.safetensors")
    encoder = {k for k in before if k.startswith("encoder.")}
    assert any("running_var" in k for k in encoder)
    assert any("num_batches_tracked" in k for k in encoder)
    assert set(after) == encoder | {"head.weight", "head.bias"}  # exactly the head is new, the projection gone
    for name in encoder:
        assert torch.equal(before[name], after[name]), name
    assert found["probe_parameters"] == 16 * 10 + 10
    assert load(tmp_path / "p").view == load(pre).view


def test_a_random_encoder_depends_on_the_seed_alone(store: str, tmp_path: Path) -> None:
    common: dict[str, Any] = {
        "encoder": ENCODER, "view": VIEW, "occlusions": ["none"], "method": "ridge", "device": "cpu", "threads": 1,
    }  # fmt: skip
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)
        probe(store, str(tmp_path / name), "random:0.4", seed=seed, **common)
    a, b, c = (load_file(tmp_path / n / "weights.safetensors") for n in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["encoder.stem.weight"], c["encoder.stem.weight"])


@pytest.mark.parametrize("training", [True, False])
def test_extracting_leaves_the_model_as_it_was(store: str, fine: Path, training: bool) -> None:
    model = load(fine).train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = ResidentStore(Store.open(store))
    for occlusion in ("none", "joints:0.3"):
        one = extract(model, data, np.arange(20), occlusion, batch_size=20)
        class_scores(model, data, np.arange(20), occlusion)
    assert not one.requires_grad
    assert model.training == training
    assert model.encoder.training == training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_features_do_not_depend_on_their_neighbours(store: str, fine: Path) -> None:
    model, data = load(fine), ResidentStore(Store.open(store))
    whole = extract(model, data, np.arange(20))
    turned = extract(model, data, np.arange(20)[::-1], batch_size=7)
    torch.testing.assert_close(turned.flip(0), whole, atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="batch_size is 0"):
        list(batches(np.arange(3), 0))


def test_finetuning_starts_from_the_weights(store: str, pre: Path, tmp_path: Path) -> None:
    still = Optim(lr=0.0, weight_decay=0.0)
    run = finetune(store, str(tmp_path / "still"), "random:0.4", str(pre), optim=still, **{**SMALL, "epochs": 1})
    before, after = load_file(pre / "weights.safetensors"), load_file(run / "weights.safetensors")
    parameters = {name for name, _ in load(pre).named_parameters()}
    assert {k for k in before if k not in after} == {k for k in before if k.startswith("projection.")}
    assert {k for k in after if k not in before} == {"head.weight", "head.bias"}
    for name in parameters & set(after):
        assert torch.equal(before[name], after[name]), name  # nothing was drawn anew
    scratch = finetune(store, str(tmp_path / "scratch"), "random:0.4", optim=still, **{**SMALL, "epochs": 1})
    assert not torch.equal(
        load_file(scratch / "weights.safetensors")["encoder.stem.weight"], before["encoder.stem.weight"]
    )


def test_weights_of_another_stream_are_told(
    store: str, pre: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finetune(store, str(tmp_path / "same"), "random:0.4", str(pre), **{**SMALL, "epochs": 1})
    assert "note" not in capsys.readouterr().err
    more = {**SMALL, "epochs": 1, "view": replace(SMALL["view"], stream="bone", centre="none")}
    finetune(store, str(tmp_path / "bone"), "random:0.4", str(pre), **more)
    told = capsys.readouterr().err
    assert "another kind of input: view.stream was joint, is bone, view.centre was frame, is none\n" in told


def test_finetuning_moves_every_weight(fine: Path, pre: Path) -> None:
    before, after = load_file(pre / "weights.safetensors"), load_file(fine / "weights.safetensors")
    for name in {n for n, _ in load(pre).named_parameters() if n.startswith("encoder.")}:
        assert not torch.equal(before[name], after[name]), name
    assert metrics(fine)[-1]["loss"] < metrics(fine)[0]["loss"]


# --- results ---


def test_the_files_of_an_evaluation_agree(store: str, fine: Path, tmp_path: Path) -> None:
    kinds = ["none", "upper", "joints:0.5", "frames:0.3+left"]
    found = evaluate(store, str(fine), "random:0.4", str(tmp_path / "e"), kinds, device="cpu", threads=1)
    written = json.loads((tmp_path / "e" / "results.json").read_text())
    assert written == found
    assert list(found["occlusions"]) == kinds
    assert found["generated_data"] is True
    opened = Store.open(store)
    task = make_task(opened, "random:0.4", load(fine).classes)
    with np.load(tmp_path / "e" / "scores.npz") as scores:
        assert scores["names"].tolist() == opened.names[task.test].tolist()
        assert scores["classes"].tolist() == task.classes
        labels = scores["labels"]
        guess = scores["classes"][scores["scores"].argmax(axis=1)]
    clean = found["occlusions"]["none"]
    assert found["test_clips"] == len(labels) == len(task.test)
    assert clean["top1"] == pytest.approx(100 * np.mean(guess == labels))
    per_class = {c: 100 * np.mean(guess[labels == c] == c) for c in task.classes if (labels == c).any()}
    assert clean["mean_class"] == pytest.approx(np.mean(list(per_class.values())))
    assert {c: v for c, v in found["per_class"].items() if v is not None} == pytest.approx(per_class)
    for row in found["occlusions"].values():
        assert 0 <= row["top1"] <= row["top5"] <= 100
        if clean["top1"]:
            assert row["retained"] == pytest.approx(100 * row["top1"] / clean["top1"])
    with open(tmp_path / "e" / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["class"] for r in rows] == task.classes
    assert sum(int(r["clips"]) for r in rows) == len(labels)
    right = sum(int(r["clips"]) * float(r["upper"] or 0) / 100 for r in rows)
    assert 100 * right / len(labels) == pytest.approx(found["occlusions"]["upper"]["top1"], abs=0.1)
    assert (tmp_path / "e" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    # the run's own numbers are those of evaluating it again, and of its curve's end
    assert results(fine)["occlusions"]["none"] == clean
    assert metrics(fine)[-1]["test_top1"] == pytest.approx(clean["top1"])


def test_nothing_right_leaves_nothing_to_retain(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(Store.open(store), "random:0.4")
    scores = np.zeros((len(task.test), len(task.classes)))
    scores[np.arange(len(task.test)), (task.target[task.test] + 1) % len(task.classes)] = 1.0
    report(lambda _: scores, Store.open(store), task, ["none", "left"], tmp_path)
    found = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)  # NaN is no JSON
    assert [row["retained"] for row in found["occlusions"].values()] == [None, None]
    assert capsys.readouterr().out.count("  -\n") == 2


def test_testing_on_training_clips_is_told(store: str, fine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(store, str(fine), "random:0.4", None, ["none"], device="cpu", threads=1)
    assert "trained on" not in capsys.readouterr().err
    evaluate(store, str(fine), "camera:v01", None, ["none"], device="cpu", threads=1)
    opened = Store.open(store)
    theirs, ours = (make_task(opened, p) for p in ("random:0.4", "camera:v01"))
    both = len(set(theirs.train) & set(ours.test))
    assert f"was trained on {both} of these {len(ours.test)} test clips" in capsys.readouterr().err


def test_an_evaluation_prints_its_table(store: str, fine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(store, str(fine), "random:0.4", None, ["none", "hands"], device="cpu", threads=1)
    out = capsys.readouterr().out
    assert "[generated data]" in out
    assert f"{found['occlusions']['hands']['top1']:.1f}" in next(line for line in out.splitlines() if "hands" in line)
    with pytest.raises(InputError, match="occlusions is empty"):
        evaluate(store, str(fine), "random:0.4", None, [], device="cpu")


def test_real_clips_are_not_called_generated(store: str, fine: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "s.orvpe", Store.open(store), {"generated": False})
    found = evaluate(str(tmp_path / "s.orvpe"), str(fine), "random:0.4", None, ["none"], device="cpu", threads=1)
    assert found["generated_data"] is False


def test_occlusions_are_drawn_from_the_seed(store: str, fine: Path) -> None:
    model, data = load(fine), ResidentStore(Store.open(store))
    one, two, three = (class_scores(model, data, np.arange(30), "joints:0.5", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - three).max() > 1e-3


@pytest.mark.parametrize("occlusion", ["joints:0.5", "flicker:0.5", "tubes:0.5+frames:0.3", "block:0.5+jitter:0.1"])
def test_occlusions_do_not_depend_on_the_batch(occlusion: str, store: str, fine: Path) -> None:
    model, data, clips = load(fine), ResidentStore(Store.open(store)), np.arange(30)
    whole = class_scores(model, data, clips, occlusion, 0, batch_size=64)
    for size in (1, 7):
        np.testing.assert_allclose(class_scores(model, data, clips, occlusion, 0, size), whole, atol=1e-4)
    np.testing.assert_allclose(class_scores(model, data, clips[11:20], occlusion), whole[11:20], atol=1e-4)


def test_few_labels(store: str, pre: Path, tmp_path: Path) -> None:
    task = make_task(Store.open(store), "random:0.4")
    kept = few_labels(task, 0.3, 0)
    assert set(kept) < set(task.train)
    for c in range(len(task.classes)):
        own = (task.target[task.train] == c).sum()
        assert (task.target[kept] == c).sum() == max(1, round(0.3 * own))
    assert kept.tolist() == few_labels(task, 0.3, 0).tolist()
    assert kept.tolist() != few_labels(task, 0.3, 1).tolist()
    for method in ("logistic", "ridge", "knn"):
        found = probe(store, str(tmp_path / method), "random:0.4", str(pre), method, labels=0.01, occlusions=["none"],
                      device="cpu", threads=1)  # fmt: skip
        assert found["train_clips"] == len(task.classes)


def test_fusing_a_run_with_itself_changes_nothing(fine: Path, tmp_path: Path) -> None:
    file = str(fine / "scores.npz")
    found = fuse([file, file], out=str(tmp_path / "both.csv"))
    assert found["fused"]["top1"] == pytest.approx(found["files"][file])
    assert found["fused"]["top1"] == pytest.approx(results(fine)["occlusions"]["none"]["top1"])
    assert fuse([str(tmp_path / "both.csv"), file])["fused"]["top1"] == pytest.approx(found["fused"]["top1"])


def test_a_model_knows_its_classes_order(store: str, fine: Path) -> None:
    model = load(fine)
    assert isinstance(model, Model)
    assert model.classes == sorted(set(Store.open(store).labels.tolist()))


def test_a_pretraining_from_weights_of_another_stream_says_so(
    store: str, pre: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(name: str, **view: Any) -> str:
        capsys.readouterr()
        with pytest.raises(Interrupted):
            pretrain(
                store, str(tmp_path / name), view=replace(load(pre).view, **view), encoder=ENCODER, epochs=1,
                batch_size=10, contrast=Contrast(negatives=None), weights=str(pre), threads=1, device="cpu",
                stop_after=1,
            )  # fmt: skip
        return capsys.readouterr().err

    assert "another kind of input" not in told("same")
    assert "another kind of input: view.stream was joint, is bone" in told("bone", stream="bone")


def test_weights_of_a_pretraining_that_is_not_finished(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "pre")

    def go_on(**more: Any) -> None:
        pretrain(
            store, run, view=VIEW, encoder=ENCODER, epochs=2, batch_size=10, contrast=Contrast(negatives=None),
            threads=1, device="cpu", **more,
        )  # fmt: skip

    def told() -> str:
        capsys.readouterr()
        probe(store, str(tmp_path / "probe"), protocol="random:0.3", weights=run, method="knn", restart=True, threads=1)
        return capsys.readouterr().err

    with pytest.raises(Interrupted):
        go_on(stop_after=7)  # steps, of six an epoch
    note = f"note: weights {run} are of epoch 1 of 2; their pre-training is not finished\n"
    assert note in told()
    index(store, str(tmp_path / "index"), weights=run, threads=1)
    assert capsys.readouterr().err.count(note) == 1
    go_on()
    assert "note" not in told()


@pytest.mark.parametrize(("name", "value", "least"), [("epochs", 0, 1), ("save_every", -1, 0), ("seed", -1, 0)])
def test_a_count_that_no_training_has_leaves_no_folder(
    name: str, value: int, least: int, store: str, tmp_path: Path
) -> None:
    given = {**SMALL, name: value}
    for job in (
        lambda run: pretrain(store, run, contrast=Contrast(negatives=None), **given),
        lambda run: finetune(store, run, "random:0.4", **given),
    ):
        with pytest.raises(InputError, match=f"{name} is {value}, expected at least {least}"):
            job(str(tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_clips_in_2d_have_no_virtual_camera(tmp_path: Path) -> None:
    flat = make_store(tmp_path / "flat.orvpe", count=20, dims=2)
    view = replace(VIEW, camera="virtual", image="body")
    run = pretrain(
        flat, str(tmp_path / "run"), contrast=Contrast(negatives=None), **{**SMALL, "view": view, "epochs": 1}
    )
    assert load(run).view == replace(view, camera="none")

"""The teacher, several views a step, and recordings that are no negatives of themselves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.clips import batch, drawn
from helpers.small_runs import ENCODER, VIEW, make_store
from torch import nn

from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.encoders import build_encoder
from orvpe.models.heads import Projection
from orvpe.models.model import load
from orvpe.training.contrast import ContrastiveModule
from orvpe.training.losses import info_nce
from orvpe.training.optim import Optim
from orvpe.training.pretrain import Contrast, _recordings, pretrain
from orvpe.training.teacher import Teacher
from orvpe.views.view import ViewConfig, join, pool_people, training_view

torch.set_num_threads(1)


def small() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return build_encoder("light", **ENCODER.options), Projection(16, 8)


def test_the_teacher_is_the_moving_average_of_the_weights() -> None:
    encoder, projection = small()
    teacher = Teacher(encoder, projection, 0.9)
    average = [p.detach().clone() for p in encoder.parameters()]
    g = torch.Generator().manual_seed(1)
    for _ in range(4):
        with torch.no_grad():
            for p in encoder.parameters():
                p.add_(torch.randn(p.shape, generator=g))
        teacher.follow(encoder, projection)
        average = [0.9 * a + 0.1 * p.detach() for a, p in zip(average, encoder.parameters(), strict=True)]
    for mine, expected in zip(teacher.encoder.parameters(), average, strict=True):
        torch.testing.assert_close(mine, expected)
        assert not mine.requires_grad


def test_the_teacher_says_unit_vectors_without_gradient() -> None:
    encoder, projection = small()
    teacher = Teacher(encoder, projection, 0.5).train()
    view = training_view(batch((7, 9, 12)), VIEW, drawn(3, 0))
    said = teacher(view)
    assert not said.requires_grad
    torch.testing.assert_close(said.norm(dim=1), torch.ones(3))
    encoder.train()
    torch.testing.assert_close(said, projection(pool_people(encoder(view.joints, view.visible), view)).detach())


@pytest.mark.parametrize("momentum", [0.0, 1.0, -1.0])
def test_a_teachers_momentum_has_a_range(momentum: float) -> None:
    with pytest.raises(InputError, match=r"contrast\.teacher"):
        Teacher(*small(), momentum)


def test_joined_views_are_each_by_itself() -> None:
    config = ViewConfig(tau=8, crop="resample", shortest=0.5, occlusion="joints:0.3")
    clips = batch((7, 9, 12), people=2)
    views = [training_view(clips, config, drawn(3, k)) for k in range(3)]
    encoder = build_encoder("light", **ENCODER.options).eval()
    with torch.no_grad():
        joined = join(views)
        together = pool_people(encoder(joined.joints, joined.visible), joined)
        apart = torch.cat([pool_people(encoder(v.joints, v.visible), v) for v in views])
    assert joined.clips == 9
    torch.testing.assert_close(together, apart)
    assert join(views[:1]) is views[0]


def module(recordings: torch.Tensor | None = None, negatives: int | None = None) -> ContrastiveModule:
    torch.manual_seed(0)
    return ContrastiveModule(6, inputs=16, outputs=8, negatives=negatives, recordings=recordings)


def test_the_loss_pulls_towards_what_the_teacher_said() -> None:
    contrast = module()
    feature, index = torch.randn(2, 16), torch.tensor([4, 1])
    positive = F.normalize(torch.randn(2, 8), dim=1)
    loss, query = contrast(feature, index, positive=positive)
    for b, i in enumerate(index.tolist()):
        others = torch.stack([contrast.bank.rows[k] for k in range(6) if k != i])
        expected = info_nce(query[b : b + 1], positive[b : b + 1], others)
        torch.testing.assert_close(loss[b : b + 1], expected)


@pytest.mark.parametrize("negatives", [None, 5])
def test_windows_of_a_recording_are_no_negatives_of_each_other(negatives: int | None) -> None:
    contrast = module(torch.tensor([0, 0, 1, 1, 1, 2]), negatives)
    feature, index = torch.randn(3, 16), torch.tensor([0, 3, 5])
    loss, query = contrast(feature, index, torch.Generator().manual_seed(0))
    allowed = {0: [2, 3, 4, 5], 3: [0, 1, 5], 5: [0, 1, 2, 3, 4]}
    for b, i in enumerate(index.tolist()):
        similar = [float(query[b].detach() @ contrast.bank.rows[k]) / 0.07 for k in (i, *allowed[i])]
        assert float(loss[b].detach()) == pytest.approx(math.log(sum(map(math.exp, similar))) - similar[0], rel=1e-4)
    loss.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in contrast.projection.parameters() if p.grad is not None)


def test_windows_are_told_by_their_names(tmp_path: Path) -> None:
    store = Store.open(make_store(tmp_path / "a.orvpe", count=4))

    class Named:
        names = ("walk@0", "walk@100", "run@0", "jump")

    assert _recordings(Named()).tolist() == [2, 2, 1, 0]  # type: ignore[arg-type]
    assert len(set(_recordings(store).tolist())) == 4


def test_pretraining_from_weights_and_in_2d(tmp_path: Path) -> None:
    store = make_store(tmp_path / "a.orvpe", count=24)
    view = ViewConfig(tau=16, crop="resample", camera="virtual", image="body", occlusion="subgraph")
    common = {"encoder": ENCODER, "epochs": 1, "batch_size": 8, "device": "cpu", "threads": 1}
    contrast = Contrast(outputs=8, negatives=None, teacher=0.9, spare_recording=True)
    first = pretrain(store, str(tmp_path / "one"), view, contrast=contrast, **common)  # type: ignore[arg-type]
    assert load(first).dims == 2
    second = pretrain(store, str(tmp_path / "two"), view, contrast=contrast, weights=str(first), **common)  # type: ignore[arg-type]
    assert load(second).dims == 2
    # of another dimension, all but what reads coordinates
    third = pretrain(
        store, str(tmp_path / "three"), VIEW, contrast=contrast, weights=str(first), optim=Optim(lr=0.0), **common
    )  # type: ignore[arg-type]
    ours, theirs = load(third).encoder.state_dict(), load(first).encoder.state_dict()
    other = {k for k, v in ours.items() if v.shape != theirs[k].shape}
    assert other == {"stem.weight", *(f"input_norm.{n}" for n in ("weight", "bias", "running_mean", "running_var"))}
    for name in ours.keys() - other:
        if "running" not in name and "batches" not in name:
            assert torch.equal(ours[name], theirs[name]), name
    other_encoder = EncoderConfig("light", {**ENCODER.options, "groups": 2})
    with pytest.raises(InputError, match="another encoder or layout"):
        pretrain(store, str(tmp_path / "four"), VIEW, other_encoder, contrast, weights=str(first), batch_size=8)

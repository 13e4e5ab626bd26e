"""Ragged clips into dense batches, and random numbers that do not depend on who draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips import clip, drawn, same_bits
from helpers.rounding import TailRoundsUp, same_to_rounding
from scipy.stats import kstest

from orvpe.data.generated import generate
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS
from orvpe.runtime.draws import Draws, seeded
from orvpe.views.batch import Batch, collate, hide
from orvpe.views.resident import ResidentStore


def check_against_clips(got: Batch, clips: list[Clip], tolerance: float) -> None:
    """Every value by a loop over the clips, and nothing outside them."""
    assert got.joints.shape[1] == max(c.people for c in clips)
    assert got.joints.shape[2] == max(c.frames for c in clips)
    for n, c in enumerate(clips):
        assert got.frames[n] == c.frames
        assert tuple(got.image_size[n].tolist()) == (c.image_size or (0, 0))
        for m in range(got.joints.shape[1]):
            for t in range(got.joints.shape[2]):
                inside = m < c.people and t < c.frames
                seen = c.visible[m, t] if inside else np.zeros(len(c.layout), dtype=bool)
                assert np.array_equal(got.visible[n, m, t].numpy(), seen)
                want = np.where(seen[:, None], c.joints[m, t] if inside else 0.0, np.zeros((1, c.dims)))
                np.testing.assert_allclose(got.joints[n, m, t].numpy(), want, atol=tolerance)
    hidden = got.joints[~got.visible]
    assert same_bits(hidden, torch.zeros_like(hidden))


@pytest.mark.parametrize("resident", [False, True])  # from the file, and as a GPU holds it
@pytest.mark.parametrize("dims", [2, 3])
def test_batches_of_a_store_are_its_clips(tmp_path: Path, dims: int, resident: bool) -> None:
    size = (640, 480) if dims == 2 else None
    clips = [clip(t, m, dims, 0.3, i, image_size=size) for i, (t, m) in enumerate([(5, 1), (1, 2), (9, 1), (4, 3)])]
    clips[2] = clips[2].with_(joints=clips[2].joints + 1500, image_size=None)
    store = write_store(tmp_path / "s.orvpe", clips)
    check_store(store, clips, ResidentStore(store, resident=resident), dims)


def check_store(store: Store, clips: list[Clip], resident: ResidentStore, dims: int) -> None:
    assert len(resident) == 4
    half_step = 0.0501 if dims == 2 else 0.000501
    for chosen in ([0, 1, 2, 3], [3, 0], [1], [2, 2, 0]):
        got = resident.batch(np.array(chosen))
        check_against_clips(got, [clips[i] for i in chosen], half_step + 1e-4)
        check_against_clips(got, [store.clip(i) for i in chosen], 3e-4 if dims == 3 else 1e-3)
        assert got.index.tolist() == chosen
        assert got.dims == dims


def test_a_store_of_several_parts_is_cut_alike_from_file_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orvpe.data.store.writing._BATCH_CLIPS", 7)
    store = write_store(tmp_path / "s.orvpe", generate(40, seed=1))
    assert store.table.column("joints").num_chunks > 1
    file, memory = ResidentStore(store), ResidentStore(store, resident=True)
    assert file.values is None
    chosen = np.array([39, 0, 6, 7, 20, 20, 13])
    a, b = file.batch(chosen), memory.batch(chosen)
    for field in ("joints", "visible", "frames", "image_size", "index"):
        assert same_bits(getattr(a, field), getattr(b, field))


def test_collated_clips() -> None:
    clips = [clip(t, m, 2, 0.3, i, image_size=s) for i, (t, m, s) in enumerate([(5, 1, (64, 48)), (8, 2, None)])]
    check_against_clips(collate(clips), clips, 0)


def test_garbage_under_hidden_joints_is_not_collated() -> None:
    clean = clip(6, 2, missing=0.4)
    garbage = np.array([np.nan, np.inf, -np.inf, -0.0, 3e38, 1e-42], dtype=np.float32)
    joints = clean.joints.copy()
    joints[~clean.visible] = np.resize(garbage, (int((~clean.visible).sum()), 3))
    a, b = collate([clean]), collate([clean.with_(joints=joints)])
    assert same_bits(a.joints, b.joints)
    assert torch.equal(a.visible, b.visible)


def test_hide_makes_plain_zeros() -> None:
    x = torch.tensor([[float("nan"), -0.0], [1.0, 2.0], [float("inf"), -1.0]])
    got = hide(x, torch.tensor([False, True, False]))
    assert same_bits(got, torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]))


def test_clips_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match="no clip given"):
        collate([])
    with pytest.raises(InputError, match="'c1' is 2D on layout 'unified', the ones before it are 3D"):
        collate([clip(3), clip(3, dims=2, seed=1)])
    with pytest.raises(InputError, match="on layout 'coco'"):
        collate([clip(3), clip(3, layout=LAYOUTS["coco"], seed=1)])


def test_generated_clips_collate() -> None:
    clips = list(generate(3, people=2, dims=2))
    check_against_clips(collate(clips), clips, 0)


# --- draws -------------------------------------------------------------------------------------------------------


def everything(d: Draws) -> list[torch.Tensor]:
    return [
        d.uniform(), d.uniform(3), d.normal(2, 2), d.integers(5), d.integers(7, 2), d.uniform_at(2, 3),
        d.normal_at(2, 2, 2), d.uniform(),
    ]  # fmt: skip


NORMAL_AT = 6  # which of them rounds by place


def test_halves_draw_the_rows_of_the_whole() -> None:
    with TailRoundsUp():
        whole = everything(Draws(seeded("cpu", 1, "x"), 10))
    for rows in (slice(0, 5), slice(5, 10), slice(0, 1), slice(3, 10), slice(1, 10, 2)):
        with TailRoundsUp():
            parts = everything(Draws(seeded("cpu", 1, "x"), 10, rows))
        for i, (part, full) in enumerate(zip(parts, whole, strict=True)):
            assert same_to_rounding(part, full[rows], 8) if i == NORMAL_AT else torch.equal(part, full[rows])


def test_every_part_of_the_key_counts() -> None:
    keys: list[tuple[int | str, ...]] = [
        (0,), (1,), (0, "a"), (0, "b"), ("0",), (0, "a", 1), (0, "a", 2), (0, "a", 1, 2), (0, "a", 12), (1, 2), (12,),
        (-1,), ("a", 0),
    ]  # fmt: skip
    firsts = {tuple(torch.rand(4, generator=seeded("cpu", *k)).tolist()) for k in keys}
    assert len(firsts) == len(keys)
    for k in keys:
        a, b = (torch.rand(4, generator=seeded("cpu", *k)) for _ in range(2))
        assert torch.equal(a, b)


def test_numbers_of_a_place_do_not_depend_on_padding() -> None:
    small, large = drawn(3, 7).uniform_at(1, 5, 17), drawn(3, 7).uniform_at(4, 90, 17)
    assert torch.equal(small, large[:, :1, :5])
    with TailRoundsUp():
        small, large = drawn(3, 7).normal_at(1, 5, 17, 3), drawn(3, 7).normal_at(2, 9, 17, 3)
    assert same_to_rounding(small, large[:, :1, :5], 8)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_numbers_of_places_are_random(axes: tuple[int, int, int]) -> None:
    x = drawn(8, 3).uniform_at(50, 60)
    assert float(x.min()) >= 0
    assert float(x.max()) < 1
    assert len(x.unique()) > 0.99 * x.numel()
    assert kstest(x.flatten().numpy(), "uniform").pvalue > 1e-3
    series = x.permute(*axes).flatten().double() - 0.5
    for lag in (1, 2, 60):  # neighbours along any axis know nothing of each other
        r = (series[:-lag] * series[lag:]).mean() / series.square().mean()
        assert abs(float(r)) < 4 / len(series) ** 0.5


def test_normals_of_places_are_normal() -> None:
    x = drawn(4, 5).normal_at(40, 50, 3)
    assert torch.isfinite(x).all()
    assert kstest(x.flatten().numpy(), "norm").pvalue > 1e-3


def test_uniform_numbers_stay_below_one_and_integers_below_high() -> None:
    d = drawn(1000, 1)
    assert float(d.uniform(20).max()) < 1
    assert d.integers(5).unique().tolist() == [0, 1, 2, 3, 4]

"""Structured embeddings against slow references, and what must not change them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.clips import batch, clip, same_bits

import orvpe
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.embed import embed_batch, from_rows
from orvpe.models.encoders.tokens import FILL_RIDGE, FILL_SHIFT, RIDGE, SHIFT, TokenEncoder, Tokens
from orvpe.models.model import Model, load
from orvpe.poses.skeleton import get_layout, unified
from orvpe.training.token_metric import VIEW, Sample, learn_moments, metric, scatter
from orvpe.views.view import fixed_view

torch.set_num_threads(1)


def encoder(dims: int = 3, segments: int = 2, seed: int = 0) -> TokenEncoder:
    """One with moments of random, correlated data."""
    made = TokenEncoder(in_channels=dims, segments=segments, width=32)
    g = torch.Generator().manual_seed(seed)
    k, d = made.mean.shape
    factors = torch.randn(2, k, d, d, generator=g) / d**0.5
    within, more = (f @ f.mT for f in factors)
    made.set_moments(0.1 * torch.randn(k, d, generator=g), within, within + more, torch.ones(len(unified)))
    return made


def some_tokens(n: int, of: TokenEncoder, hidden: float = 0.0, seed: int = 1) -> Tokens:
    g = torch.Generator().manual_seed(seed)
    values = torch.randn(n, *of.shape, generator=g)
    visible = torch.rand(n, *of.shape[:2], generator=g) >= hidden
    return Tokens(values * visible[..., None], visible)


@pytest.mark.parametrize("dims", [2, 3])
def test_similarity_is_the_cosine_in_the_marginal_metric(dims: int) -> None:
    made = encoder(dims)
    q, g = some_tokens(3, made, 0.4), some_tokens(4, made, seed=2)
    found = made.similarity(q, g)
    v, s, c = len(unified), made.segments, dims
    for i in range(3):
        shown = q.visible[i].numpy()
        for j in range(4):
            total = 0.0
            for k in range(made.frames):
                mean = made.mean[k].double().view(v, s, c).numpy()
                a = (q.values[i, :, :, k * c : (k + 1) * c].double().numpy() - mean)[shown].ravel()
                b = (g.values[j, :, :, k * c : (k + 1) * c].double().numpy() - mean)[shown].ravel()
                spread = made.within[k].double().numpy()
                size = np.trace(spread)
                spread = spread + RIDGE * size / len(spread) * np.eye(len(spread))
                for axis in range(c):  # moving the whole body along an axis counts for nearly nothing
                    one = np.zeros((v, s, c))
                    one[..., axis] = 1 / (v * s) ** 0.5
                    spread = spread + SHIFT * size * np.outer(one, one)
                keep = np.repeat(shown[..., None], c, axis=2).ravel()
                inverse = np.linalg.inv(spread[np.ix_(keep, keep)])
                total += a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b))
            assert abs(float(found[i, j]) - total / made.frames) < 1e-4


def test_filling_is_the_conditional_mean() -> None:
    made = encoder()
    tokens = some_tokens(3, made, 0.3)
    x, seen = made.flat(tokens)
    filled = made.fill(tokens)
    spread = made.spread(made.total.double(), FILL_RIDGE, FILL_SHIFT)
    for i in range(3):
        o = seen[i] > 0
        for k in range(made.frames):
            expected = spread[k][~o][:, o] @ torch.linalg.solve(spread[k][o][:, o], x[i, k, o].double())
            assert torch.allclose(filled[i, k, ~o].double(), expected, atol=2e-3)
            assert same_bits(filled[i, k, o], x[i, k, o])
    assert same_bits(filled, made.filled(tokens))


def test_where_the_body_is_and_how_large_changes_nothing() -> None:
    made = encoder()
    joints = torch.randn(4, 3, 8, len(unified))
    a, b = made.tokens(joints), made.tokens(2.5 * joints + torch.tensor([1.0, -2.0, 0.5])[:, None, None])
    assert torch.allclose(a.values, b.values, atol=1e-4)


def test_the_bodys_own_frame_does_not_turn_with_it() -> None:
    made = encoder()
    joints, angle = torch.randn(4, 3, 8, len(unified)), torch.tensor(2.0)
    turn = torch.tensor([[angle.cos(), -angle.sin(), 0.0], [angle.sin(), angle.cos(), 0.0], [0.0, 0.0, 1.0]])
    a, b = made.tokens(joints).values, made.tokens(torch.einsum("ij,njtv->nitv", turn, joints)).values
    assert torch.allclose(a[..., 3:], b[..., 3:], atol=1e-4)
    assert not torch.allclose(a[..., :3], b[..., :3], atol=0.1)


@pytest.mark.parametrize("dims", [2, 3])
def test_hidden_joints_do_not_change_a_bit(dims: int) -> None:
    model = Model(EncoderConfig("tokens"), unified, dims, VIEW)
    clips = batch((12, 30), dims=dims, missing=0.4)
    spoiled = clips.with_(joints=torch.where(clips.visible[..., None], clips.joints, 0.0))
    a, b = embed_batch(model, clips), embed_batch(model, spoiled)
    assert np.array_equal(a.feature, b.feature)
    assert a.tokens is not None
    assert b.tokens is not None
    assert np.array_equal(a.tokens, b.tokens, equal_nan=True)
    kept = from_rows(model, a.tokens).visible
    assert kept.any()
    assert a.tokens.shape[1] == kept[0].numel() * model.token_shape[2]


def test_a_hidden_joint_leaves_the_other_tokens_alone() -> None:
    made = encoder()
    joints = torch.randn(2, 3, 8, len(unified))
    joints = joints - joints.mean(dim=(2, 3), keepdim=True)
    visible = torch.ones(2, 8, len(unified), dtype=torch.bool)
    visible[:, :, unified.index("left_wrist")] = False
    found = made.tokens(joints * visible[:, None], visible)
    assert not found.visible[:, unified.index("left_wrist")].any()
    assert found.visible.sum() == found.visible.numel() - 2 * made.segments


@pytest.mark.parametrize("name", ["corpora-tokens-3d-joint", "corpora-tokens-2d-joint"])
def test_an_occluded_clip_finds_itself_and_not_its_mirror_image(name: str) -> None:
    from orvpe.data.generated import generate

    model = load(name)
    clips = [c for c in generate(24) if c.dims == 3][:12]
    if model.dims == 2:
        flat = [c.with_(joints=100 * c.joints[..., :2] + 300, image_size=(640, 480)) for c in clips]
        clips = flat
    whole = orvpe.embed_tokens(model, clips)
    for occlusion in ("left", "lower", "joints:0.3"):
        hidden = orvpe.embed_tokens(model, clips, occlusion=occlusion)
        found = orvpe.similarity(model, hidden, whole)
        assert (found.argmax(axis=1) == np.arange(len(clips))).mean() >= 0.9, occlusion
    mirror = [
        c.with_(
            joints=c.joints[:, :, list(c.layout.mirror)] * np.array([-1, *[1] * (c.dims - 1)], np.float32),
            visible=c.visible[:, :, list(c.layout.mirror)],
        )
        for c in clips
    ]
    seen = orvpe.embed_tokens(model, clips, occlusion="lower")
    own = np.diagonal(orvpe.similarity(model, seen, whole))
    other = np.diagonal(orvpe.similarity(model, seen, orvpe.embed_tokens(model, mirror)))
    assert (own > other).all()


def test_scatter_against_loops() -> None:
    x, classes = torch.randn(9, 1, 4, dtype=torch.float64), torch.tensor([0, 0, 1, 1, 1, 1, 2, 2, 2])
    within, total = scatter(x, classes)
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    for c in range(3):
        own = x[classes == c, 0].numpy()
        for row in own:
            a += np.outer(row - own.mean(0), row - own.mean(0)) / len(own) / 3
            b += np.outer(row - x[:, 0].numpy().mean(0), row - x[:, 0].numpy().mean(0)) / len(own) / 3
    assert np.allclose(within[0], a)
    assert np.allclose(total[0], b)


def test_learning_ignores_what_differs_among_people_who_do_the_same() -> None:
    """Two classes told apart by a wrist, while the legs move at random and far more."""
    made, rng = TokenEncoder(segments=2, width=32), torch.Generator().manual_seed(0)
    classes = torch.arange(200) % 2
    values = 0.02 * torch.randn(200, *made.shape, generator=rng)
    values[:, unified.index("left_wrist")] += (0.4 * classes.float() - 0.2)[:, None, None]
    values[:, unified.index("left_hip") :] += torch.randn(200, 6, 1, 6, generator=rng)
    tokens = Tokens(values, torch.ones(200, *made.shape[:2], dtype=torch.bool))

    def nearest_is_right() -> float:
        found = made.similarity(tokens, tokens).fill_diagonal_(-2)
        return float((classes[found.argmax(dim=1)] == classes).float().mean())

    before = nearest_is_right()
    learn_moments(made, [Sample(tokens, classes)])
    assert before < 0.75 < 0.85 < nearest_is_right()


def test_learned_from_stores_and_loaded_again(tmp_path: Path) -> None:
    from helpers.small_runs import make_store

    store = make_store(tmp_path / "s.orvpe", count=30)
    one = load(metric([store], str(tmp_path / "a"), segments=4))
    two = load(metric([store], str(tmp_path / "b"), segments=4))
    assert all(same_bits(x, y) for x, y in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert one.card["trained"]["job"] == "metric"
    flat = load(metric([store], str(tmp_path / "c"), dims=2, segments=4))
    assert flat.dims == 2
    assert flat.feature_dim == 256
    assert embed_batch(one, batch((9, 12))).feature.shape == (2, 256)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 2 or 3"):
        metric(["s"], str(tmp_path / "a"), dims=4)
    with pytest.raises(InputError, match="at least one"):
        metric([], str(tmp_path / "a"))
    with pytest.raises(InputError, match="gives no structured embedding"):
        orvpe.embed_tokens(load("robust-light-3d-joint"), [clip(5)])
    model = Model(EncoderConfig("tokens"), unified, 3, VIEW)
    with pytest.raises(InputError, match="tokens have shape"):
        orvpe.similarity(model, np.zeros((1, 5)), np.zeros((1, 5)))
    with pytest.raises(InputError, match="in_channels is 4"):
        TokenEncoder(in_channels=4)
    with pytest.raises(InputError, match="width is 3"):
        TokenEncoder(width=3)
    assert fixed_view(batch((5,)), VIEW).joints.shape == (1, 3, 32, len(get_layout("unified")))

"""From clips to an encoder's input, above all: nothing of a hidden joint reaches the features.

How the property is tested.  (a) Garbage of any kind lies under ``visible=False`` of the clips.  (b) Two clips differ,
finitely but wildly, exactly where a corruption hides with the same draws.  For patterns that only hide, which joints
those are does not depend on coordinates, so anything goes.  ``block`` chooses by where joints are, so there a hidden
joint may only go where it stays hidden and the body keeps its extent: to the middle of the joints hidden with it
(rectangle and half-space are convex), unless it is one that bounds the body.  ``jitter`` hides nothing; joined with
others it may not see what they hide.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import torch
from helpers.clips import batch, clip, drawn, same_bits
from helpers.rounding import TailRoundsUp, same_to_rounding
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from orvpe.data.generated import generate
from orvpe.errors import InputError
from orvpe.models.encoders import build_encoder
from orvpe.poses.body_parts import PARTS
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified, unified_sources
from orvpe.poses.unify import to_unified
from orvpe.runtime.draws import Draws, seeded
from orvpe.views.augment import Augment
from orvpe.views.batch import Batch, collate
from orvpe.views.normalize import STREAMS
from orvpe.views.occlusion import NAMES, corruption
from orvpe.views.view import View, ViewConfig, fixed_view, fold, pool_people, training_view

SMALL = {"agcn": {"width": (8, 12), "strides": (1, 2)}, "light": {"width": (8, 16), "strides": (1, 2), "groups": 4}}
HIDES_ANYWHERE = [*PARTS, "subgraph", "joints", "flicker", "tubes", "frames", "frames:3"]
JOINED = ["upper+jitter", "jitter:0.1+upper", "subgraph+frames:0.3", "joints:0.4+jitter+flicker", "jitter+tubes"]
JOINED += ["upper/jitter", "none/subgraph+frames:0.3/joints"]
STRONG = Augment(yaw=180, tilt=30, scale=0.2, shear=0.2, flip=0.5, noise=0.05)


@cache
def encoder(name: str, dims: int, mask_channel: bool, training: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return build_encoder(name, in_channels=dims, mask_channel=mask_channel, **SMALL[name]).train(training)


def features(view: View, name: str, mask_channel: bool) -> torch.Tensor:
    with torch.no_grad():
        return pool_people(encoder(name, view.joints.shape[1], mask_channel)(view.joints, view.visible), view)


def same_view(a: View, b: View, same: Callable[[torch.Tensor, torch.Tensor], bool] = same_bits) -> bool:
    return same(a.joints, b.joints) and torch.equal(a.visible, b.visible) and torch.equal(a.owner, b.owner)


@st.composite
def configs(draw: st.DrawFn, **fixed: object) -> ViewConfig:
    options = {
        "tau": draw(st.sampled_from([1, 2, 8, 11])), "crop": draw(st.sampled_from(["run", "resample"])),
        "shortest": draw(st.sampled_from([0.4, 1.0])), "camera": draw(st.sampled_from(["none", "virtual"])),
        "stream": draw(st.sampled_from(STREAMS)),
        "centre": draw(st.sampled_from(["frame", "clip", "none"])), "align": draw(st.booleans()),
        "scale": draw(st.sampled_from(["none", "body"])), "image": draw(st.sampled_from(["image", "body"])),
        "augment": draw(st.sampled_from([Augment(), STRONG])),
    }  # fmt: skip
    return ViewConfig(**{**options, **fixed})  # type: ignore[arg-type]


def both_views(raw: Batch, config: ViewConfig, training: bool, seed: int) -> View:
    draws = drawn(len(raw), seed)
    return training_view(raw, config, draws) if training else fixed_view(raw, config, config.occlusion, draws)


# --- no leak -----------------------------------------------------------------------------------------------------

WILD = np.array([np.nan, np.inf, -np.inf, -0.0, 3.4e38, -3.4e38, 1e-45, 1.0, 1e6], dtype=np.float32)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_leak_from_what_the_clip_misses(data: st.DataObject) -> None:
    dims, seed = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1000))
    # a corruption that hides cleans what lies under hidden joints as well, so the clean view is tried half the time
    corrupted = st.sampled_from([*NAMES, *JOINED, "block+jitter"])
    config = data.draw(configs(occlusion=data.draw(st.one_of(st.just("none"), corrupted))))
    size = data.draw(st.sampled_from([None, (640, 480)])) if dims == 2 else None
    missing, people = data.draw(st.sampled_from([0.2, 0.8])), data.draw(st.integers(1, 2))
    clean = [clip(n, people, dims, missing, seed + i, image_size=size) for i, n in enumerate((9, 4))]
    dirty = []
    for c in clean:
        joints = c.joints.copy()
        joints[~c.visible] = np.random.default_rng(seed).choice(WILD, size=joints[~c.visible].shape)
        dirty.append(c.with_(joints=joints))
    training = data.draw(st.booleans())
    one, other = (both_views(collate(clips), config, training, seed) for clips in (clean, dirty))
    assert same_view(one, other)
    name, mask = data.draw(st.sampled_from(list(SMALL))), data.draw(st.booleans())
    assert same_bits(features(one, name, mask), features(other, name, mask))


FINITE = np.array([-0.0, 0.0, 3e38, -3e38, 1e-45, 1e6, -1e6, 17.0], dtype=np.float32)


def moved_where_hidden(clips: list[Clip], spec: str, seed: int) -> list[Clip]:
    """The clips with other coordinates wherever the corruption, with these draws, hides a joint."""
    raw = collate(clips)
    gone = (raw.visible & ~corruption(spec)(raw, drawn(len(raw), seed)).visible).numpy()
    out = []
    for n, c in enumerate(clips):
        joints, hidden = c.joints.copy(), gone[n, : c.people, : c.frames]
        joints[hidden] = np.random.default_rng(seed).choice(FINITE, size=joints[hidden].shape)
        out.append(c.with_(joints=joints))
    return out


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_no_leak_from_what_a_corruption_hides(data: st.DataObject) -> None:
    dims, seed = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1000))
    spec = data.draw(st.sampled_from([*HIDES_ANYWHERE, *JOINED]))
    config = data.draw(configs(occlusion=spec))
    size = data.draw(st.sampled_from([None, (640, 480)])) if dims == 2 else None
    people = data.draw(st.integers(1, 2))
    one = [clip(n, people, dims, 0.1, seed + i, image_size=size) for i, n in enumerate((9, 4))]
    other = moved_where_hidden(one, spec, seed)
    training = data.draw(st.booleans())
    a, b = (both_views(collate(clips), config, training, seed) for clips in (one, other))
    assert same_view(a, b)
    name, mask = data.draw(st.sampled_from(list(SMALL))), data.draw(st.booleans())
    assert same_bits(features(a, name, mask), features(b, name, mask))


SOURCES = ("coco", "penn", "mediapipe", "lcrnet", "openpose_18", "openpose_25", "h36m")


def moved_sources(clips: list[Clip], spec: str, seed: int) -> list[Clip]:
    """The clips, on their own layout, with other coordinates of each joint whose unified joint the corruption hides
    (all of its unified joints, where it only feeds means).
    """
    raw = collate([to_unified(c) for c in clips])
    gone = (raw.visible & ~corruption(spec)(raw, drawn(len(raw), seed)).visible).numpy()
    sources = unified_sources(clips[0].layout)
    out = []
    for n, c in enumerate(clips):
        joints = c.joints.copy()
        for v, name in enumerate(c.layout.joints):
            own = [u for u, s in sources.items() if s == (name,)] or [u for u, s in sources.items() if name in s]
            if own:
                hidden = gone[n, : c.people, : c.frames][..., [unified.index(u) for u in own]].all(-1)
                joints[hidden, v] = np.random.default_rng([seed, v]).choice(FINITE / 10, size=joints[hidden, v].shape)
        out.append(c.with_(joints=joints))
    return out


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_leak_through_joints_that_are_means(data: st.DataObject) -> None:
    dims, seed = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1000))
    spec = data.draw(st.sampled_from([*HIDES_ANYWHERE, *JOINED]))
    layout = LAYOUTS[data.draw(st.sampled_from(SOURCES))]
    config = data.draw(configs(occlusion=spec))
    one = [clip(n, data.draw(st.integers(1, 2)), dims, 0.05, seed + i, layout) for i, n in enumerate((9, 4))]
    other = moved_sources(one, spec, seed)
    training = data.draw(st.booleans())
    a, b = (both_views(collate([to_unified(c) for c in clips]), config, training, seed) for clips in (one, other))
    assert same_view(a, b)
    name, mask = data.draw(st.sampled_from(list(SMALL))), data.draw(st.booleans())
    assert same_bits(features(a, name, mask), features(b, name, mask))


@pytest.mark.parametrize("spec", [*HIDES_ANYWHERE, *JOINED])
def test_those_corruptions_do_hide_something(spec: str) -> None:
    """Else the property above would say nothing."""
    one = [clip(12, seed=i) for i in range(8)]
    other = moved_where_hidden(one, spec, 3)
    assert any(not np.array_equal(a.joints, b.joints) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spec", ["block", "block:0.9+jitter", "jitter+block"])
def test_no_leak_from_behind_a_block(spec: str, dims: int) -> None:
    clips = list(generate(12, seed=4, dims=dims, missing=0.1))
    raw = collate(clips)
    hiding = next(s for s in spec.split("+") if s.startswith("block"))
    gone = (raw.visible & ~corruption(hiding)(raw, drawn(12, 5)).visible).numpy()
    axis = None  # along which the half-space hides: the first numbers that it draws
    if dims == 3:
        axis = torch.nn.functional.normalize(drawn(12, 5).normal(3), dim=-1).numpy()
    moved, count = [], 0
    for n, c in enumerate(clips):
        joints = c.joints.copy()
        height = joints @ axis[n][:, None] if axis is not None else joints  # what bounds the body is measured in this
        seen = height[c.visible]
        bounds = (height >= seen.max(axis=0) - 1e-3).any(-1) | (height <= seen.min(axis=0) + 1e-3).any(-1)
        for t in range(c.frames):
            hidden = gone[n, 0, t]
            free = hidden & ~bounds[0, t]
            if hidden.sum() > 1 and free.any():
                joints[0, t, free] = c.joints[0, t, hidden].mean(axis=0)
                count += int(free.sum())
        moved.append(c.with_(joints=joints))
    assert count > 100
    for stream in STREAMS:
        config = ViewConfig(tau=20, stream=stream, occlusion=spec, augment=STRONG)
        a, b = (training_view(collate(x), config, drawn(12, 5)) for x in (clips, moved))
        assert same_view(a, b)
        assert same_bits(features(a, "light", True), features(b, "light", True))


def test_a_seen_joint_does_matter() -> None:
    one = clip(9, missing=0.2)
    joints = one.joints.copy()
    joints[0, 4, np.flatnonzero(one.visible[0, 4])[0]] += 0.5
    a, b = (fixed_view(collate([c]), ViewConfig(tau=9)) for c in (one, one.with_(joints=joints)))
    for name in SMALL:
        assert not torch.equal(features(a, name, False), features(b, name, False))


# --- two processes -----------------------------------------------------------------------------------------------


ROUNDING = pytest.mark.parametrize("rounding", [nullcontext, TailRoundsUp])


@ROUNDING
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_parts_of_a_batch_see_what_the_whole_sees(rounding: type, data: st.DataObject) -> None:
    dims, seed = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1000))
    config = data.draw(configs(occlusion=data.draw(st.sampled_from(["flicker+jitter+block", *NAMES]))))
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 3)), min_size=2, max_size=6))
    clips = [clip(t, m, dims, 0.2, i) for i, (t, m) in enumerate(shapes)]
    cut = data.draw(st.integers(1, len(clips) - 1))
    with rounding():
        whole = training_view(collate(clips), config, drawn(len(clips), seed))
        first, second = (
            training_view(collate(clips[rows]), config, Draws(seeded("cpu", seed), len(clips), rows))
            for rows in (slice(0, cut), slice(cut, len(clips)))
        )
    assert same_to_rounding(torch.cat([first.joints, second.joints]), whole.joints)
    assert torch.equal(torch.cat([first.visible, second.visible]), whole.visible)
    assert torch.equal(torch.cat([first.owner, second.owner + cut]), whole.owner)


# --- people ------------------------------------------------------------------------------------------------------


def beside_nobody(raw: Batch, before: int = 0, after: int = 1) -> Batch:
    """The same people, with absent ones."""
    joints = nn.functional.pad(raw.joints, (0, 0, 0, 0, 0, 0, before, after))
    return raw.with_(joints=joints, visible=nn.functional.pad(raw.visible, (0, 0, 0, 0, before, after)))


@ROUNDING
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_an_absent_person_changes_nothing(rounding: type, data: st.DataObject) -> None:
    dims, seed = data.draw(st.sampled_from([2, 3])), data.draw(st.integers(0, 1000))
    config = data.draw(configs(occlusion=data.draw(st.sampled_from(["flicker+jitter+block", *NAMES]))))
    raw = batch((9, 5), dims=dims, missing=0.2)
    training = data.draw(st.booleans())
    with rounding():
        one, other = (both_views(x, config, training, seed) for x in (raw, beside_nobody(raw)))
    assert same_view(one, other, same_to_rounding)
    for name in SMALL:
        assert same_to_rounding(features(one, name, True), features(other, name, True))


def test_an_absent_first_person_does_not_count() -> None:
    raw = batch((6, 6), missing=0.1)
    view = fold(beside_nobody(raw, 1, 0))
    assert view.owner.tolist() == [0, 1]
    assert same_bits(view.joints, fold(raw).joints)


def test_people_are_folded_clip_by_clip() -> None:
    clips = [clip(5, m, missing=0.2, seed=i) for i, m in enumerate((2, 1, 3))]
    raw = collate(clips)
    visible = raw.visible.clone()
    visible[2, 1] = False  # the middle one of three leaves
    raw = raw.with_(visible=visible, joints=torch.where(visible[..., None], raw.joints, 0.0))
    view = fold(raw)
    assert view.owner.tolist() == [0, 0, 1, 2, 2]
    assert view.clips == 3
    for row, (n, m) in enumerate([(0, 0), (0, 1), (1, 0), (2, 0), (2, 2)]):
        assert same_bits(view.joints[row], raw.joints[n, m].permute(2, 0, 1))
        assert torch.equal(view.visible[row], raw.visible[n, m])


def test_pooling_against_a_loop() -> None:
    owner = torch.tensor([0, 0, 1, 2, 2, 2])
    x = torch.randn(6, 5, requires_grad=True)
    got = pool_people(x, View(torch.empty(6, 3, 1, 1), torch.empty(6, 1, 1), owner, 3))
    for n, rows in enumerate(([0, 1], [2], [3, 4, 5])):
        torch.testing.assert_close(got[n], sum(x[i] for i in rows) / len(rows))
    got.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[:, 0], torch.tensor([1 / 2, 1 / 2, 1, 1 / 3, 1 / 3, 1 / 3]))
    one = View(torch.empty(2, 3, 1, 1), torch.empty(2, 1, 1), torch.arange(2), 2)
    assert pool_people(x[:2], one) is not None
    assert torch.equal(pool_people(x[:2], one), x[:2])


# --- any clip ----------------------------------------------------------------------------------------------------


def odd_clips(dims: int) -> list[Clip]:
    """One frame; one visible joint; gaps in which nobody is seen; an ordinary one."""
    lonely, gaps = clip(6, 1, dims, seed=1), clip(9, 2, dims, 0.3, seed=2)
    only = np.zeros_like(lonely.visible)
    only[0, 2, 7] = True
    holes = gaps.visible.copy()
    holes[:, [0, 1, 5, 8]] = False
    return [clip(1, 1, dims), lonely.with_(visible=only), gaps.with_(visible=holes), clip(12, 1, dims, 0.1, seed=3)]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("occlusion", ["none", "joints:1", "frames:0.9", "flicker:0.97", "block:1", "upper+lower"])
def test_any_clip_gives_finite_features_and_gradients(occlusion: str, dims: int, name: str) -> None:
    model = encoder(name, dims, True, True)
    for number, stream in enumerate(STREAMS):
        extra = {"scale": "body", "image": "body"} if number % 2 else {}
        config = ViewConfig(tau=8, stream=stream, occlusion=occlusion, augment=STRONG, **extra)  # type: ignore[arg-type]
        view = training_view(collate(odd_clips(dims)), config, drawn(4, number))
        assert torch.isfinite(view.joints).all()
        assert set(view.owner.tolist()) == {0, 1, 2, 3}
        model.zero_grad()
        out = pool_people(model(view.joints, view.visible), view)
        assert out.shape == (4, model.feature_dim)
        out.square().sum().backward()
        assert torch.isfinite(out).all()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


# --- configuration -----------------------------------------------------------------------------------------------


def test_a_fixed_view_is_fixed_and_reads_no_training_settings() -> None:
    raw = batch((9, 30), missing=0.1)
    plain, busy = ViewConfig(tau=8), ViewConfig(tau=8, occlusion="subgraph", augment=STRONG)
    assert same_view(fixed_view(raw, plain), fixed_view(raw, busy))
    assert fixed_view(raw, plain).joints.shape == (2, 3, 8, 17)
    with pytest.raises(InputError, match="'upper' needs random draws"):
        fixed_view(raw, plain, "upper")


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"tau": 0}, "view.tau is 0"),
        ({"crop": "ran"}, "unknown view.crop 'ran'.*'run'"),
        ({"stream": "bones"}, "unknown view.stream 'bones'.*'bone'"),
        ({"centre": "frames"}, "unknown view.centre"),
        ({"scale": "bdy"}, "unknown view.scale"),
        ({"image": "img"}, "unknown view.image"),
        ({"shortest": 0}, "view.shortest is 0"),
        ({"occlusion": "uper"}, "unknown occlusion 'uper'"),
    ],
)
def test_bad_settings(settings: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        ViewConfig(**settings)

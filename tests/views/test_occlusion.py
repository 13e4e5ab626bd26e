"""Every corruption against what its name and value say, and against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.clips import batch, clip, drawn, same_bits

from orvpe.errors import InputError
from orvpe.poses.body_parts import PARTS, part_indices
from orvpe.poses.skeleton import LAYOUTS, UNIFIED_JOINTS, unified
from orvpe.views.batch import Batch, collate
from orvpe.views.occlusion import NAMES, SUBGRAPHS, corruption


def twins(count: int, frames: int = 8, people: int = 1, dims: int = 3) -> Batch:
    """The same fully visible clip many times."""
    return collate([clip(frames, people, dims)] * count)


def hidden_sets(raw: Batch, spec: str, seed: int = 0) -> list[frozenset[int]]:
    """The joints hidden in each clip, for corruptions that hide a joint throughout or not at all."""
    got = corruption(spec)(raw, drawn(len(raw), seed))
    sets = []
    for n in range(len(raw)):
        frames = int(raw.frames[n])
        hidden = (raw.visible & ~got.visible)[n, :, :frames].flatten(0, 1)  # (M*T, V)
        assert torch.equal(hidden.any(0), hidden.all(0))  # one mask over all frames and people
        sets.append(frozenset(torch.nonzero(hidden[0]).flatten().tolist()))
    return sets


def joints_of(part: str) -> frozenset[int]:
    return frozenset(UNIFIED_JOINTS.index(j) for j in PARTS[part])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_corruptions_only_hide(name: str, dims: int) -> None:
    raw = batch((7, 12, 1, 9), people=2, missing=0.2, dims=dims)
    got = corruption(name)(raw, drawn(4, 0))
    assert not (got.visible & ~raw.visible).any()
    hidden = got.joints[~got.visible]
    assert same_bits(hidden, torch.zeros_like(hidden))
    if name != "jitter":
        assert same_bits(got.joints[got.visible], raw.joints[got.visible])
    assert torch.equal(got.frames, raw.frames)
    again = corruption(name)(raw, drawn(4, 0))
    assert torch.equal(again.visible, got.visible)
    assert same_bits(again.joints, got.joints)


@pytest.mark.parametrize("part", PARTS)
def test_parts(part: str) -> None:
    assert set(hidden_sets(twins(3, people=2), part)) == {joints_of(part)}
    kinect = LAYOUTS["kinect_v1"]
    got = corruption(part)(collate([clip(3, layout=kinect)]), drawn(1))
    assert torch.nonzero(~got.visible[0, 0, 0]).flatten().tolist() == part_indices(part, kinect)


# --- SubG-DA -----------------------------------------------------------------------------------------------------


def test_subgraph_takes_the_six_masks_alike() -> None:
    count = 3000
    found = hidden_sets(twins(count, 2, people=2), "subgraph")
    patterns = [joints_of(p) for p in SUBGRAPHS] + [frozenset()]
    observed = np.array([found.count(p) for p in patterns])
    assert observed.sum() == count  # nothing else comes up
    assert ((observed - count / 6) ** 2 / (count / 6)).sum() < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


@pytest.mark.parametrize(("value", "share"), [(0, 0.0), (0.25, 0.25), (1, 1.0)])
def test_subgraph_probability(value: float, share: float) -> None:
    found = hidden_sets(twins(2000, 2), f"subgraph:{value}")
    assert np.mean([bool(f) for f in found]) == pytest.approx(share, abs=0.05 * (0 < share < 1))


@pytest.mark.parametrize("spec", ["subgraph", "joints", "flicker", "tubes", "frames", "block", "jitter"])
def test_each_clip_draws_its_own_and_anew_each_visit(spec: str) -> None:
    raw = twins(40, 30)
    one, two = (corruption(spec)(raw, drawn(40, visit)) for visit in range(2))
    for got in (one.joints[:20] != one.joints[20:], one.joints != two.joints):
        assert got.flatten(1).any(dim=1).float().mean() > 0.6  # equal masks by chance: subgraph 1 in 6, tubes rarer


# --- joints, flicker ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0, 0.1, 0.5, 1])
def test_frequency_of_joints(p: float) -> None:
    found = hidden_sets(twins(600, 3, people=2), f"joints:{p}")
    count = np.array([[v in f for v in range(17)] for f in found])
    spread = (p * (1 - p) / 600) ** 0.5
    assert np.abs(count.mean(axis=0) - p).max() <= 4.5 * spread
    if 0 < p < 1:  # joints go on their own: the number hidden has the binomial's variance
        assert count.sum(axis=1).var() == pytest.approx(17 * p * (1 - p), rel=0.25)


@pytest.mark.parametrize("p", [0, 0.3, 1])
def test_frequency_of_flicker(p: float) -> None:
    raw = twins(20, 30, people=2)
    hidden = ~corruption(f"flicker:{p}")(raw, drawn(20)).visible.numpy()
    spread = (p * (1 - p)) ** 0.5
    for axes in ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)):
        share = hidden.mean(axis=axes)
        assert np.abs(share - p).max() <= 5 * spread / (hidden.size / share.size) ** 0.5


# --- frames, tubes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["0", "0.1", "0.3", "0.5", "0.99", "1", "2", "5", "10", "50"]
)  # below 1 a share, else frames
def test_gaps_are_as_long_as_asked_for(value: str) -> None:
    lengths = [1, 2, 3, 10, 17, 40, 3, 25]
    raw = collate([clip(n, seed=i) for i, n in enumerate(lengths)])
    for seed in range(5):
        gone = ~corruption(f"frames:{value}")(raw, drawn(8, seed)).visible[:, 0]
        for n, length in enumerate(lengths):
            assert torch.equal(gone[n].any(-1), gone[n].all(-1))
            gap = np.flatnonzero(gone[n, :length, 0].numpy())
            v = float(value)
            wanted = min(round(float(np.float32(length * v))) if v < 1 else int(v), length - 1)
            assert len(gap) == wanted  # so never all frames
            assert len(gap) == 0 or gap[-1] - gap[0] == len(gap) - 1  # in one piece


def test_gaps_fall_everywhere() -> None:
    gone = ~corruption("frames:3")(twins(800, 8), drawn(800)).visible[:, 0, :, 0]
    first = gone.int().argmax(dim=1)
    assert torch.bincount(first).tolist() == pytest.approx([800 / 6] * 6, rel=0.35)


@pytest.mark.parametrize("value", [0, 0.25, 0.5, 1])
def test_tubes(value: float) -> None:
    limbs = {joints_of(p) for p in ("left_arm", "right_arm", "left_leg", "right_leg", "trunk")}
    raw = twins(300, 20, people=2)
    gone = (~corruption(f"tubes:{value}")(raw, drawn(300)).visible).numpy()
    seen = set()
    for n in range(300):
        assert np.array_equal(gone[n, 0], gone[n, 1])
        frames = np.flatnonzero(gone[n, 0].any(axis=1))
        assert len(frames) == 20 * value
        if len(frames):
            assert frames[-1] - frames[0] == len(frames) - 1
            sets = {frozenset(np.flatnonzero(gone[n, 0, t]).tolist()) for t in frames}
            assert len(sets) == 1
            seen |= sets
    assert seen == (limbs if value else set())


# --- block -------------------------------------------------------------------------------------------------------


def block_reference(raw: Batch, value: float, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Visibility (N, M, T, V), and the signed distance of each joint from the block's edge, positive inside."""
    d = drawn(len(raw), key)
    n_, m_, _, v_, c = raw.joints.shape
    ends = d.uniform(2, 2).double().numpy() if c == 2 else None
    normal = d.normal(3).double() if c == 3 else None
    depth = d.uniform(2).double().numpy() if c == 3 else None
    visible, joints = raw.visible.numpy().copy(), raw.joints.double().numpy()
    inside = np.full(visible.shape, -np.inf)
    for n in range(n_):
        points = joints[n][visible[n]]
        length = int(raw.frames[n])
        if normal is not None:
            axis = (normal[n] / normal[n].norm()).numpy()
            points = points @ axis
        for t in range(length):
            time = t / max(length - 1, 1)
            for m in range(m_):
                for v in range(v_):
                    if ends is not None:
                        low, high = points.min(axis=0), points.max(axis=0)
                        centre = low + (high - low) * (ends[n, 0] * (1 - time) + ends[n, 1] * time)
                        inside[n, m, t, v] = (value / 2 * (high - low) - np.abs(joints[n, m, t, v] - centre)).min()
                    else:
                        assert depth is not None
                        shares = np.clip(value + (depth[n] - 0.5) * value, 0, 0.95)
                        share = shares[0] * (1 - time) + shares[1] * time
                        edge = points.max() - (points.max() - points.min()) * share
                        inside[n, m, t, v] = joints[n, m, t, v] @ axis - edge
    visible &= ~(inside > 0)
    return visible, inside


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("value", [0, 0.4, 1])
def test_block_against_a_loop(dims: int, value: float) -> None:
    raw = batch((5, 1, 9), people=2, missing=0.2, dims=dims)
    got = corruption(f"block:{value}")(raw, drawn(3, 4)).visible.numpy()
    want, inside = block_reference(raw, value, 4)
    scale = 200 if dims == 2 else 1
    clear = np.abs(inside) > 1e-4 * scale
    assert np.array_equal(got[clear], want[clear])
    assert clear.mean() > 0.5
    if value == 0:
        assert np.array_equal(got, raw.visible.numpy())


def test_half_space_hides_the_share_asked_for() -> None:
    """Of joints spread evenly along every direction, by its mean over draws."""
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(1, 2, 17 * 1, 3))
    raw = collate([clip(2)] * 600)
    raw = raw.with_(joints=torch.from_numpy(ball / np.linalg.norm(ball, axis=-1, keepdims=True)).float().expand(
        600, 1, 2, 17, 3))  # fmt: skip
    hidden = ~corruption("block:0.3")(raw, drawn(600)).visible  # on a sphere, slices of equal width have equal area
    assert float(hidden.float().mean()) == pytest.approx(0.3, abs=0.06)


# --- jitter ------------------------------------------------------------------------------------------------------


def test_jitter_is_a_share_of_the_body() -> None:
    raw = collate([clip(60, 2, missing=0.3, seed=s).with_(name=str(s)) for s in range(4)])
    raw = raw.with_(joints=raw.joints * torch.tensor([1.0, 10.0, 0.1, 1.0]).view(4, 1, 1, 1, 1))
    got = corruption("jitter:0.05")(raw, drawn(4))
    for n in range(4):
        seen = raw.visible[n]
        points = raw.joints[n][seen]
        side = float((points.amax(0) - points.amin(0)).max())
        moved = (got.joints - raw.joints)[n][seen]
        assert float(moved.std()) == pytest.approx(0.05 * side, rel=0.06)
        assert abs(float(moved.mean())) < 0.005 * side
    assert torch.equal(got.visible, raw.visible)


# --- texts -------------------------------------------------------------------------------------------------------


def test_several_are_joined() -> None:
    raw = batch((9, 9), missing=0.1)
    got = corruption("upper + left_leg+frames:2")(raw, drawn(2))
    upper = part_indices("upper", unified) + part_indices("left_leg", unified)
    assert not got.visible[..., upper].any()
    assert bool((~got.visible[:, 0]).all(-1).sum(-1).ge(2).all())
    assert corruption("none")(raw, drawn(2)) is raw


def test_each_clip_draws_one_of_the_alternatives() -> None:
    found = hidden_sets(twins(3000), "none/upper/left_arm+face")
    wanted = [frozenset(), joints_of("upper"), joints_of("left_arm") | joints_of("face")]
    assert set(found) == set(wanted)
    for one in wanted:
        assert found.count(one) / len(found) == pytest.approx(1 / 3, abs=0.03)
    again = hidden_sets(twins(3000), "none/upper/left_arm+face", seed=1)
    assert again != found  # anew each visit


def test_an_alternative_is_what_it_is_alone() -> None:
    raw = batch((9, 12, 4, 7) * 10, people=2, missing=0.2)
    got = corruption("jitter:0.1/none/block")(raw, drawn(40))
    kinds = [0, 0, 0]
    for n in range(len(raw)):
        moved = not same_bits(got.joints[n][got.visible[n]], raw.joints[n][got.visible[n]])
        hidden = not torch.equal(got.visible[n], raw.visible[n])
        assert not (moved and hidden)  # one of them, not both
        kinds[moved + 2 * hidden] += 1
    assert min(kinds) > 3


def test_order_in_the_text_does_not_matter_to_what_reads_coordinates() -> None:
    raw = batch((9, 4), missing=0.1, dims=2)
    one, other = (corruption(s)(raw, drawn(2, 1)) for s in ("jitter:0.1+block+joints", "joints+block+jitter:0.1"))
    assert same_bits(one.joints, other.joints)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("uper", "unknown occlusion 'uper'; did you mean 'upper'"),
        ("upper+", r"occlusion 'upper\+': a name is missing"),
        ("none/upper/", "occlusion 'none/upper/': a name is missing"),
        ("joints:", "occlusion 'joints:': '' is not a number"),
        ("upper:", "'upper' takes no value"),
        ("none/uper", "did you mean 'upper'"),
        ("", "unknown occlusion ''"),
        ("upper:0.3", "'upper' takes no value"),
        ("none:1", "'none' takes no value"),
        ("joints:many", "'many' is not a number"),
        ("joints:1.5", "value is 1.5, expected 0 to 1"),
        ("joints:-0.1", "value is -0.1"),
        ("joints:nan", "value is nan"),
        ("frames:inf", "value is inf"),
        ("frames:2.5", "value is 2.5, expected a share below 1 or a whole number"),
    ],
)
def test_bad_texts(spec: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        corruption(spec)


# --- joints that are means of others -----------------------------------------------------------------------------


def test_a_mean_goes_with_what_it_was_computed_from() -> None:
    mapped = LAYOUTS["coco"].on_unified
    raw = collate([clip(6, layout=mapped)] * 40)

    def hidden(spec: str) -> set[str]:
        gone = (raw.visible & ~corruption(spec)(raw, drawn(40)).visible)[0, 0, 0]
        return {UNIFIED_JOINTS[v] for v in torch.nonzero(gone).flatten().tolist()}

    assert hidden("left_leg") == {*PARTS["left_leg"], "mid_hip", "chest"}
    assert hidden("left_arm") == {*PARTS["left_arm"], "neck", "chest"}
    assert hidden("hands") == set(PARTS["hands"])
    assert hidden("trunk") == set(PARTS["trunk"])  # hiding a mean hides nothing else


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("spec", ["subgraph", "joints:0.2", "flicker:0.2", "tubes:0.5", "block:0.3", "joints+block"])
def test_no_pattern_leaves_a_mean_of_what_it_hides(spec: str, dims: int) -> None:
    mapped = LAYOUTS["penn"].on_unified
    raw = collate([clip(9, 2, dims, layout=mapped, seed=i) for i in range(30)])
    got = corruption(spec)(raw, drawn(30))
    plain = corruption(spec)(raw.with_(layout=unified), drawn(30))  # what is hidden for itself
    seen = 0
    for d, s in mapped.derived_index:
        assert not (got.visible[..., d] & ~got.visible[..., s]).any()
        seen += int((plain.visible[..., d] & ~plain.visible[..., s]).sum())
    assert seen  # there was something to do
    if "+" in spec:  # the block that comes second sees a smaller body
        return
    measured = [v for v in range(17) if v not in {d for d, _ in mapped.derived_index}]
    assert torch.equal(got.visible[..., measured], plain.visible[..., measured])

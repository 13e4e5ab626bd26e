"""The gate: whatever unit and axes a clip comes in, it goes out the same, or is refused; never another in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orvpe
from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.gate import UNITS, third_is_score
from orvpe.data.formats.reading import gated, read_clips, survey_of
from orvpe.data.formats.source import Source
from orvpe.data.generated import generated_clip
from orvpe.errors import InputError
from orvpe.poses.axes import AXES, directions, pointing, sampled, turn_up, votes
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, layout_for_names, unified

# new x, y, z from the old ones, so that what pointed along y points along ...
AXIS = {
    "y": np.eye(3),
    "z": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.diag([1, -1, -1]),
    "-z": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
SCALES = (1.0, 0.001, 0.01, 0.0254, 100.0, 1000.0, 1 / 0.0254)


def standing(seed: int, missing: float = 0.0) -> Clip:
    clip = generated_clip(seed, missing=missing, noise=0.0)
    return clip.with_(joints=clip.joints[:, :16], visible=clip.visible[:, :16])


def as_pixels(clip: Clip, height: int = 480) -> Clip:
    """The clip as an upright camera sees it, y down."""
    joints = clip.joints[..., :2] * (150, -150) + (320, 240)
    return clip.with_(joints=joints, image_size=(640, height))


def through(*clips: Clip, **options: object) -> list[Clip]:
    return gated(list(clips), Options(**options))  # type: ignore[arg-type]


def test_metres_with_y_up_pass_untouched() -> None:
    for seed in range(5):
        clip = standing(seed, missing=0.2)
        (out,) = through(clip)
        assert out is clip or (np.array_equal(out.joints, clip.joints) and not out.notes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.sampled_from(SCALES), st.sampled_from(list(AXIS)), st.floats(0, 0.3))
def test_any_unit_and_axis_gives_the_same_clip_or_is_refused(seed: int, scale: float, up: str, missing: float) -> None:
    clip = standing(seed, missing=missing)
    changed = clip.with_(joints=(clip.joints @ AXIS[up].T.astype(np.float32)) * np.float32(scale))
    if scale < 1.0:  # a doll: nobody knows what that is
        with pytest.raises(InputError, match="give --units m, cm, mm or in"):
            through(changed)
        return
    (out,) = through(changed)
    assert np.array_equal(out.visible, clip.visible)
    if any("give --up" in note.text for note in out.notes):
        return  # upright in some frames, along another axis in others: left as it is, and said
    np.testing.assert_allclose(out.joints[out.visible], clip.joints[clip.visible], atol=2e-5, rtol=1e-5)
    assert bool(out.notes) == (scale != 1.0 or up != "y")


def test_nearly_all_bodies_are_turned_rather_than_left_with_a_note() -> None:
    left = 0
    for seed in range(0, 500, 5):
        clip = standing(seed, missing=0.1)
        (out,) = through(clip.with_(joints=clip.joints @ AXIS["z"].T.astype(np.float32)))
        left += any("give --up" in note.text for note in out.notes)
    assert left <= 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 500), st.sampled_from(["fractions", "turned over"]), st.booleans())
def test_pixels_as_fractions_or_upside_down(seed: int, kind: str, sized: bool) -> None:
    clip = as_pixels(standing(seed))
    if kind == "fractions":
        changed = clip.with_(joints=clip.joints / np.array(clip.image_size, np.float32))
    else:
        changed = clip.with_(joints=clip.joints * (1, -1) + (0, 480))
    if not sized:
        changed = changed.with_(image_size=None)
    if kind == "fractions" and not sized:
        with pytest.raises(InputError, match="give --image-size"):
            through(changed)
        return
    out = through(*[changed] * 5)[0]  # one alone may do push-ups before the camera
    assert out.notes
    moved = out.joints[out.visible] - clip.joints[clip.visible]
    moved -= moved.mean(axis=0) * (not sized)  # without an image's height nobody knows how high up it was
    assert np.abs(moved).max() < 1e-3


def test_the_same_vector() -> None:
    """What the property is for: the encoder that comes with orvpe, with a clip in every unit."""
    from orvpe.models.embed import embed_clips
    from orvpe.models.model import load

    model = load("robust-light-3d-joint").for_inference()
    clip = standing(3)
    changed = [
        clip.with_(joints=(clip.joints @ AXIS[up].T.astype(np.float32)) * np.float32(scale))
        for up in AXIS
        for scale in (1.0, 100.0, 1000.0, 1 / 0.0254)
    ]
    vectors = embed_clips(model, [clip, *(through(c)[0] for c in changed)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit @ unit[0]).min() > 0.99999
    with pytest.warns(UserWarning, match="look like centimetres, expected metres"):
        raw = embed_clips(model, [changed[1]])[0]
    with pytest.warns(UserWarning, match="bodies point up along z"):
        embed_clips(model, [changed[4]])
    fixed = embed_clips(model, orvpe.checked([changed[5]]))[0]
    assert fixed @ vectors[0] / np.linalg.norm(fixed) / np.linalg.norm(vectors[0]) > 0.99999
    assert raw @ vectors[0] / np.linalg.norm(raw) / np.linalg.norm(vectors[0]) < 0.99  # and it does matter


@pytest.mark.parametrize("unit", [u for u in UNITS if u != "auto"])
def test_units_that_are_given(unit: str) -> None:
    clip = standing(1)
    factor = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "in": 1 / 0.0254}[unit]
    (out,) = through(clip.with_(joints=clip.joints * np.float32(factor)), units=unit)
    np.testing.assert_allclose(out.joints, clip.joints, atol=1e-5)
    assert not out.notes
    (out,) = through(clip.with_(joints=clip.joints * np.float32(5 * factor)), units=unit)
    assert f"with --units {unit}: expected 0.3 to 3 m" in out.notes[0].text


def test_a_few_joints_far_off_do_not_change_the_unit() -> None:
    clip = standing(2)
    joints = clip.joints.copy()
    joints[:, :, unified.index("left_wrist")] += 40.0  # a glitch of the sensor, in every frame
    (out,) = through(clip.with_(joints=joints))
    assert np.array_equal(out.joints, joints)


# --- who lies ---


def lying(seed: int) -> Clip:
    return standing(seed).with_(joints=standing(seed).joints @ AXIS["z"].T.astype(np.float32))


def test_who_lies_in_a_set_of_standing_people_is_not_stood_up() -> None:
    clips = [standing(i) for i in range(6)] + [lying(7)]
    out = through(*clips)
    assert all(np.array_equal(a.joints, b.joints) for a, b in zip(out, clips, strict=True))
    assert [bool(c.notes) for c in out] == [False] * 6 + [True]
    assert "somebody who lies?" in out[-1].notes[0].text


def test_exercises_on_the_floor_are_not_turned_but_said() -> None:
    """Who lies for most of the time, and stands at times."""
    both = np.concatenate([lying(1).joints[:, :12], standing(1).joints[:, :4]], axis=1)
    (out,) = through(standing(1).with_(joints=both))
    assert np.array_equal(out.joints, both)
    assert "taken as y up; give --up z" in out.notes[0].text
    (out,) = through(standing(1).with_(joints=both), up="y")
    assert not out.notes


@pytest.mark.parametrize("up", AXES)
def test_directions_and_turning_agree(up: str) -> None:
    clip = standing(4)
    back = {"y": "y", "-y": "-y", "z": "-z", "-z": "z", "x": "-x", "-x": "x"}[up]
    turned = turn_up(clip, back)  # what pointed along y points along ``up`` now
    axis, share, sure = pointing(votes(directions(turned, *sampled(turned))))
    assert (axis, sure) == (up, True)
    assert share > 0.9
    np.testing.assert_allclose(turn_up(turned, up).joints, clip.joints, atol=1e-6)


# --- what is no place ---


def test_a_third_number_that_is_a_score() -> None:
    clip = as_pixels(standing(1))
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.2, 1.0, clip.visible.shape)
    scores[0, 3, 2] = 0.01
    joints = np.concatenate([clip.joints, scores[..., None]], axis=-1).astype(np.float32)
    assert third_is_score(joints)
    assert not third_is_score(standing(1).joints)
    (out,) = through(Clip(joints, clip.visible, clip.layout), image_size=(640, 480))
    assert out.dims == 2
    assert not out.visible[0, 3, 2]
    assert "third number" in out.notes[0].text
    assert np.array_equal(out.joints[out.visible], clip.joints[out.visible])


def test_ghosts_are_left_out() -> None:
    clip = as_pixels(standing(1))
    joints = np.concatenate([clip.joints, clip.joints + 30])
    visible = np.concatenate([clip.visible, np.zeros_like(clip.visible)])
    visible[1, 4, :2] = True  # one frame, two joints
    (out,) = through(clip.with_(joints=joints, visible=visible))
    assert out.people == 1
    assert "of a frame or two with a few joints" in out.notes[0].text
    visible[1, 4:12] = True
    (out,) = through(clip.with_(joints=joints, visible=visible))
    assert out.people == 2


def test_zeros_again_and_again() -> None:
    clip = as_pixels(standing(1))
    wrist = unified.index("left_wrist")
    joints = clip.joints.copy()
    joints[0, 3:9, wrist] = 0
    (out,) = through(clip.with_(joints=joints))
    assert (~out.visible).sum() == 6
    assert "exactly at 0 0" in out.notes[0].text
    centred = clip.with_(joints=clip.joints - clip.joints[:, :, :1], image_size=None)
    (out,) = through(centred)  # around the head: one joint always at 0 0 is where the coordinates begin
    assert out.visible.all()


def test_a_rig_without_limbs_is_no_body() -> None:
    names = ["head", "neck", "chest", *(f"tentacle_{i}" for i in range(8))]
    joints = np.random.default_rng(0).uniform(0, 1, (1, 5, len(names), 3))
    with pytest.raises(InputError, match=r"no elbow, wrist, knee or ankle .* tentacle_0, tentacle_1"):
        through(Clip.from_array(joints, layout_for_names(names)))
    names = [*unified.joints[1:], "cap"]  # a head lost
    joints = np.random.default_rng(0).uniform(0, 1, (1, 5, len(names), 3))
    (out,) = through(Clip.from_array(joints, layout_for_names(names)))
    assert "16 of the 17 common joints are there, not head; mapped to none of them: cap" in out.notes[0].text


def test_known_layouts_are_silent() -> None:
    for layout in LAYOUTS.values():
        body = standing(0).joints.mean(axis=(0, 1))
        place = [body[unified.index(j)] if j in unified.joints else body[2] + 0.01 for j in layout.joints]
        joints = np.broadcast_to(np.array(place), (1, 4, len(layout), 3))
        assert not through(Clip.from_array(joints, layout))[0].notes


# --- real recordings ---


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    ["nw-ucla-skeletons.zip", "penn-action-labels.zip", "corpora/msrc12.npz", "corpora/bandai_namco.npz",
     "corpora/kinder_gator.npz", "corpora/precog16.npz", "corpora/utd_mhad.npz"],
)  # fmt: skip
def test_real_recordings_pass_untouched(data_dir: Path, name: str) -> None:
    if not (data_dir / name).exists():
        pytest.skip(f"{name} is not here")
    source = Source(data_dir / name)
    reader = choose_reader(source, None)
    items = reader.items(source)
    if len(items) > 200:
        items = items[:: len(items) // 200]
    found = survey_of(reader, source, Options())
    assert (found.up3, found.up2, found.swapped) == ("y", "-y", False)
    for item in items[:3] + items[-3:] if "corpora" in name else items:
        try:
            raw = reader.read(source, item, Options())
        except (NoSkeleton, InputError):
            continue
        for before, after in zip(raw, read_clips(reader, source, item, Options()), strict=True):
            assert np.array_equal(before.joints, after.joints)
            assert np.array_equal(before.visible, after.visible)
            for clip in through(before):  # nor alone, as a file of its own
                assert np.array_equal(before.joints, clip.joints)


def test_one_ear_is_enough_for_a_head() -> None:
    from orvpe.poses.unify import to_unified

    coco = LAYOUTS["coco"]
    visible = np.ones((1, 3, 17), bool)
    visible[0, 1, coco.index("left_ear")] = False
    visible[0, 2, [coco.index("left_ear"), coco.index("right_ear")]] = False
    joints = np.random.default_rng(0).uniform(1, 100, (1, 3, 17, 2)).astype(np.float32)
    head = to_unified(Clip(joints, visible, coco))
    v = unified.index("head")
    assert head.visible[0, :, v].tolist() == [True, True, False]
    np.testing.assert_allclose(head.joints[0, 1, v], joints[0, 1, coco.index("right_ear")])
    other = joints.copy()
    other[0, 1, coco.index("left_ear")] = 1e6  # what lies under a hidden joint is not read
    assert np.array_equal(to_unified(Clip(other, visible, coco)).joints[0, 1], head.joints[0, 1])

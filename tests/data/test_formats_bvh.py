"""BVH: forward kinematics against a slow reference, bone lengths, units, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from orvpe.data.formats import bvh
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.lab.bench.bvh_files import RIG, file_order, write

POSITION = ["Xposition", "Yposition", "Zposition"]


def reference(orders: dict[str, list[str]], motion: np.ndarray) -> dict[str, np.ndarray]:
    """Positions by scipy's rotations, one frame and joint after the other; {joint: (T, 3)}."""
    rig = {name: (parent, np.array(offset, float)) for name, parent, offset, _ in RIG}
    found: dict[str, list[np.ndarray]] = {name: [] for name in rig}
    for row in motion:
        values = iter(row)
        state: dict[str, tuple[np.ndarray, Rotation]] = {}
        for name in file_order():
            parent, place = rig[name][0], rig[name][1].copy()
            turn = Rotation.identity()
            for channel in orders[name]:
                value = next(values)
                if channel.endswith("position"):
                    place["XYZ".index(channel[0])] = value
                else:
                    turn = turn * Rotation.from_euler(channel[0].lower(), value, degrees=True)
            if parent is None:
                state[name] = place, turn
            else:
                above, rotation = state[parent]
                state[name] = above + rotation.apply(place), rotation * turn
            found[name].append(state[name][0])
    return {name: np.array(places) for name, places in found.items()}


def random_orders(rng: np.random.Generator, six: bool = False) -> dict[str, list[str]]:
    orders = {n: [f"{a}rotation" for a in rng.permutation(list("XYZ"))] for n in file_order()}
    orders["Hips"] = [*POSITION, *orders["Hips"]] if rng.random() < 0.5 else [*orders["Hips"], *POSITION]
    if six:
        orders["LeftArm"] = [*POSITION, *orders["LeftArm"]]
    return orders


def read(path: Path, options: Options | None = None):
    source = Source(path)
    (item,) = bvh.items(source)
    (clip,) = bvh.read(source, item, options or Options())
    return clip


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_positions_equal_the_slow_reference(tmp_path_factory: pytest.TempPathFactory, seed: int, six: bool) -> None:
    rng = np.random.default_rng(seed)
    orders = random_orders(rng, six)
    motion = rng.uniform(-180, 180, (4, sum(map(len, orders.values()))))
    clip = read(write(tmp_path_factory.mktemp("b") / "a.bvh", orders, motion))
    want = reference(orders, motion)
    for j, name in enumerate(file_order()):
        np.testing.assert_allclose(clip.joints[0, :, j], want[name] / 100, atol=2e-6 * 10)


def test_bone_lengths_are_the_offsets(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    orders = random_orders(rng)
    motion = rng.uniform(-180, 180, (50, sum(map(len, orders.values()))))
    clip = read(write(tmp_path / "a.bvh", orders, motion))
    length = {name: np.linalg.norm(offset) / 100 for name, _, offset, _ in RIG}
    names = file_order()
    assert len(clip.layout.edges) == len(RIG) - 1
    for child, parent in clip.layout.edges:
        bones = np.linalg.norm(clip.joints[0, :, child] - clip.joints[0, :, parent], axis=-1)
        np.testing.assert_allclose(bones, length[names[child]], atol=1e-5)


def still(tmp_path: Path, scale: float = 1.0, **more: str) -> Path:
    orders = {n: ["Zrotation", "Xrotation", "Yrotation"] for n in file_order()}
    return write(tmp_path / "a.bvh", orders, np.zeros((2, 3 * len(RIG))), scale, **more)


@pytest.mark.parametrize("lead", ["", "\tOFFSET 1 94 -452\n"], ids=["plain", "placed in the room"])
@pytest.mark.parametrize("scale", [1.0, 0.01, 10.0], ids=["cm", "m", "mm"])
def test_units_are_guessed_from_the_bones(tmp_path: Path, scale: float, lead: str) -> None:
    path = still(tmp_path, scale)
    if lead:  # a root above the hips, far from them
        head, motion = path.read_text().split("MOTION")
        body = head.removeprefix("HIERARCHY\n").replace("ROOT", "JOINT")
        body = body.replace(body.split("\n")[2], lead.rstrip(), 1)
        path.write_text(f"HIERARCHY\nROOT World\n{{\nOFFSET 0 0 0\nCHANNELS 0\n{body}}}\nMOTION{motion}")
    clip = read(path)
    elbow, wrist = (clip.joints[0, 0, clip.layout.index(j)] for j in ("left_elbow", "left_wrist"))
    assert np.linalg.norm(elbow - wrist) == pytest.approx(0.25, abs=1e-6)


def test_an_unknown_unit_makes_a_usual_person(tmp_path: Path) -> None:
    """As in CMU's files: a unit is 5.6 cm.  The longest chain is an arm, 137 cm from the hips to the finger tips."""
    clip = read(still(tmp_path, 0.18))
    elbow, wrist = (clip.joints[0, 0, clip.layout.index(j)] for j in ("left_elbow", "left_wrist"))
    bones = ((0, 12, 1), (0, 20, -1), (3, 18, 0), (14, 0, 0), (28, 0, 0), (25, 0, 0), (18, 0, 0))
    chain = sum(np.linalg.norm(b) for b in bones)
    assert np.linalg.norm(elbow - wrist) == pytest.approx(1.2 * 25 / chain, abs=1e-5)


def test_layout_and_fps(tmp_path: Path) -> None:
    clip = read(still(tmp_path))
    assert clip.layout.joints[:5] == ("mid_hip", "spine", "chest", "neck", "head")
    assert "left_ankle" in clip.layout.joints
    assert clip.layout.parents[clip.layout.index("right_wrist")] == "right_elbow"
    assert (clip.fps, clip.name, clip.frames) == (30.0, "a", 2)
    assert read(still(tmp_path, time="0.008333")).fps == 120
    assert read(still(tmp_path, time="0.0333667")).fps == pytest.approx(29.97, abs=1e-3)
    assert read(still(tmp_path, time="0"), Options(fps=24)).fps == 24


def test_position_channels_left_at_zero_add_to_the_offset(tmp_path: Path) -> None:
    orders = {n: [*POSITION, "Zrotation", "Xrotation", "Yrotation"] for n in file_order()}
    zero = read(write(tmp_path / "a.bvh", orders, np.zeros((1, 6 * len(RIG)))))
    rest = read(still(tmp_path))
    shift = zero.joints[0, 0, :1] - rest.joints[0, 0, :1]
    np.testing.assert_allclose(zero.joints[0, 0] - shift, rest.joints[0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("HIERARCHY", "HIER", "HIERARCHY"),
        ("MOTION", "MOTIO", "no MOTION"),
        ("Frames: 2", "Frames: 3", "114 motion values, expected 171"),
        ("Frames: 2", "Frames: 0", "empty"),
        ("Frames: 2", "Frames: x", "Frames: N"),
        ("Xrotation", "Wrotation", "unknown channel 'wrotation'"),
        ("OFFSET 0.0 12.0 1.0", "OFFSET 0.0 12.0", "damaged HIERARCHY near joint 'Spine'"),
        ("OFFSET 0.0 12.0 1.0", "OFFSET 0.0 inf 1.0", "OFFSET at joint 'Spine'"),
        ("OFFSET 0.0 12.0 1.0", "OFSET 0.0 12.0 1.0", "unexpected 'OFSET'"),
        ("}\nMOTION", "MOTION", "not closed"),
        ("0.033333\n0.0", "0.033333\nnan", "NaN or infinite value in frame 0"),
        ("0.033333\n0.0", "0.033333\nabc", "no number"),
    ],
)
def test_damaged_files(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = still(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=says) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncation_is_one_line(tmp_path: Path) -> None:
    path = still(tmp_path)
    text = path.read_text()
    for stop in range(0, len(text) - 5, 61):
        path.write_text(text[:stop])
        with pytest.raises(InputError) as error:
            read(path)
        assert "\n" not in str(error.value)

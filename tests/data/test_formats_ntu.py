"""The NTU reader, on files written in the published format."""

from __future__ import annotations

import contextlib
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.ntu import FORMAT
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.lab.bench import ntu_files as ntu
from orvpe.poses.clip import Clip
from orvpe.poses.people import energy, most_energetic


def read(path: Path, **options: object) -> Clip:
    source = Source(path)
    (item,) = FORMAT.items(source)
    (clip,) = FORMAT.read(source, item, Options(**options))  # type: ignore[arg-type]
    return clip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_agrees_with_the_obvious_reader(tmp_path: Path, rng: np.random.Generator) -> None:
    joints = ntu.random_body(rng, 2, 9)
    present = np.ones((2, 9), bool)
    present[1, :4] = False
    path = ntu.write_skeleton(tmp_path / ntu.name(4, 2, 17, 1, 60), joints, present=present)
    flat, pixels = read(path), read(path, dims=2)
    for frame, bodies in ntu.plain_read(path).items():
        for body, rows in bodies.items():
            m = body - ntu.FIRST_ID
            order = [m2 for m2 in range(2) if np.allclose(flat.joints[m2, 8], joints[m, 8], atol=1e-5)]
            assert len(order) == 1
            wanted = np.array(rows, dtype=np.float32)
            assert (flat.joints[order[0], frame] == wanted[:, :3]).all()
            same = [np.array_equal(pixels.joints[m2, frame], wanted[:, 5:7]) for m2 in range(2)]
            assert sum(same) == 1
    assert flat.visible.sum() == present.sum() * 25
    assert (flat.label, flat.subject, flat.camera, flat.name) == (
        "A060",
        "P017",
        "C002",
        "S004C002P017R001A060",
    )
    assert (flat.fps, flat.image_size, flat.layout.name) == (30.0, None, "kinect_v2")
    assert pixels.image_size == (1920, 1080)
    assert pixels.dims == 2


def test_windows_and_unix_line_ends_and_zip_agree(tmp_path: Path, rng: np.random.Generator) -> None:
    joints = ntu.random_body(rng)
    a = ntu.write_skeleton(tmp_path / "a.skeleton", joints)
    b = ntu.write_skeleton(tmp_path / "b.skeleton", joints, newline="\n")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as z:
        z.write(a, "deep/er/S001C001P001R001A001.skeleton")
    clips = [read(a), read(b), read(tmp_path / "c.zip")]
    assert all(np.array_equal(c.joints, clips[0].joints) for c in clips)
    assert clips[2].label == "A001"
    assert clips[0].label is None


def test_any_white_space_between_the_numbers(tmp_path: Path, rng: np.random.Generator) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(rng))
    plain = read(path)
    path.write_bytes(path.read_bytes().replace(b" ", b" \t ").replace(b"\r\n", b" \n"))
    assert np.array_equal(read(path).joints, plain.joints)


def test_numbers_in_every_notation(tmp_path: Path, rng: np.random.Generator) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(rng, 1, 1), newline="\n")
    lines = path.read_bytes().split(b"\n")
    for i, text in enumerate(("-1.234567E-05", "1e-7", "+2.5", "3", ".5", "-0", "1.2345678901234567890")):
        lines[4 + i] = f"{text} 2 3 4 5 6 7 8 9 10 11 2".encode()
        path.write_bytes(b"\n".join(lines))
        assert read(path).joints[0, 0, i, 0] == np.float32(float(text))


def test_identity_survives_neighbouring_identifiers_and_swapped_order(tmp_path: Path, rng: np.random.Generator) -> None:
    """Identifiers near 7e16 that differ by one are the same double; the order of bodies says nothing."""
    joints = ntu.random_body(rng, 2, 6)
    path = ntu.write_skeleton(tmp_path / "a.skeleton", joints)
    lines = path.read_bytes().splitlines()
    for t in range(0, 6, 2):  # swap the two bodies of every other frame
        a = 1 + t * 55 + 1
        lines[a : a + 54] = lines[a + 27 : a + 54] + lines[a : a + 27]
    path.write_bytes(b"\n".join(lines))
    clip = read(path)
    order = np.argsort([-energy(j, np.ones((6, 25), bool)) for j in joints])
    np.testing.assert_allclose(clip.joints, joints[order], atol=1e-5)


def test_keeps_the_two_most_energetic_of_four(tmp_path: Path, rng: np.random.Generator) -> None:
    scale = np.array([0.01, 1.0, 0.1, 2.0])
    joints = np.concatenate([ntu.random_body(rng, 1, 8, motion=0.1 * s) for s in scale])
    path = ntu.write_skeleton(tmp_path / "a.skeleton", joints)
    np.testing.assert_allclose(read(path).joints, joints[[3, 1]], atol=1e-4)
    np.testing.assert_allclose(read(path, max_people=1).joints, joints[[3]], atol=1e-4)
    assert read(path, max_people=9).people == 4


def test_two_bodies_with_one_identifier_stay_two(tmp_path: Path, rng: np.random.Generator) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(rng, 2, 4), ids=[0, 0])
    assert read(path).people == 2


def test_missing_joints(tmp_path: Path, rng: np.random.Generator) -> None:
    joints = ntu.random_body(rng, 1, 5)
    joints[0, 1, 3] = 0.0  # lost by the sensor
    state = np.full((1, 5, 25), 2)
    state[0, 2, 4] = 0  # not tracked
    state[0, 2, 5] = 1  # inferred: stays
    colour = ntu.project(joints)
    colour[0, 3, 6] = np.nan
    colour[0, 3, 7] = -np.inf  # the sensor could not map the point
    path = ntu.write_skeleton(tmp_path / "a.skeleton", joints, colour, state)
    flat, pixels = read(path), read(path, dims=2)
    assert {tuple(i) for i in np.argwhere(~flat.visible[0])} == {(1, 3), (2, 4)}
    assert {tuple(i) for i in np.argwhere(~pixels.visible[0])} >= {(2, 4), (3, 6), (3, 7)}
    assert pixels.visible[0, 2, 5]


def test_a_body_that_leaves_is_not_visible(tmp_path: Path, rng: np.random.Generator) -> None:
    present = np.array([[True, False, False, True]])
    clip = read(ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(rng, 1, 4), present=present))
    assert clip.frames == 4
    assert clip.visible.all(axis=2).tolist() == present.tolist()


def test_no_body_is_no_skeleton_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.skeleton").write_bytes(b"3\r\n0\r\n0\r\n0\r\n")
    with pytest.raises(NoSkeleton, match="no body in any of 3 frames"):
        read(tmp_path / "a.skeleton")
    (tmp_path / "a.skeleton").write_bytes(b"0\r\n")
    with pytest.raises(NoSkeleton):
        read(tmp_path / "a.skeleton")


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, b"many", "'many' in line 1, expected a whole number"),
        (0, b"-2", "frame count is -2"),
        (0, b"3", "more lines after frame 2, the last of 3"),
        (0, b"5", "truncated in frame 4 of 5"),
        (1, b"-1", "-1 bodies in frame 0"),
        (3, b"20", "20 joints in frame 0 (line 4), expected 25"),
        (1 + 28 * 2, b"", "'' in frame 2 (line 58), expected a whole number"),
        (1 + 28 * 2 + 1, b"", "empty line 59 in frame 2"),
        (1 + 28 * 3 + 5, b"", "'' as joint 2 in frame 3 (line 91), expected 12 numbers"),
        (1 + 28 * 3 + 5, b"1 2 x 4 5 6 7 8 9 10 11 2", "'1 2 x 4 5 6 7 8 9 10 11 2' as joint 2 in frame 3"),
        (1 + 28 * 3 + 5, b"1 2 3 4", "expected 12 numbers"),
        (1 + 28 * 3 + 5, b"Infinity 2 3 4 5 6 7 8 9 10 11 2", "infinite coordinate in frame 3"),
    ],
)
def test_malformed(tmp_path: Path, rng: np.random.Generator, line: int, text: bytes, message: str) -> None:
    path = ntu.write_skeleton(tmp_path / "S001C001P001R001A001.skeleton", ntu.random_body(rng, 1, 4))
    lines = path.read_bytes().split(b"\r\n")
    lines[line] = text
    path.write_bytes(b"\r\n".join(lines))
    with pytest.raises(InputError, match=re.escape(message)) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_truncation_is_told_with_its_frame(tmp_path: Path, rng: np.random.Generator) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(rng, 1, 3), newline="\n")
    whole = path.read_bytes()
    ends = [len(whole[: m.start()]) for m in re.finditer(b"\n", whole)]
    for cut in [*range(3, len(whole) - 2, 97), *ends[1:-1:7]]:
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"frame \d"):
            read(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty file"):
        read(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_an_input_error_or_still_a_clip(tmp_path: Path, data: st.DataObject) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", ntu.random_body(np.random.default_rng(0), 2, 2))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path.write_bytes(raw)
    with contextlib.suppress(InputError, NoSkeleton):
        clip = read(path)
        assert np.isfinite(clip.joints[clip.visible]).all()


def test_all_joints_missing(tmp_path: Path) -> None:
    path = ntu.write_skeleton(tmp_path / "a.skeleton", np.zeros((1, 3, 25, 3)))
    with pytest.raises(InputError, match="all joints are missing in all 3 frames"):
        read(path)


def test_energy_against_a_loop(rng: np.random.Generator) -> None:
    joints, visible = rng.normal(size=(7, 4, 3)), rng.random((7, 4)) < 0.6
    visible[:, 3] = False
    slow = 0.0
    for v in range(4):
        seen = [joints[t, v] for t in range(7) if visible[t, v]]
        for c in range(3):
            mean = sum(p[c] for p in seen) / max(len(seen), 1)
            slow += sum((p[c] - mean) ** 2 for p in seen)
    assert energy(joints, visible) == pytest.approx(slow)
    hidden = np.where(visible[..., None], joints, np.nan)
    assert energy(hidden, visible) == energy(joints, visible)


def test_most_energetic_leaves_out_the_unseen(rng: np.random.Generator) -> None:
    joints, visible = rng.normal(size=(3, 5, 4, 2)), np.ones((3, 5, 4), bool)
    visible[1] = False
    assert most_energetic(joints, visible, 5)[0].shape[0] == 2
    assert most_energetic(joints, np.zeros_like(visible), 2)[0].shape[0] == 0

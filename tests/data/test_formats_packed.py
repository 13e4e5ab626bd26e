"""The packed reader, on the four real corpora and on wrong files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pose_files import KINECT, write_packed

from orvpe.data.formats.base import NoSkeleton, Options
from orvpe.data.formats.packed import CHUNK, FORMAT
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS
from orvpe.poses.unify import to_unified

RIG = ("joint_Root", "Hips", "Spine", "UpperLeg_L", "UpperLeg_R")


def read_all(path: Path) -> tuple[list[Clip], int]:
    """The clips, and how many recordings had nobody in them."""
    source, clips, nobody = Source(path), [], 0
    for item in FORMAT.items(source):
        try:
            clips += FORMAT.read(source, item, Options())
        except NoSkeleton:
            nobody += 1
    return clips, nobody


def test_what_is_in_a_file(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "a.npz")
    raw = np.load(path)
    clips, _ = read_all(path)
    assert [c.name for c in clips] == ["r0", "r1", "r2"]
    assert [c.label for c in clips] == [None, "wave", "wave"]
    for i, clip in enumerate(clips):
        rows = raw["joints_mm"][raw["start"][i] : raw["start"][i + 1]]
        np.testing.assert_allclose(clip.joints[0] * 1000, rows, atol=1e-3)
        assert clip.visible.all()
        assert (clip.subject, clip.fps, clip.layout) == ("s1", 30.0, LAYOUTS["kinect_v1"])


def test_items_cut_a_file_into_runs_that_cover_it_once(tmp_path: Path) -> None:
    recordings = 2 * CHUNK + 7
    path = write_packed(tmp_path / "a.npz", recordings)
    source = Source(path)
    items = FORMAT.items(source)
    assert [int(b) - int(a) for _, a, b in items] == [CHUNK, CHUNK, 7]
    names = [c.name for item in items for c in FORMAT.read(source, item, Options())]
    assert names == [f"r{i}" for i in range(recordings)]
    assert len(FORMAT.read(source, ("a.npz",), Options())) == recordings


def test_nobody_in_a_recording_is_counted_and_costs_no_neighbour(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "a.npz", 5)
    raw = dict(np.load(path))
    for i in (0, 3):
        raw["joints_mm"][raw["start"][i] : raw["start"][i + 1]] = 0
    np.savez_compressed(path, **raw)
    clips, nobody = read_all(path)
    assert [c.name for c in clips] == ["r1", "r2", "r4"]
    assert nobody == 2


def test_zero_is_missing_for_a_sensor_but_a_place_for_a_rig(tmp_path: Path) -> None:
    for names, hidden in (
        (KINECT, [(0, 0), *[(1, v) for v in range(20)]]),
        (RIG, [(1, v) for v in range(5)]),
    ):
        path = write_packed(tmp_path / "a.npz", 1, names)
        raw = dict(np.load(path))
        raw["joints_mm"] = np.concatenate([raw["joints_mm"]] * 2)
        raw["start"] = np.array([0, 4])
        raw["joints_mm"][:, 0] = np.where(np.arange(4)[:, None] == 0, 0, 7)
        raw["joints_mm"][1] = 0
        np.savez_compressed(path, **raw)
        ((clip,), _) = read_all(path)
        assert [tuple(i) for i in np.argwhere(~clip.visible[0])] == hidden


def test_a_rig_is_known_by_its_names(tmp_path: Path) -> None:
    clips, _ = read_all(write_packed(tmp_path / "walks.npz", 1, RIG))
    assert clips[0].layout.name == "walks"
    unified = to_unified(clips[0])
    seen = {j for j, v in zip(unified.layout.joints, unified.visible[0, 0], strict=True) if v}
    assert seen >= {"mid_hip", "left_hip", "right_hip"}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    assert len(read_all(write_packed(tmp_path / "a.npz", 3))[0]) == 3
    assert len(read_all(write_packed(tmp_path / "a.npz", 4))[0]) == 4


def test_another_formats_npz_is_left_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", joints=np.zeros((3, 17, 2)))
    assert FORMAT.items(Source(tmp_path)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": None}, "no 'start' in it"),
        ({"label": None}, "no 'label' in it"),
        ({"joints_mm": np.zeros((9, 20, 3), np.float32)}, "joints_mm is float32 (9, 20, 3), expected int16"),
        ({"joints_mm": np.zeros((9, 20, 2), np.int16)}, "joints_mm is int16 (9, 20, 2)"),
        ({"joint_names": np.array(["a", "b"])}, "joint_names is <U1 (2,), expected 20 texts"),
        ({"start": np.array([0, 2, 5, 8])}, "start must rise from 0 to the 9 frames"),
        ({"start": np.array([0, 2, 2, 9])}, "no recording be empty"),
        ({"start": np.array([0])}, "start is int64 (1,)"),
        ({"fps": np.float32(0)}, "fps is 0.0, expected one positive number"),
        ({"fps": np.float32(np.nan)}, "fps is nan"),
        ({"name": np.array(["a"])}, "name is <U1 (1,), expected 3 texts"),
        ({"name": np.array([{"a": 1}] * 3, dtype=object)}, "not a readable npz"),
    ],
)
def test_wrong_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_packed(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError) as error:
        read_all(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "a.npz")
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="not a readable npz"):
            read_all(path)


def test_a_wrong_byte_is_told_or_harmless(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "a.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for at in [*range(80), *range(len(whole) - 600, len(whole), 3)]:
        path.write_bytes(whole[:at] + rng.bytes(1) + whole[at + 1 :])
        try:
            read_all(path)
        except InputError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("corpus", "recordings", "nobody", "missing"),
    [
        ("msrc12", 592, 0, 4),
        ("bandai_namco", 3076, 0, 0),
        ("kinder_gator", 1159, 0, 0),
        ("precog16", 72, 2, 0),  # two recordings are zeros from end to end
    ],
)
def test_real_corpora(data_dir: Path, corpus: str, recordings: int, nobody: int, missing: int) -> None:
    clips, empty = read_all(data_dir / "corpora" / f"{corpus}.npz")
    assert (len(clips) + empty, empty) == (recordings, nobody)
    assert len({c.name for c in clips}) == len(clips)
    assert sum(int((~c.visible).sum()) for c in clips) == missing
    unified = to_unified(clips[0])
    assert (unified.visible.any(axis=(0, 1)).sum()) == 16  # none of these skeletons has a nose
    height = np.ptp(unified.joints[0, 0][unified.visible[0, 0]], axis=0).max()
    assert 0.8 < height < 2.2

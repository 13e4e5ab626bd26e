"""The Penn Action reader, on all real files and on wrong ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from orvpe.data.formats.base import Options
from orvpe.data.formats.matfile import read_mat
from orvpe.data.formats.penn import FORMAT
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.clip import Clip


def write(path: Path, **changes: Any) -> Path:
    rng = np.random.default_rng(1)
    data = {
        "x": rng.random((7, 13)) * 300 + 5,
        "y": rng.random((7, 13)) * 200 + 5,
        "visibility": np.ones((7, 13), np.uint8),
        "train": np.array([[1]], np.int32),
        "action": "bowl",
        "dimensions": np.array([[270, 480, 7]], np.uint16),
    }
    data.update(changes)
    savemat(path, {k: v for k, v in data.items() if v is not None})
    return path


def read(path: Path, **options: Any) -> Clip:
    source = Source(path)
    (item,) = FORMAT.items(source)
    (clip,) = FORMAT.read(source, item, Options(**options))
    return clip


def test_what_is_in_a_file(tmp_path: Path) -> None:
    flags = np.ones((7, 13), np.uint8)
    flags[2, 5] = 0
    path = write(tmp_path / "0007.mat", visibility=flags, train=np.array([[-1]], np.int32))
    clip, raw = read(path), loadmat(path)
    np.testing.assert_allclose(clip.to_array()[0, ..., 0], np.where(flags, raw["x"], np.nan), rtol=1e-6)
    np.testing.assert_allclose(clip.to_array()[0, ..., 1], np.where(flags, raw["y"], np.nan), rtol=1e-6)
    assert (clip.label, clip.split, clip.name, clip.image_size) == ("bowl", "test", "0007", (480, 270))
    assert (clip.fps, clip.layout.name) == (30.0, "penn")
    assert read(path, fps=50.0).fps == 50.0


def test_what_lies_under_an_invisible_joint_is_not_read(tmp_path: Path) -> None:
    flags, x = np.ones((7, 13), np.uint8), np.full((7, 13), 50.0)
    flags[3, 1], x[3, 1] = 0, np.nan
    a = read(write(tmp_path / "a.mat", visibility=flags, x=x))
    x[3, 1] = np.inf
    b = read(write(tmp_path / "b.mat", visibility=flags, x=x))
    assert np.array_equal(a.joints, b.joints)
    assert np.isfinite(a.joints).all()


def test_coordinates_in_bytes_do_not_wrap(tmp_path: Path) -> None:
    """Files whose coordinates are all small whole numbers hold them in one byte each."""
    clip = read(write(tmp_path / "a.mat", x=np.full((7, 13), 250, np.uint8), y=np.full((7, 13), 9, np.uint8)))
    assert (clip.joints == (250, 9)).all()


def test_flags_never_set_fall_back_on_the_image(tmp_path: Path) -> None:
    x = np.full((7, 13), 50.0)
    x[:, 4], x[:, 5] = 0.73, 900.0
    clip = read(write(tmp_path / "a.mat", visibility=np.zeros((7, 13), np.uint8), x=x))
    assert np.flatnonzero(~clip.visible.any(axis=(0, 1))).tolist() == [4, 5]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimensions": np.array([[0, 0, 7]])}, "image size 0 x 0"),
        ({"dimensions": np.array([[270, 0, 7]])}, "image size 0 x 270"),
        ({"dimensions": np.array([[np.nan, 480, 7]])}, "image size 480 x nan"),
        ({"dimensions": np.array([[270, 480, 9]])}, "7 frames, but dimensions says 9"),
        ({"x": np.zeros((6, 13))}, "differ in shape"),
        ({"x": np.zeros((0, 13)), "y": np.zeros((0, 13)), "visibility": np.zeros((0, 13))}, "empty"),
        (
            {"x": np.zeros((7, 5)), "y": np.zeros((7, 5)), "visibility": np.zeros((7, 5))},
            "5 joints, expected 13",
        ),
        ({"x": np.full((7, 13), np.nan)}, "NaN or infinite coordinate of a visible joint in frame 0"),
        ({"y": np.full((7, 13), np.inf)}, "NaN or infinite coordinate of a visible joint in frame 0"),
        ({"x": np.zeros((7, 13)), "visibility": np.zeros((7, 13))}, "all joints are missing in all 7 frames"),
        ({"train": np.array([[3]])}, "train is [3.0], expected 1 or -1"),
        ({"action": np.array([[1.0]])}, "action is array([[1.]]), expected the name of a class"),
        ({"x": "text"}, "x is text, expected numbers"),
        ({"visibility": None}, "no 'visibility' in it"),
    ],
)
def test_wrong_files(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.mat", **changes)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat")
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 8, 61):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError):
            read(path)


def test_a_wrong_byte_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """scipy's reader brings the process down on some of these (a complex flag in byte 145, for one)."""
    path = write(tmp_path / "a.mat")
    whole = path.read_bytes()
    refused = 0
    for at in [*range(124, 260), *range(260, len(whole), 13)]:
        for value in (0, 7, 14, 255):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            try:
                read(path)
            except InputError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_files_against_scipy(tmp_path: Path, compressed: bool) -> None:
    rng = np.random.default_rng(0)
    tables = [rng.integers(0, 100, size=(n, 5)) for n in (0, 1, 2, 7)]
    data: dict[str, Any] = {
        f"v{i}_{t}": table.astype(t)
        for i, table in enumerate(tables)
        for t in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
    }
    savemat(tmp_path / "a.mat", {**data, "word": "jump", "odd": {"a": 1}, "many": 1j}, do_compression=compressed)
    found = read_mat((tmp_path / "a.mat").read_bytes())
    assert found.pop("word") == "jump"
    assert found.keys() == data.keys()
    for name, values in loadmat(tmp_path / "a.mat", variable_names=list(data)).items():
        if name in data:
            np.testing.assert_array_equal(found[name], values)


def test_all_real_clips(data_dir: Path) -> None:
    source = Source(data_dir / "penn-action-labels.zip")
    clips = [clip for item in FORMAT.items(source) for clip in FORMAT.read(source, item, Options())]
    splits = [clip.split for clip in clips]
    assert (len(clips), splits.count("train"), splits.count("test")) == (2326, 1258, 1068)
    assert len({clip.label for clip in clips}) == 15
    seen, total = sum(int(c.visible.sum()) for c in clips), sum(c.visible.size for c in clips)
    assert 1 - seen / total == pytest.approx(0.2204, abs=5e-4)
    raw = loadmat(io.BytesIO(source.read("labels/0246.mat")))
    clip = next(c for c in clips if c.name == "0246")
    assert (clip.visible[0] == (raw["visibility"] > 0)).all()
    assert clip.image_size == (raw["dimensions"][0, 1], raw["dimensions"][0, 0])

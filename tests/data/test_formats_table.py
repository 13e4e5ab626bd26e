"""Tables and arrays of one's own: what is written comes back, and what is wrong is named with its row."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.formats import arrays, table
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS
from orvpe.poses.unify import to_unified

Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows) -> Path:
    """CSV or Parquet, by the path's suffix; None is an empty cell."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if path.suffix == ".parquet":
        pq.write_table(pa.table({c: [r.get(c) for r in rows] for c in columns}), path)
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_all(path: Path, options: Options | None = None, module: Any = table) -> list:
    source = Source(path)
    return [c for i in module.FORMAT.items(source) for c in module.FORMAT.read(source, i, options or Options())]


def fails(path: Path, says: str, options: Options | None = None, module: Any = table) -> None:
    with pytest.raises(InputError, match=says) as error:
        module.FORMAT.read(Source(path), (path.name,), options or Options())
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def long_rows(joints: np.ndarray, names: tuple[str, ...], **same: Any) -> Rows:
    """A row per joint of (M, T, V, C); NaN rows are written empty or left out in turn."""
    rows = []
    for (m, t, v), _ in np.ndenumerate(joints[..., 0]):
        values = [None if np.isnan(x) else float(x) for x in joints[m, t, v]]
        if None in values and (m + t + v) % 2 and t not in (0, joints.shape[1] - 1):
            continue
        row = dict(zip("xyz", values, strict=False))
        rows.append({"frame": t + 5, "person": f"p{m}", "joint": names[v], **row, **same})
    return rows


def wide_rows(joints: np.ndarray, names: tuple[str, ...], **same: Any) -> Rows:
    return [
        {
            "frame": t,
            "person": m,
            **{
                f"{n}_{axis}": None if np.isnan(value) else float(value)
                for n, point in zip(names, joints[m, t], strict=True)
                for axis, value in zip("xyz", point, strict=False)
            },
            **same,
        }
        for m in range(joints.shape[0])
        for t in range(joints.shape[1])
    ]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 6)),
    dims=st.sampled_from([2, 3]),
    layout=st.sampled_from(["coco", "unified", "kinect_v1", "penn"]),
    kind=st.sampled_from([".csv", ".parquet"]),
    wide=st.booleans(),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int, shape: tuple[int, int], dims: int, layout: str, kind: str, wide: bool,
) -> None:  # fmt: skip
    """Any shape of table, in any order of rows, joints and columns, gives the same clip."""
    rng = np.random.default_rng(seed)
    known = LAYOUTS[layout]
    joints = rng.uniform(-1000, 1000, (*shape, len(known), dims)).astype(np.float32)
    joints[rng.random(joints.shape[:3]) < 0.3] = np.nan
    joints[:, :, 0] = [0, 1, 2][:dims]  # the origin is a place like any other here, and everybody has a joint
    joints[:, :, 1] = 0
    joints[0] *= 1 + np.arange(shape[1])[:, None, None]
    order = rng.permutation(len(known))
    names = tuple(known.joints[i] for i in order)
    rows = (wide_rows if wide else long_rows)(joints[:, :, order], names, label="wave", camera=3)
    rng.shuffle(rows)
    path = write(tmp_path_factory.mktemp("t") / f"own{kind}", rows)
    (clip,) = read_all(path, Options(fps=25, image_size=(640, 480)))
    assert (clip.layout, clip.name, clip.label, clip.camera, clip.fps) == (known, "own", "wave", "3", 25)
    assert clip.image_size == ((640, 480) if dims == 2 else None)
    found = clip.to_array()
    assert found.shape == joints.shape
    assert {f.tobytes() for f in found} == {np.where(np.isnan(j), np.float32(np.nan), j).tobytes() for j in joints}


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_many_clips_in_a_file(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    joints = {name: rng.normal(size=(1, 4, 17, 3)).astype("f4") for name in ("b", "a", "c")}
    rows = [
        r for n, j in joints.items() for r in wide_rows(j, LAYOUTS["coco"].joints, clip=n, label=n * 2, split="train")
    ]
    clips = read_all(write(tmp_path / f"x{kind}", rows))
    assert [(c.name, c.label, c.split, c.subject) for c in clips] == [(n, n * 2, "train", None) for n in joints]
    for clip in clips:
        np.testing.assert_array_equal(clip.joints, joints[clip.name])


def test_confidence_hides(tmp_path: Path) -> None:
    rows = [
        {"frame": 0, "joint": n, "x": 1.0, "y": 2.0, "likelihood": c}
        for n, c in (("nose", 0.9), ("left_wrist", 0.05), ("left_hip", None), ("left_ankle", 0.1))
    ]
    (clip,) = read_all(write(tmp_path / "a.csv", rows))
    assert dict(zip(clip.layout.joints, clip.visible[0, 0], strict=True)) == {
        "nose": True, "left_wrist": False, "left_hip": False, "left_ankle": True,
    }  # fmt: skip
    wide = {"nose_x": 1, "nose_y": 1, "nose_visibility": 0.0, "neck_x": 1, "neck_y": 1}
    (clip,) = read_all(write(tmp_path / "b.csv", [wide]))
    assert clip.visible[0, 0].tolist() == [False, True]


def test_without_frame_and_person(tmp_path: Path) -> None:
    """Rows follow each other; per clip, where there are several."""
    rows = [{"clip": i % 2, "Nose_X": i, " nose_y": 1, "neck_x": 0, "neck_y": 0} for i in range(6)]
    first, second = read_all(write(tmp_path / "a.csv", rows))
    assert first.joints[0, :, 0, 0].tolist() == [0, 2, 4]
    assert second.joints[0, :, 0, 0].tolist() == [1, 3, 5]


def test_joints_by_number_need_a_layout(tmp_path: Path) -> None:
    rows = [{"frame": 0, "joint": j, "x": j, "y": 1} for j in range(13)]
    path = write(tmp_path / "a.csv", rows)
    fails(path, "--joints")
    (clip,) = read_all(path, Options(layout=LAYOUTS["penn"]))
    assert clip.joints[0, 0, :, 0].tolist() == list(range(13))
    write(path, [*rows, {"frame": 0, "joint": 13, "x": 1, "y": 1}])
    fails(path, "joint 13, but 'penn' has joints 0 to 12", Options(layout=LAYOUTS["penn"]))


@pytest.mark.parametrize(
    "names",
    [("Hips", "LeftUpLeg", "LeftLeg", "RightArm", "Tail"), ("Hips", "LeftHip", "LeftKnee", "RightShoulder", "Tail")],
)
def test_names_of_a_rig_and_of_a_part_of_a_layout(tmp_path: Path, names: tuple[str, ...]) -> None:
    joints = np.arange(15.0).reshape(1, 1, 5, 3)
    (clip,) = read_all(write(tmp_path / "a.csv", wide_rows(joints, names)))
    body = to_unified(clip)
    want = {"mid_hip", "left_hip", "left_knee", "right_shoulder"}
    assert {j for j, v in zip(body.layout.joints, body.visible[0, 0], strict=True) if v} == want
    part = ("left_hip", "left_ear", "right_ear", "left_heel")
    (clip,) = read_all(write(tmp_path / "b.csv", wide_rows(joints[:, :, :4], part)))
    assert clip.layout.joints == part


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "not readable as CSV|empty"),
        ([{"a": 1, "b": 2}], "columns a, b .*missing: frame, joint, x, y"),
        ([{"joint": "nose", "x": 1, "y": 1}], "no 'frame'"),
        ([{"nose_x": 1, "nose_y": "abc"}, {"nose_x": 1, "nose_y": 1}], "nose_y is 'abc' in row 1"),
        (
            [{"nose_x": 1, "nose_y": 1}, {"nose_x": "inf", "nose_y": 1}],
            "infinite coordinate in row 2 .joint 'nose'",
        ),
        ([{"frame": 0.5, "nose_x": 1, "nose_y": 1}], "frame is 0.5 in row 1, expected a whole number"),
        ([{"frame": None, "nose_x": 1, "nose_y": 1}], "frame is nan in row 1"),
        ([{"frame": 1, "nose_x": 1, "nose_y": 1}] * 2, "row 2 gives joint 'nose' of frame 1 a second time"),
        ([{"frame": f, "nose_x": 1, "nose_y": 1} for f in (0, 10**9)], "numbered 0 to 1000000000"),
        ([{"label": k, "nose_x": 1, "nose_y": 1} for k in "ab"], "label is 'a' and 'b'"),
        ([{"nose_x": None, "nose_y": 1}], "all joints are missing"),
        ([{"nose_x": 1, "nose_y": 1, "nose_z": 1, "neck_x": 1, "neck_y": 1}], "nose_z but no neck_z"),
        ([{"tail_x": 1, "tail_y": 1, "wing_x": 1, "wing_y": 1}], "no joint of the body.*'tail'"),
        ([{"nose_x": 1, "nose_y": 1, "Nose_X": 2}], "'nose_x' is there twice"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: Rows, says: str) -> None:
    fails(write(tmp_path / "a.csv", rows), says)


def test_bad_names_and_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"left_sholder_x": 1, "left_sholder_y": 1}])
    fails(path, "unknown joint 'left_sholder'.*did you mean 'left_shoulder'", Options(layout=LAYOUTS["coco"]))
    path = write(tmp_path / "a.parquet", wide_rows(np.ones((1, 9, 17, 2)), LAYOUTS["coco"].joints))
    path.write_bytes(path.read_bytes()[:-30])
    fails(path, "not readable as Parquet")
    (tmp_path / "b.csv").write_bytes(b"nose_x,nose_y\n1,2\n3\n")
    fails(tmp_path / "b.csv", "not readable as CSV")


def test_only_tables_of_joints_are_claimed(tmp_path: Path) -> None:
    write(tmp_path / "labels.csv", [{"name": "a", "label": 3}])
    (tmp_path / "a01_s01_e00_v01.json").write_text("{}")
    assert table.items(Source(tmp_path)) == []
    assert table.items(Source(tmp_path / "labels.csv")) == [("labels.csv",)]  # the read says what is missing
    np.savez(tmp_path / "packed.npz", joints_mm=np.zeros((3, 20, 3), np.int16))
    assert arrays.items(Source(tmp_path)) == []


# --- npz ---


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 2), st.integers(1, 5), st.sampled_from([2, 3]), st.booleans())
def test_npz_round_trip(
    tmp_path_factory: pytest.TempPathFactory, seed: int, people: int, frames: int, dims: int, masked: bool
) -> None:
    rng = np.random.default_rng(seed)
    coco = LAYOUTS["coco"]
    joints = rng.normal(size=(people, frames, 17, dims)).astype("f4")
    visible = rng.random(joints.shape[:3]) < 0.7
    visible[:, 0, 0] = True
    order = rng.permutation(17)
    written = joints if masked else np.where(visible[..., None], joints, np.nan)
    more = {"visible": visible[:, :, order]} if masked else {}
    path = tmp_path_factory.mktemp("n") / "own.npz"
    np.savez(
        path, joints=written[:, :, order], joint_names=[coco.joints[i] for i in order], fps=50.0,
        image_size=[800, 600], label="wave", subject="s1", **more,
    )  # fmt: skip
    (clip,) = read_all(path, module=arrays)
    assert (clip.layout, clip.fps, clip.label, clip.subject, clip.name) == (coco, 50, "wave", "s1", "own")
    assert clip.image_size == ((800, 600) if dims == 2 else None)
    want = np.where(visible[..., None], joints, np.float32(np.nan))
    assert {f.tobytes() for f in clip.to_array()} == {j.tobytes() for j in want}


def test_npz_without_names_needs_a_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, joints=np.ones((4, 13, 2)))
    fails(path, "13 joints with --joints", module=arrays)
    fails(path, "13 joints.*'coco'.*17", Options(layout=LAYOUTS["coco"]), module=arrays)
    (clip,) = read_all(path, Options(layout=LAYOUTS["penn"]), module=arrays)
    assert clip.joints.shape == (1, 4, 13, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"x": np.ones(3)}, "no 'joints' in it, found 'x'"),
        ({"joints": np.ones((4, 17))}, r"shape \(4, 17\)"),
        ({"joints": np.ones((0, 17, 2))}, "empty"),
        ({"joints": np.full((4, 17, 2), np.nan)}, "all joints are missing in all 4 frames"),
        ({"joints": np.full((4, 17, 2), np.inf)}, "infinite coordinate of person 0, frame 0, joint 0"),
        ({"joints": np.full((4, 17, 2), "a")}, "expected numbers"),
        ({"joints": np.full((4, 17, 2), None)}, "not a readable npz"),  # would need pickle
        ({"joints": np.ones((4, 17, 2)), "visible": np.ones((4, 16))}, r"'visible' has shape \(1, 4, 16\)"),
        ({"joints": np.ones((4, 17, 2)), "image_size": [0, 0]}, "0 x 0"),
        ({"joints": np.ones((4, 17, 2)), "image_size": 3}, "image_size.*1 numbers"),
        ({"joints": np.ones((4, 17, 2)), "fps": -1}, "fps is -1"),
        ({"joints": np.ones((4, 17, 2)), "joint_names": ["nose"]}, "1 'joint_names' for 17 joints"),
        ({"joints": np.ones((4, 2, 2)), "joint_names": ["nose", "nose"]}, "'nose' is named twice"),
        ({"joints": np.ones((4, 2, 2)), "joint_names": ["tail", "wing"]}, "no joint of the body"),
    ],
)
def test_bad_npz(tmp_path: Path, content: dict[str, Any], says: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    options = Options(layout=LAYOUTS["coco"]) if "joint_names" not in content else None
    fails(tmp_path / "a.npz", says, options, module=arrays)


def test_truncated_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, joints=np.ones((4, 17, 2)))
    path.write_bytes(path.read_bytes()[:-40])
    fails(path, "not a readable npz", module=arrays)
    assert arrays.items(Source(path)) == []
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("joints.npy", b"\x93NUMPY\x01\x00nonsense")
    fails(path, "not a readable npz", module=arrays)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ("left_wrist_x,left_wrist_y,left_elbow_x", "left_elbow_x but no left_elbow_y, expected x and y"),
        ("left_wrist_x,left_wrist_y,left_elbow_y,left_elbow_z", "left_elbow_y but no left_elbow_x"),
        ("left_wrist_x,left_wrist_y,screen_x", None),  # nobody's joint
    ],
)
def test_half_a_joint_is_not_left_out_silently(columns: str, found: str | None, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"frame,{columns}\n0{',1' * len(columns.split(','))}\n")
    if found is None:
        assert read_all(file)[0].layout.joints == ("left_wrist",)
    else:
        fails(file, found)

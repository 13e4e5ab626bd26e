"""What every clip goes through on its way out of a reader, and who may be written over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.formats import FORMATS
from orvpe.data.formats.base import Options
from orvpe.data.formats.gate import misspelt
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.ingest import ingest
from orvpe.data.select import select
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.poses.axes import AXES, turn_up
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, layout_for_names, unified

COCO = LAYOUTS["coco"].joints
MEDIAPIPE = LAYOUTS["mediapipe"].joints


def npz(path: Path, joints: np.ndarray, names: tuple[str, ...] = COCO, **more: object) -> str:
    np.savez(path, joints=joints, joint_names=names, **more)  # type: ignore[arg-type]
    return str(path)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


def csv(path: Path, *lines: str, encoding: str = "utf-8") -> str:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return str(path)


def read(path: str, format: str = "arrays", **options: object) -> Clip:
    source = Source(path)
    reader = FORMATS[format]
    return read_clips(reader, source, reader.items(source)[0], Options(**options))[0]  # type: ignore[arg-type]


# --- units and axes ---


def test_normalised_coordinates(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", random(5, 17, 2))
    with pytest.raises(InputError, match="look normalised, expected pixels; give --image-size WIDTHxHEIGHT"):
        read(path)
    clip = read(path, image_size=(640, 480))
    assert np.allclose(clip.joints[0], random(5, 17, 2) * (640, 480))
    assert "multiplied by its width and height" in clip.notes[-1].text
    around = npz(tmp_path / "c.npz", random(5, 17, 2) - 0.5)
    assert "taken as they are" in read(around).notes[-1].text  # around 0: nobody knows what that is
    with pytest.raises(InputError, match=r"multiply x by the width \(640\) and y by"):
        read(around, image_size=(640, 480))
    one = np.full((5, 17, 2), np.nan)
    one[0, 0] = 1  # a joint in the corner
    read(npz(tmp_path / "b.npz", one), image_size=(640, 480))
    report = ingest([path], str(tmp_path / "a.orvpe"), workers=1, layout="native", image_size=(1, 1))
    stored = Store.open(report.path).clip(0).joints[0]
    assert np.abs(stored - random(5, 17, 2)).max() < 1e-4


@pytest.mark.parametrize("up", AXES)
def test_up_is_a_rotation_that_ends_with_y_up(up: str) -> None:
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1 if up.startswith("-") else 1
    clip = Clip.from_array(np.stack([axis, *np.eye(3)])[None], layout_for_names(["head", "neck", "chest", "nose"]))
    turned = turn_up(clip, up).joints[0, 0]
    assert turned[0].tolist() == [0, 1, 0]
    assert np.linalg.det(turned[1:]) == pytest.approx(1)  # no mirror
    assert np.array_equal(turned[1:] @ turned[1:].T, np.eye(3))


def test_up_of_commands(tmp_path: Path) -> None:
    from orvpe.cli.main import main

    joints = random(5, 17, 3).astype(np.float32)
    path = npz(tmp_path / "a.npz", joints)
    assert main(["ingest", path, "-o", str(tmp_path / "a.orvpe"), "--up", "-y", "--layout", "native"]) == 0
    got = Store.open(tmp_path / "a.orvpe").clip(0).joints[0]
    assert np.abs(got - joints * [1, -1, -1]).max() < 1e-3
    with pytest.raises(InputError, match="unknown up 'north'"):
        ingest([path], str(tmp_path / "b.orvpe"), up="north")
    with pytest.raises(InputError, match="only 3D clips are turned"):
        read(npz(tmp_path / "flat.npz", random(5, 17, 2) * 100), up="z")


# --- names ---


def test_mediapipes_own_names(tmp_path: Path) -> None:
    own = tuple(n.replace("left_mouth", "mouth_left").replace("right_mouth", "mouth_right") for n in MEDIAPIPE)
    for names in (own, tuple(n.upper() for n in own)):
        clip = read(npz(tmp_path / "a.npz", random(5, 33, 3), names))
        assert clip.layout is LAYOUTS["mediapipe"]
        assert np.array_equal(clip.joints[0], random(5, 33, 3).astype(np.float32))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["right_wrist", "left_wirst", "left_elbow"], ["left_wirst"]),
        (["neck", "left_sholder", "left_elbow"], ["left_sholder"]),
        ([*unified.joints, "left_thumb", "left_index_finger_tip", "left_hand_tip"], []),
        (["left_shoulder", "left_elbow", "left_wrist_2", "left_toe", "left_clavicle"], []),
        (COCO, []),
    ],
)
def test_misspelt_joints(names: list[str], found: list[str]) -> None:
    doubts = misspelt(layout_for_names(names))
    assert [d.split("'")[1] for d in doubts] == found
    assert all("did you mean 'left_" in d for d in doubts)


def test_a_misspelt_joint_is_noted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t").mkdir()
    for i in range(3):
        rows = ["frame,joint,x,y", "0,left_elbow,310,120", "0,left_wirst,300,100"]
        csv(tmp_path / "t" / f"{i}.csv", *rows)
    ingest([str(tmp_path / "t")], str(tmp_path / "a.orvpe"), workers=1)
    said = capsys.readouterr().err
    assert said.count("joint 'left_wirst' is unknown and left out; did you mean 'left_wrist'?") == 1


# --- values ---


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"joints": random(4, 17, 3) * 1j}, "'joints' holds complex128, expected numbers"),
        ({"joints": random(4, 17, 3) > 0.5}, "'joints' holds bool, expected numbers"),
        ({"joints": random(4, 17, 3) * 1e40}, "infinite coordinate"),
        ({"label": ["wave", "sit"]}, "'label' is 'wave' and 'sit', expected one a clip"),
        ({"fps": -1.0}, "a.npz: fps is -1.0, expected a number above 0"),
    ],
)
def test_values_of_an_npz(tmp_path: Path, change: dict[str, object], found: str) -> None:
    arrays = {"joints": random(4, 17, 3), "joint_names": COCO, **change}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=found):
        read(str(tmp_path / "a.npz"))


def test_fps_of_zero_says_nothing(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", random(4, 17, 3), fps=0.0, label=["wave", "wave"])
    assert read(path).fps is None
    assert read(path, fps=25).fps == 25
    assert read(path).label == "wave"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("lines", "encoding", "found"),
    [
        (["frame,joint,x,y", "0,nose,1e40,2"], "utf-8", "infinite coordinate in row 1"),
        (["frame;joint;x;y", "0;nose;1;2"], "utf-8", "no ',' in the first line; is the separator ';'"),
        (["frame\tjoint\tx\ty", "0\tnose\t1\t2"], "utf-8", r"is the separator '\\t'"),
        (["clip,frame,joint,x,y", "ä,0,nose,1,2"], "latin-1", "byte 0xe4 in line 2, expected text in UTF-8"),
    ],
)
def test_values_of_a_csv(tmp_path: Path, lines: list[str], encoding: str, found: str) -> None:
    path = csv(tmp_path / "a.csv", *lines, encoding=encoding)
    with pytest.raises(InputError, match=found):
        read(path, "table")


# --- what may be written over ---


def test_sources_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = npz(tmp_path / "in" / "a.npz", random(9, 17, 3), label="wave")
    before = Path(path).read_bytes()
    for paths in ([path], [str(tmp_path / "in")]):
        with pytest.raises(InputError, match="is what would be read"):
            ingest(paths, path, overwrite=True)
    assert Path(path).read_bytes() == before
    store = str(tmp_path / "in" / "a.orvpe")
    ingest([str(tmp_path / "in")], store, workers=1)
    ingest([str(tmp_path / "in")], store, workers=1, overwrite=True)  # lies in the folder, is not read
    with pytest.raises(InputError, match="is what would be read"):
        select(store, store, "random:0.5", overwrite=True)

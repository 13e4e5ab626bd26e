"""What today's pose tools write: found, read right, in folders and zips, and claimed by no other reader."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tool_files
from helpers.tool_files import COCO, FRAMES, TOOLS, in_image, in_space

from orvpe.data.formats import FORMATS, detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.formats.trc import one_of_each
from orvpe.data.inspect import inspect
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout
from orvpe.poses.unify import to_unified

every_tool = pytest.mark.parametrize("make", TOOLS, ids=lambda f: f.__name__)
SIZE = (640, 480)


def read(path: Path, **options: Any) -> list[Clip]:
    source = Source(path)
    reader = detect(source)
    return [c for item in reader.items(source) for c in read_clips(reader, source, item, Options(**options))]


def joint_of(clip: Clip, joint: str, frame: int, person: int = 0) -> np.ndarray:
    clip = clip if joint in clip.layout.joints else to_unified(clip)
    v = clip.layout.index(joint)
    assert clip.visible[person, frame, v], (joint, frame)
    return clip.joints[person, frame, v]


@every_tool
def test_read_right(tmp_path: Path, make: Callable[[Path], None]) -> None:
    format, layout, dims = TOOLS[make]
    make(tmp_path)
    assert detect(Source(tmp_path)).name == format
    clips = read(tmp_path, image_size=SIZE, dims=dims)
    for clip in clips:
        assert clip.people == 1
        assert layout is None or clip.layout == get_layout(layout)
        assert clip.dims == dims
    clip = clips[0]
    assert clip.frames == (3 if make is tool_files.pku_mmd else FRAMES)
    for joint in ("left_shoulder", "right_shoulder", "left_elbow", "right_knee", "left_hip"):
        for t in (0, clip.frames - 1):
            want = in_image(joint, t) if dims == 2 else in_space(joint, t)
            np.testing.assert_allclose(joint_of(clip, joint, t), want, atol=0.02 if dims == 2 else 1e-4)


@every_tool
def test_no_other_reader_claims_it(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    (tmp_path / "README.md").write_text("about these files")
    (tmp_path / "settings.json").write_text('{"threads": 2}')
    source = Source(tmp_path)
    claims = [f.name for f in FORMATS.values() if f.items(source)]
    # the same in a file a picture; a table by its columns: asked later
    allowed = {
        "alphapose_open": ["alphapose", "openpose"],
        "sleap_csv": ["deeplabcut", "table"],
    }
    assert claims == allowed.get(make.__name__, [TOOLS[make][0]])


@every_tool
def test_the_same_in_a_zip(tmp_path: Path, make: Callable[[Path], None]) -> None:
    dims = TOOLS[make][2]
    make(tmp_path / "folder")
    (tmp_path / "a.zip").write_bytes(tool_files.zipped(tmp_path / "folder"))
    from_folder, from_zip = (read(tmp_path / n, image_size=SIZE, dims=dims) for n in ("folder", "a.zip"))
    assert len(from_folder) == len(from_zip)
    for a, b in zip(from_folder, from_zip, strict=True):
        np.testing.assert_array_equal(a.to_array(), b.to_array())


@every_tool
def test_inspect(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    text = str(inspect(str(tmp_path), image_size=SIZE))
    for word in ("layout", "coordinates", "frames", "fps", "people a clip"):
        assert f"  {word}" in text


# --- each tool's own ways ---


def test_ultralytics_tracks_are_kept(tmp_path: Path) -> None:
    """Two people who change their order in the file, and cross."""
    for t in range(FRAMES):
        one, two = tool_files._ultralytics(t), tool_files._ultralytics(t, track=8)
        two["keypoints"]["x"] = [x + 60 - 20 * t for x in two["keypoints"]["x"]]
        tool_files.write(tmp_path / f"{t}.json", [one, two] if t % 2 else [two, one])
    (clip,) = read(tmp_path)
    assert clip.people == 2
    starts = sorted(float(joint_of(clip, "nose", 0, m)[0]) for m in range(2))
    assert starts == pytest.approx([320, 380])
    walker = next(m for m in range(2) if joint_of(clip, "nose", 0, m)[0] < 350)
    assert joint_of(clip, "nose", 5, walker)[0] == pytest.approx(330)


@pytest.mark.parametrize(("more", "width"), [("", 3), (" 0.9", 3), (" 4", 3), ("", 2), (" 0.9 4", 2)])
def test_yolo_lines_with_and_without_confidence_and_track(tmp_path: Path, more: str, width: int) -> None:
    tool_files.ultralytics_txt(tmp_path, more, width)
    (clip,) = read(tmp_path, image_size=SIZE)
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_image("left_wrist", 2), atol=0.01)


def test_a_frame_without_anybody_is_a_frame(tmp_path: Path) -> None:
    tool_files.ultralytics_json(tmp_path)
    for t in (0, 3):
        (tmp_path / f"walk_{t}.json").write_text("[]")
    (clip,) = read(tmp_path)
    assert clip.visible.any(axis=(0, 2)).tolist() == [False, True, True, False, True, True]


def test_several_videos_in_a_folder(tmp_path: Path) -> None:
    for video in ("run", "walk"):
        for t in range(FRAMES):
            tool_files.write(tmp_path / f"{video}_{t:05d}.json", [tool_files._ultralytics(t)])
    assert sorted(c.name for c in read(tmp_path)) == ["run", "walk"]


def test_mmpose_joints_are_those_named(tmp_path: Path) -> None:
    tool_files.mmpose(tmp_path)
    path = tmp_path / "results_walk.json"
    data = json.loads(path.read_text())
    order = np.random.default_rng(0).permutation(17)
    data["meta_info"]["keypoint_id2name"] = {str(i): COCO[v] for i, v in enumerate(order)}
    for frame in data["instance_info"]:
        for person in frame["instances"]:
            person["keypoints"] = [person["keypoints"][v] for v in order]
    path.write_text(json.dumps(data))
    (clip,) = read(tmp_path)
    assert clip.layout == get_layout("coco")
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_image("left_wrist", 2), atol=0.01)


def test_pifpaf_pictures_are_one_video(tmp_path: Path) -> None:
    tool_files.pifpaf_pictures(tmp_path)
    (clip,) = read(tmp_path)
    assert (clip.name, clip.frames) == ("walk", FRAMES)


def test_mediapipe_image_and_world(tmp_path: Path) -> None:
    tool_files.mediapipe_task(tmp_path)
    (world,) = read(tmp_path)
    (pixels,) = read(tmp_path, dims=2, image_size=SIZE)
    assert (world.dims, pixels.dims, world.fps, pixels.image_size) == (3, 2, 25, SIZE)
    np.testing.assert_allclose(joint_of(pixels, "nose", 1), in_image("nose", 1), atol=0.01)


def test_azure_says_its_rate_and_which_joints_it_did_not_see(tmp_path: Path) -> None:
    tool_files.azure_kinect(tmp_path)
    path = tmp_path / "walk.json"
    data = json.loads(path.read_text())
    for frame in data["frames"]:
        frame["bodies"][0]["joint_confidences"] = [2] * 31 + [0]
    path.write_text(json.dumps(data))
    (clip,) = read(tmp_path)
    assert clip.fps == 30
    assert not clip.visible[..., 31].any()
    assert clip.visible[..., :31].all()


def test_zed_says_its_rate_in_time_stamps(tmp_path: Path) -> None:
    tool_files.zed(tmp_path)
    (clip,) = read(tmp_path)
    assert clip.fps == 30


def test_deeplabcut_of_several_animals(tmp_path: Path) -> None:
    tool_files.deeplabcut(tmp_path, individuals=True)
    (clip,) = read(tmp_path)
    assert clip.people == 2
    noses = sorted(float(joint_of(clip, "nose", 0, m)[0]) for m in range(2))
    assert noses == pytest.approx([320, 420], abs=0.01)


@pytest.mark.parametrize("unit", ["mm", "m", "cm"])
def test_trc_units(tmp_path: Path, unit: str) -> None:
    tool_files.trc(tmp_path, unit)
    (clip,) = read(tmp_path)
    assert clip.fps == 50
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_space("left_wrist", 2), atol=1e-4)


def test_a_unit_that_is_given_is_not_applied_twice(tmp_path: Path) -> None:
    tool_files.trc(tmp_path, "mm")
    source = Source(tmp_path)
    reader = detect(source)
    (clip,) = read_clips(reader, source, reader.items(source)[0], Options(units="mm"))
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_space("left_wrist", 2), atol=1e-4)


def test_trc_in_pixels_as_sports2d_writes_it(tmp_path: Path) -> None:
    """y up, z 0 and 'm' in the header: pixels, as the size of a body says."""
    tool_files.trc(tmp_path, "m")
    lines = (tmp_path / "walk.trc").read_text().splitlines()
    for i, line in enumerate(lines[6:], start=6):
        cells = line.split("\t")
        numbers = np.array(cells[2:], dtype=float).reshape(-1, 3) * (220, 220, 0)
        lines[i] = "\t".join([*cells[:2], *(f"{v:.3f}" for v in numbers.ravel())])
    (tmp_path / "walk.trc").write_text("\n".join(lines))
    (clip,) = read(tmp_path)
    assert clip.dims == 2
    assert joint_of(clip, "nose", 0)[1] < joint_of(clip, "left_ankle", 0)[1]


def test_arrays_of_kinetics_are_pixels(tmp_path: Path) -> None:
    data = np.zeros((1, 3, 10, 18, 2), dtype=np.float32)
    data[0, 0, :7, :, 0], data[0, 1, :7, :, 0], data[0, 2, :7, :, 0] = 0.1, -0.2, 0.8
    np.save(tmp_path / "val_data.npy", data)
    (clip,) = read(tmp_path)
    assert (clip.layout.name, clip.frames, clip.image_size, clip.split) == ("openpose_18", 7, (340, 256), "test")
    np.testing.assert_allclose(clip.joints[0, 0, 0], (0.6 * 340, 0.3 * 256), rtol=1e-5)


def test_arrays_centred_on_a_joint_keep_it(tmp_path: Path) -> None:
    """2s-AGCN's arrays are centred on the spine: 0 0 0 there is a place; elsewhere, now and then, a lost joint."""
    tool_files.agcn(tmp_path)
    data = np.load(tmp_path / "val_data_joint.npy")
    data[0, :, :FRAMES, :, 0] -= data[0, :, :FRAMES, 1:2, 0]
    data[0, :, 2, 10, 0] = 0
    np.save(tmp_path / "val_data_joint.npy", data)
    (clip,) = read(tmp_path)
    assert clip.visible[0, :, 1].all()
    assert clip.visible[0, :, 10].tolist() == [True, True, False, True, True, True]


def test_features_are_not_taken_for_joints(tmp_path: Path) -> None:
    np.save(tmp_path / "000001.npy", np.zeros((30, 263)))
    with pytest.raises(InputError, match=r"HumanML3D's features.*new_joints"):
        read(tmp_path)


def test_seventeen_joints_in_space_are_ambiguous(tmp_path: Path) -> None:
    np.save(tmp_path / "viz.npy", np.random.default_rng(0).normal(size=(5, 17, 3)))
    with pytest.raises(InputError, match="--joints"):
        read(tmp_path)
    (clip,) = read(tmp_path, layout=get_layout("h36m"))
    assert clip.layout.name == "h36m"


def test_videopose3d_has_a_clip_a_camera(tmp_path: Path) -> None:
    tool_files.videopose3d(tmp_path)
    clips = read(tmp_path)
    assert [(c.subject, c.label, c.camera) for c in clips] == [("S1", "Walking 1", "0"), ("S1", "Walking 1", "1")]


def test_pku_actions_are_clips(tmp_path: Path) -> None:
    tool_files.pku_mmd(tmp_path)
    clips = read(tmp_path)
    assert [(c.label, c.frames, c.camera, c.fps) for c in clips] == [("7", 3, "L", 30), ("12", 3, "L", 30)]


@pytest.mark.parametrize(
    "style", ["landmark_{}_{}", "{1}{0}", "{}_{}", "kp{}_{}", "landmark_{:02d}.{}", "{} {}", "{1}_{0}"]
)
def test_numbers_of_landmarks_however_they_are_spelt(tmp_path: Path, style: str) -> None:
    tool_files.landmark_numbers(tmp_path, style)
    (clip,) = read(tmp_path)
    assert clip.layout == get_layout("mediapipe")
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 3), in_image("left_wrist", 3), atol=0.01)


def test_numbers_of_an_unknown_count_need_a_layout(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x0,y0,x1,y1\n1,2,3,4\n")
    with pytest.raises(InputError, match=r"joints are numbers, 2 of them.*--joints"):
        read(tmp_path)


def test_coco_names_of_a_subset_and_of_two_categories(tmp_path: Path) -> None:
    names = ["l_shoulder", "r_shoulder", "l_hip", "r_hip"]
    people = [{"id": t, "image_id": t, "category_id": 2, "keypoints": [10.0 + t, 20, 2] * 4} for t in range(3)]
    data = {
        "images": [{"id": t, "file_name": f"v/{t:04d}.png"} for t in range(3)],
        "annotations": people,
        "categories": [{"id": 1, "name": "dog", "keypoints": ["nose", "tail"]}, {"id": 2, "keypoints": names}],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    (clip,) = read(tmp_path)
    assert set(clip.layout.joints) == {"left_shoulder", "right_shoulder", "left_hip", "right_hip"}


def test_of_many_files_few_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path)
    suffixes = (".json", ".csv", ".txt", ".npy", ".pkl", ".trc")
    source.__dict__["names"] = tuple(sorted(f"f{i:06d}{s}" for i in range(5000) for s in suffixes))
    looked: set[str] = set()
    for how in ("head", "read"):
        monkeypatch.setattr(Source, how, lambda self, name: looked.add(name) or b"{}")
    for name in {"pyskl", *(TOOLS[make][0] for make in TOOLS)}:
        FORMATS[name].items(source)
    assert len(looked) <= 128 * len(suffixes)


# --- folders of several tools' files ---


def test_a_pose2sim_project_is_read_once(tmp_path: Path) -> None:
    for stage in ("pose", "pose-sync"):
        tool_files.pose2sim(tmp_path / stage)
    tool_files.trc(tmp_path / "pose-3d")
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "Calib.toml").write_text("x = 1")
    (clip,) = read(tmp_path)
    assert clip.layout.name == "halpe"
    source = Source(tmp_path)
    assert all(name.startswith("pose-sync/") for item in detect(source).items(source) for name in item)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["a.trc", "a_filt_butterworth.trc", "a_filt_butterworth_LSTM.trc"], ["a_filt_butterworth.trc"]),
        (["walk_m_person00.trc", "walk_px_person00.trc"], ["walk_m_person00.trc"]),
        (
            ["MarkerData/PreAugmentation/w.trc", "MarkerData/PostAugmentation/w.trc"],
            ["MarkerData/PostAugmentation/w.trc"],
        ),
        (["walk_1.trc", "walk_2.trc", "m/run.trc"], ["m/run.trc", "walk_1.trc", "walk_2.trc"]),
    ],
)
def test_of_several_trc_of_a_recording_one_is_read(names: list[str], kept: list[str]) -> None:
    assert one_of_each(names) == kept


def test_opencap_folder(tmp_path: Path) -> None:
    tool_files.trc(tmp_path / "MarkerData" / "PostAugmentation")
    (tmp_path / "Videos" / "Cam0" / "OutputPkl").mkdir(parents=True)
    (tmp_path / "Videos" / "Cam0" / "OutputPkl" / "walk_keypoints.pkl").write_bytes(
        pickle.dumps([[{"pose_keypoints_2d": []}]])
    )
    (tmp_path / "OpenSimData").mkdir()
    (tmp_path / "OpenSimData" / "walk.mot").write_text("angles")
    (clip,) = read(tmp_path)
    assert (clip.name, clip.fps) == ("walk", 50)


@pytest.mark.parametrize("form", ["array", "people", "mapping"])
def test_pickles_of_an_array(tmp_path: Path, form: str) -> None:
    points = np.stack([tool_files.image(COCO, t) for t in range(FRAMES)])
    data = {"array": points, "people": points[:, None],
            "mapping": {"keypoints": points[:, None], "scores": np.ones((FRAMES, 1, 17))}}[form]  # fmt: skip
    (tmp_path / "walk.pkl").write_bytes(pickle.dumps(data))
    (clip,) = read(tmp_path)
    assert (clip.people, clip.frames, clip.name) == (1, FRAMES, "walk")
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 3), in_image("left_wrist", 3), atol=0.01)


@pytest.mark.parametrize(
    "style", ["{joint}_{axis}", "{axis}_{joint}", "{joint}.{axis}", "{joint} {axis}", "{joint}-{axis}"]
)
def test_columns_of_names_however_they_are_spelt(tmp_path: Path, style: str) -> None:
    joints = [j.upper() if "_" in j else j for j in COCO]
    columns = [style.format(joint=j, axis=a) for j in joints for a in "xy"]
    lines = [
        ",".join(columns),
        *(",".join(f"{v:.2f}" for v in tool_files.image(COCO, t).ravel()) for t in range(FRAMES)),
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    (clip,) = read(tmp_path)
    assert clip.layout == get_layout("coco")
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 3), in_image("left_wrist", 3), atol=0.01)


def test_a_freemocap_recording_is_its_body(tmp_path: Path) -> None:
    """Tables of the body, hands and face, and raw arrays of them all: the body's table is read, the others counted."""

    def table(name: str, joints: list[str]) -> None:
        columns = ",".join(f"{j}_{a}" for j in joints for a in "xyz")
        rows = [
            ",".join(f"{1000 * v:.3f}" for v in (tool_files.space(joints, t) @ UP_Z).ravel()) for t in range(FRAMES)
        ]
        (tmp_path / "output_data" / f"mediapipe_{name}_3d_xyz.csv").write_text("\n".join([columns, *rows]) + "\n")

    (tmp_path / "output_data" / "raw_data").mkdir(parents=True)
    table("body", list(tool_files.MEDIAPIPE))
    table("face", [f"face_{i:04d}" for i in range(5)])
    table("right_hand", ["right_hand_wrist", "right_hand_thumb_cmc", "right_hand_thumb_tip"])
    np.save(tmp_path / "output_data" / "raw_data" / "points.npy", np.ones((FRAMES, 553, 3)))
    found = inspect(str(tmp_path))
    assert (found.format, found.clips, found.bad) == ("table", 1, [])
    source = Source(tmp_path)
    reader = detect(source)
    clip = next(c for i in reader.items(source) if "body" in i[0] for c in read_clips(reader, source, i, Options()))
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_space("left_wrist", 2), atol=1e-4)


UP_Z = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # x, y, z with y up -> with z up


def test_holistic_arrays_begin_with_the_body(tmp_path: Path) -> None:
    points = np.zeros((FRAMES, 553, 3))
    points[:, :33] = np.stack([tool_files.space(tool_files.MEDIAPIPE, t) for t in range(FRAMES)])
    np.save(tmp_path / "walk.npy", points)
    (clip,) = read(tmp_path)
    assert clip.layout == get_layout("mediapipe")
    np.testing.assert_allclose(joint_of(clip, "left_wrist", 2), in_space("left_wrist", 2), atol=1e-4)

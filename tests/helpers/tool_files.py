"""Small files as pose tools write them: one person of 17 joints in 640 x 480 who moves right, and her in space."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.poses.skeleton import LAYOUTS

FRAMES = 6
COCO = LAYOUTS["coco"].joints
MEDIAPIPE = LAYOUTS["mediapipe"].joints
_STANDING = {
    "nose": (0, 1.56), "eye": (0.03, 1.6), "ear": (0.07, 1.58), "shoulder": (0.18, 1.4), "elbow": (0.23, 1.13),
    "wrist": (0.25, 0.9), "hip": (0.1, 0.92), "knee": (0.11, 0.5), "ankle": (0.11, 0.09), "mid_hip": (0, 0.94),
    "neck": (0, 1.42), "head": (0, 1.7), "spine": (0, 1.12), "chest": (0, 1.2), "upper_chest": (0, 1.3),
    "clavicle": (0.05, 1.38), "foot": (0.12, 0.02), "hand": (0.26, 0.8), "heel": (0.11, 0.03),
}  # fmt: skip


def in_space(joint: str, frame: int) -> tuple[float, float, float]:
    """Metres, y up; everything goes 2 cm along z a frame, so that nobody stands still."""
    side = 1 if joint.startswith("left_") else -1
    word = joint.removeprefix("left_").removeprefix("right_")
    x, y = next((_STANDING[w] for w in sorted(_STANDING, key=len, reverse=True) if w in word), (0.02, 1.0))
    return side * x, y, 0.02 * frame


def in_image(joint: str, frame: int) -> tuple[float, float]:
    """Pixels, y down."""
    x, y, z = in_space(joint, frame)
    return 320 + 220 * x + 100 * z, 430 - 220 * y


def space(joints: Any, frame: int) -> np.ndarray:
    return np.array([in_space(j, frame) for j in joints])


def image(joints: Any, frame: int) -> np.ndarray:
    return np.array([in_image(j, frame) for j in joints])


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")


def flat(frame: int, joints: Any = COCO) -> list[float]:
    return np.c_[image(joints, frame), np.full(len(joints), 0.9)].ravel().tolist()


def _ultralytics(frame: int, normal: bool = False, track: int | None = 3) -> dict[str, Any]:
    points = image(COCO, frame) / ((640, 480) if normal else 1)
    person = {"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}}
    points_of = {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "visible": [0.9] * 17}
    return {**person, **({"track_id": track} if track else {}), "keypoints": points_of}


def ultralytics_json(folder: Path) -> None:
    for t in range(FRAMES):
        write(folder / f"walk_{t}.json", [_ultralytics(t)])


def ultralytics_one_json(folder: Path) -> None:
    write(folder / "walk.json", [[_ultralytics(t)] for t in range(FRAMES)])


def ultralytics_lines(folder: Path) -> None:
    write(folder / "walk.jsonl", "\n".join(json.dumps([_ultralytics(t)]) for t in range(FRAMES)) + "\n")


def mmpose_lines(folder: Path) -> None:
    lines = [{"frame_id": t, "instances": [{"keypoints": image(COCO, t).tolist(), "keypoint_scores": [0.9] * 17}]}
             for t in range(FRAMES)]  # fmt: skip
    write(folder / "walk.json", "\n".join(map(json.dumps, lines)) + "\n")


def ultralytics_normalised(folder: Path) -> None:
    for t in range(FRAMES):
        write(folder / f"walk_{t}.json", [_ultralytics(t, normal=True, track=None)])


def ultralytics_csv(folder: Path) -> None:
    for t in range(FRAMES):
        p = _ultralytics(t)
        cells = [str(p[k]) for k in ("name", "class", "confidence", "box", "track_id", "keypoints")]
        write(
            folder / f"walk_{t}.csv",
            "name,class,confidence,box,track_id,keypoints\n" + ",".join(f'"{c}"' for c in cells),
        )


def ultralytics_txt(folder: Path, more: str = " 0.9 7", width: int = 3) -> None:
    for t in range(FRAMES):
        points = np.c_[image(COCO, t) / (640, 480), np.full(17, 0.9)][:, :width]
        line = "0 0.5 0.5 0.2 0.8 " + " ".join(f"{v:g}" for v in points.ravel()) + more
        write(folder / "labels" / f"walk_{t + 1}.txt", line + "\n")


def mmpose(folder: Path) -> None:
    frames = [
        {"frame_id": t + 1, "instances": [{"keypoints": image(COCO, t).tolist(), "keypoint_scores": [0.9] * 17,
                                           "bbox": [[1, 2, 3, 4]], "bbox_score": 0.9}]}
        for t in range(FRAMES)
    ]  # fmt: skip
    names = {str(i): n for i, n in enumerate(COCO)}
    write(folder / "results_walk.json", {"meta_info": {"keypoint_id2name": names}, "instance_info": frames})


def mmpose_pictures(folder: Path) -> None:
    for t in range(FRAMES):
        write(folder / f"walk_{t:06d}.json", [{"keypoints": image(COCO, t).tolist(), "keypoint_scores": [0.9] * 17}])


def pifpaf(folder: Path) -> None:
    lines = [json.dumps({"frame": t, "predictions": [{"keypoints": flat(t), "bbox": [1, 2, 3, 4], "score": 0.9,
                                                      "category_id": 1}]}) for t in range(FRAMES)]  # fmt: skip
    write(folder / "walk.mp4.openpifpaf.json", "\n".join(lines) + "\n")


def pifpaf_pictures(folder: Path) -> None:
    for t in range(FRAMES):
        person = {"keypoints": flat(t), "bbox": [1, 2, 3, 4], "score": 0.9, "category_id": 1}
        write(folder / f"walk_{t:04d}.jpg.predictions.json", [person])


def alphapose_list(folder: Path) -> None:
    people = [{"image_id": f"{t}.jpg", "category_id": 1, "keypoints": flat(t), "score": 2.9, "box": [1, 2, 3, 4],
               "idx": [0.0]} for t in range(FRAMES)]  # fmt: skip
    write(folder / "alphapose-results.json", people)


def alphapose_cmu(folder: Path) -> None:
    joints = LAYOUTS["openpose_18"].joints
    pictures = {
        f"{t}.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(t, joints)}]} for t in range(FRAMES)
    }
    write(folder / "alphapose-results.json", pictures)
    for name, picture in pictures.items():
        write(folder / "sep-json" / name.replace("jpg", "json"), picture)


def alphapose_open(folder: Path) -> None:
    joints = LAYOUTS["openpose_18"].joints
    pictures = {
        f"{t}.jpg": {"version": "AlphaPose v0.3", "people": [{"pose_keypoints_2d": flat(t, joints)}]}
        for t in range(FRAMES)
    }
    write(folder / "alphapose-results.json", pictures)
    for name, picture in pictures.items():
        write(folder / "sep-json" / name.replace("jpg", "json"), picture)


def alphapose_separate(folder: Path) -> None:
    joints = LAYOUTS["openpose_18"].joints
    for t in range(FRAMES):
        write(folder / "sep-json" / f"{t}.json", {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(t, joints)}]})


def pose2sim(folder: Path, stem: str = "cam01.{:04d}.json") -> None:
    joints = LAYOUTS["halpe"].joints
    for t in range(FRAMES):
        person = {"person_id": [-1], "pose_keypoints_2d": flat(t, joints), "face_keypoints_2d": []}
        write(folder / "cam01_json" / stem.format(t), {"version": 1.3, "people": [person]})


def sports2d(folder: Path) -> None:
    pose2sim(folder, "walk_{:06d}.json")


def _azure(joint: str) -> str:
    """HANDTIP_LEFT for left_hand_tip."""
    side, _, word = joint.partition("_") if joint.startswith(("left_", "right_")) else ("", "", joint)
    word = {"mid_hip": "pelvis", "spine": "spine_navel", "chest": "spine_chest"}.get(word, word).replace(
        "hand_tip", "handtip"
    )
    return f"{word}_{side}".strip("_").upper()


def azure_kinect(folder: Path) -> None:
    names = [_azure(j) for j in LAYOUTS["kinect_azure"].joints]
    frames = []
    for t in range(FRAMES):
        points = 1000 * space(LAYOUTS["kinect_azure"].joints, t) * (1, -1, -1)
        frames.append({"frame_id": t, "timestamp_usec": 33333 * t, "num_bodies": 1,
                       "bodies": [{"body_id": 1, "joint_positions": points.tolist(),
                                   "joint_orientations": [[1, 0, 0, 0]] * 32}]})  # fmt: skip
    write(folder / "walk.json", {"joint_names": names, "bone_list": [], "frames": frames})


def _landmarks(frame: int, world: bool) -> list[dict[str, float]]:
    if world:
        points = space(MEDIAPIPE, frame) * (1, -1, -1)
    else:
        points = np.c_[image(MEDIAPIPE, frame) / (640, 480), np.zeros(33)]
    return [{"x": x, "y": y, "z": z, "visibility": 0.9} for x, y, z in points.tolist()]


def mediapipe_frames(folder: Path) -> None:
    write(folder / "walk.json", [_landmarks(t, world=False) for t in range(FRAMES)])


def mediapipe_task(folder: Path) -> None:
    frames = [{"frame": t, "landmarks": [_landmarks(t, False)], "worldLandmarks": [_landmarks(t, True)]}
              for t in range(FRAMES)]  # fmt: skip
    write(folder / "walk.json", {"fps": 25, "frames": frames})


def mediapipe_named(folder: Path) -> None:
    names = [n.upper() for n in MEDIAPIPE]
    frames = [{"frame": t, "pose_world_landmarks": dict(zip(names, _landmarks(t, True), strict=True))}
              for t in range(FRAMES)]  # fmt: skip
    write(folder / "walk.json", frames)


def zed(folder: Path) -> None:
    frames = {}
    for t in range(FRAMES):
        points = 1000 * space(LAYOUTS["zed_38"].joints, t)
        body = {"id": 4, "tracking_state": "OK", "keypoint": points.tolist(), "keypoint_confidence": [80.0] * 38}
        frames[str(1700000000000 + 33 * t)] = {"is_new": True, "timestamp": 1700000000000000000 + 33333333 * t,
                                               "body_list": [body]}  # fmt: skip
    write(folder / "bodies.json", frames)


def deeplabcut(folder: Path, individuals: bool = False) -> None:
    ours = {"nose": "nose", "LeftShoulder": "left_shoulder", "RightShoulder": "right_shoulder",
            "leftElbow": "left_elbow", "rightElbow": "right_elbow", "left_hip": "left_hip", "right_hip": "right_hip",
            "kneeL": "left_knee", "kneeR": "right_knee"}  # fmt: skip
    people = ["ann", "bob"] if individuals else [""]
    head = [["scorer"], *([["individuals"]] if individuals else []), ["bodyparts"], ["coords"]]
    rows = [[str(t)] for t in range(FRAMES)]
    for m, who in enumerate(people):
        for part, joint in ours.items():
            for axis, coord in enumerate(("x", "y", "likelihood")):
                words = ["DLC_resnet50", *([who] if individuals else []), part, coord]
                for line, word in zip(head, words, strict=True):
                    line.append(word)
                for t in range(FRAMES):
                    value = 0.9 if axis == 2 else in_image(joint, t)[axis] + 100 * m * (axis == 0)
                    rows[t].append(f"{value:.3f}")
    write(folder / "walkDLC_resnet50.csv", "\n".join(",".join(r) for r in [*head, *rows]) + "\n")


def sleap_csv(folder: Path) -> None:
    columns = ["track", "frame_idx", "instance.score", *(f"{j}.{c}" for j in COCO for c in ("x", "y", "score"))]
    lines = [",".join(columns)]
    for t in range(FRAMES):
        cells = np.c_[image(COCO, t), np.full(17, 0.7)].ravel()
        lines.append(f"ann,{t},0.8," + ",".join(f"{v:.3f}" for v in cells))
    write(folder / "walk.analysis.csv", "\n".join(lines) + "\n")


def trc(folder: Path, unit: str = "mm", names: tuple[str, ...] = ()) -> None:
    names = names or ("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "Hip", "RHip",
                      "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle")  # fmt: skip
    sides = {"R": "right_", "L": "left_"}
    ours = [sides[n[0]] + n[1:].lower() if n[0] in sides and n[1:2].isupper() else n.lower() for n in names]
    ours = ["mid_hip" if n == "hip" else n for n in ours]
    lines = ["PathFileType\t4\t(X/Y/Z)\twalk.trc",
             "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
             f"50\t50\t{FRAMES}\t{len(names)}\t{unit}\t50\t1\t{FRAMES}",
             "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
             "\t\t" + "\t".join(f"{a}{i + 1}" for i in range(len(names)) for a in "XYZ"), ""]  # fmt: skip
    for t in range(FRAMES):
        points = space(ours, t) * {"mm": 1000, "m": 1, "cm": 100}[unit]
        lines.append(f"{t + 1}\t{t / 50:.3f}\t" + "\t".join(f"{v:.5f}" for v in points.ravel()))
    write(folder / "walk.trc", "\n".join(lines) + "\n")


def _ntu(t: int) -> np.ndarray:
    return space(LAYOUTS["kinect_v2"].joints, t)


def ctrgcn(folder: Path) -> None:
    x = np.zeros((2, 9, 150), dtype=np.float32)
    for t in range(FRAMES):
        x[:, t, :75] = _ntu(t).ravel()
    y = np.eye(60)[[3, 5]]
    folder.mkdir(exist_ok=True)
    np.savez(folder / "NTU60_CS.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])


def agcn(folder: Path) -> None:
    data = np.zeros((1, 3, 9, 25, 2), dtype=np.float32)
    for t in range(FRAMES):
        data[0, :, t, :, 0] = _ntu(t).T
    folder.mkdir(exist_ok=True)
    np.save(folder / "val_data_joint.npy", data)
    np.save(folder / "val_data_bone.npy", data)
    (folder / "val_label.pkl").write_bytes(pickle.dumps((["S001C002P003R001A012.skeleton"], [11])))


def rtmlib_npz(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    points = np.stack([image(COCO, t)[None] for t in range(FRAMES)])
    np.savez(folder / "walk.npz", keypoints=points, scores=np.full(points.shape[:3], 0.9))


def rtmlib_npy(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    points = np.stack([image(COCO, t)[None] for t in range(FRAMES)])
    np.save(folder / "walk_keypoints.npy", points)
    np.save(folder / "walk_scores.npy", np.full(points.shape[:3], 0.9))


def npy_with_score(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / "walk.npy", np.stack([np.c_[image(COCO, t), np.full(17, 0.9)] for t in range(FRAMES)]))


def humanml3d(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / "000012.npy", np.stack([space(LAYOUTS["smpl_22"].joints, t) for t in range(FRAMES)]))


def videopose3d(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    views = np.stack([image(COCO, t) for t in range(FRAMES)]).astype(np.float32)
    positions = {"S1": {"Walking 1": [views, views + 1]}}
    metadata = {"layout_name": "coco", "num_joints": 17}
    np.savez_compressed(folder / "data_2d_custom_walk.npz", positions_2d=np.array(positions, dtype=object),
                        metadata=np.array(metadata, dtype=object))  # fmt: skip


def pku_mmd(folder: Path) -> None:
    lines = [" ".join(f"{v:.5f}" for v in [*_ntu(t).ravel(), *np.zeros(75)]) for t in range(FRAMES)]
    write(folder / "skeleton" / "0002-L.txt", "\n".join(lines) + "\n")
    write(folder / "label" / "0002-L.txt", "7,0,3,2\n12,3,6,1\n")


def landmark_numbers(folder: Path, style: str = "landmark_{}_{}") -> None:
    columns = [style.format(v, a) for v in range(33) for a in "xy"]
    lines = [",".join(["frame_number", *columns])]
    lines += [",".join([str(t), *(f"{v:.2f}" for v in image(MEDIAPIPE, t).ravel())]) for t in range(FRAMES)]
    write(folder / "walk.csv", "\n".join(lines) + "\n")


# maker -> (format, layout or None, joint, dimensions)
TOOLS: dict[Callable[[Path], None], tuple[str, str | None, int]] = {
    ultralytics_json: ("ultralytics", "coco", 2), ultralytics_one_json: ("ultralytics", "coco", 2),
    ultralytics_lines: ("ultralytics", "coco", 2), mmpose_lines: ("mmpose", "coco", 2),
    ultralytics_normalised: ("ultralytics", "coco", 2), ultralytics_csv: ("ultralytics", "coco", 2),
    ultralytics_txt: ("ultralytics", "coco", 2), mmpose: ("mmpose", "coco", 2), mmpose_pictures: ("mmpose", "coco", 2),
    pifpaf: ("openpifpaf", "coco", 2), pifpaf_pictures: ("openpifpaf", "coco", 2),
    alphapose_list: ("coco", "coco", 2), alphapose_cmu: ("alphapose", "openpose_18", 2),
    alphapose_open: ("alphapose", "openpose_18", 2), alphapose_separate: ("alphapose", "openpose_18", 2),
    pose2sim: ("openpose", "halpe", 2), sports2d: ("openpose", "halpe", 2),
    azure_kinect: ("azure-kinect", "kinect_azure", 3), mediapipe_frames: ("mediapipe", "mediapipe", 2),
    mediapipe_task: ("mediapipe", "mediapipe", 3), mediapipe_named: ("mediapipe", "mediapipe", 3),
    zed: ("zed", "zed_38", 3), deeplabcut: ("deeplabcut", None, 2), sleap_csv: ("deeplabcut", "coco", 2),
    trc: ("trc", None, 3),
    ctrgcn: ("action-arrays", "kinect_v2", 3), agcn: ("action-arrays", "kinect_v2", 3),
    rtmlib_npz: ("numpy", "coco", 2), rtmlib_npy: ("numpy", "coco", 2), npy_with_score: ("numpy", "coco", 2),
    humanml3d: ("numpy", "smpl_22", 3), videopose3d: ("numpy", "coco", 2), pku_mmd: ("pku-mmd", "kinect_v2", 3),
    landmark_numbers: ("table", "mediapipe", 2),
}  # fmt: skip


def zipped(folder: Path) -> bytes:
    """The folder as a zip."""
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return data.getvalue()

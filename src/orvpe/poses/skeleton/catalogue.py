"""The layouts of the sensors, estimators and data sets that people use: joints in the order of the data."""

from __future__ import annotations

from orvpe.poses.skeleton.layout import LIMBS, SIDES, Layout, tree_layout, unified

_KINECT_V1_PARENTS = {
    "spine": "mid_hip", "neck": "spine", "head": "neck",
    **{f"{s}_{j}": f"{s}_{p}" if p not in ("neck", "mid_hip") else p for s in SIDES for j, p in (
        ("shoulder", "neck"), ("elbow", "shoulder"), ("wrist", "elbow"), ("hand", "wrist"),
        ("hip", "mid_hip"), ("knee", "hip"), ("ankle", "knee"), ("foot", "ankle"))},
}  # fmt: skip
_FACE = {
    "left_eye": "nose",
    "right_eye": "nose",
    "left_ear": "left_eye",
    "right_ear": "right_eye",
}
_FEET = {f"{s}_{j}": f"{s}_ankle" for s in SIDES for j in ("big_toe", "small_toe", "heel")}
_COCO_PARENTS: dict[str, str | None] = {
    **_FACE, "left_shoulder": "nose", "right_shoulder": "nose",
    **{f"{s}_{j}": f"{s}_{p}" for s in SIDES for j, p in (
        ("elbow", "shoulder"), ("wrist", "elbow"), ("hip", "shoulder"), ("knee", "hip"), ("ankle", "knee"))},
}  # fmt: skip


def _both(joints: str) -> list[str]:
    """All of the left, then all of the right."""
    return [f"{s}_{j}" for s in SIDES for j in joints.split()]


def _turns(joints: str) -> list[str]:
    """Left and right of each joint in turn."""
    return [f"{s}_{j}" for j in joints.split() for s in SIDES]


_COCO = ["nose", *_turns("eye ear shoulder elbow wrist hip knee ankle")]
_HALPE = [*_COCO, "head", "neck", "mid_hip", *_turns("big_toe small_toe heel")]
_HALPE_PARENTS: dict[str, str | None] = {
    **LIMBS, **_FACE, **_FEET, "nose": "neck", "head": "nose", "mid_hip": "neck"}  # fmt: skip
_FACE_POINTS: dict[str, str | None] = {f"face_{i}": "nose" for i in range(68)}
_HAND_POINTS: dict[str, str | None] = {f"{s}_hand_{i}": f"{s}_wrist" for s in SIDES for i in range(21)}
_ON_NECK: dict[str, str | None] = {
    **LIMBS, "head_top": "neck", **{f"{s}_hip": f"{s}_shoulder" for s in SIDES}}  # fmt: skip
_DEPTH_CAMERA_JOINTS = [
    "mid_hip", "spine", "chest", "neck", *_both("clavicle shoulder elbow wrist hand hand_tip thumb"),
    *_both("hip knee ankle foot"), "head", "nose", *_both("eye ear"),
]  # fmt: skip
_DEPTH_CAMERA: dict[str, str | None] = {
    **LIMBS, **_FACE, "spine": "mid_hip", "chest": "spine", "neck": "chest", "head": "neck", "nose": "head",
    **{f"{s}_{j}": p if p == "chest" else f"{s}_{p}" for s in SIDES for j, p in (
        ("clavicle", "chest"), ("shoulder", "clavicle"), ("hand", "wrist"), ("hand_tip", "hand"), ("thumb", "wrist"),
        ("foot", "ankle"), ("heel", "ankle"))},
}  # fmt: skip
_SMPL = [
    "mid_hip", "left_hip", "right_hip", "spine", *_turns("knee"), "chest", *_turns("ankle"), "upper_chest",
    *_turns("foot"), "neck", *_turns("clavicle"), "head", *_turns("shoulder elbow wrist"),
]  # fmt: skip
_SMPL_PARENTS: dict[str, str | None] = {
    **LIMBS, "spine": "mid_hip", "chest": "spine", "upper_chest": "chest", "neck": "upper_chest", "head": "neck",
    **{f"{s}_{j}": p if p == "upper_chest" else f"{s}_{p}" for s in SIDES for j, p in (
        ("clavicle", "upper_chest"), ("shoulder", "clavicle"), ("hand", "wrist"), ("foot", "ankle"))},
}  # fmt: skip

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        unified,
        tree_layout("kinect_v1",
                "mid_hip spine neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
                "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
                "right_foot", _KINECT_V1_PARENTS),
        tree_layout("kinect_v2",
                "mid_hip spine_mid neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
                "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
                "right_foot spine_shoulder left_hand_tip left_thumb right_hand_tip right_thumb",
                {**_KINECT_V1_PARENTS, "spine_mid": "mid_hip", "spine_shoulder": "spine_mid",
                 "neck": "spine_shoulder", "left_shoulder": "spine_shoulder", "right_shoulder": "spine_shoulder",
                 **{f"{s}_hand_tip": f"{s}_hand" for s in SIDES}, **{f"{s}_thumb": f"{s}_wrist" for s in SIDES}}),
        tree_layout("penn",
                "head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip "
                "left_knee right_knee left_ankle right_ankle",
                {**_COCO_PARENTS, "left_shoulder": "head", "right_shoulder": "head"}),
        tree_layout("lcrnet",
                "right_ankle left_ankle right_knee left_knee right_hip left_hip right_wrist left_wrist right_elbow "
                "left_elbow right_shoulder left_shoulder head",
                {**_COCO_PARENTS, "left_shoulder": "head", "right_shoulder": "head"}),
        tree_layout("coco",
                "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
                "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
                _COCO_PARENTS),
        tree_layout("openpose_18",
                "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
                "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
                {**LIMBS, **_FACE, "nose": "neck", "left_hip": "neck", "right_hip": "neck"}),
        tree_layout("openpose_25",
                "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip "
                "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear "
                "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
                {**LIMBS, **_FACE, **_FEET, "nose": "neck", "mid_hip": "neck"}),
        tree_layout("halpe",
                "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
                "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle head neck "
                "mid_hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel",
                {**LIMBS, **_FACE, **_FEET, "nose": "neck", "head": "nose", "mid_hip": "neck"}),
        tree_layout("mediapipe",
                "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear "
                "right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow left_wrist "
                "right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip right_hip "
                "left_knee right_knee left_ankle right_ankle left_heel right_heel left_foot_index right_foot_index",
                {**_COCO_PARENTS, "left_mouth": "nose", "right_mouth": "nose",
                 **{f"{s}_{j}": f"{s}_{p}" for s in SIDES for j, p in (
                     ("eye_inner", "eye"), ("eye_outer", "eye"), ("pinky", "wrist"), ("index", "wrist"),
                     ("thumb", "wrist"), ("heel", "ankle"), ("foot_index", "heel"))}}),
        tree_layout("h36m",
                "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle spine neck nose head "
                "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
                {**LIMBS, "spine": "mid_hip", "neck": "spine", "nose": "neck", "head": "nose"}),
        tree_layout("kinect_azure",
                _DEPTH_CAMERA_JOINTS, _DEPTH_CAMERA),
        tree_layout("coco_wholebody", [*_COCO, *_both("big_toe small_toe heel"), *_FACE_POINTS, *_HAND_POINTS],
                {**_COCO_PARENTS, **_FEET, **_FACE_POINTS, **_HAND_POINTS}),
        tree_layout("halpe_136", [*_HALPE, *_FACE_POINTS, *_HAND_POINTS],
                {**_HALPE_PARENTS, **_FACE_POINTS, **_HAND_POINTS}),
        tree_layout("openpose_25b", [*_COCO, "upper_neck", "head_top", *_both("big_toe small_toe heel")],
                {**_COCO_PARENTS, **_FEET, "upper_neck": "nose", "head_top": "nose"}),
        tree_layout("crowdpose",
                [*_turns("shoulder elbow wrist hip knee ankle"), "head_top", "neck"], _ON_NECK),
        tree_layout("aic",
                "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
                "right_ankle left_hip left_knee left_ankle head_top neck", _ON_NECK),
        tree_layout("mpii",
                "right_ankle right_knee right_hip left_hip left_knee left_ankle mid_hip thorax upper_neck head_top "
                "right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
                {**LIMBS, "thorax": "mid_hip", "upper_neck": "thorax", "head_top": "upper_neck",
                 "left_shoulder": "thorax", "right_shoulder": "thorax"}),
        tree_layout("posetrack",
                "nose head_bottom head_top left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
                "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
                {**_COCO_PARENTS, "head_bottom": "nose", "head_top": "nose", "left_ear": "nose", "right_ear": "nose"}),
        tree_layout("jhmdb",
                "neck spine head right_shoulder left_shoulder right_hip left_hip right_elbow left_elbow right_knee "
                "left_knee right_wrist left_wrist right_ankle left_ankle",
                {**LIMBS, "spine": "neck", "head": "neck", "left_hip": "spine", "right_hip": "spine"}),
        tree_layout("smpl", [*_SMPL, "left_hand", "right_hand"], _SMPL_PARENTS),
        tree_layout("smpl_22", _SMPL, _SMPL_PARENTS),
        tree_layout("zed_18",
                "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
                "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
                {**LIMBS, **_FACE, "nose": "neck", "left_hip": "neck", "right_hip": "neck"}),
        tree_layout("zed_34",
                [*_DEPTH_CAMERA_JOINTS, *_both("heel")], _DEPTH_CAMERA),
        tree_layout("zed_38",
                ["mid_hip", "spine", "chest", "upper_chest", "neck", "nose",
                 *_turns("eye ear clavicle shoulder elbow wrist hip knee ankle big_toe small_toe heel hand_thumb_4 "
                         "hand_index_1 hand_middle_4 hand_pinky_1")],
                {**_DEPTH_CAMERA, "upper_chest": "chest", "neck": "upper_chest", "nose": "neck",
                 **{f"{s}_clavicle": "upper_chest" for s in SIDES},
                 **{f"{s}_{j}": f"{s}_ankle" for s in SIDES for j in ("big_toe", "small_toe", "heel")},
                 **{f"{s}_hand_{j}": f"{s}_wrist" for s in SIDES
                    for j in ("thumb_4", "index_1", "middle_4", "pinky_1")}}),
    )
}  # fmt: skip

# what a file without names means by so many joints; 14, 15 and 16 joints, and 17 in space, are several layouts
_BY_COUNT = {
    2: ("coco", "openpose_18", "openpose_25", "halpe", "mediapipe", "coco_wholebody", "halpe_136"),
    3: ("kinect_v1", "smpl_22", "smpl", "kinect_v2", "kinect_azure", "mediapipe", "zed_34", "zed_38"),
}


def layouts_by_count(dims: int) -> dict[int, Layout]:
    """Number of joints -> the layout, for the numbers that mean one."""
    return {len(LAYOUTS[name]): LAYOUTS[name] for name in _BY_COUNT[dims]}

"""Layouts of the sensors and estimators people use, and how one is found: by name, in a file, by its joints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton.layout import LIMBS, SIDES, Layout, layout_from_dict, tree_layout, unified
from orvpe.poses.skeleton.rigs import mocap_layout
from orvpe.runtime.plain import load_yaml, read_text

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
    )
}  # fmt: skip


def get_layout(name: str | Path | Layout) -> Layout:
    """A layout by name, or from a YAML file of one's own (a path ending in .yaml or .yml).

    Raises:
        InputError: unknown name (nearest ones suggested), unreadable or wrong file.
    """
    if isinstance(name, Layout):
        return name
    if str(name).endswith((".yaml", ".yml")):
        return load_layout(Path(name))
    if str(name) not in LAYOUTS:
        raise InputError(unknown("layout", str(name), LAYOUTS) + " (or give a .yaml file of your own)")
    return LAYOUTS[str(name)]


def load_layout(path: Path) -> Layout:
    """A layout from YAML: ``joints: {name: parent or null, ...}``, optional ``name`` and ``unified``."""
    where = f"layout file {path}"
    data = load_yaml(read_text(path, where), where)
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected a mapping with 'joints', found {type(data).__name__}")
    return layout_from_dict({"name": Path(path).stem, **data}, where=where)


def layout_for_names(names: Sequence[str], name: str = "named") -> Layout:
    """The known layout with exactly these joints, or one built from the names (ours or a rig's)."""
    names = [str(n) for n in names]
    for layout in LAYOUTS.values():
        if tuple(names) == layout.joints:
            return layout
    for layout in (unified, *LAYOUTS.values()):  # a part of a known layout, in any order
        if set(names) <= set(layout.joints):
            return tree_layout(name, names, dict(zip(layout.joints, layout.parents, strict=True)))
    return mocap_layout(name, names)

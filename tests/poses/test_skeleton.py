"""Layouts, the mapping onto the unified one, body parts and graph subsets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from orvpe.errors import InputError
from orvpe.poses.body_parts import PARTS, part_indices
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import (
    LAYOUTS,
    UNIFIED_JOINTS,
    Layout,
    get_layout,
    graph_subsets,
    layout_for_names,
    layout_from_dict,
    unified,
    unified_sources,
    with_derived,
)
from orvpe.poses.skeleton.names import canonical
from orvpe.poses.skeleton.rigs import mocap_layout
from orvpe.poses.unify import to_unified

every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
LIMBS = [f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]


# --- layouts ----------------------------------------------------------------------------------------------------


@every_layout
def test_parents_reach_one_root(layout: Layout) -> None:
    roots = [j for j, p in zip(layout.joints, layout.parents, strict=True) if p is None]
    assert len(roots) == 1
    for i in range(len(layout)):
        steps = 0
        while layout.parent_index[i] != i:
            i, steps = layout.parent_index[i], steps + 1
            assert steps < len(layout)
        assert layout.joints[i] == roots[0]
    assert len(layout.edges) == len(layout) - 1


@every_layout
def test_depth_order_puts_parents_first(layout: Layout) -> None:
    assert sorted(layout.depth_order) == list(range(len(layout)))
    place = {i: n for n, i in enumerate(layout.depth_order)}
    assert all(place[p] < place[c] for c, p in layout.edges)


@every_layout
def test_mirror_swaps_left_and_right(layout: Layout) -> None:
    m = layout.mirror
    assert [m[m[i]] for i in range(len(layout))] == list(range(len(layout)))
    for i, j in enumerate(layout.joints):
        if j.startswith("left_"):
            assert layout.joints[m[i]] == "right_" + j.removeprefix("left_")
        elif not j.startswith("right_"):
            assert m[i] == i
    # the mirror image of the tree is the tree
    assert {(m[c], m[p]) for c, p in layout.edges} == set(layout.edges)


@pytest.mark.parametrize(
    ("name", "count"),
    [("unified", 17), ("kinect_v1", 20), ("kinect_v2", 25), ("penn", 13), ("lcrnet", 13), ("coco", 17),
     ("openpose_18", 18), ("openpose_25", 25), ("halpe", 26), ("mediapipe", 33), ("h36m", 17)],
)  # fmt: skip
def test_sizes(name: str, count: int) -> None:
    assert len(get_layout(name)) == count
    assert get_layout(get_layout(name)) is LAYOUTS[name]


@every_layout
def test_plain_data_and_back(layout: Layout) -> None:
    again = layout_from_dict(layout.to_dict())
    assert again == layout
    assert hash(again) == hash(layout)


def test_joints_in_another_order_are_another_layout() -> None:
    other = Layout(unified.name, unified.joints[::-1], unified.parents[::-1])
    assert other != unified
    assert unified != "unified"
    assert dataclasses.replace(unified, unified={"head": ("nose",)}) != unified


@pytest.mark.parametrize(
    ("joints", "parents", "found"),
    [
        (("a", "b"), (None,), "1 parents for 2 joints"),
        (("a", "a"), (None, None), "'a' is listed twice"),
        (("neck", "head"), (None, "neckk"), "unknown joint 'neckk' .*did you mean 'neck'"),
        (("a", "b", "c"), (None, "c", "b"), "cycle through 'b'"),
        (("a", "b"), ("a", "a"), "cycle through 'a'"),
    ],
)
def test_bad_layouts(joints: tuple[str, ...], parents: tuple[str | None, ...], found: str) -> None:
    with pytest.raises(InputError, match=found):
        Layout("bad", joints, parents)


def test_nearest_names_are_suggested() -> None:
    with pytest.raises(InputError, match=r"unknown joint 'left_sholder' in layout 'unified'.*'left_shoulder'"):
        unified.index("left_sholder")
    with pytest.raises(InputError, match=r"unknown layout 'kinectv1'.*'kinect_v1'"):
        get_layout("kinectv1")
    with pytest.raises(InputError, match=r"unknown body part 'uper'.*'upper'"):
        part_indices("uper", unified)


# --- a layout of one's own ---------------------------------------------------------------------------------------

OWN = """
joints:
  pelvis: null
  torso: pelvis
  skull: torso
  jaw: skull
  left_shoulder: torso
  right_shoulder: torso
unified:
  head: skull
  nose: [skull, jaw]
"""


def test_own_yaml_layout_touches_no_code(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN, encoding="utf-8")
    layout = get_layout(path)
    assert layout == get_layout(str(path))
    assert layout.name == "mine"
    assert layout.joints == ("pelvis", "torso", "skull", "jaw", "left_shoulder", "right_shoulder")
    assert layout.mirror == (0, 1, 2, 3, 5, 4)
    assert unified_sources(layout) == {
        "head": ("skull",), "nose": ("skull", "jaw"), "neck": ("left_shoulder", "right_shoulder"),
        "chest": ("torso",), "mid_hip": ("pelvis",), "left_shoulder": ("left_shoulder",),
        "right_shoulder": ("right_shoulder",),
    }  # fmt: skip
    assert layout_from_dict(layout.to_dict()) == layout  # overrides survive a store's metadata
    joints = np.random.default_rng(0).normal(size=(2, 3, 6, 3)).astype(np.float32)
    got = to_unified(Clip.from_array(joints, layout))
    np.testing.assert_allclose(got.joints[:, :, unified.index("nose")], joints[:, :, 2:4].mean(axis=2), rtol=1e-6)
    assert not got.visible[:, :, unified.index("left_knee")].any()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- a\n- b\n", "expected a mapping with 'joints', found list"),
        ("", "found NoneType"),
        ("joints: [a, b]\n", "'joints' must map"),
        ("joints: {}\n", "'joints' must map"),
        ("joints: {a: b}\n", "unknown joint 'b'"),
        ("joints: {a: b, b: a}\n", "cycle"),
        ("joints: {a: null}\njoins: 3\n", "unknown key 'joins'.*'joints'"),
        ("joints: {a: null}\nunified: {hed: a}\n", "unknown unified joint 'hed'.*'head'"),
        ("joints: {skull: null}\nunified: {head: skul}\n", "unknown joint 'skul'.*'skull'"),
        ("joints: {a: null}\nunified: [head]\n", "'unified' is a list, expected"),
        ("joints: {a: null}\nunified: {head: 3}\n", "'head' is 3, expected a name"),
        ("joints: {a: null}\nunified: {head: null}\n", "'head' is None, expected a name"),
        ("joints: {a: [\n", "not YAML"),
    ],
)
def test_bad_layout_files(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=found) as error:
        get_layout(path)
    assert "bad.yml" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_layout_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: No such file"):
        get_layout(tmp_path / "none.yaml")


# --- onto the unified layout -------------------------------------------------------------------------------------


@every_layout
def test_unified_is_the_mean_of_joints_that_are_all_seen(layout: Layout) -> None:
    draw = np.random.default_rng(1)
    joints = draw.normal(size=(2, 9, len(layout), 3)).astype(np.float32)
    visible = draw.random((2, 9, len(layout))) < 0.7
    joints[~visible] = np.nan
    got, sources = to_unified(Clip(joints, visible, layout)), unified_sources(layout)
    assert got.layout == unified
    for m in range(2):
        for t in range(9):
            for v, target in enumerate(UNIFIED_JOINTS):
                index = [layout.joints.index(s) for s in sources.get(target, ())]
                if target == "head":  # one ear is enough
                    index = [i for i in index if visible[m, t, i]]
                seen = bool(index) and all(visible[m, t, i] for i in index)
                assert got.visible[m, t, v] == seen
                want = sum(joints[m, t, i].astype(np.float64) for i in index) / len(index) if seen else np.zeros(3)
                if seen or layout is not unified:  # a unified clip is not copied, whatever lies under hidden joints
                    np.testing.assert_allclose(got.joints[m, t, v], want, rtol=1e-6, atol=1e-6)


@every_layout
def test_every_layout_gives_all_limbs_and_the_trunk(layout: Layout) -> None:
    sources = unified_sources(layout)
    assert all(sources[j] == (j,) for j in LIMBS)
    assert set(UNIFIED_JOINTS) - set(sources) <= {"nose"}


@pytest.mark.parametrize(
    ("layout", "target", "expected"),
    [
        ("penn", "neck", ("left_shoulder", "right_shoulder")),
        ("penn", "mid_hip", ("left_hip", "right_hip")),
        ("penn", "chest", ("left_shoulder", "right_shoulder", "left_hip", "right_hip")),
        ("coco", "head", ("left_ear", "right_ear")),
        ("kinect_v1", "chest", ("spine",)),
        ("kinect_v2", "chest", ("spine_mid",)),
        ("openpose_18", "chest", ("left_shoulder", "right_shoulder", "left_hip", "right_hip")),
        ("openpose_25", "chest", ("neck", "mid_hip")),
    ],
)
def test_derived_joints(layout: str, target: str, expected: tuple[str, ...]) -> None:
    assert unified_sources(LAYOUTS[layout])[target] == expected


def test_unified_of_unified_is_itself() -> None:
    clip = Clip.from_array(np.random.default_rng(0).normal(size=(3, 17, 2)), unified)
    assert to_unified(clip) is clip
    same = Clip(clip.joints, clip.visible, Layout("other", unified.joints, unified.parents))
    assert to_unified(same).layout is unified
    assert np.array_equal(to_unified(same).joints, clip.joints)


def test_permuted_joints_come_back_in_order() -> None:
    order = np.random.default_rng(3).permutation(17)
    joints = np.random.default_rng(0).normal(size=(1, 3, 17, 3)).astype(np.float32)
    layout = layout_for_names([UNIFIED_JOINTS[i] for i in order])
    assert np.array_equal(to_unified(Clip.from_array(joints[:, :, order], layout)).joints, joints)


def test_nothing_unified_to_see() -> None:
    coco = LAYOUTS["coco"]
    visible = np.zeros((1, 2, 17), dtype=bool)
    visible[:, :, coco.index("left_eye")] = True  # one eye is no head
    with pytest.raises(InputError, match="clip 'eye': all joints are missing"):
        to_unified(Clip(np.zeros((1, 2, 17, 2)), visible, coco, name="eye"))


# --- rigs --------------------------------------------------------------------------------------------------------

RIGS = {
    "bandai_namco": "joint_Root Hips Spine Chest Neck Head Shoulder_L UpperArm_L LowerArm_L Hand_L Shoulder_R "
    "UpperArm_R LowerArm_R Hand_R UpperLeg_L LowerLeg_L Foot_L Toes_L UpperLeg_R LowerLeg_R Foot_R Toes_R",
    "mixamo": "mixamorig:Hips mixamorig:Spine mixamorig:Spine1 mixamorig:Spine2 mixamorig:Neck mixamorig:Head "
    "mixamorig:LeftShoulder mixamorig:LeftArm mixamorig:LeftForeArm mixamorig:LeftHand mixamorig:LeftHandIndex1 "
    "mixamorig:RightShoulder mixamorig:RightArm mixamorig:RightForeArm mixamorig:RightHand mixamorig:LeftUpLeg "
    "mixamorig:LeftLeg mixamorig:LeftFoot mixamorig:LeftToeBase mixamorig:RightUpLeg mixamorig:RightLeg "
    "mixamorig:RightFoot mixamorig:RightToeBase",
    "cmu": "Hips LHipJoint LeftUpLeg LeftLeg LeftFoot LeftToeBase RHipJoint RightUpLeg RightLeg RightFoot "
    "RightToeBase LowerBack Spine Spine1 Neck Neck1 Head LeftShoulder LeftArm LeftForeArm LeftHand LeftFingerBase "
    "LeftHandIndex1 LThumb RightShoulder RightArm RightForeArm RightHand RightFingerBase RightHandIndex1 RThumb",
    "lafan": "Hips LeftUpLeg LeftLeg LeftFoot LeftToe RightUpLeg RightLeg RightFoot RightToe Spine Spine1 Spine2 Neck "
    "Head LeftShoulder LeftArm LeftForeArm LeftHand RightShoulder RightArm RightForeArm RightHand",
    "daz": "hip abdomen chest neck head lCollar lShldr lForeArm lHand rCollar rShldr rForeArm rHand lThigh lShin lFoot "
    "rThigh rShin rFoot",
    "joints": "Hips Chest Neck Head LeftCollar LeftShoulder LeftElbow LeftWrist RightCollar RightShoulder RightElbow "
    "RightWrist LeftHip LeftKnee LeftAnkle RightHip RightKnee RightAnkle",
}
# which raw joint each rig's left arm and leg begin, bend and end at
ENDS = {
    "bandai_namco": ("UpperArm_L", "LowerArm_L", "Hand_L", "UpperLeg_L", "LowerLeg_L", "Foot_L"),
    "mixamo": tuple(f"mixamorig:Left{j}" for j in ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")),
    "cmu": tuple(f"Left{j}" for j in ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")),
    "lafan": tuple(f"Left{j}" for j in ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")),
    "daz": ("lShldr", "lForeArm", "lHand", "lThigh", "lShin", "lFoot"),
    "joints": ("LeftShoulder", "LeftElbow", "LeftWrist", "LeftHip", "LeftKnee", "LeftAnkle"),
}


@pytest.mark.parametrize("rig", RIGS)
def test_rigs_are_understood(rig: str) -> None:
    raw = RIGS[rig].split()
    layout = mocap_layout(rig, raw)
    assert len(layout) == len(raw)
    sources = unified_sources(layout)
    assert set(UNIFIED_JOINTS) - set(sources) == {"nose"}
    for j, name in zip(("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), ENDS[rig], strict=True):
        (left,), (right,) = sources[f"left_{j}"], sources[f"right_{j}"]
        assert raw[layout.index(left)] == name
        assert layout.mirror[layout.index(left)] == layout.index(right)
    for j, words in (("head", ("Head", "head")), ("neck", ("Neck", "neck")), ("mid_hip", ("Hips", "hip"))):
        assert raw[layout.index(sources[j][0])].split(":")[-1] in words


def test_a_rigs_own_parents() -> None:
    layout = mocap_layout("r", ["Hips", "Spine", "Spine", "Head"], [-1, 0, 1, 2])
    assert layout.joints == ("mid_hip", "spine", "spine_2", "head")
    assert layout.parent_index == (0, 0, 1, 2)


@pytest.mark.parametrize(
    ("raw", "ours"),
    [("LeftForeArm", "left_elbow"), ("LowerArm_L", "left_elbow"), ("mixamorig:l_forearm", "left_elbow"),
     ("RightUpLeg", "right_hip"), ("r_thigh", "right_hip"), ("Right Foot", "right_ankle"),
     ("Bip01 L Calf", "left_knee"),
     ("lower_leg-r", "right_knee"), ("Head", "head"), ("tail", "tail")],
)  # fmt: skip
def test_mocap_names(raw: str, ours: str) -> None:
    assert canonical([raw]) == [ours]


def test_layouts_are_found_by_their_names() -> None:
    assert layout_for_names(LAYOUTS["coco"].joints) is LAYOUTS["coco"]
    part = layout_for_names(["left_wrist", "left_elbow", "left_shoulder"])
    assert part.parents == ("left_elbow", "left_shoulder", None)
    assert "left_hip" in layout_for_names(RIGS["lafan"].split()).joints


# --- parts -------------------------------------------------------------------------------------------------------


def test_the_six_masks_joints() -> None:
    """Upper and lower, and left, right and centre, each make up the body."""
    both = [set(PARTS[p]) for p in ("upper", "lower")]
    assert both[0] | both[1] == set(UNIFIED_JOINTS)
    assert not both[0] & both[1]
    three = [set(PARTS[p]) for p in ("left", "right", "centre")]
    assert [len(p) for p in three] == [6, 6, 5]
    assert set.union(*three) == set(UNIFIED_JOINTS)
    assert len(PARTS["upper"]) == 10


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_the_unified_layout(part: str) -> None:
    assert {UNIFIED_JOINTS[i] for i in part_indices(part, unified)} == set(PARTS[part])


def test_further_joints_go_with_their_limb() -> None:
    kinect = LAYOUTS["kinect_v1"]
    assert {kinect.joints[i] for i in part_indices("left_arm", kinect)} == {
        "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    }  # fmt: skip
    assert {kinect.joints[i] for i in part_indices("trunk", kinect)} == {"mid_hip", "spine", "neck", "head"}
    coco = LAYOUTS["coco"]
    assert {coco.joints[i] for i in part_indices("face", coco)} == {
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    }  # fmt: skip


@every_layout
def test_upper_and_lower_share_out_every_joint(layout: Layout) -> None:
    upper, lower = part_indices("upper", layout), part_indices("lower", layout)
    assert sorted(upper + lower) == list(range(len(layout)))
    sides = [part_indices(p, layout) for p in ("left", "right", "centre")]
    assert sorted(i for side in sides for i in side) == list(range(len(layout)))


# --- the graph ---------------------------------------------------------------------------------------------------


@every_layout
def test_subsets_against_a_loop(layout: Layout) -> None:
    v = len(layout)
    want = np.zeros((3, v, v))
    for i in range(v):
        want[0, i, i] = 1
        if layout.parents[i] is not None:
            p = layout.joints.index(layout.parents[i])
            want[1, i, p] = 1  # inward: child into parent
            want[2, p, i] = 1  # outward: parent into child
    for a in want:
        columns = [sum(a[i, j] for i in range(v)) for j in range(v)]
        for i in range(v):
            for j in range(v):
                if a[i, j]:
                    a[i, j] /= columns[j]
    got = graph_subsets(layout)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_columns_carry_means() -> None:
    a = graph_subsets(unified)
    sums = a.sum(axis=1)
    assert np.all(np.isclose(sums, 1, atol=1e-6) | (sums == 0))
    x = np.arange(17.0)
    hips = [unified.index(j) for j in ("chest", "left_hip", "right_hip")]
    assert (x @ a[1])[unified.index("mid_hip")] == pytest.approx(x[hips].mean(), abs=1e-5)


# --- joints that are means of others -----------------------------------------------------------------------------


def test_what_is_derived_of_each_layout() -> None:
    hips, shoulders = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
    four = {*hips, *shoulders}
    for name in ("coco", "penn", "lcrnet", "mediapipe"):
        derived = LAYOUTS[name].on_unified.derived
        assert {d: set(s) for d, s in derived.items()} == {"neck": {*shoulders}, "chest": four, "mid_hip": {*hips}}
    assert dict(LAYOUTS["openpose_25"].on_unified.derived) == {"chest": ("neck", "mid_hip")}
    for name in ("unified", "kinect_v1", "kinect_v2", "h36m"):
        assert LAYOUTS[name].on_unified is unified


def test_derived_joints_travel_and_do_not_make_another_layout() -> None:
    mapped = LAYOUTS["penn"].on_unified
    assert mapped == unified
    assert hash(mapped) == hash(unified)
    assert layout_from_dict(mapped.to_dict()).derived == mapped.derived
    assert "derived" not in unified.to_dict()
    with pytest.raises(InputError, match="unknown key 'derivd' in layout; did you mean 'derived'"):
        layout_from_dict({"joints": {"neck": None}, "derivd": {}})
    with pytest.raises(InputError, match="unknown joint 'nek'"):
        layout_from_dict({"joints": {"neck": None, "head": "neck"}, "derived": {"head": ["nek"]}})


def test_a_mean_of_a_mean_comes_from_the_joints_below() -> None:
    own = layout_from_dict({
        "joints": {"mid_hip": None, "left_hip": "mid_hip", "right_hip": "mid_hip", "neck": "mid_hip"},
        "derived": {"mid_hip": ["left_hip", "right_hip"]},
    })  # fmt: skip
    derived = {d: set(s) for d, s in own.on_unified.derived.items()}
    assert derived == {"mid_hip": {"left_hip", "right_hip"}, "chest": {"neck", "left_hip", "right_hip"}}


def test_the_union_hides_more() -> None:
    coco, openpose = LAYOUTS["coco"].on_unified, LAYOUTS["openpose_25"].on_unified
    both = with_derived(openpose, coco, unified)
    four = {f"{s}_{j}" for s in ("left", "right") for j in ("hip", "shoulder")}
    assert set(both.derived["chest"]) == {"neck", "mid_hip", *four}
    assert both.derived == with_derived(unified, coco, openpose).derived
    assert list(both.derived) == [j for j in unified.joints if j in both.derived]
    assert with_derived(both, coco) is both

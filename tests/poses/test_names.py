"""Joint names of rigs and tools in our words: which raw name is the shoulder, the elbow, the head."""

from __future__ import annotations

import pytest

from orvpe.poses.skeleton import LAYOUTS, layout_for_names, unified_sources
from orvpe.poses.skeleton.names import canonical, without_prefix
from orvpe.poses.skeleton.rigs import mocap_layout

LIMB = ("left_shoulder", "left_elbow", "left_wrist", "left_hip", "left_knee", "left_ankle")
TRUNK = ("mid_hip", "chest", "neck", "head")


def both(names: str, left: str = "", right: str = "") -> str:
    """The names, and those with the left's mark again with the right's."""
    mirrored = names.replace(left, right)
    return names if mirrored == names else f"{names};{mirrored}"


# rig -> (trunk in the order of TRUNK, the left limb's raw names in the order of LIMB, left mark, right mark, others)
RIGS = {
    "mixamo, no colon": ("mixamorigHips mixamorigSpine1 mixamorigNeck mixamorigHead",
                         "mixamorigLeftArm mixamorigLeftForeArm mixamorigLeftHand mixamorigLeftUpLeg mixamorigLeftLeg "
                         "mixamorigLeftFoot", "Left", "Right",
                         "mixamorigSpine mixamorigSpine2 mixamorigLeftShoulder mixamorigLeftToeBase"),
    "mixamo, numbered": ("mixamorig9:Hips mixamorig9:Spine1 mixamorig9:Neck mixamorig9:Head",
                         "mixamorig9:LeftArm mixamorig9:LeftForeArm mixamorig9:LeftHand mixamorig9:LeftUpLeg "
                         "mixamorig9:LeftLeg mixamorig9:LeftFoot", "Left", "Right",
                         "mixamorig9:Spine mixamorig9:Spine2 mixamorig9:LeftShoulder"),
    "biped": ("Bip01_Pelvis Bip01_Spine1 Bip01_Neck Bip01_Head",
              "Bip01_L_UpperArm Bip01_L_Forearm Bip01_L_Hand Bip01_L_Thigh Bip01_L_Calf Bip01_L_Foot", "_L_", "_R_",
              "Bip01 Bip01_Spine Bip01_Spine2 Bip01_L_Clavicle Bip01_HeadNub Bip01_Footsteps Bip01_L_Toe0"),
    "unreal": ("pelvis spine_02 neck_01 head", "upperarm_l lowerarm_l hand_l thigh_l calf_l foot_l", "_l", "_r",
               "root spine_01 spine_03 clavicle_l upperarm_twist_01_l lowerarm_twist_01_l index_01_l ball_l ik_hand_l"),
    "rigify": ("spine spine.002 spine.004 spine.006", "upper_arm.L forearm.L hand.L thigh.L shin.L foot.L", ".L", ".R",
               "spine.001 spine.003 spine.005 shoulder.L toe.L pelvis.L"),
    "rigify, deforming": ("DEF-spine DEF-spine.002 DEF-spine.004 DEF-spine.006",
                          "DEF-upper_arm.L DEF-forearm.L DEF-hand.L DEF-thigh.L DEF-shin.L DEF-foot.L", ".L", ".R",
                          "DEF-spine.001 DEF-spine.003 DEF-spine.005 DEF-shoulder.L DEF-upper_arm.L.001"),
    "motive": ("Ghost_Hip Ghost_Chest Ghost_Neck Ghost_Head",
               "Ghost_LUArm Ghost_LFArm Ghost_LHand Ghost_LThigh Ghost_LShin Ghost_LFoot", "_L", "_R",
               "Ghost_Ab Ghost_LShoulder Ghost_LToe"),
    "vrm": ("hips chest neck head", "leftUpperArm leftLowerArm leftHand leftUpperLeg leftLowerLeg leftFoot", "left",
            "right", "spine upperChest leftShoulder leftToes"),
    "vroid": ("J_Bip_C_Hips J_Bip_C_Chest J_Bip_C_Neck J_Bip_C_Head",
              "J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot", "_L_",
              "_R_", "Root J_Bip_C_Spine J_Bip_C_UpperChest J_Bip_L_Shoulder J_Sec_Hair1_01"),
    "acclaim": ("root thorax lowerneck head", "lhumerus lradius lwrist lfemur ltibia lfoot", " l", " r",
                "lowerback upperback upperneck lclavicle lhand lfingers lthumb lhipjoint ltoes"),
    "daz": ("hip chest neck head", "lShldr lForeArm lHand lThigh lShin lFoot", " l", " r", "abdomen lCollar lThumb1"),
    "genesis": ("hip chestLower neckLower head", "lShldrBend lForearmBend lHand lThighBend lShin lFoot", " l", " r",
                "pelvis abdomenLower abdomenUpper chestUpper lCollar lShldrTwist lForearmTwist lThighTwist lToe"),
    "xsens": ("Hips Chest Neck Head", "LeftShoulder LeftElbow LeftWrist LeftHip LeftKnee LeftAnkle", "Left", "Right",
              "Chest2 Chest3 Chest4 LeftCollar LeftToe"),
    "daz friendly": ("Hips Chest Neck Head", "LeftShoulder LeftElbow LeftWrist LeftHip LeftKnee LeftAnkle", "Left",
                     "Right", "Chest2 LeftCollar LHipJoint RHipJoint LeftToe"),
    "human ik": ("Character1_Hips Character1_Spine1 Character1_Neck Character1_Head",
                 "Character1_LeftArm Character1_LeftForeArm Character1_LeftHand Character1_LeftUpLeg "
                 "Character1_LeftLeg Character1_LeftFoot", "Left", "Right",
                 "Character1_Spine Character1_LeftShoulder Character1_LeftUpLegRoll Character1_LeftToeBase"),
    "perception neuron": ("Robot_Hips Robot_Spine1 Robot_Neck Robot_Head",
                          "Robot_LeftArm Robot_LeftForeArm Robot_LeftHand Robot_LeftUpLeg Robot_LeftLeg Robot_LeftFoot",
                          "Left", "Right", "Robot_Spine Robot_Spine2 Robot_Spine3 Robot_LeftShoulder"),
    "auto-rig pro": ("root.x spine_02.x neck.x head.x",
                     "arm_stretch.l forearm_stretch.l hand.l thigh_stretch.l leg_stretch.l foot.l", ".l", ".r",
                     "spine_01.x shoulder.l arm_twist.l toes_01.l"),
    "arkit": ("hips_joint spine_4_joint neck_1_joint head_joint",
              "left_arm_joint left_forearm_joint left_hand_joint left_upLeg_joint left_leg_joint left_foot_joint",
              "left", "right", "root spine_1_joint spine_2_joint spine_3_joint spine_5_joint spine_6_joint "
              "spine_7_joint neck_2_joint left_shoulder_1_joint left_toes_joint"),
    "smpl": ("Pelvis Spine2 Neck Head", "L_Shoulder L_Elbow L_Wrist L_Hip L_Knee L_Ankle", "L_", "R_",
             "Spine1 Spine3 L_Collar L_Hand L_Foot"),
    "azure kinect": ("PELVIS SPINE_CHEST NECK HEAD",
                     "SHOULDER_LEFT ELBOW_LEFT WRIST_LEFT HIP_LEFT KNEE_LEFT ANKLE_LEFT", "LEFT", "RIGHT",
                     "SPINE_NAVEL CLAVICLE_LEFT HAND_LEFT FOOT_LEFT NOSE EYE_LEFT"),
    "kinect for windows": ("SpineBase SpineMid Neck Head",
                           "ShoulderLeft ElbowLeft WristLeft HipLeft KneeLeft AnkleLeft", "Left", "Right",
                           "SpineShoulder HandLeft FootLeft HandTipLeft ThumbLeft"),
    "opensim": ("midHip - Neck Head", "LShoulder LElbow LWrist LHip LKnee LAnkle", "L", "R", "LBigToe LHeel Nose"),
    "deeplabcut": ("- - neck head", "leftshoulder leftelbow leftwrist lefthip leftknee leftankle", "left", "right",
                   "nose"),
    "sides at the end": ("- - neck head", "shoulderL elbowL wristL hipL kneeL ankleL", "L", "R", "nose"),
}  # fmt: skip


def raw_names(rig: str) -> tuple[list[str], list[str], list[str]]:
    trunk, left, mark, other, rest = RIGS[rig]
    names: list[str] = []
    for name in f"{trunk} {left} {rest}".split(" "):
        if name == "-":
            continue
        twin = f" {name}".replace(mark, other).strip()
        names += [n for n in dict.fromkeys((name, twin)) if n not in names]
    return names, trunk.split(" "), left.split(" ")


@pytest.mark.parametrize("rig", RIGS)
def test_rigs(rig: str) -> None:
    names, trunk, left = raw_names(rig)
    layout = mocap_layout(rig, names)
    sources = unified_sources(layout)
    for joint, raw in [*zip(TRUNK, trunk, strict=True), *zip(LIMB, left, strict=True)]:
        if raw != "-":
            assert [names[layout.index(s)] for s in sources[joint]] == [raw], joint
    for joint in LIMB:  # and the right is the left's mirror
        (mine,), (theirs,) = sources[joint], sources[joint.replace("left", "right")]
        assert layout.mirror[layout.index(mine)] == layout.index(theirs)


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("prefix", ["Take 003_", "Armature|", "Fred:"])
def test_what_all_begin_with_says_nothing(rig: str, prefix: str) -> None:
    names = raw_names(rig)[0]
    assert canonical([prefix + n for n in names]) == canonical(names)


def test_a_prefix_is_no_side_and_no_joint() -> None:
    assert without_prefix(["LeftArm", "LeftForeArm", "LeftHand"]) == ["LeftArm", "LeftForeArm", "LeftHand"]
    assert without_prefix(["spine_01", "spine_02", "spine_03"]) == ["spine_01", "spine_02", "spine_03"]
    assert canonical(["lower_arm_l", "lower_arm_r", "lower_leg_l", "lower_leg_r"])[::2] == ["left_elbow", "left_knee"]
    assert canonical(["left_wrist", "left_elbow"]) == ["left_wrist", "left_elbow"]


def test_the_farther_of_two_equal_ones_is_the_joint() -> None:
    names = ["Hips", "LeftHip", "LeftThigh", "LeftKnee", "Spine05", "Spine04", "Spine03", "Spine02", "Spine01"]
    found = canonical(names, [-1, 0, 1, 2, 0, 4, 5, 6, 7])
    assert found[2] == "left_hip"
    assert found[1] == "left_hip_joint"
    assert found[6] == "chest"  # counted from the hips, whatever the numbers


def test_known_layouts_are_themselves() -> None:
    for layout in LAYOUTS.values():
        assert canonical(layout.joints) == list(layout.joints), layout.name


def test_other_spellings_of_a_known_layout_are_that_layout() -> None:
    names = [j.upper() for j in LAYOUTS["mediapipe"].joints]
    names[9], names[10] = "MOUTH_LEFT", "MOUTH_RIGHT"
    assert layout_for_names(names) is LAYOUTS["mediapipe"]
    halpe = ("Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle "
             "RAnkle Head Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel")  # fmt: skip
    assert layout_for_names(halpe.split(" ")) is LAYOUTS["halpe"]


def test_names_of_deeplabcuts_human_model() -> None:
    names = ["ankle1", "knee1", "hip1", "hip2", "knee2", "ankle2", "wrist1", "elbow1", "shoulder1", "shoulder2",
             "elbow2", "wrist2", "chin", "forehead"]  # fmt: skip
    assert canonical(names)[:6] == ["right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"]
    assert canonical(names)[-1] == "head"

"""Layouts of motion-capture rigs, from the names of their segments."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orvpe.poses.skeleton.layout import SIDES, TREE, Layout, tree_layout

# Motion-capture rigs name a joint after the segment that starts there: "LeftArm" begins at the left shoulder.
_MOCAP: dict[str, str] = {
    "hips": "mid_hip", "hip": "mid_hip", "pelvis": "mid_hip", "chest": "chest", "spine1": "chest",
    "spine": "spine", "spine2": "upper_chest", "neck": "neck", "neck1": "neck", "head": "head", "nose": "nose",
    "shoulder": "clavicle", "collar": "clavicle", "clavicle": "clavicle",
    "arm": "shoulder", "uparm": "shoulder", "upperarm": "shoulder", "shldr": "shoulder",
    "forearm": "elbow", "lowerarm": "elbow", "elbow": "elbow", "hand": "wrist", "wrist": "wrist",
    "upleg": "hip", "upperleg": "hip", "thigh": "hip", "leg": "knee", "lowerleg": "knee", "lowleg": "knee",
    "shin": "knee", "calf": "knee", "knee": "knee", "foot": "ankle", "ankle": "ankle", "toebase": "toe",
    "toes": "toe", "toe": "toe",
}  # fmt: skip


def mocap_name(raw: str) -> str:
    """A rig's joint name in our words: 'LeftForeArm', 'LowerArm_L', 'mixamorig:l_forearm' -> 'left_elbow'."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", raw.split(":")[-1]).lower().replace("-", "_").replace(" ", "_")
    parts = [p for p in words.split("_") if p and p not in ("joint", "jnt", "bip01", "bip")]
    side = next((s for s in SIDES for p in parts if p in (s, s[0])), None)
    rest = [p for p in parts if p not in ("left", "right", "l", "r")]
    base = "".join(rest)
    if side is None and rest and rest[0][0] in "lr" and rest[0][1:] in _MOCAP:  # "lShldr", "rforearm"
        side, base = ("left" if rest[0][0] == "l" else "right"), "".join([rest[0][1:], *rest[1:]])
    known = _MOCAP.get(base, "_".join(rest) or raw.lower())
    return f"{side}_{known}" if side else known


def mocap_layout(name: str, raw: Sequence[str], parents: Sequence[int] | None = None) -> Layout:
    """A layout for a motion-capture rig from its joint names and (optionally) parent indices, -1 for a root.

    A rig whose 'LeftShoulder' carries no 'LeftArm' below it means the shoulder joint itself, not the clavicle.
    """
    names = [mocap_name(r) for r in raw]
    for side in SIDES:
        if f"{side}_shoulder" not in names:
            # where both 'LeftCollar' and 'LeftShoulder' are there, the joint is the one farther out
            for i in [i for i, n in enumerate(names) if n == f"{side}_clavicle"][-1:]:
                names[i] = f"{side}_shoulder"
        if f"{side}_hip" not in names:  # 'LeftHip', where no 'LeftUpLeg' follows it
            names = [f"{side}_hip" if n == f"{side}_mid_hip" else n for n in names]
    for i, n in enumerate(names):  # two segments of one name ("Spine", "Spine" ...): keep the first, number the rest
        if n in names[:i]:
            names[i] = f"{n}_{i}"
    if parents is None:
        return tree_layout(name, names, TREE)
    return Layout(name, tuple(names), tuple(None if p < 0 else names[p] for p in parents))

"""Skeletons by joint name: layouts, the mapping of any layout onto the unified one, body parts, graph subsets.

A layout is nothing but names and parents.  Left and right follow from the ``left_`` and ``right_`` prefixes, the
mapping onto the unified layout from the names, so a new layout is a few lines of data and touches no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.clip import Clip
from orvpe.errors import InputError, unknown


@dataclass(frozen=True)
class Layout:
    """Named joints with parents.

    Args:
        name: what to call it.
        joints: names, in the order of the data.
        parents: for each joint the name of its parent, or None for a root.
        unified: optional overrides of the mapping onto the unified layout: unified joint -> names to average.
        derived: joints that were not measured but are means of others -> the joints of this layout that they come
            from.  What hides one of those hides the mean too, else it could be computed back.  Says where data came
            from, not what the joints are, so layouts that differ in it alone are equal.

    Raises:
        InputError: a parent that is no joint, a name twice, a cycle.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[str | None, ...]
    unified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derived: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.joints):
            raise InputError(f"layout {self.name!r}: {len(self.parents)} parents for {len(self.joints)} joints")
        twice = {j for j in self.joints if self.joints.count(j) > 1}
        if twice:
            raise InputError(f"layout {self.name!r}: joint {sorted(twice)[0]!r} is listed twice")
        for parent in self.parents:
            if parent is not None:
                self.index(parent)
        for target, sources in self.unified.items():
            if target not in UNIFIED_JOINTS:
                raise InputError(unknown("unified joint", target, UNIFIED_JOINTS, f"layout {self.name!r}"))
            for source in sources:
                self.index(source)
        for joint, sources in self.derived.items():
            for name in (joint, *sources):
                self.index(name)
        _ = self.depth_order  # raises on a cycle

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Layout):
            return NotImplemented
        if self is other:
            return True
        # joints and parents as tuples: a dict would not mind their order, and the data does
        mine, theirs = ((x.name, x.joints, x.parents, dict(x.unified)) for x in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.name, self.joints, self.parents))

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint; an unknown name raises InputError and suggests the nearest ones."""
        try:
            return self.joints.index(joint)
        except ValueError:
            raise InputError(unknown("joint", joint, self.joints, f"layout {self.name!r}")) from None

    @cached_property
    def parent_index(self) -> tuple[int, ...]:
        """Parent of each joint as an index; a root is its own parent (so its bone is zero)."""
        return tuple(i if p is None else self.index(p) for i, p in enumerate(self.parents))

    @cached_property
    def depth_order(self) -> tuple[int, ...]:
        """Indices ordered so that a parent comes before its children."""
        order: list[int] = []
        left = set(range(len(self.joints)))
        while left:
            ready = [i for i in sorted(left) if self.parents[i] is None or self.parent_index[i] not in left]
            if not ready:
                raise InputError(f"layout {self.name!r}: parents form a cycle through {self.joints[min(left)]!r}")
            order += ready
            left -= set(ready)
        return tuple(order)

    @cached_property
    def derived_index(self) -> tuple[tuple[int, int], ...]:
        """(derived joint, joint it comes from) index pairs."""
        pairs = ((self.index(d), self.index(s)) for d, sources in self.derived.items() for s in sources)
        return tuple(sorted(pairs))

    @cached_property
    def on_unified(self) -> Layout:
        """`unified`, with the joints that are derived when data of this layout is mapped onto it."""
        if self.joints == unified.joints:
            return with_derived(unified, self)
        found = unified_sources(self)
        # a mean of means comes from what those were computed from, too
        sources = {u: {*s, *(p for j in s for p in self.derived.get(j, ()))} for u, s in found.items()}
        measured = [(s[0], u) for u, s in found.items() if len(s) == 1 and s[0] not in self.derived]
        derived = ((u, tuple(m for j, m in measured if m != u and j in sources[u])) for u in found)
        return _unified_with(tuple((u, s) for u, s in derived if s))

    @cached_property
    def unified_index(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """(joint of `unified`, joints of this layout whose mean it is) index pairs, as `unified_sources` has them."""
        found = unified_sources(self)
        return tuple((unified.index(t), tuple(self.index(s) for s in sources)) for t, sources in found.items())

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) index pairs."""
        return tuple((i, p) for i, p in enumerate(self.parent_index) if i != p)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """For each joint the index of its left/right counterpart; itself when it has none."""
        return tuple(
            self.joints.index(m) if (m := _other_side(j)) in self.joints else i for i, j in enumerate(self.joints)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `layout_from_dict` and the YAML files take it."""
        data: dict[str, Any] = {
            "name": self.name,
            "joints": dict(zip(self.joints, self.parents, strict=True)),
        }
        if self.unified:
            data["unified"] = {k: list(v) for k, v in self.unified.items()}
        if self.derived:
            data["derived"] = {k: list(v) for k, v in self.derived.items()}
        return data


def _other_side(joint: str) -> str:
    for a, b in (("left_", "right_"), ("right_", "left_")):
        if joint.startswith(a):
            return b + joint[len(a) :]
    return joint


# --- the unified layout (paper/FACTS.md: the authors' 17-joint graph) ------------------------------------------

_SIDES = ("left", "right")
UNIFIED_JOINTS: tuple[str, ...] = (
    "head", "nose", "neck", "chest", "mid_hip",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle",
)  # fmt: skip
_LIMBS: dict[str, str] = {
    f"{s}_{j}": f"{s}_{p}" if p in ("shoulder", "elbow", "hip", "knee") else p
    for s in _SIDES
    for j, p in (("shoulder", "neck"), ("elbow", "shoulder"), ("wrist", "elbow"),
                 ("hip", "mid_hip"), ("knee", "hip"), ("ankle", "knee"))
}  # fmt: skip
_TRUNK: dict[str, str | None] = {
    "mid_hip": None, "chest": "mid_hip", "neck": "chest", "head": "neck", "nose": "head",
}  # fmt: skip


def _layout(name: str, joints: str | Sequence[str], parents: Mapping[str, str | None], **unified: str) -> Layout:
    names = tuple(joints.split()) if isinstance(joints, str) else tuple(joints)
    return Layout(
        name,
        names,
        tuple(parents.get(j) if parents.get(j) in names else None for j in names),
        {k: tuple(v.split()) for k, v in unified.items()},
    )


_TREE: dict[str, str | None] = {**_TRUNK, **_LIMBS}
unified = _layout("unified", UNIFIED_JOINTS, _TREE)


@lru_cache(maxsize=64)
def _unified_with(derived: tuple[tuple[str, tuple[str, ...]], ...]) -> Layout:
    """`unified` with these derived joints, the same object for the same ones."""
    return replace(unified, derived=dict(derived)) if derived else unified


def with_derived(layout: Layout, *others: Layout) -> Layout:
    """``layout`` with the derived joints of all: where data of several origins lie together, what is a mean in one
    of them counts as a mean in all, which hides more, never less.

    Args:
        layout: comes back as it is when the others add nothing.
        others: layouts of the same joints.
    """
    pairs = {(d, s) for one in (layout, *others) for d, sources in one.derived.items() for s in sources}
    if len(pairs) == len(layout.derived_index):
        return layout
    derived = {d: tuple(s for s in layout.joints if (d, s) in pairs) for d in layout.joints}
    return replace(layout, derived={d: s for d, s in derived.items() if s})


# How a unified joint is found in a layout that does not name it so: the first rule whose joints all exist is taken,
# and their mean is used.  A derived joint is missing when any of its parents is (FACTS, preprocessing).
_RULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("head",), ("head_top",), ("left_ear", "right_ear"), ("left_eye", "right_eye")),
    "nose": (("nose",),),
    "neck": (("neck",), ("shoulder_center",), ("spine_shoulder",), ("thorax",), ("left_shoulder", "right_shoulder")),
    "chest": (("chest",), ("spine",), ("spine_mid",), ("torso",), ("neck", "mid_hip"),
              ("left_shoulder", "right_shoulder", "left_hip", "right_hip")),
    "mid_hip": (("mid_hip",), ("pelvis",), ("hip_center",), ("spine_base",), ("left_hip", "right_hip")),
    **{j: ((j,),) for j in _LIMBS},
}  # fmt: skip
for _s in _SIDES:
    _RULES[f"{_s}_wrist"] = ((f"{_s}_wrist",), (f"{_s}_hand",))
    _RULES[f"{_s}_ankle"] = ((f"{_s}_ankle",), (f"{_s}_foot",))


def unified_sources(layout: Layout) -> dict[str, tuple[str, ...]]:
    """For each unified joint that ``layout`` can give, the joints whose mean it is."""
    found: dict[str, tuple[str, ...]] = {}
    for target in UNIFIED_JOINTS:
        rules = (layout.unified[target],) if target in layout.unified else _RULES[target]
        for sources in rules:
            if sources and all(s in layout.joints for s in sources):
                found[target] = tuple(sources)
                break
    return found


def to_unified(clip: Clip) -> Clip:
    """The clip on the 17 unified joints; what the layout does not have is never visible.

    Its layout is `unified` and remembers which joints are means of others (`Layout.derived`).

    Raises:
        InputError: when no unified joint is ever visible.
    """
    if clip.layout.joints == unified.joints:
        return clip if clip.layout == unified else clip.with_(layout=clip.layout.on_unified)
    pairs = clip.layout.unified_index
    # one gather for all joints; those that are means, and those that nothing gives, are put right after it
    one = np.zeros(len(unified), dtype=np.int64)
    given = np.zeros(len(unified), dtype=bool)
    for v, index in pairs:
        one[v], given[v] = index[0], True
    joints, visible = clip.joints[:, :, one], clip.visible[:, :, one] & given
    for v, index in pairs:
        if len(index) > 1:
            visible[:, :, v] = clip.visible[:, :, index].all(axis=2)
            joints[:, :, v] = clip.joints[:, :, index].mean(axis=2)
    if not visible.all():
        joints[~visible] = 0.0
    return clip.with_(joints=joints, visible=visible, layout=clip.layout.on_unified)


# --- layouts of the sensors and estimators people use -----------------------------------------------------------

_KINECT_V1_PARENTS = {
    "spine": "mid_hip", "neck": "spine", "head": "neck",
    **{f"{s}_{j}": f"{s}_{p}" if p not in ("neck", "mid_hip") else p for s in _SIDES for j, p in (
        ("shoulder", "neck"), ("elbow", "shoulder"), ("wrist", "elbow"), ("hand", "wrist"),
        ("hip", "mid_hip"), ("knee", "hip"), ("ankle", "knee"), ("foot", "ankle"))},
}  # fmt: skip
_FACE = {
    "left_eye": "nose",
    "right_eye": "nose",
    "left_ear": "left_eye",
    "right_ear": "right_eye",
}
_FEET = {f"{s}_{j}": f"{s}_ankle" for s in _SIDES for j in ("big_toe", "small_toe", "heel")}
_COCO_PARENTS: dict[str, str | None] = {
    **_FACE, "left_shoulder": "nose", "right_shoulder": "nose",
    **{f"{s}_{j}": f"{s}_{p}" for s in _SIDES for j, p in (
        ("elbow", "shoulder"), ("wrist", "elbow"), ("hip", "shoulder"), ("knee", "hip"), ("ankle", "knee"))},
}  # fmt: skip

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        unified,
        _layout("kinect_v1",
                "mid_hip spine neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
                "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
                "right_foot", _KINECT_V1_PARENTS),
        _layout("kinect_v2",
                "mid_hip spine_mid neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow "
                "right_wrist right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle "
                "right_foot spine_shoulder left_hand_tip left_thumb right_hand_tip right_thumb",
                {**_KINECT_V1_PARENTS, "spine_mid": "mid_hip", "spine_shoulder": "spine_mid",
                 "neck": "spine_shoulder", "left_shoulder": "spine_shoulder", "right_shoulder": "spine_shoulder",
                 **{f"{s}_hand_tip": f"{s}_hand" for s in _SIDES}, **{f"{s}_thumb": f"{s}_wrist" for s in _SIDES}}),
        _layout("penn",
                "head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip "
                "left_knee right_knee left_ankle right_ankle",
                {**_COCO_PARENTS, "left_shoulder": "head", "right_shoulder": "head"}),
        _layout("lcrnet",
                "right_ankle left_ankle right_knee left_knee right_hip left_hip right_wrist left_wrist right_elbow "
                "left_elbow right_shoulder left_shoulder head",
                {**_COCO_PARENTS, "left_shoulder": "head", "right_shoulder": "head"}),
        _layout("coco",
                "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
                "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
                _COCO_PARENTS),
        _layout("openpose_18",
                "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip "
                "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
                {**_LIMBS, **_FACE, "nose": "neck", "left_hip": "neck", "right_hip": "neck"}),
        _layout("openpose_25",
                "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist mid_hip "
                "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear "
                "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel",
                {**_LIMBS, **_FACE, **_FEET, "nose": "neck", "mid_hip": "neck"}),
        _layout("halpe",
                "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
                "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle head neck "
                "mid_hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel",
                {**_LIMBS, **_FACE, **_FEET, "nose": "neck", "head": "nose", "mid_hip": "neck"}),
        _layout("mediapipe",
                "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear "
                "right_ear left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow left_wrist "
                "right_wrist left_pinky right_pinky left_index right_index left_thumb right_thumb left_hip right_hip "
                "left_knee right_knee left_ankle right_ankle left_heel right_heel left_foot_index right_foot_index",
                {**_COCO_PARENTS, "left_mouth": "nose", "right_mouth": "nose",
                 **{f"{s}_{j}": f"{s}_{p}" for s in _SIDES for j, p in (
                     ("eye_inner", "eye"), ("eye_outer", "eye"), ("pinky", "wrist"), ("index", "wrist"),
                     ("thumb", "wrist"), ("heel", "ankle"), ("foot_index", "heel"))}}),
        _layout("h36m",
                "mid_hip right_hip right_knee right_ankle left_hip left_knee left_ankle spine neck nose head "
                "left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist",
                {**_LIMBS, "spine": "mid_hip", "neck": "spine", "nose": "neck", "head": "nose"}),
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
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"layout file {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"layout file {path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(data, dict):
        raise InputError(f"layout file {path}: expected a mapping with 'joints', found {type(data).__name__}")
    return layout_from_dict({"name": Path(path).stem, **data}, where=f"layout file {path}")


def layout_from_dict(data: Mapping[str, Any], where: str = "layout") -> Layout:
    """The inverse of `Layout.to_dict`."""
    joints = data.get("joints")
    if not isinstance(joints, Mapping) or not joints:
        raise InputError(f"{where}: 'joints' must map each joint to its parent (null for the root), in data order")
    extra = set(data) - {"name", "joints", "unified", "derived"}
    if extra:
        raise InputError(unknown("key", sorted(extra)[0], ("name", "joints", "unified", "derived"), where))
    try:
        return Layout(
            str(data.get("name", "own")),
            tuple(str(j) for j in joints),
            tuple(None if p is None else str(p) for p in joints.values()),
            _names_by_joint(data, "unified", where),
            _names_by_joint(data, "derived", where),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _names_by_joint(data: Mapping[str, Any], key: str, where: str) -> dict[str, tuple[str, ...]]:
    rules = data.get(key) or {}
    if not isinstance(rules, Mapping):
        raise InputError(f"{where}: {key!r} is a {type(rules).__name__}, expected {key} joint -> names to average")
    for target, sources in rules.items():
        if not isinstance(sources, (str, list, tuple)):
            raise InputError(f"{where}: {key} joint {target!r} is {sources!r}, expected a name or a list of names")
    return {str(k): (v,) if isinstance(v, str) else tuple(map(str, v)) for k, v in rules.items()}


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
    side = next((s for s in _SIDES for p in parts if p in (s, s[0])), None)
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
    for side in _SIDES:
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
        return _layout(name, names, _TREE)
    return Layout(name, tuple(names), tuple(None if p < 0 else names[p] for p in parents))


def layout_for_names(names: Sequence[str], name: str = "named") -> Layout:
    """The known layout with exactly these joints, or one built from the names (ours or a rig's)."""
    names = [str(n) for n in names]
    for layout in LAYOUTS.values():
        if tuple(names) == layout.joints:
            return layout
    for layout in (unified, *LAYOUTS.values()):  # a part of a known layout, in any order
        if set(names) <= set(layout.joints):
            return _layout(name, names, dict(zip(layout.joints, layout.parents, strict=True)))
    return mocap_layout(name, names)


# --- parts of the body, by name ----------------------------------------------------------------------------------

PARTS: dict[str, tuple[str, ...]] = {
    # the five invisible parts of SubG-DA (FACTS 7; the paper names them, section IV-D, and lists no joints)
    "upper": ("head", "nose", "neck", "chest", *(f"{s}_{j}" for s in _SIDES for j in ("shoulder", "elbow", "wrist"))),
    "lower": ("mid_hip", *(f"{s}_{j}" for s in _SIDES for j in ("hip", "knee", "ankle"))),
    "right": tuple(f"right_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    "left": tuple(f"left_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    "centre": ("head", "nose", "neck", "chest", "mid_hip"),
    # RA-GCN's parts, for comparison with its tables
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist"),
    "hands": ("left_elbow", "left_wrist", "right_elbow", "right_wrist"),
    "legs": tuple(f"{s}_{j}" for s in _SIDES for j in ("hip", "knee", "ankle")),
    "trunk": ("head", "nose", "neck", "chest", "mid_hip"),
    # single limbs, for the tube occlusion
    "left_leg": ("left_hip", "left_knee", "left_ankle"),
    "right_leg": ("right_hip", "right_knee", "right_ankle"),
    "face": ("head", "nose"),
}  # fmt: skip


def part_indices(part: str, layout: Layout) -> list[int]:
    """Joints of a layout that belong to a named part.

    Joints outside the unified 17 belong where their nearest unified ancestor does (a hand goes with its wrist).

    Raises:
        InputError: unknown part.
    """
    if part not in PARTS:
        raise InputError(unknown("body part", part, PARTS))
    wanted = set(PARTS[part])
    if layout.joints == unified.joints:
        return [layout.index(j) for j in UNIFIED_JOINTS if j in wanted]
    back = {s: t for t, sources in unified_sources(layout).items() if len(sources) == 1 for s in sources}
    found = []
    for i in range(len(layout)):
        j, seen = i, {i}
        while layout.joints[j] not in back and layout.parent_index[j] not in seen:
            j = layout.parent_index[j]
            seen.add(j)
        own = back.get(layout.joints[j], layout.joints[j])
        if own in wanted:
            found.append(i)
    return found


# --- the graph (section III-A, eq. 1) ----------------------------------------------------------------------------


def graph_subsets(layout: Layout, norm: str = "column") -> np.ndarray:
    """(3, V, V) float32: the backbone's subsets self, inward (child to parent) and outward.

    Eq. 1 of the paper has exponents -1/2 and +1/2 and a non-diagonal degree matrix; the backbone normalises the
    columns of each directed subset, A D^-1, and so do we (FACTS 1).  ``norm="symmetric"`` gives D^-1/2 A D^-1/2.
    With x (T, V) the product is x @ A: entry [i, j] carries joint i into joint j.

    Raises:
        InputError: unknown ``norm``.
    """
    v = len(layout)
    subsets = np.zeros((3, v, v), dtype=np.float64)
    subsets[0] = np.eye(v)
    for child, parent in layout.edges:
        subsets[1, child, parent] = 1.0
        subsets[2, parent, child] = 1.0
    for a in subsets:
        columns, rows = a.sum(axis=0), a.sum(axis=1)
        if norm == "column":
            a /= np.where(columns > 0, columns, 1.0)
        elif norm == "symmetric":
            a /= np.sqrt(np.where(rows > 0, rows, 1.0))[:, None] * np.sqrt(np.where(columns > 0, columns, 1.0))
        else:
            raise InputError(unknown("graph normalisation", norm, ("column", "symmetric")))
    return subsets.astype(np.float32)

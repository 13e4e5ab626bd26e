"""What a layout is, and the mapping of any layout onto the unified one.

A layout is nothing but names and parents.  Left and right follow from the ``left_`` and ``right_`` prefixes, the
mapping onto the unified layout from the names, so a new layout is a few lines of data and touches no code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

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


MOST_JOINTS = 4096  # of a description somebody hands us; the largest rigs of motion capture have some hundreds


def layout_from_dict(data: Mapping[str, Any], where: str = "layout") -> Layout:
    """The inverse of `Layout.to_dict`."""
    joints = data.get("joints")
    if not isinstance(joints, Mapping) or not joints:
        raise InputError(f"{where}: 'joints' must map each joint to its parent (null for the root), in data order")
    if len(joints) > MOST_JOINTS:
        raise InputError(f"{where}: {len(joints):,} joints, expected at most {MOST_JOINTS:,}")
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


# --- the unified layout (the authors' 17-joint graph) ------------------------------------------

SIDES = ("left", "right")
UNIFIED_JOINTS: tuple[str, ...] = (
    "head", "nose", "neck", "chest", "mid_hip",
    "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle",
)  # fmt: skip
LIMBS: dict[str, str] = {
    f"{s}_{j}": f"{s}_{p}" if p in ("shoulder", "elbow", "hip", "knee") else p
    for s in SIDES
    for j, p in (("shoulder", "neck"), ("elbow", "shoulder"), ("wrist", "elbow"),
                 ("hip", "mid_hip"), ("knee", "hip"), ("ankle", "knee"))
}  # fmt: skip
_TRUNK: dict[str, str | None] = {
    "mid_hip": None, "chest": "mid_hip", "neck": "chest", "head": "neck", "nose": "head",
}  # fmt: skip


def tree_layout(name: str, joints: str | Sequence[str], parents: Mapping[str, str | None], **unified: str) -> Layout:
    names = tuple(joints.split()) if isinstance(joints, str) else tuple(joints)
    return Layout(
        name,
        names,
        tuple(parents.get(j) if parents.get(j) in names else None for j in names),
        {k: tuple(v.split()) for k, v in unified.items()},
    )


TREE: dict[str, str | None] = {**_TRUNK, **LIMBS}
unified = tree_layout("unified", UNIFIED_JOINTS, TREE)


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
# and their mean is used.  A derived joint is missing when any of its parents is, but for the head: one ear or eye is
# enough.
_RULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (("head",), ("head_top",), ("left_ear", "right_ear"), ("left_eye", "right_eye"),
             ("left_front_head", "right_front_head", "left_back_head", "right_back_head")),
    "nose": (("nose",),),
    "neck": (("neck",), ("shoulder_center",), ("spine_shoulder",), ("thorax",), ("left_shoulder", "right_shoulder")),
    "chest": (("chest",), ("spine",), ("spine_mid",), ("torso",), ("neck", "mid_hip"),
              ("left_shoulder", "right_shoulder", "left_hip", "right_hip"), ("t10", "strn")),
    "mid_hip": (("mid_hip",), ("pelvis",), ("hip_center",), ("spine_base",), ("left_hip", "right_hip"),
                ("left_asis", "right_asis", "left_psis", "right_psis")),
    **{j: ((j,),) for j in LIMBS},
}  # fmt: skip
for _s in SIDES:
    _RULES[f"{_s}_wrist"] = ((f"{_s}_wrist",), (f"{_s}_hand",), (f"{_s}_wrist_a", f"{_s}_wrist_b"))
    _RULES[f"{_s}_hip"] = ((f"{_s}_hip",), (f"{_s}_asis", f"{_s}_psis"))
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

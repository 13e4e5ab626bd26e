"""Parts of the body, by name."""

from __future__ import annotations

from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton.layout import SIDES, UNIFIED_JOINTS, Layout, unified, unified_sources

PARTS: dict[str, tuple[str, ...]] = {
    # the five invisible parts of SubG-DA; the paper lists no joints (docs/concepts/method.md, 7)
    "upper": ("head", "nose", "neck", "chest", *(f"{s}_{j}" for s in SIDES for j in ("shoulder", "elbow", "wrist"))),
    "lower": ("mid_hip", *(f"{s}_{j}" for s in SIDES for j in ("hip", "knee", "ankle"))),
    "right": tuple(f"right_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    "left": tuple(f"left_{j}" for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    "centre": ("head", "nose", "neck", "chest", "mid_hip"),
    # RA-GCN's parts, for comparison with its tables
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist"),
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist"),
    "hands": ("left_elbow", "left_wrist", "right_elbow", "right_wrist"),
    "legs": tuple(f"{s}_{j}" for s in SIDES for j in ("hip", "knee", "ankle")),
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

"""Skeletons by joint name: layouts, the mapping of any layout onto the unified one, body parts, graph subsets."""

from __future__ import annotations

from orvpe.poses.skeleton.catalogue import LAYOUTS, layouts_by_count
from orvpe.poses.skeleton.graph import graph_subsets
from orvpe.poses.skeleton.known import get_layout, layout_for_names, places_in
from orvpe.poses.skeleton.layout import UNIFIED_JOINTS, Layout, layout_from_dict, unified, unified_sources, with_derived

__all__ = [
    "LAYOUTS",
    "UNIFIED_JOINTS",
    "Layout",
    "get_layout",
    "graph_subsets",
    "layout_for_names",
    "layout_from_dict",
    "layouts_by_count",
    "places_in",
    "unified",
    "unified_sources",
    "with_derived",
]

"""Layouts of motion-capture rigs, from the names of their segments."""

from __future__ import annotations

from collections.abc import Sequence

from orvpe.poses.skeleton.layout import TREE, Layout, tree_layout
from orvpe.poses.skeleton.names import canonical


def mocap_layout(name: str, raw: Sequence[str], parents: Sequence[int] | None = None) -> Layout:
    """A layout for a rig from its joint names and (optionally) parent indices, -1 for a root."""
    names = canonical(raw, parents)
    if parents is None:
        return tree_layout(name, names, TREE)
    return Layout(name, tuple(names), tuple(None if p < 0 else names[p] for p in parents))

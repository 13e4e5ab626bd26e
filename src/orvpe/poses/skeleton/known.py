"""How a layout is found: by name, in a file, by its joints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton.catalogue import LAYOUTS
from orvpe.poses.skeleton.layout import Layout, layout_from_dict, tree_layout, unified
from orvpe.poses.skeleton.names import canonical
from orvpe.poses.skeleton.rigs import mocap_layout
from orvpe.runtime.plain import load_yaml, read_text


def get_layout(name: str | Path | Layout) -> Layout:
    """A layout by name, or from a custom YAML file (a path ending in .yaml or .yml).

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
    """The known layout with exactly these joints in this order, or one built from the names (ours or any tool's)."""
    raw = [str(n) for n in names]
    for words in (raw, canonical(raw)):
        for layout in LAYOUTS.values():
            if tuple(words) == layout.joints:
                return layout
        for layout in (unified, *LAYOUTS.values()):  # a part of a known layout, in any order
            if set(words) <= set(layout.joints):
                return tree_layout(name, words, dict(zip(layout.joints, layout.parents, strict=True)))
    return mocap_layout(name, raw)


def places_in(layout: Layout, names: Sequence[str]) -> list[int | None]:
    """Where in a layout each of these joints is, by its own name or in our words; None where it has no such joint."""
    return [
        layout.joints.index(n) if n in layout.joints else layout.joints.index(w) if w in layout.joints else None
        for n, w in zip(map(str, names), canonical(names), strict=True)
    ]

"""The rooms of the house: no room imports one above it, no two modules import each other in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import orvpe

PACKAGE = Path(orvpe.__file__).parent
FLOORS = (
    "errors", "runtime", "poses", "data", "video", "views", "models", "evaluation", "training", "vectors", "actions",
    "web", "cli", "lab", "extend",
)  # fmt: skip
AT_THE_TOP = {"__init__", "__main__", "errors", "extend"}


def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> set[str]:
    """Modules of ours that a module imports, wherever in its text."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else node.module
                      for a in node.names}  # fmt: skip
    return {m for m in found if m in MODULES}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_only_the_named_files_lie_at_the_top() -> None:
    assert {p.stem for p in PACKAGE.glob("*.py")} <= AT_THE_TOP
    assert {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"} <= set(FLOORS)


def test_no_room_imports_one_above_it() -> None:
    upward = [
        f"{m} -> {target}"
        for m in MODULES
        for target in imported(m)
        if room(m) in FLOORS and room(target) in FLOORS and FLOORS.index(room(target)) > FLOORS.index(room(m))
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({m: imported(m) - {m} for m in MODULES if room(m)}).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_nothing_but_the_lab_imports_the_lab() -> None:
    inside = [m for m in MODULES if room(m)]  # the package itself only names what is imported when first used
    assert [m for m in inside if room(m) != "lab" and any(room(t) == "lab" for t in imported(m))] == []

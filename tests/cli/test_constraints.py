"""Every version in constraints.txt has a release for each Python we support."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def pinned(python: str) -> list[str]:
    """The lines of constraints.txt that apply to this Python on this system."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    requirements = [Requirement(line) for line in lines if line]
    where = {"python_version": python, "python_full_version": f"{python}.0"}
    return [f"{r.name}{r.specifier}" for r in requirements if r.marker is None or r.marker.evaluate(where)]


@pytest.mark.parametrize("python", PYTHONS)
def test_each_package_is_pinned_once(python: str) -> None:
    found = [line.partition("==") for line in pinned(python)]
    names = [name.lower().replace("_", "-") for name, _, _ in found]
    assert len(names) == len(set(names))
    assert all(equals and version for _, equals, version in found)


@pytest.mark.network
@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_resolve(python: str, tmp_path: Path) -> None:
    """pip finds a wheel for each; nothing is downloaded but the index. A minute for each Python: 80 packages."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    flags = ["--python-version", python, "--only-binary=:all:", "--no-deps"]
    (tmp_path / "wanted.txt").write_text("\n".join(pinned(python)))
    words = [*pip, "install", "--dry-run", "--quiet", "--ignore-installed", "--retries", "1", *flags]
    wanted = ["--target", str(tmp_path / "target"), "--requirement", str(tmp_path / "wanted.txt")]
    index = subprocess.run([*pip, "index", "versions", "numpy"], capture_output=True, text=True)
    if index.returncode:
        pytest.skip("no package index is reachable")
    done = subprocess.run([*words, *wanted], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""The scripts in examples/, run as a user runs them, and the notebook that is one of them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small_runs import surroundings

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "video_to_table": r"person +from +to +action +score\n(generated_\d+ .*\n){4,}also written: timeline.csv",
    "my_poses": r"people never seen: (8|9)\d%\nwith the lower body hidden: (7|8|9)\d%, from vectors \(50, 256\)",
    "pretrain_probe_curve": r"written: .*robustness",
    "extend": r"mine.orvpe: 60 clips(.*\n)+clean +(2|3|4|5|6|7|8|9)\d\.",
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    """8 to 15 s each: a new process that imports torch, and real training."""
    words = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(words, cwd=tmp_path, env=surroundings(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN[name], done.stdout), done.stdout


def test_examples_are_short_and_listed() -> None:
    scripts = sorted(EXAMPLES.glob("*.py"))
    assert [s.stem for s in scripts] == sorted(SHOWN)
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, script.name
        assert "Expected" in text
        ast.parse(text)


def cells(script: str) -> list[tuple[str, str]]:
    """(kind, text) of each `# %%` cell."""
    found = []
    for part in re.split(r"^# %%", script, flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        kind = "markdown" if "[markdown]" in head else "code"
        text = re.sub(r"^# ?", "", body, flags=re.M) if kind == "markdown" else body
        found.append((kind, text.strip("\n")))
    return found


def notebook(script: str) -> dict:  # type: ignore[type-arg]
    out = []
    for i, (kind, text) in enumerate(cells(script)):
        cell = {"cell_type": kind, "id": f"cell-{i}", "metadata": {}, "source": text.splitlines(keepends=True)}
        out.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": out, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def test_the_notebook_is_the_script() -> None:
    """Write it again with `PYTHONPATH=tests python tests/cli/test_examples.py`."""
    script = (EXAMPLES / "pretrain_probe_curve.py").read_text(encoding="utf-8")
    found = json.loads((EXAMPLES / "pretrain_probe_curve.ipynb").read_text(encoding="utf-8"))
    assert found == notebook(script)
    for kind, text in cells(script):
        assert text
        if kind == "code":
            ast.parse(text)


if __name__ == "__main__":
    script = (EXAMPLES / "pretrain_probe_curve.py").read_text(encoding="utf-8")
    made = json.dumps(notebook(script), indent=1, ensure_ascii=False) + "\n"
    (EXAMPLES / "pretrain_probe_curve.ipynb").write_text(made, encoding="utf-8")

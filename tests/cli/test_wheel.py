"""A wheel: what is in it, and that it runs outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

import orvpe
from orvpe.data.generated import write_generated

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by `python -m build` from a copy, so that nothing is left in the checkout; 10 s."""
    pytest.importorskip("build")
    copy = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in SOURCES:
        shutil.copy(ROOT / name, copy)
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    done = subprocess.run(words, cwd=copy.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command in which the wheel is installed, and for the rest the libraries of this environment are found.

    A whole environment would have torch downloaded; the wheel's own files are what could be wrong.
    """
    target = tmp_path_factory.mktemp("installed")
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run([*words, "--target", str(target), str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # a folder of sys.path before this environment's, whose editable orvpe would otherwise be found
    start = f"import sys; sys.path.insert(0, {str(target)!r}); sys.argv[0] = 'orvpe'; "
    return [sys.executable, "-P" if sys.version_info >= (3, 11) else "-E", "-c", start]


def run(python: list[str], code: str, folder: Path) -> str:
    surroundings = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    words = [*python[:-1], python[-1] + code]
    done = subprocess.run(words, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it(wheel: Path) -> None:
    names = [PurePosixPath(n) for n in zipfile.ZipFile(wheel).namelist()]
    package = ROOT / "src" / "orvpe"
    kept = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    inside = {n.relative_to("orvpe").as_posix() for n in names if n.parts[0] == "orvpe"}
    assert inside == {p.relative_to(package).as_posix() for p in kept}  # every module, recipe, weight, page; no test
    for folder, suffix in (("training/recipes", ".yaml"), ("models/weights", ".safetensors"), ("web/static", ".js")):
        assert any(n.startswith(folder) and n.endswith(suffix) for n in inside)
    assert {"py.typed", "web/demo/page.html"} <= inside
    rest = {n.parts[0] for n in names} - {"orvpe"}
    assert rest == {f"orvpe-{orvpe.__version__}.dist-info"}
    about = {n.name for n in names if n.parts[0] in rest}
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"} <= about


def test_it_runs_outside_the_checkout(python: list[str], tmp_path: Path) -> None:
    """Two processes that load torch: 10 s."""
    where = run(python, "import orvpe; print(orvpe.__file__, orvpe.__version__)", tmp_path)
    assert str(ROOT) not in where
    assert where.split()[-1] == orvpe.__version__
    shown = run(python, "from orvpe.cli.main import main; sys.exit(main(['--version']) or main(['models']))", tmp_path)
    assert shown.startswith(f"orvpe {orvpe.__version__}\n")
    for weights in (ROOT / "src" / "orvpe" / "models" / "weights").iterdir():
        assert weights.name in shown
    write_generated(str(tmp_path / "people.orvpe"), count=2, dims=2)
    words = ["classify", "people.orvpe", "-w", "everyday-light-2d-joint", "-o", "answers", "--device", "cpu"]
    run(python, f"from orvpe.cli.main import main; sys.exit(main({words!r}))", tmp_path)
    assert (tmp_path / "answers" / "timeline.csv").read_text(encoding="utf-8").count("\n") >= 3

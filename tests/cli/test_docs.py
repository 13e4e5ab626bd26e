"""What the README and the docs show: commands parse, links lead somewhere, examples run."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pose_files import write_folder
from helpers.small_runs import surroundings

from orvpe.cli.arguments import parse
from orvpe.cli.commands import COMMANDS
from orvpe.cli.help_pages import usage_line
from orvpe.data.formats import FORMATS, detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.data.generated import generate, write_generated
from orvpe.data.protocols import PROTOCOLS, get_protocol
from orvpe.models.config import EncoderConfig
from orvpe.models.encoders import ENCODERS, build_encoder
from orvpe.models.model import Model
from orvpe.poses.body_parts import PARTS
from orvpe.poses.skeleton import unified
from orvpe.runtime.draws import Draws, seeded
from orvpe.training.recipes import recipe_path
from orvpe.views.batch import collate
from orvpe.views.occlusion import PATTERNS, corruption
from orvpe.views.view import ViewConfig

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "docs" / "lab" / "tables"  # written by `orvpe reproduce`
PAGES = [
    *(ROOT / name for name in ("README.md", "benchmarks/README.md")),
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if p.parent != TABLES),
]
TEXT = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def command_lines(text: str) -> list[str]:
    """Every orvpe command in a shell block or between backticks."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    return [line for line in lines if re.match(r"(torchrun .* -m )?orvpe [a-z]", line)]


COMMAND_LINES = [(page, line) for page, text in TEXT.items() for line in command_lines(text)]


@pytest.mark.parametrize(("page", "line"), COMMAND_LINES, ids=lambda v: v)
def test_commands_parse(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(recipe_path("quick-pretrain").read_text(encoding="utf-8"), encoding="utf-8")
    words = shlex.split(line.split(" > ")[0], comments=True)
    command, *arguments = words[words.index("orvpe") + 1 :]
    assert command in COMMANDS
    if arguments and "--help" not in arguments:
        parse(command, arguments)
    else:
        usage_line(command)


def reference() -> dict[str, str]:
    """The pages that are generated when the site is built."""
    spec = importlib.util.spec_from_file_location("gen_reference", ROOT / "docs" / "gen_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {f"docs/{name}": made() for name, made in module.PAGES.items()}


def test_the_reference_is_complete() -> None:
    pages = reference()
    for name in COMMANDS:
        assert re.search(
            rf"^## {name}\n\n```text\nusage: orvpe {name}", pages["docs/reference/commands.md"], flags=re.M
        )
    for name in FORMATS:
        assert f"| `{name}` |" in pages["docs/reference/formats.md"]
        assert f"| `{name}` |" in TEXT["docs/guides/data.md"]
    for name in PROTOCOLS:
        assert f"| `{name}` |" in pages["docs/reference/protocols.md"]
    for name in (*PATTERNS, *PARTS):
        assert f"| `{name}` |" in pages["docs/reference/occlusions.md"]
    for path in recipe_path("quick-probe").parent.glob("*.yaml"):
        assert f"## {path.stem}\n" in pages["docs/reference/recipes.md"]
    assert "::: orvpe.models.model.load" in pages["docs/reference/python.md"]


def test_the_readme_stays_short() -> None:
    lines = TEXT["README.md"].splitlines()
    assert len(lines) <= 120
    for language in ("sh", "python"):
        for block in blocks(TEXT["README.md"], language):
            assert len(block.splitlines()) <= 6, block


@pytest.mark.parametrize("page", [p for p in TEXT if p != "benchmarks/README.md"])
def test_no_cell_holds_a_list_of_numbers(page: str) -> None:
    """A number belongs to a named column."""
    text = re.sub(r"^```.*?^```$", "", TEXT[page], flags=re.M | re.S)
    for row in re.findall(r"^\|.*\|$", text, flags=re.M):
        for cell in row.strip("|").split("|"):
            assert not re.fullmatch(r"\s*\**\d+(\.\d+)?\**([,;/]? +\**\d+(\.\d+)?\**)+[ %]*", cell), row


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if file.parent == ROOT / "docs" / "reference":
            continue  # generated: `mkdocs build --strict` checks these
        assert file.exists(), target
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", ["README.md", "docs/guides/data.md"])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_generated("nucla.orvpe", count=3)
    write_folder(Path("poses"), count=3)
    Model(EncoderConfig("light"), unified, 3, ViewConfig(tau=16, crop="resample")).save("runs/pre")
    examples = blocks(TEXT[page], "python")
    assert examples
    for code in examples:
        exec(compile(code, page, "exec"), {})


def test_layout_example_is_read(tmp_path: Path) -> None:
    from orvpe.poses.skeleton import get_layout, unified_sources

    (tmp_path / "upper.yaml").write_text(blocks(TEXT["docs/guides/data.md"], "yaml")[0], encoding="utf-8")
    layout = get_layout(tmp_path / "upper.yaml")
    assert unified_sources(layout)["left_wrist"] == ("left_hand",)


def test_table_examples_are_read(tmp_path: Path) -> None:
    for i, text in enumerate(blocks(TEXT["docs/guides/data.md"], "csv")):
        (tmp_path / f"{i}.csv").write_text(text, encoding="utf-8")
        source = Source(tmp_path / f"{i}.csv")
        reader = detect(source)
        (clip,) = reader.read(source, reader.items(source)[0], Options())
        assert (clip.name, clip.label, clip.dims) == ("a1", "wave", 2)
        wrist = clip.layout.index("left_wrist")
        assert clip.joints[0, 0, wrist].tolist() == [310.5, 120.0]
        assert clip.frames == 1 or not clip.visible[0, 1, wrist]


def test_extending_from_outside(tmp_path: Path) -> None:
    """The examples as mine.py, then the script and its commands as the page has them."""
    script, *examples = blocks(TEXT["docs/guides/extending.md"], "python")
    (tmp_path / "mine.py").write_text("\n".join(examples), encoding="utf-8")
    (tmp_path / "mine_cli.py").write_text(script, encoding="utf-8")
    write_generated(str(tmp_path / "nucla.orvpe"), count=20)
    (tmp_path / "poses").mkdir()
    for i in range(130):  # more than one chunk, so that other processes read
        np.savetxt(tmp_path / "poses" / f"{i}.h36m.txt", 0.3 * np.random.default_rng(i).normal(size=(3, 51)))
    small = "--epochs 1 --batch-size 5 --view.tau 8 --view.crop resample --view.shortest 0.5 --threads 1 --device cpu"
    commands = [line for block in blocks(TEXT["docs/guides/extending.md"], "sh") for line in block.splitlines()]
    assert [c.split()[2] for c in commands] == ["finetune", "evaluate"]
    commands[0] += f" {small}"
    for line in (*commands, "python mine_cli.py ingest poses -o poses.orvpe --workers 2"):
        words = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=surroundings(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert "poses.orvpe: 130 clips" in done.stdout


def test_examples_of_extending_run(tmp_path: Path) -> None:
    tables = (ENCODERS, FORMATS, PROTOCOLS, PATTERNS)
    before = [dict(table) for table in tables]  # type: ignore[call-overload]
    try:
        for code in blocks(TEXT["docs/guides/extending.md"], "python")[
            1:
        ]:  # the first one is the script that imports them
            assert len(code.splitlines()) <= 30
            exec(compile(code, "docs/guides/extending.md", "exec"), {"__name__": "example"})
        encoder = build_encoder("frames", in_channels=3, layout=unified, feature_dim=8)
        assert encoder(torch.zeros(2, 3, 5, 17)).shape == (2, 8)

        np.savetxt(tmp_path / "a.h36m.txt", np.arange(2 * 51).reshape(2, 51))
        source = Source(tmp_path / "a.h36m.txt")
        reader = detect(source)
        (clip,) = reader.read(source, reader.items(source)[0], Options())
        assert reader.name == "h36m-text"
        assert clip.joints[0, 1, 16].tolist() == [99.0, 100.0, 101.0]

        info = {"subject": np.array(["s01", "s02", "", "s04"])}
        assert get_protocol("mine-even").split(info).tolist() == ["test", "train", "", "train"]

        batch = collate(list(generate(4, missing=0.1)))
        draws = Draws(seeded("cpu", 0), 4)
        hidden = corruption("turning:0.5")(batch, draws)
        left, right = unified.index("left_wrist"), unified.index("right_wrist")
        for n, frames in enumerate(batch.frames.tolist()):
            middle = -(-frames // 2)
            changes = (hidden.visible[n, 0] == batch.visible[n, 0])[:frames]
            halves = (slice(None, middle), left, right), (slice(None, middle), right, left)
            assert any(
                not hidden.visible[n, 0, when, a].any()
                and changes[when, b].all()
                and not hidden.visible[n, 0, middle:, b].any()
                for when, a, b in halves
            )
    finally:
        for table, old in zip(tables, before, strict=True):
            table.clear()
            table.update(old)  # type: ignore[call-overload, arg-type]

"""A command whose target another process is writing is refused in a line, before anything is touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small_runs import LIGHT, make_store, surroundings

from orvpe.cli.commands import COMMANDS, function_of
from orvpe.cli.main import main
from orvpe.errors import InputError
from orvpe.runtime.lock import alone_in, writing
from orvpe.runtime.typed import arguments_of

MODEL = "robust-light-3d-joint"
# command -> its words, and the target that two of them would write
WRITE: dict[str, tuple[list[str], str]] = {
    "ingest": (["poses", "-o", "t.orvpe", "--workers", "1"], "t.orvpe"),
    "pose": (["v.mp4", "-o", "t.orvpe"], "t.orvpe"),
    "generate": (["t.orvpe", "--count", "3"], "t.orvpe"),
    "select": (["s.orvpe", "-o", "t.orvpe"], "t.orvpe"),
    "pretrain": (["s.orvpe", "-r", "t", *LIGHT, "--restart"], "t"),
    "finetune": (["s.orvpe", "-r", "t", "-p", "random:0.5", *LIGHT, "--restart"], "t"),
    "probe": (["s.orvpe", "-r", "t", "-p", "random:0.5", "-w", MODEL, "--restart"], "t"),
    "learn": (["classes", "-r", "t", "--restart"], "t"),
    "classify": (["s.orvpe", "-o", "t", "-w", MODEL], "t"),
    "evaluate": (["s.orvpe", "-o", "t", "-w", MODEL, "-p", "random:0.5"], "t"),
    "robustness": (["s.orvpe", "-o", "t", "-w", MODEL, "-p", "random:0.5"], "t"),
    "embed": (["s.orvpe", "-o", "t.parquet", "-w", MODEL, "--overwrite"], "t.parquet"),
    "index": (["s.orvpe", "-o", "t", "-w", MODEL], "t"),
    "embed-many": (["poses", "-o", "t", "-w", MODEL], "t"),
    "export": ([MODEL, "-o", "t.onnx"], "t.onnx"),
    "convert": (["s.orvpe", "-o", "t.csv"], "t.csv"),
    "metric": (["s.orvpe", "-o", "t"], "t"),
    "demo": (["v.mp4", "-o", "t"], "t"),
    "walkthrough": (["-o", "t"], "t"),
}
_OTHERS = {  # their single small files are written whole or not at all; their runs lock themselves
    "fuse", "bench", "reproduce",
}  # fmt: skip


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which another process holds every target."""
    monkeypatch.chdir(tmp_path)
    make_store("s.orvpe", count=4)
    Path("poses").mkdir()
    targets = sorted({(target, COMMANDS[c].positional != () and "." not in target) for c, (_, target) in WRITE.items()})
    code = "import sys, contextlib; from pathlib import Path; from orvpe.runtime.lock import writing\n"
    code += "with contextlib.ExitStack() as held:\n"
    names = {t for t, _ in targets}
    for name in sorted(names):
        code += f"    held.enter_context(writing(Path({name!r}), 'x', folder={'.' not in name}))\n"
    code += "    print('held', flush=True); sys.stdin.readline()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings()
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield tmp_path
    finally:
        process.communicate("\n", timeout=30)
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".lock") and p.parent.name != "t"]


def test_every_command_that_writes_is_here() -> None:
    writes = {c for c in COMMANDS if {"out", "run"} & set(arguments_of(function_of(c)))}
    assert writes == {*WRITE, *_OTHERS}


def test_no_command_touches_what_another_process_writes(held: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (held / "t" / "metrics.jsonl").write_text('{"epoch": 1}\n')
    (held / "t" / "recipe.json").write_text("{}")

    def contents() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in held.rglob("*") if p.is_file()}

    before = contents()
    capsys.readouterr()
    for command, (words, target) in WRITE.items():
        assert main([command, *words]) == 2, command
        err = capsys.readouterr().err
        assert err.startswith(f"orvpe {command}: "), err
        assert f"{target} is in use by another process" in err, err
        assert err.count("\n") == 1
        assert contents() == before, command


def test_a_lock_ends_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @alone_in("out", folder=True)
    def job(out: str | None, fail: bool = False) -> str:
        if fail:
            raise InputError("no")
        if out:
            with writing(Path(out), "again", folder=True):  # its own
                pass
        return "done"

    assert (job("a/b"), job(None), job(out="")) == ("done", "done", "done")
    with pytest.raises(InputError, match=r"^no$"):
        job("a/b", fail=True)
    assert list(tmp_path.iterdir()) == []  # nothing came into the folders
    Path("a").touch()
    assert job("a") == "done"  # the command says what is wrong with a file
    assert job("a/b") == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    import os

    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with (
        pytest.raises(InputError, match=r"x: cannot be written \(Permission denied\)"),
        writing(tmp_path / "x", f"out {tmp_path / 'x'}"),
    ):
        pass


def test_what_a_killed_process_was_writing_goes(tmp_path: Path) -> None:
    for name in (".t.99999.tmp.parquet", ".other.99999.tmp.parquet", ".t.old.tmp.parquet", "t.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".checkpoint.99999.tmp.pt").touch()
    (tmp_path / "run" / "checkpoint.pt").touch()
    with writing(tmp_path / "t.parquet", "out"), writing(tmp_path / "run", "run", folder=True):
        pass
    left = sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock")
    assert left == [".other.99999.tmp.parquet", ".t.old.tmp.parquet", "checkpoint.pt", "t.tmp"]

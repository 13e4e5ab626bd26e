"""Steps that run at once: their order, and nobody left running when one fails, is killed, or we fail ourselves."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orvpe.errors import InputError
from orvpe.lab.reproduce import side_by_side
from orvpe.lab.reproduce.side_by_side import run_steps
from orvpe.lab.reproduce.steps import Step


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that steps were started as."""
    found: list[subprocess.Popen[bytes]] = []
    start = side_by_side._Running.__init__

    def noted(self: Any, *given: Any) -> None:
        start(self, *given)
        found.append(self.process)

    monkeypatch.setattr(side_by_side._Running, "__init__", noted)
    return found


def run_all(steps: list[Step], work: Path, jobs: int, begins: Any = lambda s: None, ends: Any = lambda s: None) -> None:
    run_steps(steps, work, lambda s: list(s.words), lambda s: s.command(), jobs, begins, ends)


LONG = Step("long", ("generate", "-o", "long.orvpe", "--count", "100000000"))


def test_a_step_that_fails_ends_those_beside_it(
    started: list[subprocess.Popen[bytes]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = [Step("bad", ("inspect", "nosuch")), LONG, Step("next", ("models",), ("bad",))]
    begun: list[str] = []
    with pytest.raises(InputError, match=r"'orvpe inspect nosuch' failed with exit code 2"):
        run_all(steps, tmp_path, 2, lambda s: begun.append(s.folder))
    assert begun == ["bad", "long"]  # nothing after what failed
    assert "[bad] orvpe inspect: nosuch: no such" in capfd.readouterr().err
    assert all(p.returncode is not None for p in started)


def test_an_error_of_ours_leaves_nobody_running(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    def full(step: Step) -> None:
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_all([LONG, Step("short", ("models",))], tmp_path, 2, ends=full)
    assert len(started) == 2
    assert all(p.returncode is not None for p in started)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_a_step_that_is_killed_is_told(started: list[subprocess.Popen[bytes]], tmp_path: Path) -> None:
    def soon(step: Step) -> None:
        threading.Timer(1, lambda: started[0].kill()).start()

    with pytest.raises(InputError, match=r"was killed by signal 9 \(was there too little memory\?\)"):
        run_all([LONG], tmp_path, 1, soon)


def test_steps_wait_for_what_they_need(tmp_path: Path) -> None:
    steps = [Step("a", ("models",)), Step("b", ("recipes",), ("a",)), Step("c", ("models",), ("a", "elsewhere"))]
    order: list[str] = []
    run_all(steps, tmp_path, 3, lambda s: order.append(s.folder), lambda s: order.append("end"))
    assert order == ["a", "end", "b", "c", "end", "end"]

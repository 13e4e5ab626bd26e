"""A disk that is full while a checkpoint is written: one line that names it, and the earlier one stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small_runs import surroundings


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_is_named_and_the_checkpoint_before_it_stays(tmp_path: Path) -> None:
    code = f"""
import resource, signal, sys, torch
from orvpe.runtime.run import Run
run = Run({str(tmp_path / "r")!r}, {{"job": "x"}})
run.save({{"a": torch.zeros(10)}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    run.save({{"a": torch.zeros(1_000_000)}})
except OSError as error:
    print(error.filename, error.strerror)
print(run.load()["a"].shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings(), timeout=100)
    assert done.returncode == 0, done.stderr
    named, shape = done.stdout.splitlines()
    assert named.startswith(f"{tmp_path / 'r' / 'last.ckpt'} ")
    assert shape == "torch.Size([10])"
    assert not list((tmp_path / "r").glob(".*tmp*"))

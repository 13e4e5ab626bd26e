"""orvpe serve as it is typed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from helpers.small_runs import surroundings

from orvpe.cli.main import main
from orvpe.web.answers import Answers


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_command_serves_and_ends(answers: Answers, served: Path) -> None:
    words = ["serve", "-w", str(served / "small"), "--store", str(served / "index.orvpe"), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=surroundings(),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"small, 54 clips \(index\), 10 classes: (http://127\.0\.0\.1:\d+)/ ", line)
        assert found, line
        assert httpx.get(f"{found[1]}/api/health", timeout=60).json()["index"] == 54
        port = urlsplit(found[1]).port
        assert main(["serve", "-w", str(served / "small"), "--port", str(port)]) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{found[1]}/api/health")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-w", "no/such"], "model no/such: no such folder"),
        (["--store", "no.orvpe"], "no.orvpe: no such store"),
        (["--port", "99999"], "port is 99999, expected 0 to 65535"),
        (["--max-upload", "0"], "max_upload is 0"),
        (["--readers", "0"], "readers is 0, expected at least 1"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_bad_arguments(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", *words]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]

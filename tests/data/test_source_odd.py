"""Odd things in folders and zips: pipes, names given twice."""

from __future__ import annotations

import os
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from orvpe.data.formats.source import Source
from orvpe.errors import InputError


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_pipes_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "in" / "a.csv")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    assert Source(tmp_path).names == ("in/a.csv", "link.csv")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        Source(tmp_path / "pipe.csv")


def test_a_name_twice_in_a_zip_is_read_once_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        warnings.simplefilter("ignore")
        for text in ("first", "second"):
            archive.writestr("a.csv", text)
        archive.writestr("b.csv", "")
    source = Source(tmp_path / "a.zip")
    assert source.names == ("a.csv", "b.csv")
    assert source.read("a.csv") == b"second"
    assert "holds 'a.csv' more than once; the last one is read" in capsys.readouterr().err

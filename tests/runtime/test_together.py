"""Files that appear together, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from orvpe.errors import InputError
from orvpe.runtime.files import Together, place


def test_all_or_none(tmp_path: Path) -> None:
    a, b, never = tmp_path / "x" / "y" / "a.txt", tmp_path / "b.tar.gz", tmp_path / "never.txt"
    b.write_text("old")

    def fail() -> None:
        with Together() as files:
            for target in (a, b):
                files.path(target).write_text("new")
            assert (a.exists(), b.read_text()) == (False, "old")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["b.tar.gz"]
    assert b.read_text() == "old"
    with Together() as files:
        for target in (a, b):
            assert files.path(target).suffix == target.suffix
            files.path(target).write_text("new")
        files.path(never)
    assert (a.read_text(), b.read_text(), never.exists()) == ("new", "new", False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar.gz", "x"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/x: cannot be made \(Not a directory\)"), Together() as files:
        files.path(tmp_path / "file" / "x" / "a.txt")


def test_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far").mkdir()
    made, target = tmp_path / "made.mp4", tmp_path / "far" / "a.mp4"
    made.write_bytes(b"whole")
    replace = os.replace

    def across(source: Path, wanted: Path) -> None:
        if source.parent != wanted.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, wanted)

    monkeypatch.setattr(os, "replace", across)
    place(made, target)
    assert (target.read_bytes(), made.exists()) == (b"whole", False)
    assert [p.name for p in (tmp_path / "far").iterdir()] == ["a.mp4"]

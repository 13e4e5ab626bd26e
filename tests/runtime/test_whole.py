"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from orvpe.runtime.files import whole_file, write_atomic


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.parquet"
    target.write_text("old")
    with whole_file(target) as temporary:
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".parquet")  # some writers go by the suffix
        temporary.write_text("half of the new one")
        assert target.read_text() == "old"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_failed_leaves_nothing(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        with whole_file(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    kept = tmp_path / "a.json"
    kept.write_text("old")
    for target in (kept, tmp_path / "b.json"):
        with pytest.raises(KeyboardInterrupt):
            fail(target)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert kept.read_text() == "old"


def test_text_and_bytes_in_a_new_folder(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x" / "y" / "a.txt", "Grüße")
    write_atomic(tmp_path / "x" / "b.bin", b"\x00\xff")
    assert (tmp_path / "x" / "y" / "a.txt").read_bytes() == "Grüße".encode()
    assert (tmp_path / "x" / "b.bin").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize(
    "error",
    [
        lambda temporary: OSError(errno.ENOSPC, "No space left on device"),
        lambda temporary: OSError(errno.ENOSPC, f"Failed to write {str(temporary)!r}. Detail: [errno 28]"),  # pyarrow's
        lambda temporary: OSError(errno.ENOSPC, "No space left on device", str(temporary)),
    ],
)
def test_the_system_speaks_of_the_file_and_not_of_its_temporary_name(
    error: Callable[[Path], OSError], tmp_path: Path
) -> None:
    target = tmp_path / "table.csv"
    with pytest.raises(OSError, match=re.escape(str(target))) as caught, whole_file(target) as temporary:
        raise error(temporary)
    assert (caught.value.filename, caught.value.strerror) == (str(target), os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_what_is_said_of_another_file_stays(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "table.csv"):
        (tmp_path / "input.csv").read_bytes()
    assert caught.value.filename == str(tmp_path / "input.csv")

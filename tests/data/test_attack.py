"""Hostile or odd files: each ends in one line, quickly, in little memory, and `ingest --skip-bad` goes on past it."""

from __future__ import annotations

import pickle
import resource
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from helpers.small_runs import surroundings

from orvpe.cli.main import main
from orvpe.data.formats import FORMATS, choose_reader
from orvpe.data.formats.base import Format, Options
from orvpe.data.formats.pickle_budget import check_cost, check_expanded
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.safe_pickle import load
from orvpe.data.formats.source import Source
from orvpe.data.store import Store
from orvpe.errors import InputError

ATTACK = Path(__file__).parents[1] / "attack"
FILES = sorted(p for p in ATTACK.iterdir() if p.suffix != ".md")
_GOOD = "clip,frame,joint,x,y\n" + "".join(f"good,{t},nose,{100 + t},{50 + t}\n" for t in range(5))


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_each_ends_in_a_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    code, err = main(["inspect", str(file)]), capsys.readouterr().err
    if code:  # else it was read rightly
        assert (code, err.count("\n"), file.name in err) == (2, 1, True), err
        assert len(err) < 600
    assert time.process_time() - began < 10  # of this process, as the machine may be busy


def test_ingest_goes_on_past_all_of_them(tmp_path: Path) -> None:
    shutil.copytree(ATTACK, tmp_path / "in")
    (tmp_path / "in" / "good.csv").write_text(_GOOD)
    words = [sys.executable, "-m", "orvpe", "ingest", "in", "-o", "x.orvpe", "--skip-bad", "--workers", "1"]
    for more, bad in (["--format", "table"], 5), (["--format", "kinetics"], 4):
        done = subprocess.run([*words, *more, "--overwrite"], cwd=tmp_path, env=surroundings(), capture_output=True,
                              text=True, timeout=60)  # fmt: skip
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 2, done.stderr
        if "table" in more:
            assert done.returncode == 0, done.stderr
            store = Store.open(tmp_path / "x.orvpe")
            assert list(store.names) == ["good"]
            assert store.meta["skipped"]["bad"] == bad - 1
    if sys.platform == "linux":
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20  # KiB


def test_whatever_a_reader_raises_is_one_bad_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = FORMATS["table"]

    def read(source: Source, item: tuple[str, ...], options: Options) -> list:
        if item[0] == "odd.csv":
            raise ZeroDivisionError("of all\nthings")
        if item[0] == "large.csv":
            raise MemoryError
        return table.read(source, item, options)

    monkeypatch.setitem(FORMATS, "table", Format("table", table.about, table.items, read))
    (tmp_path / "in").mkdir()
    for name in ("odd", "large", "good"):
        (tmp_path / "in" / f"{name}.csv").write_text(_GOOD.replace("good", name))
    words = ["ingest", str(tmp_path / "in"), "-o", str(tmp_path / "x.orvpe"), "--workers", "1"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "large.csv: cannot be read as table (needs more memory than there is) (and 1 more" in err
    assert main([*words, "--skip-bad"]) == 0
    store = Store.open(tmp_path / "x.orvpe")
    assert list(store.names) == ["good"]
    assert store.meta["skipped"]["bad_first"][1].endswith(
        "odd.csv: cannot be read as table (ZeroDivisionError: of all things)"
    )


def test_a_reader_that_stumbles_while_looking_leaves_the_file_to_others(tmp_path: Path) -> None:
    def items(source: Source) -> list[tuple[str, ...]]:
        raise KeyError("x")

    odd = Format("odd", "odd", items, lambda *_: [])
    (tmp_path / "a.csv").write_text(_GOOD)
    (tmp_path / "b.xyz").write_text("?")
    with patch.dict(FORMATS, {"odd": odd, **FORMATS}, clear=True):  # put back in its order, which decides
        assert choose_reader(Source(tmp_path / "a.csv"), None).name == "table"
        with pytest.raises(InputError, match=r"b.xyz: cannot be read as odd \(KeyError: 'x'\)"):
            choose_reader(Source(tmp_path / "b.xyz"), None)


# --- memory is estimated before it is taken ---


def _refused(path: Path) -> str:
    source = Source(path)
    reader = choose_reader(source, None)
    (item,) = reader.items(source)
    with pytest.raises(InputError) as told:
        read_clips(reader, source, item, Options())
    return str(told.value)


def test_people_times_frames_is_bounded(tmp_path: Path) -> None:
    rows = "".join(f"a,{t},p{t},nose,{t % 7},1\n" for t in range(8000))
    (tmp_path / "a.csv").write_text("clip,frame,person,joint,x,y\n" + rows)
    assert "expected at most 33,554,432 positions" in _refused(tmp_path / "a.csv")


# --- pickles ---


def _dag(depth: int, kind: type) -> bytes:
    thing: object = (1.0,)
    for _ in range(depth):
        thing = kind((thing, thing))
    return pickle.dumps(thing)


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_pickles_are_read(protocol: int) -> None:
    shared = ["a", "b"] * 40
    data = {"a": [np.zeros((2, 3)), "x"], "b": (1, 2.5, None, True), "c": {frozenset({1, 2})}, "d": [shared, shared]}
    data |= {f"clip {i}": {"label": i, "score": np.ones(3, np.float16), "size": (1080, 1920)} for i in range(200)}
    found = load(pickle.dumps(data, protocol=protocol), "x")
    assert found["b"] == data["b"]
    assert found["d"] == data["d"]
    assert found["clip 7"]["score"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", [tuple, list])
def test_pickles_that_expand_for_ever_are_refused(kind: type) -> None:
    assert load(_dag(10, kind), "x") is not None
    began = time.process_time()
    for depth in (25, 60, 400):
        with pytest.raises(InputError, match=r"x: .*(refused|not a readable pickle)"):
            load(_dag(depth, kind), "x")
    assert time.process_time() - began < 5


def test_pickles_that_hold_themselves_are_refused() -> None:
    ring: list[object] = [1]
    ring.append({"ring": ring})
    with pytest.raises(InputError, match="holds itself"):
        load(pickle.dumps(ring), "x")
    late: list[list[object]] = [[] for _ in range(40)]  # filled from the outside in: no size is known when it is used
    for outer, inner in pairwise(late):
        outer += [inner, inner]
    with pytest.raises(InputError, match="endless repetitions"):
        load(pickle.dumps(late[0]), "x")


def test_keys_that_are_slow_to_hash_many_times_are_refused() -> None:
    key: object = (1,)
    for _ in range(18):
        key = (key, key)
    words = pickle.dumps(key)[2:-1]  # without protocol and end
    data = b"\x80\x04" + words + b"\x94" + b"}(" + b"".join(b"h" + bytes([18]) + b"K\x01" for _ in range(5000)) + b"u."
    with pytest.raises(InputError, match="endless repetitions"):
        check_cost(data)


def test_a_memo_of_the_size_of_memory_is_refused() -> None:
    with pytest.raises(InputError, match="a memory place beyond"):
        load(b"\x80\x02]r\xff\xff\xff\x7f.", "x")


def test_expanded_size_of_trees_is_their_own() -> None:
    check_expanded({"a": [1, [2, [3]], (4, {5})]}, 10)

"""Ingest: the same bytes however it was run, interrupted or not, and what becomes of bad files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from helpers.pose_files import write_folder
from helpers.small_runs import surroundings

from orvpe.data import ingest_chunks
from orvpe.data.formats import FORMATS
from orvpe.data.ingest import ingest
from orvpe.data.select import select
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.poses.unify import to_unified
from orvpe.poses.windows import windows

module = sys.modules["orvpe.data.ingest"]  # the name orvpe.data.ingest is the function


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "CHUNK_ITEMS", 7)
    return write_folder(tmp_path / "clips")


def left(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.iterdir() if p.name != "clips")


def test_the_same_bytes_for_any_number_of_workers(folder: Path, tmp_path: Path) -> None:
    one = ingest([str(folder)], str(tmp_path / "one.orvpe"), workers=1)
    ingest([str(folder)], str(tmp_path / "two.orvpe"), workers=2)
    assert (tmp_path / "one.orvpe").read_bytes() == (tmp_path / "two.orvpe").read_bytes()
    assert left(tmp_path) == ["one.orvpe", "two.orvpe"]
    store = Store.open(tmp_path / "one.orvpe")
    store.verify()
    assert one.clips == len(store) == 30
    assert "one.orvpe: 30 clips, " in str(one)
    assert one.frames == int((store.people * store.frames).sum())
    assert one.bytes == (tmp_path / "one.orvpe").stat().st_size
    assert store.names.tolist() == sorted(p.stem for p in folder.iterdir())
    assert store.layout == unified


def test_a_zip_gives_what_its_folder_gives(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"clips/{file.name}")
    ingest([str(folder)], str(tmp_path / "a"), workers=1)
    ingest([str(tmp_path / "clips.zip")], str(tmp_path / "b"), workers=1)
    a, b = Store.open(tmp_path / "a"), Store.open(tmp_path / "b")
    np.testing.assert_array_equal(a.names, b.names)
    np.testing.assert_array_equal(a.flat()[0], b.flat()[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    ingest([str(folder)], str(tmp_path / "whole"), workers=1)
    read, done = ingest_chunks._read_chunk, []

    def interrupted(job):  # type: ignore[no-untyped-def]
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.part.name)
        read(job)

    out = str(tmp_path / "resumed")
    with monkeypatch.context() as patch:
        patch.setattr(ingest_chunks, "_read_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ingest([str(folder)], out, workers=1)
    assert not Path(out).exists()
    kept = {p: p.stat().st_mtime_ns for p in Path(out + ".parts").glob("*.json")}
    assert [p.stem for p in sorted(kept)] == done

    merge = module.merge

    def looking(*args):  # type: ignore[no-untyped-def]
        assert {p: p.stat().st_mtime_ns for p in kept} == kept  # not read again
        merge(*args)

    monkeypatch.setattr(module, "merge", looking)
    ingest([str(folder)], out, workers=workers)
    assert Path(out).read_bytes() == (tmp_path / "whole").read_bytes()
    assert left(tmp_path) == ["resumed", "whole"]


@pytest.mark.parametrize("suffix", [".orvpe", ".json"])
def test_a_part_that_a_power_failure_spoilt_is_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    ingest([str(folder)], str(tmp_path / "whole"), workers=1)
    out = str(tmp_path / "resumed")
    with monkeypatch.context() as patch:
        patch.setattr(module, "merge", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ingest([str(folder)], out, workers=1)
    part = sorted(Path(out + ".parts").glob("*" + suffix))[0]
    part.write_bytes(part.read_bytes()[:100])
    ingest([str(folder)], out, workers=1)
    assert Path(out).read_bytes() == (tmp_path / "whole").read_bytes()


def test_readers_end_with_a_killed_parent(tmp_path: Path) -> None:
    # the readers hold the pipe open, so that it ends when the last of them does
    script = (
        "import sys, time\n"
        "from orvpe.data.ingest_chunks import _start_reader\n"
        "if __name__ == '__main__':\n"
        "    import multiprocessing, concurrent.futures as futures\n"
        "    spawn = multiprocessing.get_context('spawn')\n"
        "    pool = futures.ProcessPoolExecutor(2, mp_context=spawn, initializer=_start_reader)\n"
        "    list(pool.map(abs, range(8)))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(100)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    words = [sys.executable, str(tmp_path / "parent.py")]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=surroundings())
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    assert parent.communicate(timeout=30)[0] == ""


def test_a_reader_of_ones_own_where_other_processes_do_not_know_it(folder: Path, tmp_path: Path) -> None:
    mine = replace(FORMATS["nucla"], name="mine")
    with patch.dict(FORMATS, mine=mine):
        with pytest.raises(InputError, match=r"format 'mine' is not known to the processes that read; .* --workers 1"):
            ingest([str(folder)], str(tmp_path / "a.orvpe"), format="mine", workers=2)
        assert ingest([str(folder)], str(tmp_path / "a.orvpe"), format="mine", workers=1).clips == 30


def test_a_path_given_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        ingest([str(folder), str(folder / ".." / folder.name)], str(tmp_path / "a.orvpe"))
    assert left(tmp_path) == []


def test_parts_of_other_files_or_options_are_not_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "merge", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest([str(folder)], str(out), workers=1)
    changed = folder / "a01_s01_e00_v01.json"
    changed.write_text(json.dumps({"skeletons": np.ones((3, 20, 3)).tolist()}))
    ingest([str(folder)], str(out), workers=1)
    assert Store.open(out).clip(0).frames == 3


def test_a_bad_file_stops_at_the_end_or_is_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "a01_s01_e90_v01.json").write_text('{"skeletons": [[')
    (folder / "a02_s01_e90_v01.json").write_text('{"skeletons": []}')
    far = np.zeros((2, 20, 3))
    far[1] = 500.0
    (folder / "a03_s01_e90_v01.json").write_text(json.dumps({"skeletons": (far + 1).tolist()}))
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"a01_s01_e90_v01\.json.*\(and 2 more that cannot be read\).*--skip-bad to"):
        ingest([str(folder)], str(out), workers=1)
    assert left(tmp_path) == ["out.parts"]
    report = ingest([str(folder)], str(out), workers=1, skip_bad=True)
    assert report.clips == 30
    assert len(report.bad) == 3
    assert "a03_s01_e90_v01.json" in report.bad[2]
    assert "span 500 m" in report.bad[2]
    assert Store.open(out).meta["skipped"]["bad"] == 3
    assert Store.open(out).meta["skipped"]["bad_first"] == report.bad
    assert left(tmp_path) == ["out"]


def test_an_existing_store_is_kept_unless_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        ingest([str(folder)], str(out), workers=1)
    assert out.read_text() == "mine"
    ingest([str(folder)], str(out), workers=1, overwrite=True)
    assert len(Store.open(out)) == 30


def test_a_store_inside_its_own_source_is_not_read(folder: Path) -> None:
    for _ in range(2):
        assert ingest([str(folder)], str(folder / "x.orvpe"), workers=1, overwrite=True).clips == 30


def test_native_keeps_the_layout_and_two_layouts_do_not_mix(folder: Path, tmp_path: Path) -> None:
    ingest([str(folder)], str(tmp_path / "native"), layout="native", workers=1)
    native = Store.open(tmp_path / "native")
    assert native.layout == LAYOUTS["kinect_v1"]
    ingest([str(folder)], str(tmp_path / "unified"), workers=1)
    mapped, same = to_unified(native.clip(3)), Store.open(tmp_path / "unified").clip(3)
    np.testing.assert_array_equal(mapped.visible, same.visible)
    np.testing.assert_allclose(mapped.joints, same.joints, atol=0.0011)
    packed = tmp_path / "packed.npz"
    np.savez(
        packed, joints_mm=np.ones((4, 2, 3), np.int16), start=np.array([0, 4]), fps=30.0,
        joint_names=np.array(["head", "neck"]), name=np.array(["n"]), subject=np.array(["s"]),
        label=np.array(["l"]),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"clip 'n': layout .* but the store's is 'kinect_v1'"):
        ingest([str(folder), str(packed)], str(tmp_path / "both"), layout="native", workers=1)
    assert ingest([str(folder), str(packed)], str(tmp_path / "one"), workers=1).clips == 31


def test_windows_cover_a_recording_to_its_end() -> None:
    joints = np.arange(25, dtype=np.float32)[None, :, None, None] + np.zeros((1, 25, 17, 3))
    visible = np.ones((1, 25, 17), bool)
    clip = Clip(joints, visible, unified, name="r", label="x")
    pieces = [w for w in windows(clip, 10, 5) if w is not None]
    assert [w.name for w in pieces] == ["r@0", "r@5", "r@10", "r@15"]
    assert [float(w.joints[0, 0, 0, 0]) for w in pieces] == [0, 5, 10, 15]
    assert all(w.frames == 10 and w.label == "x" for w in pieces)
    assert [w.name for w in windows(clip, 12, 12) if w is not None] == ["r@0", "r@12", "r@13"]
    assert list(windows(clip, 25, None)) == [clip]
    assert list(windows(clip, None, None)) == [clip]
    visible[:, 5:20] = False
    hidden = list(windows(clip.with_(visible=visible), 10, 5))
    assert [w is None for w in hidden] == [False, True, True, False]


def test_windows_and_short_clips_are_counted(folder: Path, tmp_path: Path) -> None:
    report = ingest([str(folder)], str(tmp_path / "w"), window=8, stride=4, workers=1)
    store = Store.open(tmp_path / "w")
    assert set(store.frames.tolist()) == {8}
    assert report.clips == len(store) == 2 * 6 + 3 * 4 * 6  # 12 frames: two windows; 13 to 16: three
    short = ingest([str(folder)], str(tmp_path / "s"), min_frames=14, workers=1)
    assert (short.clips, short.skipped_short) == (18, 12)
    with pytest.raises(InputError, match=r"no clip in 30 items .*30 too short"):
        ingest([str(folder)], str(tmp_path / "none"), min_frames=100, workers=1)
    assert left(tmp_path) == ["s", "w"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "unifed"}, "unknown layout option 'unifed'; did you mean 'unified'"),
        ({"format": "nucl"}, "unknown format 'nucl'.*did you mean"),
        ({"joints": "kinect_v3"}, "unknown layout 'kinect_v3'.*did you mean"),
        ({"window": 0}, "window is 0, expected at least 1"),
        ({"stride": 3}, "stride is 3, but window is not given"),
        ({"workers": 0}, "workers is 0"),
        ({"dims": 4}, "dims is 4"),
        ({"format": "bvh"}, "nothing of format 'bvh'"),
        ({"paths": []}, "nothing to read"),
        ({"paths": ["/no/such/place"]}, "no such file or folder"),
        ({"out": "/no/such/place/a"}, "does not exist"),
    ],
)
def test_wrong_arguments_are_named(folder: Path, tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ingest(**{"paths": [str(folder)], "out": str(tmp_path / "o"), "workers": 1, **arguments})  # type: ignore[arg-type]
    assert left(tmp_path) == []


@pytest.mark.data
def test_nucla(data_dir: Path, tmp_path: Path) -> None:
    report = ingest([str(data_dir / "nw-ucla-skeletons.zip")], str(tmp_path / "n.orvpe"))
    store = Store.open(tmp_path / "n.orvpe")
    store.verify()
    assert report.clips == len(store) == 1484
    assert int((store.cameras != "v03").sum()) == 1020
    assert sorted(set(store.labels)) == [f"a{i:02d}" for i in (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)]
    assert report.bad == []


def test_means_are_remembered_over_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinect measures all 17 joints, COCO has no neck: the store of both treats the neck as a mean."""
    monkeypatch.setattr(module, "CHUNK_ITEMS", 2)
    kinect = write_folder(tmp_path / "kinect", 3)
    (tmp_path / "coco").mkdir()
    joints = 0.3 * np.random.default_rng(0).normal(size=(6, 17, 3))
    np.savez(tmp_path / "coco" / "a.npz", joints=joints, joint_names=LAYOUTS["coco"].joints)
    ingest([str(kinect)], str(tmp_path / "kinect.orvpe"), workers=1)
    assert Store.open(tmp_path / "kinect.orvpe").layout.derived == {}
    ingest([str(kinect), str(tmp_path / "coco")], str(tmp_path / "both.orvpe"), workers=1)
    both = Store.open(tmp_path / "both.orvpe")
    assert set(both.layout.derived) == {"neck", "chest", "mid_hip"}
    part = select(str(tmp_path / "both.orvpe"), str(tmp_path / "part.orvpe"), "random:0.5,by=clip")
    assert part.layout.derived == both.layout.derived

"""`orvpe pose` as people type it, with an estimator that sees coloured squares."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.videos import SIZE, Squares, encode, picture, turned

from orvpe.cli.main import main
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.video import PoseOptions, estimate, find_people, follow, open_frames, read_clips
from orvpe.video import command as module


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Squares)


def two_people(path: Path, n: int = 30) -> Path:
    """Red walks to the right, and green stands from the tenth frame on; red is away for three frames."""
    images = [
        picture(*([(0, 15 + i, 20)] if i not in (20, 21, 22) else []), *([(1, 70, 48)] if i >= 10 else []))
        for i in range(n)
    ]
    return encode(path, images)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["pose", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_one_clip_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_people(tmp_path / "walk.mp4")
    code, out, err = run(capsys, tmp_path / "walk.mp4", "-o", tmp_path / "a.orvpe", "--layout", "native")
    assert code == 0, err
    assert "walk: 2 people in 30 frames at 30 fps; joints missing " in out
    assert "a.orvpe: 2 clips, 50 frames of a person" in out
    assert "estimate" in out
    store = Store.open(tmp_path / "a.orvpe")
    store.verify()
    assert store.names.tolist() == ["walk-p1", "walk-p2"]
    assert (store.layout, store.dims) == (LAYOUTS["mediapipe"], 2)
    one, two = store
    assert (one.fps, one.image_size, one.frames, two.frames) == (30, SIZE, 30, 20)
    assert [t["second"] for t in store.meta["videos"][0]["tracks"]] == [0, pytest.approx(10 / 30, abs=1e-3)]
    v = unified.index("nose")
    assert not one.visible[0, 20:23].any()
    assert not one.visible[0, :, 30:].any()
    assert one.visible[0, 5, :29].all()
    moved = one.joints[0, 19, v] - one.joints[0, 0, v]
    assert moved == pytest.approx([19, 0], abs=1.5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.orvpe", "walk.mp4"]


def test_unified_filled_smoothed_or_in_metres(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    words = [path, "-o", tmp_path / "a.orvpe", "--interpolate", 3, "--smooth", "--overwrite"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert "after filling" in out
    clip = Store.open(tmp_path / "a.orvpe").clip(0)
    assert clip.layout == unified
    assert clip.visible[0, :, unified.index("nose")].all()
    assert run(capsys, path, "-o", tmp_path / "w.orvpe", "--joints", "world")[0] == 0
    clip = Store.open(tmp_path / "w.orvpe").clip(0)
    assert (clip.dims, clip.image_size) == (3, None)
    found = find_people(path, PoseOptions(joints="world")).people[0]
    assert found.world is not None
    nose = LAYOUTS["mediapipe"].index("nose")
    # y down becomes y up
    assert clip.joints[0, 0, unified.index("nose"), 1] == pytest.approx(-found.world[0, nose, 1], abs=2e-3)


def test_what_is_hidden_carries_nothing(tmp_path: Path) -> None:
    for person in find_people(two_people(tmp_path / "a.mp4"), PoseOptions(interpolate=1, smooth=True)).people:
        assert (person.joints[~person.visible] == 0).all()
        assert np.isfinite(person.joints).all()


def test_live_use_gives_each_picture(tmp_path: Path) -> None:
    frames = open_frames(two_people(tmp_path / "a.mp4"))
    seen = list(follow(frames, PoseOptions(), Squares()))
    assert [s.frame.index for s in seen] == list(range(30))
    assert [s.ids.tolist() for s in seen][5] == [1]
    assert sorted(seen[25].ids.tolist()) == [1, 2]
    assert seen[25].poses.joints.shape == (2, 33, 2)
    assert seen[25].visible.shape == (2, 33)


def test_read_clips_of_a_turned_video(tmp_path: Path) -> None:
    clips = read_clips(turned(two_people(tmp_path / "a.mp4"), 90), PoseOptions(layout="native", seconds=0.5))
    assert [c.image_size for c in clips] == [SIZE[::-1]]
    assert clips[0].frames == 15
    moved = clips[0].joints[0, -1, 0] - clips[0].joints[0, 0, 0]
    assert moved == pytest.approx([0, 14], abs=1.5)  # to the right became downwards


def test_several_videos_are_taken_up_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("x", "y"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        two_people(tmp_path / "in" / folder / "walk.mp4")
    two_people(tmp_path / "in" / "other.mp4")
    words = [tmp_path / "in", "-o", tmp_path / "a.orvpe"]
    real, done = module._one, []

    def twice(name: str, *args: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(name)
        return real(name, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "_one", twice)
        code, _, err = run(capsys, *words)
    assert code == 130
    assert "2 finished videos are kept in" in err
    assert not (tmp_path / "a.orvpe").exists()
    done.clear()
    code, _, err = run(capsys, *words)
    assert code == 0
    assert err.count("done before") == 2
    store = Store.open(tmp_path / "a.orvpe")
    assert store.names.tolist() == ["other-p1", "other-p2", "x/walk-p1", "x/walk-p2", "y/walk-p1", "y/walk-p2"]
    assert not (tmp_path / "a.orvpe.parts").exists()


def test_an_interrupted_run_with_drawings_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [two_people(tmp_path / f"{name}.mp4") for name in "ab"]
    words = [*paths, "-o", tmp_path / "a.orvpe", "--overlay", tmp_path / "drawn"]
    real = module._one

    def second_stops(name: str, *args: object) -> object:
        if name == "b":
            raise KeyboardInterrupt
        return real(name, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "_one", second_stops)
        assert run(capsys, *words)[0] == 130
    assert not list((tmp_path / "drawn").iterdir())
    code, _, err = run(capsys, *words)
    assert (code, err.count("done before")) == (0, 1), err
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.mp4", "b.mp4"]
    assert not (tmp_path / "a.orvpe.parts").exists()


def test_no_drawing_is_left_where_nobody_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "empty.mp4", [picture()] * 12)
    words = [path, "-o", tmp_path / "a.orvpe", "--overlay", tmp_path / "drawn.mp4"]
    for _ in range(2):
        code, _, err = run(capsys, *words)
        assert (code, "no person found in 12 frames" in err) == (2, True), err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.mp4"]


def test_where_nothing_can_be_written_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only folder; tests may run as somebody who can write everywhere, so the system's answer is played."""
    path, made = two_people(tmp_path / "walk.mp4"), Squares.made
    (tmp_path / "fixed").mkdir()
    touch = Path.touch

    def refused(self: Path, *given: object) -> None:
        if self.parent.name == "fixed":
            raise PermissionError(13, "Permission denied", str(self))
        touch(self)

    monkeypatch.setattr(Path, "touch", refused)
    for words in (
        ["-o", tmp_path / "fixed" / "a.orvpe"],
        ["-o", tmp_path / "a.orvpe", "--overlay", tmp_path / "fixed" / "drawn.mp4"],
    ):
        code, _, err = run(capsys, path, *words)
        assert (code, Squares.made) == (2, made)
        assert err.strip() == f"orvpe pose: {words[-1]}: cannot be written (Permission denied)"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / "in").mkdir()
    two_people(tmp_path / "walk.mp4").rename(tmp_path / "in" / name)
    made = Squares.made
    for path in (tmp_path / "in", tmp_path / "in" / name):
        code, _, err = run(capsys, path, "-o", tmp_path / "a.orvpe")
        assert (code, Squares.made) == (2, made)
        assert err.startswith("orvpe pose: '")
        assert err.endswith("caf\\udce9.mp4': not UTF-8; rename the file or folder\n"), err


def test_bad_videos_stop_at_once_or_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = two_people(tmp_path / "good.mp4"), tmp_path / "bad.mp4"
    bad.write_text("no video")
    made = Squares.made
    code, out, err = run(capsys, good, bad, "-o", tmp_path / "a.orvpe")
    assert (code, out, Squares.made) == (2, "", made)
    assert err == f"orvpe pose: {bad}: not a video that can be read (Invalid data found when processing input)\n"
    code, out, _ = run(capsys, good, bad, "-o", tmp_path / "a.orvpe", "--skip-bad")
    assert code == 0
    assert out.strip().endswith("left out: 1 that cannot be read")
    assert Store.open(tmp_path / "a.orvpe").meta["skipped"]["bad"] == 1


def test_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "empty.mp4", [picture()] * 12)
    code, _, err = run(capsys, path, "-o", tmp_path / "a.orvpe")
    assert code == 2
    assert err == f"orvpe pose: {path}: no person found in 12 frames\n"
    short = encode(tmp_path / "short.mp4", [picture((0, 30, 30))] * 5)
    code, _, err = run(capsys, short, "-o", tmp_path / "a.orvpe")
    assert "no person found in 5 frames, 1 seen in fewer than 10 frames" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.mp4", "short.mp4"]
    assert run(capsys, path, two_people(tmp_path / "walk.mp4"), "-o", tmp_path / "a.orvpe")[0] == 0
    assert read_clips(path) == []


def test_a_damaged_tail_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    images = [np.maximum(picture((0, 40, 30)), rng.integers(0, 30, (64, 96, 3), dtype=np.uint8)) for _ in range(40)]
    path = encode(tmp_path / "a.mp4", images, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(0.7 * path.stat().st_size)])
    code, _, err = run(capsys, path, "-o", tmp_path / "a.orvpe")
    assert code == 0
    assert err.count("\n") == 1
    assert "a.mp4: damaged, " in err


def test_overlay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    assert run(capsys, path, "-o", tmp_path / "a.orvpe", "--overlay", tmp_path / "drawn.mp4")[0] == 0
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == 30
    assert frames[0].shape == (64, 96, 3)
    plain = next(iter(open_frames(path))).image
    assert (np.abs(frames[0].astype(int) - plain).max(axis=2) > 60).sum() > 50
    for words, line in (
        (["--overlay", tmp_path / "drawn.mp4"], "exists already"),
        (["--overlay", tmp_path / "drawn.txt"], "expected a name that ends in .mp4"),
        (["--overlay", path, "--overwrite"], "is what would be read"),
        (["--overlay", tmp_path / "no" / "a.mp4"], "does not exist"),
    ):
        code, _, err = run(capsys, path, "-o", tmp_path / "b.orvpe", *words)
        assert code == 2
        assert line in err
        assert err.count("\n") == 1
    second = two_people(tmp_path / "second.mp4")
    assert run(capsys, path, second, "-o", tmp_path / "b.orvpe", "--overlay", tmp_path / "drawn")[0] == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["second.mp4", "walk.mp4"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--estimator", "openpos"], "unknown estimator 'openpos'"),
        (["--layout", "nativ"], "did you mean 'native'?"),
        (["--estimator", "rtmlib", "--joints", "world"], "joints is 'world', but estimator 'rtmlib' finds pixels only"),
        (["--min-confidence", "2"], "min_confidence is 2, expected 0 to 1"),
        (["--max-people", "0"], "max_people is 0, expected at least 1"),
        (["--interpolate", "-1"], "interpolate is -1, expected at least 0"),
        (["--smooth-cutoff", "0"], "smooth_cutoff is 0, expected more than 0"),
        (["--fps", "fast"], "fps"),
        (["--fps", "1000"], "fps is 1000, expected more than 0, at most 240"),
        (["--start", "9"], "nothing is left from start 9 s on"),
        (["--max-seconds", "0.2"], "take a part"),
        (["missing.mp4"], "missing.mp4: no such file or folder"),
        (["walk.mp4"], "walk.mp4: given twice"),
        (["0"], "0: a camera has no end, expected --seconds"),
    ],
)
def test_errors_are_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    two_people(Path("walk.mp4"), 12)
    code, _, err = run(capsys, "walk.mp4", *words, "-o", "a.orvpe")
    assert code == 2
    assert line in err
    assert err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["walk.mp4"]


def test_a_store_is_not_written_over_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = two_people(tmp_path / "walk.mp4")
    before = path.read_bytes()
    assert run(capsys, path, "-o", path, "--overwrite")[0] == 2
    assert path.read_bytes() == before


def test_options_and_command_have_the_same_defaults() -> None:
    from dataclasses import fields
    from inspect import signature

    given = signature(module.pose).parameters
    for option in fields(PoseOptions):
        assert given[option.name].default == option.default


def test_what_the_store_remembers_is_plain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, two_people(tmp_path / "walk.mp4"), "-o", tmp_path / "a.orvpe")
    meta = Store.open(tmp_path / "a.orvpe").meta
    assert json.loads(json.dumps(meta)) == meta
    assert meta["generated"] is False
    assert str(tmp_path) not in json.dumps(meta["videos"])


def test_estimators_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(InputError, match="needs the package rtmlib"):
        estimate.RTMPose()
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(InputError, match=r"install orvpe with its extra: orvpe\[video\]"):
        estimate.MediaPipe()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="needs PyAV"):
        open_frames(".")


def test_rtmlib_with_nobody_in_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for the joints in no box, rtmlib takes the whole picture for one; we must not ask."""
    import sys
    from types import ModuleType

    class Body:
        def __init__(self, **settings: object) -> None:
            self.boxes = np.zeros((0, 4))
            self.det_model = lambda image: self.boxes
            self.pose_model = self.pose

        @staticmethod
        def pose(image: np.ndarray, bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            assert len(bboxes), "the whole picture would be a person"
            assert image[0, 0].tolist() == [3, 2, 1]  # blue first
            middle = (bboxes[:, None, :2] + bboxes[:, None, 2:]) / 2
            return np.repeat(middle, 17, axis=1), np.full((len(bboxes), 17), 1.2)

    fake = ModuleType("rtmlib")
    fake.Body = Body  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtmlib", fake)
    estimator = estimate.RTMPose(None, 2)
    image = np.full((8, 8, 3), [1, 2, 3], dtype=np.uint8)
    assert estimator(image, 0.0).joints.shape == (0, 17, 2)
    body = estimator._detect.__closure__[0].cell_contents  # type: ignore[attr-defined]
    body.boxes = np.array([[0, 0, 2, 2], [0, 0, 8, 8], [0, 0, 4, 4]])
    found = estimator(image, 0.0)
    assert found.joints[:, 0].tolist() == [[4, 4], [2, 2]]  # the largest two
    assert found.confidence.max() == 1
    with pytest.raises(InputError, match="is for estimator 'mediapipe'"):
        estimate.RTMPose("a.task")

"""`orvpe live` with an estimator that sees coloured squares, and a clock that moves only where somebody works."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW
from helpers.videos import SIZE, Squares, encode, picture

from orvpe.actions.live import Watcher, even, live, watch
from orvpe.actions.timeline import WindowOptions
from orvpe.cli.main import main
from orvpe.models.model import Model
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.video import PoseOptions, estimate
from orvpe.video.estimate import Poses
from orvpe.video.frames import Frame, Frames
from orvpe.video.pace import AtRate, Newest
from orvpe.video.people import Seen


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Squares)


class Clock:
    """Seconds that pass only where something is done."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


class Made(Frames):
    """Pictures from memory."""

    def __init__(self, images: list[np.ndarray], fps: float = 10.0) -> None:
        super().__init__("made", "made", fps, SIZE, len(images), threads=1)
        self.images = images

    def _frames(self) -> Iterator[Frame]:
        for index, image in enumerate(self.images):
            yield Frame(image, index)


class Slow(Squares):
    """An estimator that takes its time."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def __call__(self, image: np.ndarray, seconds: float) -> Poses:
        self.clock.now += self.seconds
        return super().__call__(image, seconds)


def model(classes: tuple[str, ...] = ("sit", "walk")) -> Model:
    torch.manual_seed(0)
    return Model(ENCODER, unified, 2, VIEW, classes=list(classes)).eval()


def always(label: int = 1) -> Model:
    """Says the same whatever it sees."""
    made = model()
    assert made.head is not None
    with torch.no_grad():
        made.head.weight.zero_()
        made.head.bias.copy_(torch.tensor([0.0, 0.0]))
        made.head.bias[label] = 3.0
    return made


def walk(n: int) -> list[np.ndarray]:
    return [picture((0, 15 + i % 60, 20)) for i in range(n)]


@pytest.mark.parametrize(
    ("work", "rate", "processed"),
    [
        (0.05, 1.0, 40),  # within the budget of 0.1 s: all
        (0.25, 1.0, None),  # two and a half times too slow
        (0.05, 4.0, None),  # played four times as fast
        (5.0, 0.0, 40),  # no pace: all, however slow
    ],
)
def test_pictures_are_dropped_rather_than_late(work: float, rate: float, processed: int | None) -> None:
    clock = Clock()
    paced = AtRate(Made(walk(40)), rate, clock, clock.sleep)
    given = []
    for frame in paced:
        given.append((frame.index, clock.now - 100))
        clock.now += work
    assert paced.seen + paced.dropped == 40
    assert paced.seen == len(given)
    if processed is not None:
        assert paced.seen == processed
    if rate:
        step = 0.1 / rate
        for index, now in given:
            assert -1e-9 <= now - index * step < step + 1e-9  # never early, never a whole picture late
        # a worker that is always busy: as many pictures as fit into the time
        if processed is None:
            assert paced.seen == pytest.approx(40 * step / work, abs=3)
        assert clock.now - 100 <= 40 * step + work
    assert paced.late <= (0.1 / rate if rate else 0) + 1e-9


def test_a_source_that_is_read_too_slowly_is_played_more_slowly() -> None:
    clock = Clock()

    class Heavy(Made):
        def _frames(self) -> Iterator[Frame]:
            for frame in super()._frames():
                clock.now += 0.3  # three times what there is
                yield frame

    paced = AtRate(Heavy(walk(40)), 1.0, clock, clock.sleep)
    given = [frame.index for frame in paced]
    assert len(given) == paced.seen == 40 - paced.dropped
    assert max(np.diff(given)) <= 5  # something is seen every second or so
    assert paced.slipped == pytest.approx(40 * 0.2, abs=1.2)


def test_live_end_to_end_on_a_fake_clock(tmp_path: Path) -> None:
    clock, lines = Clock(), []
    images = [*walk(30), *[picture()] * 20, *walk(20)]
    paced = AtRate(Made(images), 1.0, clock, clock.sleep)
    look = Slow(clock, 0.15)
    pose = PoseOptions()
    watcher = Watcher(always(), look.layout, 10.0, WindowOptions(window=1.0, stride=0.5), pose)
    report = watch(paced, watcher, pose, look, 0.1, tmp_path / "live.mp4", clock, lines.append)
    assert report.processed + report.dropped == 70
    assert report.processed == pytest.approx(70 / 1.5, abs=3)
    assert report.seconds == pytest.approx(7.0, abs=0.2)
    assert not report.stopped
    said = [(who, label) for _, who, label, _ in report.changes]
    assert said[:2] == [(1, "walk"), (1, "not seen")]
    first, gone = report.changes[0][0], report.changes[1][0]
    assert 0.4 <= first <= 1.1  # half a window, and at most a stride and a dropped picture more
    assert 3.0 <= gone <= 4.2
    assert lines[0].split() == [f"{first:.2f}", "s", "person", "1:", "walk", "0.95"]
    assert "budget 100.0 ms a picture" in str(report)
    assert f"{report.dropped} dropped" in str(report)
    with av.open(str(tmp_path / "live.mp4")) as container:  # dropped pictures do not make it shorter
        times = [f.time for f in container.decode(video=0)]
    assert len(times) == report.processed
    assert times[-1] == pytest.approx(6.9, abs=0.2)
    assert max(np.diff(times)) == pytest.approx(0.2, abs=0.01)
    assert [p.name for p in tmp_path.iterdir()] == ["live.mp4"]


def test_a_camera_gives_its_newest_picture() -> None:
    class Camera(Made):
        def _frames(self) -> Iterator[Frame]:
            for frame in super()._frames():
                time.sleep(0.01)
                yield frame

    paced = Newest(Camera(walk(40)))
    given = []
    for frame in paced:
        given.append(frame.index)
        time.sleep(0.05)
    assert given == sorted(set(given))
    assert given[-1] == 39
    assert len(given) == paced.seen < 25
    assert paced.seen + paced.dropped == 40


def test_a_camera_that_breaks_is_told() -> None:
    class Broken(Made):
        def _frames(self) -> Iterator[Frame]:
            yield Frame(self.images[0], 0)
            raise OSError("unplugged")

    paced = Newest(Broken(walk(2)))
    with pytest.raises(OSError, match="unplugged"):
        list(paced)


def test_what_is_said_is_the_mean_of_the_last_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    ask = lambda m, clips: np.array([next(answers) for _ in clips])  # noqa: E731
    monkeypatch.setattr("orvpe.actions.live.class_probabilities", ask)
    watcher = Watcher(
        model(), LAYOUTS["mediapipe"], 10.0, WindowOptions(window=0.2, stride=0.1, threshold=0.65), PoseOptions()
    )
    look, said = Squares(), []
    for i, image in enumerate(walk(6)):
        poses = look(image, i / 10)
        said += watcher(Seen(Frame(image, i), np.array([1]), poses, poses.confidence > 0.5))
    # 0.9, 0.85, then (0.6, 0.4): unsure, then (0.33, 0.67)
    assert [line.split(": ")[1] for line in said] == ["sit 0.90", "unsure", "walk 0.67"]


def test_even_times_change_nothing_that_is_even_and_interpolate_the_rest() -> None:
    rng = np.random.default_rng(0)
    joints, visible = rng.random((6, 4, 2)), rng.random((6, 4)) > 0.3
    same, seen = even(np.arange(6) / 10, joints, visible)
    assert (seen == visible).all()
    np.testing.assert_allclose(same, np.where(visible[..., None], joints, 0), atol=1e-6)
    # a point that moves evenly is on a line, however uneven the looks were
    times = np.array([0.0, 0.1, 0.4, 0.5, 0.9])
    moving = np.repeat(times[:, None, None] * 10, 2, axis=2)
    got, _ = even(times, moving, np.ones((5, 1), bool))
    np.testing.assert_allclose(got[:, 0, 0], [0, 2.25, 4.5, 6.75, 9], atol=1e-5)
    # beside a hidden one the nearer decides
    got, seen = even(times, moving, np.array([[True], [False], [True], [True], [True]]))
    assert seen[:, 0].tolist() == [True, False, True, True, True]  # 0.225 s is nearer to 0.1 than to 0.4
    got, seen = even(times, moving, np.array([[True], [True], [False], [True], [True]]))
    assert seen.all()
    np.testing.assert_allclose(got[1:3, 0, 0], [1, 5], atol=1e-5)


def typed(tmp_path: Path, n: int = 30) -> tuple[str, str]:
    always().save(tmp_path / "m", trained={"clip_seconds": 0.4})
    return str(encode(tmp_path / "walk.mp4", walk(n))), str(tmp_path / "m")


def test_as_people_type_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, weights = typed(tmp_path)
    code = main(["live", path, "-w", weights, "--rate", "0", "--overlay", str(tmp_path / "o.mp4"), "--device", "cpu"])
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "person 1: walk 0.95" in out
    assert "walk: 30 of 30 pictures in " in out
    assert "budget none, every picture is taken" in err
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_damage_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model().save(tmp_path / "m")
    noise = np.random.default_rng(0)
    path = encode(tmp_path / "a.mkv", [noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(90)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code = main(["live", str(path), "-w", str(tmp_path / "m"), "--rate", "0", "--device", "cpu"])
    out, err = capsys.readouterr()
    assert code == 0
    assert "note: " in err
    assert "damaged" in err
    assert "; budget none, " in out


def test_ctrl_c_completes_what_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts(Squares):
        def __call__(self, image: np.ndarray, seconds: float) -> Poses:
            if round(seconds * 30) == 12:
                signal.raise_signal(signal.SIGINT)
            return super().__call__(image, seconds)

    monkeypatch.setitem(estimate.ESTIMATORS, "mediapipe", Interrupts)
    before = signal.getsignal(signal.SIGINT)
    path, weights = typed(tmp_path)
    report = live(path, weights, rate=0, overlay=str(tmp_path / "o.mp4"), device="cpu", threads=1)
    assert report.stopped
    assert report.processed == 13
    assert str(report).endswith("; stopped")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 13
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--rate", "-1"], "rate is -1, expected at least 0"),
        (["--joints", "world"], "gives 3D joints, the model reads 2D"),
        (["--overlay", "o.txt"], "expected a name that ends in .mp4"),
        (["--overlay", "walk.mp4"], "is what would be read"),
        (["--window", "0"], "window is 0"),
    ],
)
def test_errors_are_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed(tmp_path, 5)
    assert main(["live", "walk.mp4", "-w", "m", *words]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1

"""`orvpe live`: name actions in a camera stream or file in real time.

Pictures for which there is no time are dropped, so that what is said is about now.  Every ``stride`` seconds each
person's last ``window`` seconds go through the model; what is said is the mean of the last few answers.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from orvpe.actions.classify import check_video, label_text
from orvpe.actions.timeline import UNSEEN, Span, WindowOptions, class_probabilities, unnamed, with_classes, without_name
from orvpe.data.formats.source import not_a_source
from orvpe.errors import InputError
from orvpe.models.model import Model, load
from orvpe.poses.axes import turn_up
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import Layout, unified
from orvpe.poses.unify import to_unified
from orvpe.runtime.files import check_writable, whole_file
from orvpe.runtime.groups import Hardware
from orvpe.runtime.signals import heard_by
from orvpe.runtime.typed import flat_arguments
from orvpe.video.decode import camera
from orvpe.video.estimate import Estimator
from orvpe.video.options import PersonFinder, PoseOptions
from orvpe.video.overlay import check_overlay, draw_people, write_timed
from orvpe.video.pace import AtRate, Newest, Paced
from orvpe.video.people import Seen, follow, make_estimator, open_video

_ANSWERS = 3  # of which the mean is said
_HALF = 0.5  # of a window must have passed before anything is said of a person


@dataclass(frozen=True)
class LiveReport:
    """Result of `live`.

    Args:
        source: what was watched.
        processed, dropped: pictures.
        seconds: wall-clock time.
        budget: seconds that there are for a picture.
        stages: seconds by stage: decode, estimate, track, classify, draw.
        late: the longest that a picture waited, in seconds.
        slipped: seconds that a file was played more slowly than asked, because reading it alone takes longer.
        changes: (second, person, label, score) each time that a label changed.
        stopped: by Ctrl-C or SIGTERM.
    """

    source: str
    processed: int
    dropped: int
    seconds: float
    budget: float
    stages: dict[str, float] = field(default_factory=dict)
    late: float = 0.0
    slipped: float = 0.0
    changes: list[tuple[float, int, str, float]] = field(default_factory=list)
    stopped: bool = False

    def __str__(self) -> str:
        total = self.processed + self.dropped
        count = {"decode": total}  # of those that are dropped, too
        each = {name: 1000 * spent / max(count.get(name, self.processed), 1) for name, spent in self.stages.items()}
        needed = sum(each.values())
        stages = ", ".join(f"{name} {spent:.1f}" for name, spent in each.items())
        budget = f"budget {1000 * self.budget:.1f} ms a picture" if self.budget else "budget none"
        return (
            f"{self.source}: {self.processed:,} of {total:,} pictures in {self.seconds:.1f} s, {self.dropped:,} dropped"
            f"; {budget}, needed {needed:.1f} ms a picture ({stages})"
            + (f"; {self.slipped:.1f} s behind, the source cannot be read fast enough" if self.slipped else "")
            + ("; stopped" if self.stopped else "")
        )


@flat_arguments
def live(
    source: str,
    weights: str,
    rate: float = 1.0,
    window: float | None = None,
    stride: float | None = None,
    threshold: float | None = None,
    risk: float | None = None,
    min_visible: float = 0.25,
    overlay: str | None = None,
    joints: str = "image",
    fps: float | None = None,
    seconds: float | None = None,
    max_people: int = 1,
    min_confidence: float | None = None,
    overwrite: bool = False,
    finder: PersonFinder = PersonFinder(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> LiveReport:
    """Name the actions of people in a camera stream or file in real time; late frames are dropped.

    Ctrl-C ends it: the annotated video is completed and the report printed.

    Args:
        source: a camera (0, /dev/video0), a video file or a folder of images.
        weights: folder of a model with a classifier, from `orvpe learn`, `finetune` or `probe`.
        rate: playback speed of a file, 1 for its own; 0 for as fast as possible, without dropping frames.
        window: window length in seconds; that of the model's training clips, or 2, when not given.
        stride: seconds between windows; a quarter of the window when not given.
        threshold: probability below which the label is "unsure" (or "unknown"); 0.5 without it and ``risk``.
        risk: for models of `orvpe learn`: name a class only if at most this share of the named ones is wrong, e.g. 0.1,
            and say "unknown" otherwise.
        min_visible: share of visible joints below which the label is "not seen".
        overlay: also write an annotated video, a .mp4 file.
        joints: 'image' for 2D, 'world' for MediaPipe's 3D.
        fps: frames per second to read; the source's own when not given.
        seconds: stop after that many seconds of the source.
        max_people: largest number of people to look for; fewer is faster.
        min_confidence: joints with a lower confidence are missing; the estimator's own default when not given.
        overwrite: replace an existing overlay.
        finder: how people are found in videos.
        hardware: processor and threads.

    Returns:
        Pictures processed and dropped, where the time went, and the changes of label.

    Raises:
        InputError: nothing there, a model without a classifier or for other joints, a value that does not fit.
    """
    from orvpe.runtime.device import pick_device

    if not 0 <= rate < float("inf"):
        raise InputError(f"rate is {rate:g}, expected at least 0")
    windows = WindowOptions(window, stride, threshold, min_visible, risk)
    target = Path(overlay) if overlay is not None else None
    if target is not None:
        check_overlay(target)
        not_a_source(target, [source])
        if target.exists() and not overwrite:
            raise InputError(f"{overlay}: exists already; give --overwrite to replace it")
        check_writable(target)
    model = load(weights, pick_device(hardware.device, hardware.threads)).for_inference()
    with_classes(model, weights)
    pose = PoseOptions(
        **asdict(finder), max_people=max_people, joints=joints, fps=fps, seconds=seconds,
        layout="unified" if model.layout.joints == unified.joints else "native", min_confidence=min_confidence,
    )  # fmt: skip
    check_video(model, source, joints)
    frames = open_video(source, pose)
    is_camera = camera(source) is not None
    paced: Paced = Newest(frames) if is_camera else AtRate(frames, rate, time.monotonic, time.sleep)
    speed = 1.0 if is_camera else rate
    budget = 1 / (frames.fps * speed) if speed else 0.0
    said = f"{1000 * budget:.1f} ms a picture" if budget else "none, every picture is taken"
    print(f"{source}: {frames.fps:.4g} pictures a second, budget {said}; Ctrl-C ends it", file=sys.stderr)
    look = make_estimator(pose)
    try:
        watcher = Watcher(model, look.layout, frames.fps, windows, pose)
        report = watch(paced, watcher, pose, look, budget, target)
        for text in paced.notes:
            print(f"note: {text}", file=sys.stderr)
        return report
    finally:
        look.close()


def watch(
    paced: Paced,
    watcher: Watcher,
    pose: PoseOptions,
    look: Estimator,
    budget: float = 0.0,
    overlay: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> LiveReport:
    """Follow the people of a source until it ends or a stop is requested.

    Args:
        paced: the pictures.
        watcher: what is known of the people.
        pose: of these the estimator's options count.
        look: the estimator.
        budget: seconds for a picture, for the report.
        overlay: the annotated video to write; it shows a picture until the next one that was not dropped.
        clock: for the report.
        say: gets a line for every change of label.

    Raises:
        InputError: a picture that cannot be used.
    """
    stages: dict[str, float] = {"decode": 0.0, "estimate": 0.0, "track": 0.0, "classify": 0.0}
    begun = clock()
    with stop_on_signal() as stopped:

        def pictures() -> Iterator[tuple[int, np.ndarray]]:
            for seen in follow(paced, pose, look, stages):
                at = time.perf_counter()
                for line in watcher(seen):
                    say(line)
                now = time.perf_counter()
                stages["classify"] += now - at
                image = watcher.drawn(seen) if overlay is not None else seen.frame.image
                yield seen.frame.index, image
                if overlay is not None:
                    stages["draw"] = stages.get("draw", 0.0) + time.perf_counter() - now
                if stopped.is_set():
                    return

        if overlay is None:
            for _ in pictures():
                pass
        else:
            with whole_file(overlay) as temporary:
                write_timed(temporary, pictures(), paced.fps, paced.size)
        stages["decode"] = paced.source.seconds
        return LiveReport(
            paced.name, paced.seen, paced.dropped, clock() - begun, budget, stages, paced.late, paced.slipped,
            watcher.changes,
            stopped.is_set(),
        )  # fmt: skip


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event; asked twice, they interrupt."""
    stopped = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    with heard_by(ask):
        yield stopped


# --- the people ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Known:
    """The last window of a person: when, joints (V, C), visible (V,); the last answers; what was said last."""

    since: float
    times: deque[float] = field(default_factory=deque)
    joints: deque[np.ndarray] = field(default_factory=deque)
    visible: deque[np.ndarray] = field(default_factory=deque)
    answers: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=_ANSWERS))
    said: Span | None = None


class Watcher:
    """Keeps the last seconds of each person and runs the model on them at intervals.

    Args:
        model: with a classifier.
        layout: of the estimator's joints.
        fps: of the source; the time of picture i is i / fps.
        windows: window, stride, threshold and least visible share.
        pose: whether joints are pixels or metres, and how long an unseen person is remembered.

    Attributes:
        changes: (second, person, label, score) each time that a label changed.
    """

    def __init__(self, model: Model, layout: Layout, fps: float, windows: WindowOptions, pose: PoseOptions) -> None:
        self.classes = with_classes(model)
        self.model, self.layout, self.fps, self.pose = model, layout, fps, pose
        self.windows = windows.for_model(model)
        self.people: dict[int, _Known] = {}
        self.changes: list[tuple[float, int, str, float]] = []
        self._next = 0.0
        self._size: tuple[int, int] | None = None

    def __call__(self, seen: Seen) -> list[str]:
        """Process a frame; return a line for every label that changed."""
        assert self.windows.window is not None
        assert self.windows.stride is not None
        now = seen.frame.index / self.fps
        self._size = (seen.frame.image.shape[1], seen.frame.image.shape[0])
        values = seen.poses.world if self.pose.joints == "world" else seen.poses.joints
        rows = {int(who): row for row, who in enumerate(seen.ids)}
        for who in rows:
            self.people.setdefault(who, _Known(now))
        for who, known in list(self.people.items()):
            there = who in rows and values is not None
            v = len(self.layout)
            known.times.append(now)
            known.joints.append(values[rows[who]] if there and values is not None else np.zeros((v, 2), np.float32))
            known.visible.append(seen.visible[rows[who]] if there else np.zeros(v, bool))
            while known.times[0] < now - self.windows.window + 0.5 / self.fps:
                for part in (known.times, known.joints, known.visible):
                    part.popleft()
        if now + 1e-9 < self._next:
            return []
        self._next = now + self.windows.stride
        return self._ask(now)

    def _ask(self, now: float) -> list[str]:
        assert self.windows.window is not None
        assert self.windows.threshold is not None
        asked: dict[int, Clip] = {}
        spans: dict[int, Span | None] = {}
        for who, known in list(self.people.items()):
            clip = self._clip(who, known)
            share = float(clip.visible.mean()) if clip is not None else 0.0
            if clip is None or share < self.windows.min_visible:
                known.answers.clear()
                spans[who] = Span(now, now, UNSEEN, None, 0.0, share)
            elif now - known.since >= _HALF * self.windows.window - 0.5 / self.fps:
                asked[who] = clip
        found = class_probabilities(self.model, list(asked.values()))
        for (who, clip), answer in zip(asked.items(), found, strict=True):
            known = self.people[who]
            known.answers.append(answer)
            mean = np.mean(known.answers, axis=0)
            top = int(mean.argmax())
            label = self.classes[top] if mean[top] >= self.windows.threshold else unnamed(self.model)
            spans[who] = Span(now, now, label, self.classes[top], float(mean[top]), float(clip.visible.mean()))
        lines = []
        for who, span in spans.items():
            known = self.people[who]
            before, known.said = known.said, span
            assert span is not None
            if (before.label if before is not None else UNSEEN) != span.label:
                self.changes.append((round(now, 4), who, span.label, round(span.score, 4)))
                score = f" {span.score:.2f}" if span.best is not None and not without_name(span) else ""
                lines.append(f"{now:8.2f} s  person {who}: {span.label}{score}")
            if not any(v.any() for v in known.visible):  # gone; who comes back is somebody new
                del self.people[who]
        return lines

    def _clip(self, who: int, known: _Known) -> Clip | None:
        """The person's last window at even times; None where nothing of them is visible."""
        joints, visible = np.stack(_alike(known.joints)), np.stack(known.visible)
        if not visible.any():
            return None
        joints, visible = even(np.array(known.times), joints, visible)
        if not visible.any():
            return None
        size = self._size if joints.shape[-1] == 2 else None
        clip = Clip(joints[None], visible[None], self.layout, self.fps, size, name=f"person {who}")
        if self.pose.joints == "world":
            clip = turn_up(clip, "-y")
        if self.pose.layout == "unified":
            try:
                clip = to_unified(clip)
            except InputError:  # all that was seen of this person are fingers or toes
                return None
        return clip

    def drawn(self, seen: Seen) -> np.ndarray:
        """The frame with skeletons and labels, (H, W, 3) uint8."""
        if not len(seen.ids):
            return seen.frame.image
        ids = [int(i) for i in seen.ids]
        spans = {i: self.people[i].said if i in self.people else None for i in ids}
        texts = [label_text(i, spans[i]) for i in ids]
        return draw_people(seen.frame.image, self.layout, ids, seen.poses.joints, seen.visible, texts)


def _alike(rows: deque[np.ndarray]) -> list[np.ndarray]:
    """Rows (V, C) of one width: those of an unseen person are filled with zeros."""
    width = max(row.shape[1] for row in rows)
    return [row if row.shape[1] == width else np.zeros((len(row), width), np.float32) for row in rows]


def even(times: np.ndarray, joints: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resample to even times: linear between neighbours that both show a joint, else the nearer one.

    Args:
        times: (T,) seconds, growing.
        joints: (T, V, C).
        visible: (T, V) bool.

    Returns:
        joints (T, V, C) float32, 0 where hidden, and visible (T, V).
    """
    t = len(times)
    if t < 3:
        return np.where(visible[..., None], joints, 0).astype(np.float32), visible
    wanted = np.linspace(times[0], times[-1], t)
    high = np.clip(np.searchsorted(times, wanted), 1, t - 1)
    low = high - 1
    share = ((wanted - times[low]) / (times[high] - times[low]))[:, None]  # (T, 1)
    both = visible[low] & visible[high]
    near = share >= 0.5
    seen = np.where(near, visible[high], visible[low])
    share = np.where(both, share, near)[..., None]
    mixed = (1 - share) * joints[low] + share * joints[high]
    return np.where(seen[..., None], mixed, 0).astype(np.float32), seen

"""Actions over time: sliding windows over a clip, class probabilities for each, and spans of one label.

A clip is cut into windows of equal length.  Each goes through the model's fixed view and its classifier.  Time is
divided into slots as long as the stride; a slot's probabilities are the mean over the windows that overlap it, each
weighed by the frames they share.  Neighbouring slots of one label become a span.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from orvpe.errors import InputError
from orvpe.models.embed import embed_clips
from orvpe.models.model import Model
from orvpe.models.open_set import check_risk
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified
from orvpe.poses.unify import to_unified

UNSURE, UNSEEN, UNKNOWN = "unsure", "not seen", "unknown"
THRESHOLD = 0.5  # of the probability
WINDOW = 2.0  # seconds, for models that do not say how long the clips were that they learned from
_MANY = 256  # windows in memory at a time


@dataclass(frozen=True)
class WindowOptions:
    """Windows and thresholds of a timeline.

    Args:
        window: seconds of a window; what the model's card says of its training clips, or 2, when None.
        stride: seconds from one window to the next, and of a slot; a quarter of the window when None.
        threshold: below that probability no class is named; when None that of ``risk``, or 0.5.
        risk: share of the answers that may be wrong, by the model's risk curve.
        min_visible: where a smaller share of the joints is visible: "not seen".

    Raises:
        InputError: a value that cannot be.
    """

    window: float | None = None
    stride: float | None = None
    threshold: float | None = None
    min_visible: float = 0.25
    risk: float | None = None

    def __post_init__(self) -> None:
        for name in ("window", "stride"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name} is {value:g}, expected more than 0 seconds")
        if self.window is not None and self.stride is not None and self.stride > self.window:
            raise InputError(f"stride is {self.stride:g} s, expected at most the window of {self.window:g} s")
        for name in ("threshold", "min_visible"):
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise InputError(f"{name} is {value:g}, expected 0 to 1")
        if self.risk is not None:
            check_risk(self.risk)
            if self.threshold is not None:
                raise InputError(f"threshold is {self.threshold:g} and risk {self.risk:g}, expected one of them")

    def for_model(self, model: Model) -> WindowOptions:
        """A copy with window, stride and threshold filled in for a model.

        Raises:
            InputError: a risk, of a model without a risk curve.
        """
        length = self.window
        if length is None:
            known = model.card.get("trained")
            said = known.get("clip_seconds") if isinstance(known, dict) else None
            length = float(said) if isinstance(said, (int, float)) and said > 0 else WINDOW
        stride = min(self.stride, length) if self.stride is not None else length / 4
        return WindowOptions(length, stride, self._least(model), self.min_visible)

    def _least(self, model: Model) -> float:
        if self.threshold is not None:
            return self.threshold
        if self.risk is None:
            return THRESHOLD
        if model.open_set is None:
            raise InputError(
                f"risk is {self.risk:g}, but this model has no risk curve; models of orvpe learn have one, others take "
                "--threshold"
            )
        return model.open_set.threshold(self.risk)

    def frames(self, fps: float) -> tuple[int, int]:
        """Window and stride in frames; both must be set."""
        assert self.window is not None
        assert self.stride is not None
        return max(1, round(self.window * fps)), max(1, round(self.stride * fps))


@dataclass(frozen=True)
class Span:
    """A stretch of time with one label.

    Args:
        start, end: seconds.
        label: a class, "unsure" (or "unknown", of a model that has learned what belongs to no class) or "not seen".
        best: the likeliest class; None where not seen.
        score: its mean probability; 0 where not seen.
        visible: mean share of visible joints.
    """

    start: float
    end: float
    label: str
    best: str | None
    score: float
    visible: float


def without_name(span: Span) -> bool:
    """Whether somebody is seen, and no class is named."""
    return span.best is not None and span.label in (UNSURE, UNKNOWN)


@dataclass(frozen=True, eq=False)
class Timeline:
    """The actions of one person, or of all people of a clip together.

    Args:
        name: of the clip.
        edges: (S + 1,) seconds at which the S slots begin and end.
        probabilities: (S, K) mean over the windows; NaN where no usable window lies.
        visible: (S,) share of visible joints.
        spans: in order, without gaps.
    """

    name: str
    edges: np.ndarray
    probabilities: np.ndarray
    visible: np.ndarray
    spans: list[Span]

    def at(self, second: float) -> Span | None:
        """The span at a moment; None before the first and after the last."""
        ends = [span.end for span in self.spans]
        i = int(np.searchsorted(ends, second, side="right"))
        return self.spans[i] if i < len(self.spans) and second >= self.spans[i].start else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON; probabilities of what was not seen are null."""
        rows = [None if np.isnan(row).any() else [round(float(p), 4) for p in row] for row in self.probabilities]
        return {
            "person": self.name,
            "spans": [
                {"start": round(s.start, 4), "end": round(s.end, 4), "label": s.label, "best": s.best,
                 "score": round(s.score, 4), "visible": round(s.visible, 4)} for s in self.spans
            ],
            "slots": {
                "edges": [round(float(e), 4) for e in self.edges],
                "probabilities": rows,
                "visible": [round(float(v), 4) for v in self.visible],
            },
        }  # fmt: skip


def class_probabilities(model: Model, clips: list[Clip]) -> np.ndarray:
    """Class probabilities (len(clips), K) of whole clips, each in the model's fixed view.

    Raises:
        InputError: the model has no classifier; clips that it does not read.
    """
    classes = with_classes(model)
    if not clips:
        return np.zeros((0, len(classes)), np.float32)
    assert model.head is not None
    features = torch.from_numpy(embed_clips(model, clips)).to(model.head.weight.device)
    with torch.no_grad():
        scores = model.head(features)
        found = scores.softmax(dim=1) if model.open_set is None else model.open_set.probabilities(features, scores)
        return found.float().cpu().numpy()


def unnamed(model: Model) -> str:
    """What is said where no class is: "unknown" by a model that has learned what belongs to none, else "unsure"."""
    return UNSURE if model.open_set is None else UNKNOWN


def with_classes(model: Model, name: str = "") -> list[str]:
    """The model's classes.

    Raises:
        InputError: it has none.
    """
    if model.classes is None or model.head is None:
        which = f"model {name}" if name else "this model"
        raise InputError(f"{which} has no classifier; make one with orvpe learn, finetune or probe")
    return model.classes


def timeline(model: Model, clip: Clip, options: WindowOptions, begin: float = 0.0) -> Timeline:
    """The timeline of a clip, for all its people together.

    Args:
        model: with a classifier.
        clip: of any length, with its frame rate.
        options: windows, and when nothing is said.
        begin: seconds at which the clip begins in its recording.

    Raises:
        InputError: a model without a classifier or for other clips; a clip without a frame rate.
    """
    classes = with_classes(model)
    if clip.fps is None:
        raise InputError(f"clip {clip.name!r} has no frame rate, which windows need; give --fps")
    options = options.for_model(model)
    length, step = options.frames(clip.fps)
    if model.layout.joints == unified.joints and clip.layout.joints != unified.joints:
        clip = to_unified(clip)
    starts, length = window_starts(clip.frames, length, step)
    usable = visible_share(clip.visible, starts, starts + length) >= options.min_visible
    usable &= np.array([clip.visible[:, s : s + length].any() for s in starts])  # with min_visible 0
    chosen = starts[usable]
    found = [class_probabilities(model, list(_cut(clip, chosen[i : i + _MANY], length))) for i in _every(chosen)]
    probabilities = np.concatenate(found) if found else np.zeros((0, len(classes)), np.float32)
    edges = np.append(np.arange(0, clip.frames, step), clip.frames)
    mean = smooth(chosen, length, probabilities, edges)
    visible = visible_share(clip.visible, edges[:-1], edges[1:])
    seconds = begin + edges / clip.fps
    assert options.threshold is not None
    least = options.threshold, options.min_visible
    spans = find_spans(seconds, mean, visible, classes, *least, unnamed(model))
    return Timeline(clip.name, seconds, mean, visible, spans)


def windows_of(clip: Clip, options: WindowOptions) -> list[Clip]:
    """The windows of a clip with a known frame rate; ``options`` must be complete."""
    assert clip.fps is not None
    starts, length = window_starts(clip.frames, *options.frames(clip.fps))
    return list(_cut(clip, starts, length))


def _every(chosen: np.ndarray) -> range:
    return range(0, len(chosen), _MANY)


def _cut(clip: Clip, starts: np.ndarray, length: int) -> Iterator[Clip]:
    for s in starts.tolist():
        cut = slice(s, s + length)
        yield clip.with_(joints=clip.joints[:, cut], visible=clip.visible[:, cut])


def window_starts(frames: int, length: int, step: int) -> tuple[np.ndarray, int]:
    """First frames of the windows (W,), and their length, which is the clip's where that is shorter.

    The last window ends with the clip.
    """
    length = min(length, frames)
    last = frames - length
    return np.append(np.arange(0, last, step), last), length


def visible_share(visible: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Share of visible joints in ranges of frames, for the person with the largest share.

    Args:
        visible: (M, T, V) bool.
        starts, ends: (W,) frames, the last one excluded.

    Returns:
        (W,) 0 to 1.
    """
    seen = np.pad(visible.mean(axis=2).cumsum(axis=1), ((0, 0), (1, 0)))  # (M, T + 1)
    return ((seen[:, ends] - seen[:, starts]) / (ends - starts)).max(axis=0)


def smooth(starts: np.ndarray, length: int, probabilities: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean over the windows that overlap each slot, weighed by the frames that both share.

    Args:
        starts: (W,) first frames of the windows.
        length: frames of each.
        probabilities: (W, K).
        edges: (S + 1,) frames at which the slots begin and end, at equal distances but for the last.

    Returns:
        (S, K) float32; NaN where no window lies.
    """
    slots, step = len(edges) - 1, max(1, int(edges[1] - edges[0]))
    total, weight = np.zeros((slots, probabilities.shape[1])), np.zeros(slots)
    for j in range(length // step + 2):  # a window lies in at most so many slots
        slot = starts // step + j
        inside = slot < slots
        slot, first = slot[inside], starts[inside]
        shared = np.minimum(edges[slot + 1], first + length) - np.maximum(edges[slot], first)
        shared = np.maximum(shared, 0)
        np.add.at(total, slot, shared[:, None] * probabilities[inside])
        np.add.at(weight, slot, shared)
    with np.errstate(invalid="ignore"):
        return (total / weight[:, None]).astype(np.float32)


def find_spans(
    edges: np.ndarray,
    probabilities: np.ndarray,
    visible: np.ndarray,
    classes: list[str],
    threshold: float,
    min_visible: float,
    unsure: str = UNSURE,
) -> list[Span]:
    """Merge neighbouring slots with the same label.

    Args:
        edges: (S + 1,) seconds.
        probabilities: (S, K), NaN where not known.
        visible: (S,) shares.
        classes: K labels.
        threshold: of the probability.
        min_visible: of the visible share.
        unsure: what is said below the threshold.
    """
    known = ~np.isnan(probabilities).any(axis=1) & (visible >= min_visible) & (visible > 0)
    best = np.where(known, np.nan_to_num(probabilities).argmax(axis=1), -1)
    sure = known & (np.nan_to_num(probabilities).max(axis=1) >= threshold)
    state = np.where(sure, best, np.where(known, -1, -2))  # a class, unsure, not seen
    changes = np.flatnonzero(np.diff(state)) + 1
    spans = []
    for first, last in zip(np.append(0, changes), np.append(changes, len(state)), strict=True):
        length = np.diff(edges[first : last + 1])
        share = float(np.average(visible[first:last], weights=length))
        start, end = float(edges[first]), float(edges[last])
        if state[first] == -2:
            spans.append(Span(start, end, UNSEEN, None, 0.0, share))
            continue
        mean = np.average(probabilities[first:last], axis=0, weights=length)
        top = int(mean.argmax()) if state[first] == -1 else int(state[first])
        label = unsure if state[first] == -1 else classes[top]
        spans.append(Span(start, end, label, classes[top], float(mean[top]), share))
    return spans


def one_by_one(clip: Clip) -> list[Clip]:
    """One clip for each visible person; with several people the names end in -p1, -p2 ..."""
    if clip.people == 1:
        return [clip]
    return [
        clip.with_(joints=clip.joints[m : m + 1], visible=clip.visible[m : m + 1], name=f"{clip.name}-p{m + 1}")
        for m in range(clip.people)
        if clip.visible[m].any()
    ]

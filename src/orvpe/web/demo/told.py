"""What a model says of the people of a video, whole and with each part of the body hidden."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orvpe.actions.timeline import UNSEEN, UNSURE, Span, Timeline, WindowOptions, timeline, windows_of
from orvpe.data.protocols import titles_for
from orvpe.models.embed import embed_clips, fit_clip
from orvpe.models.model import Model
from orvpe.poses.clip import Clip
from orvpe.runtime.draws import Draws, seeded
from orvpe.views.batch import collate
from orvpe.views.occlusion import SUBGRAPHS, corruption

WHOLE = "none"
VERSIONS = (WHOLE, *SUBGRAPHS)
_LEAST_VISIBLE = 0.1  # of the joints; half of them are hidden on purpose


@dataclass(frozen=True, eq=False)
class Told:
    """One person.

    Args:
        name: of the clip, ``VIDEO-p1``.
        first: number of the person's first frame, of those that were looked at.
        clips: version -> the clip, with that part hidden.
        lines: version -> what is said of it.
        features: version -> (W, D) float32 of the windows.
    """

    name: str
    first: int
    clips: dict[str, Clip]
    lines: dict[str, Timeline]
    features: dict[str, np.ndarray]

    def spans(self) -> list[Span]:
        """What the whole body is said to do, without what was not seen."""
        return [span for span in self.lines[WHOLE].spans if span.label != UNSEEN]

    def same(self, span: Span, version: str) -> float | None:
        """Share of the slots of a span in which the likeliest class is still the span's; None where none was seen."""
        whole, hidden = self.lines[WHOLE], self.lines[version]
        middle = (whole.edges[:-1] + whole.edges[1:]) / 2
        there = (middle >= span.start) & (middle < span.end) & ~np.isnan(hidden.probabilities).any(axis=1)
        if not there.any():
            return None
        best = whole.probabilities[there].argmax(axis=1)
        return float((hidden.probabilities[there].argmax(axis=1) == best).mean())


def hide_part(clip: Clip, version: str) -> Clip:
    """The clip with that part of the body hidden; itself for the whole."""
    if version == WHOLE:
        return clip
    hidden = corruption(version)(collate([clip]), Draws(seeded("cpu", 0), 1))
    return clip.with_(visible=hidden.visible[0].numpy())


def titles_of(model: Model) -> dict[str, str]:
    """Class -> what to call it: what the card's "titles" say, or the data set whose codes they are, or itself."""
    classes = model.classes or []
    known = model.card.get("titles")
    if not isinstance(known, dict):
        known = titles_for(classes)
    return {c: str(known.get(c, c)).replace("_", " ") for c in classes}


def tell(model: Model, clip: Clip, first: int, options: WindowOptions, start: float = 0.0) -> Told:
    """Everything about one person.

    Args:
        model: with a classifier, for inference.
        clip: of the person, with its frame rate.
        first: number of its first frame, of those that were looked at.
        options: windows, and when nothing is said.
        start: seconds of the video before the frames that were looked at.
    """
    options = replace(options.for_model(model), min_visible=min(options.min_visible, _LEAST_VISIBLE))
    clip = fit_clip(model, clip)
    assert clip.fps is not None
    clips = {version: hide_part(clip, version) for version in VERSIONS}
    lines = {v: timeline(model, one, options, start + first / clip.fps) for v, one in clips.items()}
    usable = np.all([[w.visible.any() for w in windows_of(one, options)] for one in clips.values()], axis=0)
    features = {}
    for version, one in clips.items():
        chosen = [w for w, use in zip(windows_of(one, options), usable, strict=True) if use]
        features[version] = embed_clips(model, chosen) if chosen else np.zeros((0, 1), np.float32)
    return Told(clip.name, first, clips, lines, features)


def similarities(people: list[Told]) -> tuple[dict[str, float], float | None]:
    """Cosine of the whole and the hidden version of the same moment, for each part; and of different people.

    The mean of all whole windows is taken off first: what they share tells none apart.

    Args:
        people: with at least one window among them.

    Returns:
        Part -> mean cosine; mean cosine between whole windows of different people, None where there is only one.
    """
    centre = np.concatenate([p.features[WHOLE] for p in people if len(p.features[WHOLE])]).mean(axis=0)
    unit = {
        v: [_unit(p.features[v] - centre) for p in people if len(p.features[v])] for v in VERSIONS
    }  # version -> for each person (W, D)
    whole = unit[WHOLE]
    same = {v: float(np.concatenate([(a * b).sum(1) for a, b in zip(whole, unit[v], strict=True)]).mean())
            for v in SUBGRAPHS}  # fmt: skip
    pairs = [(a @ b.T).ravel() for i, a in enumerate(whole) for b in whole[i + 1 :]]
    return same, float(np.concatenate(pairs).mean()) if pairs else None


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def steadiness(people: list[Told]) -> dict[str, float]:
    """Part -> share of the time, of what the model was sure of, in which hiding it leaves the label as it was."""
    kept: dict[str, tuple[float, float]] = {}
    for person in people:
        for span in person.spans():
            if span.label == UNSURE:
                continue
            for part in SUBGRAPHS:
                if (share := person.same(span, part)) is not None:
                    length = span.end - span.start
                    good, total = kept.get(part, (0.0, 0.0))
                    kept[part] = (good + share * length, total + length)
    return {part: good / total for part, (good, total) in kept.items()}

"""The model's answers for each person in a video, with the whole body and with each part of it hidden."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from orvpe.actions.timeline import (
    UNKNOWN,
    UNSEEN,
    UNSURE,
    Span,
    Timeline,
    WindowOptions,
    timeline,
    windows_of,
    without_name,
)
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


_FATES = ("same", "unsure", "other", "unseen")


@dataclass(frozen=True)
class Kept:
    """What becomes of a label when a part of the body is hidden, in seconds.

    Args:
        same: the label that is shown is the same.
        unsure: "unsure" is shown instead.
        other: another action is shown.
        unseen: "not seen" is shown.
        likeliest: the likeliest class is the same, whether or not its probability reaches the threshold.
    """

    same: float = 0.0
    unsure: float = 0.0
    other: float = 0.0
    unseen: float = 0.0
    likeliest: float = 0.0

    @property
    def total(self) -> float:
        """All seconds."""
        return self.same + self.unsure + self.other + self.unseen

    def __add__(self, more: Kept) -> Kept:
        return Kept(*(getattr(self, f.name) + getattr(more, f.name) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Told:
    """The answers for one person.  A "version" of a clip is the part that is hidden, or "none".

    Args:
        name: of the clip, ``VIDEO-p1``.
        first: number of the person's first frame, among the frames that were analysed.
        clips: version -> the clip, with that part hidden.
        lines: version -> its timeline.
        features: version -> (W, D) float32 of the windows.
    """

    name: str
    first: int
    clips: dict[str, Clip]
    lines: dict[str, Timeline]
    features: dict[str, np.ndarray]

    def spans(self) -> list[Span]:
        """The spans of the whole body, without those in which nobody was seen."""
        return [span for span in self.lines[WHOLE].spans if span.label != UNSEEN]

    def kept(self, span: Span, version: str) -> Kept:
        """What becomes of a span's label when that part is hidden.

        Args:
            span: of the whole body, with a label.
            version: the part that is hidden.
        """
        whole, hidden = self.lines[WHOLE], self.lines[version]
        seconds = dict.fromkeys((*_FATES, "likeliest"), 0.0)
        for slot, (start, end) in enumerate(zip(whole.edges[:-1], whole.edges[1:], strict=True)):
            middle = (start + end) / 2
            if not span.start <= middle < span.end:
                continue
            shown = hidden.at(float(middle))
            label = UNSEEN if shown is None else shown.label
            fate = {span.label: "same", UNSURE: "unsure", UNKNOWN: "unsure", UNSEEN: "unseen"}.get(label, "other")
            seconds[fate] += float(end - start)
            row = hidden.probabilities[slot]
            likeliest = not np.isnan(row).any() and row.argmax() == whole.probabilities[slot].argmax()
            seconds["likeliest"] += float(end - start) * float(likeliest)
        return Kept(**seconds)


def hide_part(clip: Clip, version: str) -> Clip:
    """The clip with that part of the body hidden; unchanged for "none"."""
    if version == WHOLE:
        return clip
    hidden = corruption(version)(collate([clip]), Draws(seeded("cpu", 0), 1))
    return clip.with_(visible=hidden.visible[0].numpy())


def titles_of(model: Model) -> dict[str, str]:
    """Class -> its display name: from the card's "titles", else from the data set that uses such codes, else itself."""
    classes = model.classes or []
    known = model.card.get("titles")
    if not isinstance(known, dict):
        known = titles_for(classes)
    return {c: str(known.get(c, c)).replace("_", " ") for c in classes}


def tell(model: Model, clip: Clip, first: int, options: WindowOptions, start: float = 0.0) -> Told:
    """Run the model on one person, whole and with each part hidden.

    Args:
        model: with a classifier, for inference.
        clip: of the person, with its frame rate.
        first: number of its first frame, among the frames that were analysed.
        options: windows and thresholds.
        start: seconds of the video that were skipped.
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
    """Mean cosine between the whole and the occluded feature of the same window, for each part; and between people.

    The mean feature of all whole windows is subtracted first.

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


def steadiness(people: list[Told]) -> Kept:
    """What becomes of the labels of all people with each of the five parts hidden, in seconds.

    Only the time counts in which a label is shown for the whole body, so "unsure" and "unknown" are left out.
    """
    total = Kept()
    for person in people:
        for span in person.spans():
            if not without_name(span):
                for part in SUBGRAPHS:
                    total += person.kept(span, part)
    return total

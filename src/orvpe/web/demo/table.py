"""The demo's answers as a text table."""

from __future__ import annotations

from collections.abc import Mapping

from orvpe.actions.timeline import without_name
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.web.demo.told import VERSIONS, Kept, Told, similarities, steadiness

_FEWEST = 4  # windows for similarities: after subtracting their mean, one is zero and two are always opposites
_LOW = 0.5  # a similarity below this is called low


def table(people: list[Told], titles: Mapping[str, str], threshold: float) -> str:
    """Everybody's actions, and how often the label stays the same when a part of the body is hidden.

    Args:
        people: at least one, with at least one span.
        titles: class -> its display name.
        threshold: probability below which "unsure" is shown.
    """
    wide = max(len(person.name) for person in people)
    said = [(person, span) for person in people for span in person.spans()]
    best = [titles.get(str(span.best), str(span.best)) for _, span in said]
    labels = [
        f"{span.label} ({name}?)" if without_name(span) else name for (_, span), name in zip(said, best, strict=True)
    ]
    text = max(len("action"), *map(len, labels))
    lines = [
        f"{'':<{wide + text + 27}}same label with this hidden, % of time",
        f"{'person':<{wide}}  {'from':>6}  {'to':>6}  {'action':<{text}}  score"
        + "".join(f"{part:>8}" for part in SUBGRAPHS),
    ]
    for (person, span), label in zip(said, labels, strict=True):
        cells = ["-" if without_name(span) else _percent(person.kept(span, part)) for part in SUBGRAPHS]
        row = "".join(f"{cell:>8}" for cell in cells)
        times = f"{span.start:>5.1f}s  {span.end:>5.1f}s"
        lines.append(f"{person.name:<{wide}}  {times}  {label:<{text}}  {span.score:>5.2f}{row}")
    if (kept := steadiness(people)).total:
        same, unsure, other, unseen, likeliest = (
            f"{100 * value / kept.total:.0f} %"
            for value in (kept.same, kept.unsure, kept.other, kept.unseen, kept.likeliest)
        )
        rest = [f'it becomes "unsure" {unsure}', f"another action {other}"]
        rest += [f'"not seen" {unseen}'] if kept.unseen else []
        lines.append(f"\nWith half of the body hidden, the label shown stays the same {same} of the time;")
        lines.append(f"{', '.join(rest)}.")
        lines.append(f"Without the threshold of {threshold:g}, the likeliest action stays the same {likeliest}.")
    if sum(len(person.features[VERSIONS[0]]) for person in people) >= _FEWEST:
        alike, others = similarities(people)
        hidden = ", ".join(f"{part} {value:.2f}{' (low)' * (value < _LOW)}" for part, value in alike.items())
        lines.append(f"\nCosine of a moment's two vectors, whole body and with a part hidden:\n{hidden}.")
        if others is not None:
            lines.append(f"Cosine between different people: {others:.2f}.")
    return "\n".join(lines)


def _percent(kept: Kept) -> str:
    return f"{100 * kept.same / kept.total:.0f}" if kept.total else "-"

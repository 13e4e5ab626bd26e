"""What the demo says, as text."""

from __future__ import annotations

from collections.abc import Mapping

from orvpe.actions.timeline import UNSURE
from orvpe.views.occlusion import SUBGRAPHS
from orvpe.web.demo.told import VERSIONS, Told, similarities, steadiness

_FEWEST = 4  # windows for similarities: without their mean one is nothing, and two are opposites whatever they show


def table(people: list[Told], titles: Mapping[str, str]) -> str:
    """What everybody does, and how often hiding a part leaves that as it is, as text.

    Args:
        people: at least one, of whom something is said.
        titles: class -> what to call it.
    """
    wide = max(len(person.name) for person in people)
    said = [(person, span) for person in people for span in person.spans()]
    best = [titles.get(str(span.best), str(span.best)) for _, span in said]
    labels = [f"unsure ({name}?)" if span.label == UNSURE else name for (_, span), name in zip(said, best, strict=True)]
    text = max(len("action"), *map(len, labels))
    lines = [
        f"{'':<{wide + text + 27}}the same with this hidden, % of the time",
        f"{'person':<{wide}}  {'from':>6}  {'to':>6}  {'action':<{text}}  score"
        + "".join(f"{part:>8}" for part in SUBGRAPHS),
    ]
    for (person, span), label in zip(said, labels, strict=True):
        cells = [person.same(span, part) for part in SUBGRAPHS]
        row = "".join(f"{'-' if c is None or span.label == UNSURE else f'{100 * c:.0f}':>8}" for c in cells)
        times = f"{span.start:>5.1f}s  {span.end:>5.1f}s"
        lines.append(f"{person.name:<{wide}}  {times}  {label:<{text}}  {span.score:>5.2f}{row}")
    kept = steadiness(people)
    if kept:
        mean = 100 * sum(kept.values()) / len(kept)
        lines.append(f"\nHalf the body hidden, the likeliest action stays {mean:.0f} % of the time, of what was sure.")
    if sum(len(person.features[VERSIONS[0]]) for person in people) >= _FEWEST:
        same, others = similarities(people)
        hidden = ", ".join(f"{part} {value:.2f}" for part, value in same.items())
        lines.append(f"Similarity of a moment to itself with a part hidden: {hidden}")
        if others is not None:
            lines.append(f"Similarity of one person to another: {others:.2f}")
    return "\n".join(lines)

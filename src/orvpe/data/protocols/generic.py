"""Protocols for custom data: by its split column, by subjects, by cameras, or at random.

As text: ``split``; ``subject:3,5,9`` and ``camera:v03``, the named ones test and all others train;
``random:0.2``, that share of the clips tests, with ``,seed=7`` and ``,by=subject`` after it where wanted;
``fold:2/5``, the second of five parts tests, likewise; and ``all``, every clip trains and none tests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from orvpe.data.protocols.base import Info, Protocol, numbers, parts
from orvpe.errors import InputError, unknown

_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def by_column() -> Protocol:
    """What the clips themselves say; a clip that says nothing, or something else, is not used."""

    def split(info: Info) -> np.ndarray:
        words, back = np.unique(info["split"], return_inverse=True)
        return np.array([_WORDS.get(str(w).strip().lower(), "") for w in words])[back]

    return Protocol("split", "the split the clips themselves name", split)


def by_values(column: str, wanted: Sequence[str]) -> Protocol:
    """The subjects or cameras named test, all others train.

    A value is meant by its text, or by its number: '3' means 's03' and 'P003' too.

    Args:
        column: "subject" or "camera".
        wanted: the values that test.

    Raises:
        InputError: nothing named; when it splits, a value that no clip has.
    """
    name = f"{column}:{','.join(wanted)}"
    if not wanted:
        raise InputError(f"protocol {name!r}: no {column} named, expected e.g. {column}:3,5")

    def split(info: Info) -> np.ndarray:
        values = info[column]
        number = numbers(values)
        test = np.zeros(len(values), dtype=bool)
        for value in wanted:
            hit = values == value
            if value.isdecimal():
                hit = hit | (number == int(value))
            if not hit.any():
                known = [str(v) for v in np.unique(values) if v]
                if not known:
                    raise InputError(f"protocol {name!r}: no clip names its {column}")
                raise InputError(unknown(column, value, known, f"protocol {name!r}"))
            test |= hit
        return parts(~test & (values != ""), test)

    return Protocol(name, f"{column} {', '.join(wanted)} test, all others train", split)


def at_random(share: float, seed: int = 0, by: str = "label") -> Protocol:
    """A share of the clips, drawn from the seed, tests.

    The draw depends on the clips' names, not on their order.

    Args:
        share: of the clips (or of the subjects) that test, in (0, 1).
        seed: of the draw.
        by: "label", the same share of every class, at least one clip of each to train; "subject", whole
            subjects; "clip", of all clips alike.

    Raises:
        InputError: share or ``by`` out of range; when it splits, fewer than two subjects.
    """
    name = f"random:{share:g},seed={seed},by={by}"
    if not 0 < share < 1:
        raise InputError(f"protocol {name!r}: share is {share:g}, expected above 0 and below 1")
    if by not in ("label", "subject", "clip"):
        raise InputError(unknown("grouping", by, ("label", "subject", "clip"), f"protocol {name!r}"))

    def split(info: Info) -> np.ndarray:
        order = np.argsort(info["name"], kind="stable")
        draw = np.random.default_rng(seed)
        test = np.zeros(len(order), dtype=bool)
        if by == "subject":
            subjects = [s for s in np.unique(info["subject"]) if s]
            if len(subjects) < 2:
                raise InputError(f"protocol {name!r}: {len(subjects)} subjects known, expected at least 2")
            count = min(max(1, round(share * len(subjects))), len(subjects) - 1)
            test = np.isin(info["subject"], draw.permutation(subjects)[:count])
            return parts(~test & (info["subject"] != ""), test)
        label = info["label"] if by == "label" else np.zeros(len(order), dtype="U1")
        for group in np.unique(label):
            own = order[label[order] == group]
            count = min(max(1, round(share * len(own))), len(own) - 1)
            test[draw.permutation(own)[:count]] = True
        return parts(~test, test)

    return Protocol(name, f"{share:.0%} of the {by}s, drawn at random, test", split)


def recordings(names: np.ndarray) -> np.ndarray:
    """(N,) names of clips -> of the recordings that they were cut from: without -p2 of people, @30 of windows."""
    return np.array([re.sub(r"(-p\d+|@\d+)+$", "", str(name)) for name in names])


def one_fold(number: int, folds: int, seed: int = 0, by: str = "recording") -> Protocol:
    """One part of a cross-validation tests, the others train; the labels are spread over the parts evenly.

    What was cut from one recording stays together.  A label of which there is one recording (or subject) always trains.

    Args:
        number: which part, from 1.
        folds: how many there are.
        seed: of the draw; it depends on the clips' names, not on their order.
        by: "recording" or "subject": what is not torn apart.

    Raises:
        InputError: numbers out of range; when it splits, no subjects known.
    """
    name = f"fold:{number}/{folds},seed={seed},by={by}"
    if folds < 2 or not 1 <= number <= folds:
        raise InputError(f"protocol {name!r}: expected a part from 1 on, of at least 2, e.g. fold:2/5")
    if by not in ("recording", "subject"):
        raise InputError(unknown("grouping", by, ("recording", "subject"), f"protocol {name!r}"))

    def split(info: Info) -> np.ndarray:
        group = recordings(info["name"]) if by == "recording" else info["subject"]
        used = (info["label"] != "") & (group != "")
        if not used.any():
            raise InputError(f"protocol {name!r}: no clip names its label and its {by}")
        draw = np.random.default_rng(seed)
        part: dict[str, int] = {}
        given = 0  # parts are dealt on from label to label, so that they get equally large
        for label in np.unique(info["label"][used]):
            own = np.unique(group[used & (info["label"] == label)])
            for each in draw.permutation(own):
                if str(each) not in part:  # a subject does many things
                    part[str(each)] = given % folds + 1
                    given += 1
        test = np.array([u and part.get(str(g)) == number for u, g in zip(used, group, strict=True)])
        for label in np.unique(info["label"][test]):
            if not (used & ~test & (info["label"] == label)).any():  # it would be tested, but never trained
                test &= info["label"] != label
        return parts(used & ~test, test)

    return Protocol(name, f"part {number} of {folds} tests, the others train", split)


def everything() -> Protocol:
    """Every labelled clip trains, none tests: for the model that is used after it was tested otherwise."""

    def split(info: Info) -> np.ndarray:
        return np.full(len(info["name"]), "train")

    return Protocol("all", "every clip trains, none tests", split)


def parse(spec: str) -> Protocol | None:
    """The protocol such a text means; None when it is of another kind.

    Raises:
        InputError: a text of this kind that is wrong.
    """
    kind, _, rest = spec.partition(":")
    values = [v.strip() for v in rest.split(",") if v.strip()]
    if kind == "split" and not rest:
        return by_column()
    if kind == "all" and not rest:
        return everything()
    if kind in ("subject", "camera"):
        return by_values(kind, values)
    if kind not in ("random", "fold"):
        return None
    given = dict(v.split("=", 1) for v in values[1:] if "=" in v)
    extra = [v for v in values[1:] if v.split("=")[0] not in ("seed", "by") or "=" not in v]
    try:
        if extra or not values:
            raise ValueError
        if kind == "fold":
            number, folds = values[0].split("/")
            return one_fold(int(number), int(folds), int(given.get("seed", 0)), given.get("by", "recording"))
        return at_random(float(values[0]), int(given.get("seed", 0)), given.get("by", "label"))
    except InputError:
        raise
    except ValueError:
        form = (
            "random:SHARE, e.g. random:0.2,seed=7,by=subject" if kind == "random" else "fold:PART/PARTS, e.g. fold:2/5"
        )
        raise InputError(f"protocol {spec!r}: expected {form}") from None

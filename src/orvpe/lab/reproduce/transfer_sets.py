"""The labelled sets of `orvpe reproduce transfer`: how each becomes clips of one action, and whose clips are the test.

Of N-UCLA cameras 1 and 2 are used, of Penn Action the training split: what is chosen here is chosen without the clips
that these two sets are reported on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from orvpe.data.store import Store, StoreWriter
from orvpe.poses.clip import Clip
from orvpe.poses.windows import windows

GALLERY, TEST = "train", "test"  # what a set's clips say of themselves, for the protocol "split"
_WINDOW, _SHORTEST = 200, 24  # frames of what is pre-trained on
_SEGMENT = 12  # frames that an action labelled by frames has at least
_BEFORE, _AFTER = 40, 30  # frames around the moment at which a gesture is tagged
_TAGS = 2  # gestures of one kind taken of each person


@dataclass(frozen=True)
class TransferSet:
    """A labelled set.

    Args:
        title: what to call it in a table.
        file: below the folder of the data sets.
        dims: 3, or 2.
        clips: (store of its recordings, its file) -> clips of one action, their split "train" (gallery) or "test".
        allowed: which recordings may be pre-trained on when another set is the test.
    """

    title: str
    file: str
    dims: int
    clips: Callable[[Store, Path], Iterable[Clip]]
    allowed: Callable[[Clip], bool] = lambda clip: True


def some_people(subjects: Iterable[str], share: float) -> set[str]:
    """A share of the different people, drawn once and for all."""
    known = sorted(set(subjects), key=lambda s: (len(s), s))
    drawn = np.random.default_rng(0).permutation(len(known))
    return {known[i] for i in drawn[: round(share * len(known))]}


def _part(clip: Clip, people: set[str]) -> str:
    return TEST if clip.subject in people else GALLERY


def _utd(store: Store, file: Path) -> Iterator[Clip]:
    """Cross-subject as published: odd people are the gallery."""
    for clip in store:
        yield clip.with_(split=GALLERY if int(re.sub(r"\D", "", clip.subject or "0")) % 2 else TEST)


def kinder_label(label: str) -> str:
    """A movement without the age group, and without which of two arms, legs or sides: people choose that freely."""
    name = label.split("/")[-1]
    name = re.sub(r"-with-the-other-(leg|arm)|-with-your-other-arm", "", name).replace("your-other-", "your-")
    return name.replace("the-other-side", "one-side").replace("to-the-side", "to-one-side").rstrip("-")


def _kinder(store: Store, file: Path) -> Iterator[Clip]:
    people = some_people(store.subjects.tolist(), 0.35)
    for clip in store:
        yield clip.with_(label=kinder_label(clip.label or ""), split=_part(clip, people))


def cut(clip: Clip, first: int, stop: int) -> Clip:
    """Frames ``first`` to ``stop`` of a clip, named ``NAME@FIRST``."""
    part = slice(first, stop)
    return clip.with_(joints=clip.joints[:, part], visible=clip.visible[:, part], name=f"{clip.name}@{first}")


def segments(clip: Clip) -> Iterator[tuple[str, int, int]]:
    """(label, first, stop) of the runs of one label in a clip labelled by frames, "0" standing for none."""
    each = np.array((clip.label or "").split(","))
    edges = [0, *(np.flatnonzero(each[1:] != each[:-1]) + 1).tolist(), len(each)]
    for first, stop in pairwise(edges):
        yield str(each[first]), first, stop


def _precog(store: Store, file: Path) -> Iterator[Clip]:
    people = some_people(store.subjects.tolist(), 1 / 3)
    for clip in store:
        for label, first, stop in segments(clip):
            if label != "0" and stop - first >= _SEGMENT and clip.visible[:, first:stop].any():
                yield cut(clip, first, stop).with_(label=label, split=_part(clip, people))


def _msrc(store: Store, file: Path) -> Iterator[Clip]:
    """Around the moments at which gestures are tagged, two of each person and gesture."""
    with np.load(file, allow_pickle=False) as data:
        tags = list(
            zip(data["tag_clip"].tolist(), data["tag_frame"].tolist(), data["tag_gesture"].tolist(), strict=True)
        )
        names = data["name"].tolist()
    place = {str(name): i for i, name in enumerate(store.names)}
    people = some_people(store.subjects.tolist(), 1 / 3)
    taken: dict[tuple[str, str], int] = {}
    for i in np.random.default_rng(0).permutation(len(tags)).tolist():
        recording, frame, gesture = tags[i]
        if (at := place.get(names[recording])) is None:
            continue
        whom = (str(store.subjects[at]), gesture)
        first, stop = max(0, frame - _BEFORE), min(int(store.frames[at]), frame + _AFTER)
        if taken.get(whom, 0) == _TAGS or stop - first < _BEFORE:
            continue
        clip = cut(store.clip(at), first, stop)
        if clip.visible.any():
            taken[whom] = taken.get(whom, 0) + 1
            yield clip.with_(label=gesture, split=_part(clip, people))


def _nucla(store: Store, file: Path) -> Iterator[Clip]:
    """Five people by camera 1 are the gallery, the other five by camera 2 the test; never camera 3."""
    people = some_people(store.subjects.tolist(), 0.5)
    for clip in store:
        part = _part(clip, people)
        if clip.camera == ("v02" if part == TEST else "v01"):
            yield clip.with_(split=part)


def _penn(store: Store, file: Path) -> Iterator[Clip]:
    """The official training split: the first two thirds of each class's clips are the gallery.

    Clips of one video have neighbouring numbers, so the halves hardly share videos.
    """
    for label in np.unique(store.labels):
        own = np.flatnonzero((store.labels == label) & (store.splits == "train"))
        own = own[np.argsort(store.names[own], kind="stable")]
        for k, i in enumerate(own.tolist()):
            yield store.clip(i).with_(split=GALLERY if k < 0.65 * len(own) else TEST)


SETS: dict[str, TransferSet] = {
    "utd": TransferSet("UTD-MHAD", "corpora/utd_mhad.npz", 3, _utd),
    "kinder": TransferSet("Kinder-Gator", "corpora/kinder_gator.npz", 3, _kinder),
    "precog": TransferSet("PRECOG-16", "corpora/precog16.npz", 3, _precog),
    "msrc": TransferSet("MSRC-12", "corpora/msrc12.npz", 3, _msrc),
    "nucla": TransferSet("N-UCLA", "nw-ucla-skeletons.zip", 3, _nucla, lambda clip: clip.camera in ("v01", "v02")),
    "penn": TransferSet("Penn Action", "penn-action-labels.zip", 2, _penn),
}
ALSO = {"bandai": "corpora/bandai_namco.npz"}  # pre-trained on, never the test: it does not name its people


def _coarsely(store: Store) -> Iterator[Clip]:
    """Bandai-Namco's clips by content, in whatever style."""
    for clip in store:
        yield clip.with_(label="/".join((clip.label or "").split("/")[:2]))


def write_set(name: str, recordings: Store, file: Path, out: Path) -> Store:
    """The clips of a set, labelled and split, as a store."""
    with StoreWriter(out, recordings.layout, recordings.dims, {"transfer": name}) as writer:
        for clip in SETS[name].clips(recordings, file) if name in SETS else _coarsely(recordings):
            writer.add(clip)
    return Store.open(out)


def write_others(stores: dict[str, Store], out: Path) -> Store:
    """Windows of the recordings of several sets as one store to pre-train on; labels of whole recordings are kept."""
    first = next(iter(stores.values()))
    with StoreWriter(out, first.layout, first.dims, {"sources": [{"set": name} for name in stores]}) as writer:
        for name, store in stores.items():
            allowed = SETS[name].allowed if name in SETS else lambda clip: True
            for clip in store:
                if clip.frames < _SHORTEST or not allowed(clip):
                    continue
                label = f"{name}/{clip.label}" if clip.label and "," not in clip.label else None
                named = clip.with_(name=f"{name}/{clip.name}", label=label, subject=f"{name}:{clip.subject}")
                for window in windows(named, _WINDOW, _WINDOW):
                    if window is not None:
                        writer.add(window)
    return Store.open(out)

"""What a path holds: pose files of any known format, or a store."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.duplicates import example, original
from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import NoSkeleton, Options, OtherKind
from orvpe.data.formats.labels import Labels
from orvpe.data.formats.reading import left_out, read_clips, survey_of
from orvpe.data.formats.source import Source
from orvpe.data.pose_files import PoseFiles
from orvpe.data.protocols.nucla import TITLES
from orvpe.data.store import Store, is_store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.drawing import draw_skeletons, save_figure
from orvpe.poses.notes import Notes
from orvpe.runtime.typed import flat_arguments

SAMPLE = 200


@dataclass
class Inspection:
    """What `inspect` found; ``str()`` is the text that the command prints.

    Args:
        path: what was inspected.
        format: the reader's name, or 'store'.
        about: the format in words.
        items: items (files, recordings) there are; of these ``read`` were looked at.
        clips: clips in what was looked at; all counts and shares below are of these.
        layouts: layout name -> clips.
        dims: 2 (pixels), 3 (metres) or both.
        labels, subjects, cameras: text -> clips; without those of which the source says nothing.
        frames: (T of each clip).
        people: people -> clips.
        fps: frames per second -> clips; 0 where unknown.
        image_sizes: (width, height) -> clips.
        nucla: whether the labels are N-UCLA's, whose names are known.
        units, up: of the source's 3D coordinates and its axis that points up, before the clips are put into metres with
            y up; of 2D 'px' and '-y' where y points down.
        missing: joint -> share of its appearances in which it is missing.
        no_skeleton: items in which nobody is.
        other: files of another kind next to those of the format.
        bad: one line for each item that could not be read.
        notes: further lines (a store's grid, size and checksums).
        figure: the picture that was drawn.
    """

    path: str
    format: str
    about: str
    items: int
    read: int
    clips: int = 0
    layouts: Counter[str] = field(default_factory=Counter)
    dims: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    subjects: Counter[str] = field(default_factory=Counter)
    cameras: Counter[str] = field(default_factory=Counter)
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    people: Counter[int] = field(default_factory=Counter)
    fps: Counter[float] = field(default_factory=Counter)
    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    nucla: bool = False
    units: str = ""
    up: str = ""
    missing: dict[str, float] = field(default_factory=dict)
    no_skeleton: int = 0
    other: int = 0
    bad: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figure: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.about}"]
        if self.read < self.items:
            lines.append(f"looked at {self.read} of {self.items:,} items, evenly spread; counts are of these")
        rows = [("clips", f"{self.clips:,}")]
        if self.other:
            rows.append(("of another kind", f"{self.other:,}"))
        if self.no_skeleton:
            rows.append(("without a skeleton", f"{self.no_skeleton:,}"))
        if self.bad:
            rows.append(("cannot be read", f"{len(self.bad):,}, first: {self.bad[0]}"))
        if self.clips:
            low, middle, high = np.percentile(self.frames, [0, 50, 100])
            units = {2: "2D, pixels", 3: "3D, metres"}
            rows += [
                ("layout", _counts(self.layouts, self.clips)),
                ("coordinates", _counts(Counter({units[d]: n for d, n in self.dims.items()}), self.clips)),
                ("frames", f"{low:.0f} to {high:.0f}, median {middle:.0f}, together {self.frames.sum():,}"),
                ("fps", _counts(Counter({_fps(f): n for f, n in self.fps.items()}), self.clips)),
                ("people a clip", _counts(Counter({str(p): n for p, n in self.people.items()}), self.clips)),
            ]
            if self.units:
                rows.insert(-3, ("unit, up axis", f"{self.units}, {self.up}"))
            if self.image_sizes:
                sizes = Counter({f"{w} x {h}": n for (w, h), n in self.image_sizes.items()})
                rows.append(("image size", _counts(sizes, self.clips)))
            for what, found in (
                ("classes", self.labels),
                ("subjects", self.subjects),
                ("cameras", self.cameras),
            ):
                if found:
                    titles = TITLES if self.nucla else {}
                    named = Counter({f"{k} {titles[k]}" if k in titles else k: n for k, n in found.items()})
                    rows.append((what, f"{len(found)}: {_counts(named, 0)}"))
        width = max(len(name) for name, _ in rows)
        lines += [f"  {name:<{width}}  {value}" for name, value in rows]
        lines += [f"  {note}" for note in self.notes]
        if self.missing:
            lines.append("  missing, share of a joint's frames:")
            lines += _columns(self.missing)
        if self.figure:
            lines.append(f"  drawn to {self.figure}")
        return "\n".join(lines)


def _fps(value: float) -> str:
    return f"{value:g}" if value else "unknown"


def _counts(counter: Counter[Any], clips: int, limit: int = 12) -> str:
    """'a (12), b (3)'; just 'a' when all ``clips`` are alike."""
    if len(counter) == 1 and next(iter(counter.values())) == clips:
        return str(next(iter(counter)))
    few = len(counter) <= limit
    shown = sorted(counter.items(), key=lambda kv: str(kv[0])) if few else counter.most_common(limit)
    rest = f", and {len(counter) - limit} more" if len(counter) > limit else ""
    return ", ".join(f"{value} ({count:,})" for value, count in shown) + rest


def _columns(shares: dict[str, float], columns: int = 3) -> list[str]:
    """'name share' in columns, down and then right."""
    width = max(map(len, shares))
    cells = [f"{name:<{width}} {share:6.1%}" for name, share in shares.items()]
    height = -(-len(cells) // columns)
    return ["    " + "    ".join(cells[row::height]) for row in range(height)]


@flat_arguments
def inspect(
    path: str,
    figure: str | None = None,
    dims: int = 3,
    labels: str | None = None,
    sample: int = SAMPLE,
    poses: PoseFiles = PoseFiles(),  # noqa: B008
) -> Inspection:
    """Say what a path holds: format, layout, clips, classes, frames, fps, and how much is missing per joint.

    Args:
        path: a store, or a folder, zip or file with poses.
        figure: draw a few frames of a few clips to this PNG (or SVG, PDF).
        dims: 3 for metres or 2 for pixels, for formats that hold both.
        labels: "folders", or a CSV with the columns name, label, and optionally subject, camera, split.
        sample: of a large source look at so many items, evenly spread; a store is always read in full.
        poses: what pose files do not say of themselves.

    Raises:
        InputError: no such path; nothing known in it; a damaged store; no item that can be read.
    """
    if sample < 1:
        raise InputError(f"sample is {sample}, expected at least 1")
    if is_store(path):
        found, clips = _inspect_store(Store.open(path))
    else:
        options = replace(poses.options(dims), labels=Labels(labels) if labels is not None else None)
        found, clips = _inspect_source(Source(path), poses.format, options, sample)
    if figure is not None:
        save_figure(draw_skeletons(clips, title=f"{Path(path).name} ({found.format})"), figure)
        found.figure = figure
    return found


_ROWS = 5  # clips in the figure


def _spread(count: int, most: int) -> np.ndarray:
    """At most ``most`` of 0 .. count - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _inspect_store(store: Store) -> tuple[Inspection, list[Clip]]:
    store.verify()
    count = len(store)
    size = store.path.stat().st_size
    body_frames = int((store.people * store.frames).sum())
    unit = 1000.0 if store.dims == 3 else 1.0
    steps = f"{store.step.min() * unit:g}" + (
        f" to {store.step.max() * unit:g}" if store.step.max() > store.step.min() else ""
    )
    sized = store.width > 0
    found = Inspection(
        str(store.path),
        "store",
        "a store" + (" of GENERATED clips, nobody real" if store.meta.get("generated") else ""),
        items=count,
        read=count,
        clips=count,
        layouts=Counter({store.layout.name: count}),
        dims=Counter({store.dims: count}),
        labels=_tally(store.labels),
        subjects=_tally(store.subjects),
        cameras=_tally(store.cameras),
        frames=store.frames,
        people=Counter(store.people.tolist()),
        fps=Counter(store.fps.tolist()),
        image_sizes=Counter(zip(store.width[sized].tolist(), store.height[sized].tolist(), strict=True)),
        missing=dict(zip(store.layout.joints, store.missing.tolist(), strict=True)),
        notes=[
            f"grid {steps} {'mm' if store.dims == 3 else 'px'}; "
            f"{size:,} bytes, {size / body_frames:.1f} for each frame of a person",
            f"checksums of all {count:,} clips agree",
        ],
    )
    same = original(store, np.arange(count), np.arange(count))
    if (same >= 0).any():
        found.notes.append(
            f"{(same >= 0).sum():,} clips hold the same poses as another ({example(store, np.arange(count), same)})"
        )
    found.nucla = any(source.get("format") == "nucla" for source in store.meta.get("sources", []))
    for source in store.meta.get("sources", []):
        found.notes.append(f"from {source['path']} ({source['format']}, {source['items']:,} items)")
    skipped = store.meta.get("skipped", {})
    if any(skipped.get(k) for k in ("no_skeleton", "short", "bad")):
        found.notes.append(
            f"left out: {skipped['no_skeleton']:,} without a skeleton, {skipped['short']:,} too short, "
            f"{skipped['bad']:,} that could not be read"
        )
    return found, [store.clip(int(i)) for i in _spread(count, _ROWS)]


def _tally(values: np.ndarray) -> Counter[str]:
    return Counter(values[values != ""].tolist())


def _inspect_source(source: Source, format: str | None, options: Options, sample: int) -> tuple[Inspection, list[Clip]]:
    reader = choose_reader(source, format)
    items = reader.items(source)
    if not items:
        raise InputError(f"{source.path}: holds nothing of format {reader.name!r} ({reader.about})")
    chosen = _spread(len(items), sample)
    found = Inspection(str(source.path), reader.name, f"{reader.about} ({reader.name})", len(items), len(chosen))
    draw_from = {int(i) for i in chosen[_spread(len(chosen), _ROWS)]}
    hidden: Counter[str] = Counter()
    total: Counter[str] = Counter()
    frames: list[int] = []
    drawn: list[Clip] = []
    strange = Notes()
    strange.say(*left_out(source, items))
    for i in chosen:
        try:
            clips = read_clips(reader, source, items[i], options)
        except OtherKind:
            found.other += 1
            continue
        except NoSkeleton:
            found.no_skeleton += 1
            continue
        except InputError as error:
            found.bad.append(str(error))
            continue
        if int(i) in draw_from:
            most = _ROWS if len(items) == 1 else 1
            drawn += [clips[int(k)] for k in _spread(len(clips), most)]
        strange.add(clips)
        for clip in clips:
            frames.append(clip.frames)
            found.layouts[clip.layout.name] += 1
            found.dims[clip.dims] += 1
            found.people[clip.people] += 1
            found.fps[clip.fps or 0.0] += 1
            found.labels.update([clip.label] if clip.label else [])
            found.subjects.update([clip.subject] if clip.subject else [])
            found.cameras.update([clip.camera] if clip.camera else [])
            if clip.image_size:
                found.image_sizes[clip.image_size] += 1
            lost = (~clip.visible).sum(axis=(0, 1)).tolist()  # (V,)
            for joint, n in zip(clip.layout.joints, lost, strict=True):
                hidden[joint] += n
                total[joint] += clip.people * clip.frames
    if not frames:
        first = f", first: {found.bad[0]}" if found.bad else ""
        raise InputError(
            f"{source.path}: no clip in {len(chosen)} items of format {reader.name!r} "
            f"({found.no_skeleton} without a skeleton, {len(found.bad)} that cannot be read{first})"
        )
    found.notes += [f"note: {line}" for line in strange.lines()]
    survey = survey_of(reader, source, options)
    if 3 in found.dims:
        found.units, found.up = survey.units or options.units, survey.up3
        found.nucla = reader.name == "nucla"
    else:
        found.units, found.up = "px", survey.up2
    found.clips = len(frames)
    found.frames = np.array(frames)
    found.missing = {joint: hidden[joint] / total[joint] for joint in total}
    return found, drawn

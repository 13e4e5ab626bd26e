"""Read a folder with one subfolder of clips per class into a labelled store, for `orvpe learn`.

The clips of a class are videos, folders of images, or pose files of any format that `orvpe ingest` reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orvpe.data.formats.base import Options
from orvpe.data.formats.labels import Labels
from orvpe.data.formats.reading import common_up
from orvpe.data.ingest import ingest
from orvpe.data.store import Store, StoreWriter, is_store
from orvpe.data.store.writing import orvpe_version
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout, with_derived
from orvpe.poses.windows import windows

_LONG = 2  # windows: clips of up to that many are taken whole


@dataclass(frozen=True)
class FolderOptions:
    """Options for reading examples.

    Args:
        window: length in seconds of the windows into which clips of at least twice that length are cut.
        joints: of videos 'image' or 'world'; of pose files the layout, where the format does not say.
        fps: of videos to take; of pose files that do not say.
        dims: for pose formats that hold both.
        image_size: where a pose format does not say.
        up, units, labels, column: of pose files, as `orvpe ingest` takes them.  With labels or column no folder for
            each class is needed; clips without a label are left out.
        max_people: 1 in videos, 2 in pose files when None.
        min_confidence: the default of `orvpe pose` or `orvpe ingest` when None.
        format: of pose files, if it is not recognised.
        estimator, weights_file: for videos.
        native: keep the joints of the source.
        threads: for videos, and processes for pose files: 1 for this one only.

    Raises:
        InputError: nobody is to be kept.
    """

    window: float = 2.0
    joints: str | None = None
    fps: float | None = None
    dims: int = 3
    image_size: tuple[int, int] | None = None
    up: str = "auto"
    units: str = "auto"
    labels: str | None = None
    column: list[str] | None = None
    max_people: int | None = None
    min_confidence: float | None = None
    format: str | None = None
    estimator: str = "mediapipe"
    weights_file: str | None = None
    native: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        if self.max_people is not None and self.max_people < 1:
            raise InputError(f"max_people is {self.max_people}, expected at least 1")

    @property
    def labelled(self) -> bool:
        """Whether the labels come from elsewhere than the names of class folders."""
        return bool(self.labels or self.column)


def class_folders(folder: str | Path) -> dict[str, Path]:
    """Label -> its folder, sorted.

    Raises:
        InputError: no folder, or fewer than two classes in it.
    """
    where = Path(folder)
    if not where.is_dir():
        raise InputError(f"{folder}: no such folder, expected one that holds a folder of clips for each class")
    found = {p.name: p for p in sorted(where.iterdir()) if p.is_dir() and not p.name.startswith((".", "__MACOSX"))}
    found = {name: p for name, p in found.items() if not name.endswith(".parts")}
    if len(found) < 2:
        raise InputError(
            f"{folder}: {len(found)} folders in it, expected a folder of clips for each of 2 or more classes"
        )
    return found


def videos_of(folder: Path) -> list[str]:
    """Video files and folders of images at any depth."""
    from orvpe.data.formats.source import VIDEO_SUFFIXES
    from orvpe.video.decode import image_files

    found = []
    for where, inside, files in os.walk(folder):
        inside[:] = sorted(d for d in inside if not d.startswith("."))
        path = Path(where)
        if path != folder and image_files(path):
            found.append(str(path))
        found += [str(path / f) for f in sorted(files) if Path(f).suffix.lower() in VIDEO_SUFFIXES and f[0] != "."]
    return found


def folder_store(folder: str | Path, out: str | Path, options: FolderOptions) -> Store:
    """A store of the clips of all class folders, labelled by folder name; rebuilt only when something changed.

    Args:
        folder: holds the class folders.
        out: the store; interrupted work on videos is kept next to it.
        options: how they are read.

    Raises:
        InputError: no classes, a class without clips, what cannot be read, 2D and 3D in one.
    """
    target = Path(out)
    classes = {"": Path(folder)} if options.labelled else class_folders(folder)
    mark = _fingerprint(Path(folder), options)
    if target.exists():
        if not is_store(target):
            raise InputError(f"{target}: in the way, and not a store; remove it or choose another --run")
        store = Store.open_whole(target)
        if store.meta.get("class_folders") == mark:
            return store
        if "class_folders" not in store.meta:
            raise InputError(f"{target}: a store that orvpe learn did not make; choose another --run")
    target.parent.mkdir(parents=True, exist_ok=True)
    videos = {label: videos_of(path) for label, path in classes.items()}
    labels = Labels(options.labels) if options.labels else None
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        poses = {label: path for label, path in classes.items() if not videos[label]}
        options = _turned_alike(list(poses.values()), options)
        parts: list[tuple[str, Store, dict[str, str] | None]] = []
        for i, (label, path) in enumerate(poses.items()):
            parts.append((label, _read_poses(path, Path(scratch) / f"{i}.orvpe", options), None))
        of = {path: label for label, paths in videos.items() for path in paths}
        if of:
            made, names = _read_videos(list(of), target.with_name(f"{target.stem}-videos.orvpe"), options)
            said = labels.of_files(dict(names)) if labels is not None else {n: {"label": of[p]} for n, p in names}
            parts += [("", made, {name: row.get("label", "") for name, row in said.items()})]
        layout = with_derived(parts[0][1].layout, *(p.layout for _, p, _ in parts))
        meta = {"class_folders": mark, "sources": [{"path": Path(folder).resolve().name, "format": "class folders"}]}
        with StoreWriter(target, layout, parts[0][1].dims, meta) as writer:
            unlabelled = 0
            for label, part, named in parts:
                for clip in part:
                    own = (label or clip.label) if named is None else named[clip.name.rpartition("-p")[0]]
                    if not own:
                        unlabelled += 1
                        continue
                    name = clip.name if clip.name.startswith(f"{own}/") or options.labelled else f"{own}/{clip.name}"
                    for cut in _cut(clip.with_(label=own, name=name), options.window):
                        writer.add(cut)
    target.with_name(f"{target.stem}-videos.orvpe").unlink(missing_ok=True)
    if unlabelled:
        print(f"note: {unlabelled:,} clips without a label are left out", file=sys.stderr)
    store = Store.open(target)
    if not options.labelled and (missing := sorted(set(classes) - set(store.labels.tolist()))):
        target.unlink()
        raise InputError(f"{classes[missing[0]]}: nobody found in it, expected clips of class {missing[0]!r}")
    return store


def _read_poses(path: Path, out: Path, options: FolderOptions) -> Store:
    layout = options.joints if options.joints not in ("image", "world") else None
    ingest(
        [str(path)], str(out), layout="native" if options.native else "unified", format=options.format, joints=layout,
        fps=options.fps, image_size=options.image_size, dims=options.dims, up=options.up, units=options.units,
        min_confidence=0.1 if options.min_confidence is None else options.min_confidence,
        max_people=options.max_people or 2, workers=1 if options.threads == 1 else None, labels=options.labels,
        column=options.column,
    )  # fmt: skip
    return Store.open(out)


def _turned_alike(paths: list[Path], options: FolderOptions) -> FolderOptions:
    """One axis for all classes: in a folder of push-ups everybody lies."""
    if options.up != "auto" or len(paths) < 2:
        return options
    layout = options.joints if options.joints not in ("image", "world") else None
    how = Options(
        layout=get_layout(layout) if layout else None, fps=options.fps, image_size=options.image_size,
        dims=options.dims, min_confidence=0.1 if options.min_confidence is None else options.min_confidence,
        max_people=options.max_people or 2,
    )  # fmt: skip
    up, notes = common_up([str(p) for p in paths], options.format, how)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return replace(options, up=up)


def _read_videos(videos: list[str], out: Path, options: FolderOptions) -> tuple[Store, list[tuple[str, str]]]:
    """Poses of the people in the videos, and (name, path) of these; resumes an interrupted `orvpe pose`."""
    from orvpe.video.command import pose
    from orvpe.video.find import find_videos

    report = pose(
        videos, str(out), layout="native" if options.native else "unified", joints=options.joints or "image",
        estimator=options.estimator, weights_file=options.weights_file, max_people=options.max_people or 1,
        fps=options.fps, min_confidence=options.min_confidence, threads=options.threads, overwrite=True,
    )  # fmt: skip
    print(report)
    return Store.open(out), find_videos(videos)


def _cut(clip: Clip, seconds: float) -> Iterator[Clip]:
    frames = round(seconds * clip.fps) if clip.fps else 0
    if frames < 1 or clip.frames <= _LONG * frames:
        yield clip
        return
    yield from (w for w in windows(clip, frames, None) if w is not None)


def _fingerprint(folder: Path, options: FolderOptions) -> str:
    """Hash of files (path, size, time), options and version."""
    digest = hashlib.sha256()
    if options.labels and Path(options.labels).is_file():
        digest.update(Path(options.labels).read_bytes())
    digest.update(json.dumps([orvpe_version(), asdict(options) | {"threads": 0}], sort_keys=True).encode())
    for where, inside, files in os.walk(folder):
        inside.sort()
        for name in sorted(files):
            status = os.stat(os.path.join(where, name))
            relative = Path(where, name).relative_to(folder).as_posix()
            digest.update(f"{relative}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()

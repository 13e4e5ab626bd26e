"""`orvpe search`: the clips of an index that are most similar to a given one, whole or partly hidden."""

from __future__ import annotations

import json as json_text
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options
from orvpe.data.formats.reading import gated, read_clips
from orvpe.data.formats.source import Source, stem
from orvpe.data.pose_files import PoseFiles
from orvpe.data.store import Store, is_store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Printed
from orvpe.runtime.groups import Hardware
from orvpe.runtime.typed import flat_arguments
from orvpe.vectors.vector_index import Added, Hit, Index, unknown_of_many

__all__ = ["Added", "Hit", "Index", "SearchReport", "find_clip", "search"]


@dataclass(frozen=True)
class SearchReport:
    """Result of `search`; ``str()`` is a table, or JSON.

    Args:
        hits: the most similar first.
        query: the clip's name.
        occlusion: what was hidden of it.
        clips: in the index, whatever the filters.
        index: path of the index.
        model: name of the model.
        json: whether ``str()`` is JSON.
    """

    hits: list[Hit]
    query: str
    occlusion: str
    clips: int
    index: str
    model: str
    json: bool = field(default=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {
            "query": self.query, "occlusion": self.occlusion, "index": self.index, "clips": self.clips,
            "model": self.model, "hits": [hit.to_dict() for hit in self.hits],
        }  # fmt: skip

    def __str__(self) -> str:
        if self.json:
            return json_text.dumps(self.to_dict(), indent=1)
        hidden = "" if self.occlusion == "none" else f", {self.occlusion} hidden"
        lines = [f"{self.query}{hidden}: nearest of {self.clips:,} clips in {self.index} ({self.model})"]
        if not self.hits:
            return f"{lines[0]}\nno clip fits all of these filters"
        head = ("similarity", "name", "label", "subject", "camera", "store")
        rows = [
            (f"{h.similarity:.3f}", h.name, h.label or "-", h.subject or "-", h.camera or "-", _short(h.source))
            for h in self.hits
        ]
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        for row in [head, *rows]:
            lines.append("  ".join(f"{v:<{w}}" for v, w in zip(row, widths, strict=True)).rstrip())
        return "\n".join(lines)


def _short(source: str) -> str:
    """A path relative to the working directory, if that is shorter."""
    try:
        return min(os.path.relpath(source), source, key=len)
    except ValueError:  # another drive
        return source


@flat_arguments
def search(
    clip: str,
    db: str,
    weights: str | None = None,
    k: int = 10,
    label: list[str] | None = None,
    subject: list[str] | None = None,
    camera: list[str] | None = None,
    occlusion: str = "none",
    seed: int = 0,
    json: bool = False,
    poses: PoseFiles = PoseFiles(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> SearchReport:
    """Find the clips of an index that move like a given one, and print a table.

    Args:
        clip: a pose file or an npy of joints; PATH:NAME for a clip of a store, folder, zip or file of many; or the name
            of a clip in the index.
        db: folder of the index, made by `orvpe index`.
        weights: path of the model, if it has moved since the index was made.
        k: number of results.
        label: only clips of these labels.
        subject: only clips of these subjects.
        camera: only clips of these cameras.
        occlusion: hide joints of the query first, see `orvpe evaluate`.
        seed: seed of random occlusions.
        json: print JSON instead of a table.
        poses: what pose files do not say of themselves.
        hardware: processor and threads.

    Raises:
        InputError: no such index, clip, filter value or occlusion; another model than the index's; a clip that does not
            fit it.
    """
    if occlusion != "none":
        from orvpe.views.occlusion import check_occlusion

        check_occlusion(occlusion, "occlusion")
    poses.check()
    index = Index.open(db)
    where = {"label": label, "subject": subject, "camera": camera}
    wanted = {column: values for column, values in where.items() if values is not None}
    name, vector, tokens, source = _from_index(clip, index)
    compare = None
    # the index has the vector of a clip that it holds, and needs neither model nor torch for it
    if vector is None or occlusion != "none" or weights is not None or index.numbers:
        from orvpe.models.embed import embed_clips, embed_tokens
        from orvpe.runtime.device import pick_device
        from orvpe.vectors.index import comparison, open_model

        device_ = pick_device(hardware.device, hardware.threads)
        model, _ = open_model(index, weights, device_)
        options = poses.options(model.dims)
        if vector is None or occlusion != "none" or weights is not None:
            found = find_clip(f"{source}:{name}" if source else clip, options, poses.format)
            Printed().add([found])
            name, vector = found.name, embed_clips(model, [found], occlusion=occlusion, seed=seed)[0]
            if model.structured:
                tokens = embed_tokens(model, [found], occlusion=occlusion, seed=seed)[0].reshape(-1)
        if model.structured and tokens is not None:
            compare = comparison(model, tokens)
    hits = index.search(vector, k, wanted, compare)
    return SearchReport(hits, name, occlusion, len(index), db, str(index.model["name"]), json)


def _from_index(clip: str, index: Index) -> tuple[str, np.ndarray | None, np.ndarray | None, str]:
    """Name, vector, tokens and source of a clip that the index holds; vectors are None if ``clip`` is a path.

    Raises:
        InputError: neither a path nor a clip of the index, or one of several.
    """
    if Path(clip).exists() or _split(clip) is not None:
        return clip, None, None, ""
    found = index.find(clip)
    if not found:
        known = index.values("name")
        raise InputError(f"{clip}: no such file; {unknown_of_many('clip', clip, known[:50_000], str(index.path))}")
    if len(found) > 1:
        paths = " and ".join(hit.source for hit, *_ in found[:3])
        raise InputError(f"{clip}: {len(found)} clips of that name, from {paths}; give it as PATH:{clip}")
    hit, vector, tokens = found[0]
    return clip, vector, tokens, hit.source


def _split(clip: str) -> tuple[Path, str] | None:
    """PATH:NAME, where PATH is there; a colon may be in either."""
    for i in (i for i, c in enumerate(clip) if c == ":"):
        if i and clip[i + 1 :] and Path(clip[:i]).exists():
            return Path(clip[:i]), clip[i + 1 :]
    return None


def find_clip(clip: str, options: Options, format: str | None = None) -> Clip:
    """Read one clip: a pose file or npy by path, or ``PATH:NAME`` for a clip of a store, folder, zip or file of many.

    Args:
        clip: the path, or path and name.
        options: what the files cannot say.
        format: name of the pose format, None to recognise it.

    Raises:
        InputError: no such path or name, several clips and no name, a file that cannot be read.
    """
    path, name = Path(clip), None
    if not path.exists():
        parts = _split(clip)
        if parts is None:
            raise InputError(f"{clip}: no such file or folder")
        path, name = parts
    if is_store(path):
        return _of_store(Store.open(path), name)
    if path.suffix.lower() == ".npy":
        return _of_array(path, options)
    source = Source(path)
    reader = choose_reader(source, format)
    items = reader.items(source)
    if name is None and len(items) > 1:
        raise InputError(f"{path}: holds {len(items):,} items; name one, as in {path}:{stem(items[0][0])}")
    # a name is mostly that of a file; only where it is not all files are looked through
    files = [i for i in items if name in (i[0], stem(i[0]))]
    clips = _read(source, reader, files or items, options)
    if not clips:
        raise InputError(f"{clip}: nobody is in it")
    named = [c for c in clips if c.name == name] or (clips if files or name is None else [])
    if not named:
        raise InputError(unknown_of_many("clip", str(name), [c.name for c in clips], str(path)))
    if len(named) > 1 and named[0].name != name:
        raise InputError(f"{clip}: holds {len(named):,} clips; name one, as in {path}:{named[0].name}")
    return named[0]


def _read(source: Source, reader: Format, items: list[Item], options: Options) -> list[Clip]:
    found: list[Clip] = []
    for item in items:
        try:
            found += read_clips(reader, source, item, options)
        except NoSkeleton:
            continue
    return found


def _of_store(store: Store, name: str | None) -> Clip:
    if name is None:
        if len(store) == 1:
            return store.clip(0)
        example = f"{store.path}:{store.names[0]}"
        raise InputError(f"{store.path}: holds {len(store):,} clips; name one, as in {example}")
    found = np.flatnonzero(store.names == name)
    if not len(found):
        raise InputError(unknown_of_many("clip", name, store.names[:50_000].tolist(), str(store.path)))
    store.verify(found[:1])
    return store.clip(int(found[0]))


def _of_array(path: Path, options: Options) -> Clip:
    """An npy of (T, V, C) or (M, T, V, C), NaN where a joint is missing."""
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # whatever a damaged file does
        raise InputError(f"{path}: not a readable npy ({' '.join(str(error).split())[:100]})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise InputError(f"{path}: holds {getattr(array, 'dtype', 'no array')}, expected numbers")
    if array.ndim not in (3, 4) or array.shape[-1] not in (2, 3) or not array.size:
        raise InputError(f"{path}: has shape {array.shape}, expected ([people,] frames, joints, 2 or 3)")
    if options.layout is None:
        raise InputError(f"{path}: does not name its {array.shape[-2]} joints; give their layout with --joints")
    if array.shape[-2] != len(options.layout):
        raise InputError(
            f"{path}: {array.shape[-2]} joints a person, but layout {options.layout.name!r} (--joints) has "
            f"{len(options.layout)}"
        )
    size = options.image_size if array.shape[-1] == 2 else None
    return gated([Clip.from_array(array, options.layout, fps=options.fps, image_size=size, name=path.stem)], options)[0]

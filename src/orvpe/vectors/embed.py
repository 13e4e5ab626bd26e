"""Embed stores and pose files into Parquet tables."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import Format, Item, NoSkeleton, Options
from orvpe.data.formats.reading import left_out, read_clips
from orvpe.data.formats.source import Source, not_a_source
from orvpe.data.pose_files import PoseFiles
from orvpe.errors import InputError
from orvpe.models.embed import Vectors, embed_batch, fit_clip
from orvpe.models.model import Model, load, note_unfinished
from orvpe.poses.clip import Clip
from orvpe.poses.notes import Printed
from orvpe.runtime.files import whole_file
from orvpe.runtime.groups import Hardware
from orvpe.runtime.lock import alone_in
from orvpe.runtime.typed import flat_arguments
from orvpe.views.batch import Batch, batches, collate
from orvpe.views.resident import ResidentStore

if TYPE_CHECKING:
    import pyarrow as pa


@flat_arguments
@alone_in("out")
def embed(
    path: str,
    weights: str,
    out: str,
    skip_bad: bool = False,
    overwrite: bool = False,
    occlusion: str = "none",
    seed: int = 0,
    batch_size: int = 64,
    poses: PoseFiles = PoseFiles(),  # noqa: B008
    hardware: Hardware = Hardware(),  # noqa: B008
) -> Path:
    """Embed every clip of a store, or of a pose file, folder or zip, into a Parquet table.

    Columns: id, label, subject, camera, split, feature (256 numbers), embedding (128, if the model has a projection),
    tokens (joints x segments x numbers, flat, NaN where hidden, if the encoder is "tokens").
    The table is written as it grows, so memory does not depend on the number of clips.

    Args:
        path: a store made by `orvpe ingest`, or anything that it reads.
        weights: folder of the model.
        out: the Parquet file, by convention ending in .parquet.
        skip_bad: skip files that cannot be read, with a message, instead of stopping.
        overwrite: replace an existing file.
        occlusion: hide joints first, see `orvpe evaluate`.
        seed: seed of random occlusions.
        batch_size: clips at a time.
        poses: what pose files do not say of themselves.
        hardware: processor and threads.

    Returns:
        The Parquet file.

    Raises:
        InputError: a path, model or value that does not fit; a file that exists (unless ``overwrite``).
    """
    import pyarrow.parquet as pq

    from orvpe.runtime.device import pick_device
    from orvpe.runtime.progress import Progress
    from orvpe.views.occlusion import check_occlusion

    check_occlusion(occlusion, "occlusion")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1")
    target = Path(out)
    if target.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of the Parquet file to write")
    if target.suffix.lower() in (".csv", ".npz", ".npy", ".json", ".orvpe"):
        raise InputError(f"{out}: embed writes Parquet, expected a name that ends in .parquet")
    poses.check()
    not_a_source(out, [path])
    if target.exists() and not overwrite:
        raise InputError(f"{out}: exists already; give --overwrite to replace it")
    where = pick_device(hardware.device, hardware.threads)
    model = load(weights, where).for_inference()
    note_unfinished(model, weights)
    options = poses.options(model.dims)
    schema = table_schema(model, weights, occlusion)
    total, parts = _batches(path, weights, model, batch_size, poses.format, options, skip_bad)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        with pq.ParquetWriter(temporary, schema) as writer, Progress("embed", total, "clips") as progress:
            for batch, text in parts:
                vectors = embed_batch(model, batch, occlusion, seed, first=progress.done)
                writer.write_table(to_table(schema, text, vectors))
                progress.advance(len(batch))
        if not progress.done:
            raise InputError(f"{path}: no clip in {total} items")
    print(f"{progress.done:,} clips -> {target}")
    return target


_TEXT = ("id", "label", "subject", "camera", "split")
_Text = dict[str, list[str | None]]


def table_schema(model: Model, weights: str, occlusion: str = "none") -> pa.Schema:
    """The columns of a model's vectors: text, feature (256 numbers), embedding (128) if it has a projection, tokens if
    it is structured."""
    import pyarrow as pa

    width = {"feature": model.feature_dim}
    if model.projection_config is not None:
        width["embedding"] = model.projection_config[1]
    if model.structured:
        width["tokens"] = math.prod(model.token_shape)
    return pa.schema(
        [(c, pa.string()) for c in _TEXT] + [(c, pa.list_(pa.float32(), n)) for c, n in width.items()],
        metadata={"orvpe_weights": str(Path(weights).name), "orvpe_occlusion": occlusion},
    )


def to_table(schema: pa.Schema, text: _Text, vectors: Vectors) -> pa.Table:
    """Build N rows of ``schema`` from the text and vectors of N clips."""
    import pyarrow as pa

    columns: list[pa.Array] = [pa.array(text[c], pa.string()) for c in _TEXT]
    for v in vectors:
        if v is not None:
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(v.reshape(-1)), v.shape[1]))
    return pa.Table.from_arrays(columns, schema=schema)


def _batches(
    path: str, weights: str, model: Model, size: int, format: str | None, options: Options, skip_bad: bool
) -> tuple[int, Iterator[tuple[Batch, _Text]]]:  # fmt: skip
    """Number of clips (or items, where reading is the only way to know) and the batches with their text columns."""
    from orvpe.data.store import Store, is_store
    from orvpe.models.embed import check_fits

    device = next(model.parameters()).device
    if is_store(path):
        store = Store.open(path)
        if options.up not in ("auto", "y"):
            raise InputError(f"up is {options.up!r}, but {path} is a store; its clips were turned when it was made")
        check_fits(model, store, weights)
        data = ResidentStore(store, "cpu")

        def from_store() -> Iterator[tuple[Batch, _Text]]:
            columns = dict(
                zip(
                    _TEXT,
                    (store.names, store.labels, store.subjects, store.cameras, store.splits),
                    strict=True,
                )
            )
            for index in batches(np.arange(len(store)), size):
                batch = data.batch(index)
                moved = batch.with_(
                    joints=batch.joints.to(device), visible=batch.visible.to(device), frames=batch.frames.to(device),
                    image_size=batch.image_size.to(device), index=batch.index.to(device),
                )  # fmt: skip
                yield moved, {c: [str(v) or None for v in column[index]] for c, column in columns.items()}

        return len(store), from_store()

    source = Source(path)
    reader = choose_reader(source, format)
    items = reader.items(source)

    def from_files() -> Iterator[tuple[Batch, _Text]]:
        waiting: list[Clip] = []
        notes = Printed()
        notes.say(*left_out(source, items))
        for item in items:
            try:
                found = read_clips(reader, source, item, options)
                notes.add(found)
                waiting += [fit_clip(model, c) for c in found]
            except NoSkeleton:
                continue
            except InputError as error:
                if not skip_bad:
                    raise
                print(f"left out: {error}", file=sys.stderr)
            while len(waiting) >= size:
                yield collate(waiting[:size], device), clip_text(waiting[:size])
                del waiting[:size]
        if waiting:
            yield collate(waiting, device), clip_text(waiting)

    return len(items), from_files()


def read_item(model: Model, source: Source, reader: Format, item: Item, options: Options) -> list[Clip]:
    """An item's clips, mapped onto the model's layout.

    Raises:
        InputError: it cannot be read, or does not fit the model.
        NoSkeleton: nobody is in it.
    """
    return [fit_clip(model, c) for c in read_clips(reader, source, item, options)]


def clip_text(clips: list[Clip]) -> _Text:
    """The text columns of clips."""
    return {"id": [c.name for c in clips]} | {k: [getattr(c, k) for c in clips] for k in _TEXT[1:]}

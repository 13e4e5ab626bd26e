"""The on-disk store: ragged clips in one memory-mapped Arrow file, as 16-bit integers.

One row a clip, nothing padded: a clip of one person and 40 frames takes 40 frames of one person.  Coordinates
are

    value = origin + q * step

with q an int16, origin one point a clip and step 1 mm (3D) or 0.1 px (2D), so at most 0.5 mm or 0.05 px is
lost; float16 would lose 0.5 px at 1,500 px.  Where a clip spans more than 65.5 m or 6,553 px its step grows,
to at most twice that (1 mm or 0.1 px lost); where it spans less than 100 steps (10 cm, 10 px) it holds
something else than metres or pixels, and its step is finer, so that at least 5,000 of them span it.
q = -32768 in all coordinates of a joint means that it is missing.
"""

from __future__ import annotations

from orvpe.data.store.reading import Store, is_store
from orvpe.data.store.writing import StoreWriter, write_store

__all__ = ["Store", "StoreWriter", "is_store", "write_store"]

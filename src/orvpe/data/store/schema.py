"""The columns of a store's file."""

from __future__ import annotations

import pyarrow as pa

VERSION = 2  # 1 has no seal
MAGIC = b"ARROW1"
TEXT = ("label", "subject", "camera", "split")  # what a clip may say of itself


def store_schema(dims: int, metadata: dict[str, str]) -> pa.Schema:
    columns: list[tuple[str, pa.DataType]] = [("name", pa.string())]
    columns += [(name, pa.string()) for name in TEXT]
    columns += [
        ("fps", pa.float32()), ("width", pa.int32()), ("height", pa.int32()),  # 0: unknown
        ("people", pa.int32()), ("frames", pa.int32()),
        ("step", pa.float64()), ("origin", pa.list_(pa.float64(), dims)),
        ("joints", pa.large_list(pa.int16())),  # M * T * V * C values, in that order
        ("crc32", pa.uint32()),  # of those values' bytes
    ]  # fmt: skip
    return pa.schema(columns, metadata=metadata)

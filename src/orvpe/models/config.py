"""Configuration of encoders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder to build.

    Args:
        name: "agcn", the paper's backbone, "light", several times cheaper, or one that the paper compares with:
            "stgcn", "msaagcn", "msg3d", "lstm", "unik", "ctrgcn".
        options: keyword arguments of the encoder's class.
    """

    name: str = "agcn"
    options: dict[str, Any] = field(default_factory=dict)

"""Encoders, one per file: they map joints and their visibility to a feature."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from orvpe.errors import InputError, unknown
from orvpe.models.encoders.agcn import AGCN
from orvpe.models.encoders.ctrgcn import CTRGCN
from orvpe.models.encoders.light import LightEncoder
from orvpe.models.encoders.lstm import LSTMEncoder
from orvpe.models.encoders.msaagcn import AAGCN
from orvpe.models.encoders.msg3d import MSG3D
from orvpe.models.encoders.stgcn import STGCN
from orvpe.models.encoders.tokens import TokenEncoder
from orvpe.models.encoders.unik import UNIK

ENCODERS: dict[str, type[nn.Module]] = {
    "agcn": AGCN,
    "light": LightEncoder,
    "tokens": TokenEncoder,
    # what the paper compares with, and two later ones (docs/concepts/encoders.md)
    "stgcn": STGCN,
    "msaagcn": AAGCN,
    "msg3d": MSG3D,
    "lstm": LSTMEncoder,
    "unik": UNIK,
    "ctrgcn": CTRGCN,
}


def build_encoder(name: str, **config: Any) -> nn.Module:
    """Build an encoder by name, with its constructor's arguments.

    Raises:
        InputError: unknown encoder or argument (nearest names suggested), or a value the encoder refuses.
    """
    if name not in ENCODERS:
        raise InputError(unknown("encoder", name, ENCODERS))
    known = inspect.signature(ENCODERS[name]).parameters
    for argument in config:
        if argument not in known:
            raise InputError(unknown("argument", argument, known, f"encoder {name!r}"))
        if "Sequence" in str(known[argument].annotation) and not isinstance(config[argument], (list, tuple)):
            raise InputError(f"encoder {name!r}: {argument} is {config[argument]!r}, expected a list of numbers")
    try:
        return ENCODERS[name](**config)
    except (TypeError, RuntimeError) as error:  # "width": "wide", say
        raise InputError(f"encoder {name!r} cannot be built with these options ({error})") from None

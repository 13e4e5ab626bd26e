"""The one stable import for your own encoders, readers, protocols and occlusions.

    from orvpe import extend

    extend.register_encoder("frames", FrameNet)

Registered names work like the built-in ones, in Python and on the command line. Names here are imported when first
used, so that a module with readers does not load torch. Examples: docs/guides/extending.md, examples/extend.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from orvpe.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from orvpe.data.formats.base import Item, Options
    from orvpe.data.formats.source import Source
    from orvpe.data.protocols.base import Info
    from orvpe.poses.clip import Clip
    from orvpe.runtime.draws import Draws
    from orvpe.views.batch import Batch

_NAMES = {
    "data.formats.base": "Format Item NoSkeleton Options by_suffix read_json",
    "data.formats.source": "Source stem",
    "data.protocols.base": "Info Protocol numbers parts",
    "errors": "InputError",
    "models.encoders.parts": "JointEncoder",
    "poses.clip": "Clip",
    "poses.skeleton": "Layout get_layout unified",
    "runtime.draws": "Draws",
    "views.batch": "Batch",
    "views.occlusion": "keep part_mask",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [*_HOME, "register_encoder", "register_occlusion", "register_protocol", "register_reader"]

_registered: set[tuple[str, str]] = set()


def register_encoder(name: str, encoder: type[nn.Module]) -> None:
    """Make an encoder available as ``--encoder.name NAME``.

    Args:
        name: lower-case letters, digits, ``_`` and ``-``.
        encoder: built with keyword arguments, among them ``in_channels`` and ``layout``; called with joints
            (N, C, T, V), zero where hidden, and visibility (N, T, V) bool; returns features (N, ``feature_dim``), where
            ``feature_dim`` is an attribute. People are folded into N.

    Raises:
        InputError: a built-in or odd name, or a class that lacks one of these arguments.
    """
    from orvpe.models.encoders import ENCODERS

    _check(name, "encoder", ENCODERS)
    known = inspect.signature(encoder).parameters
    if missing := [a for a in ("in_channels", "layout") if a not in known]:
        raise InputError(f"encoder {name!r}: {encoder.__name__} takes no {missing[0]}, expected in_channels and layout")
    ENCODERS[name] = encoder
    _registered.add(("encoder", name))


def register_reader(
    name: str,
    about: str,
    items: Callable[[Source], list[Item]],
    read: Callable[[Source, Item, Options], list[Clip]],
) -> None:
    """Make a reader of pose files available as ``--format NAME``; it is asked before the built-in ones.

    Args:
        name: as for `register_encoder`.
        about: one line for people.
        items: (source) -> what it would read there, each a tuple that starts with a file name; [] where there is
            nothing. It must be quick on 100,000 names.
        read: (source, item, options) -> clips, in any process. It raises `InputError` with file, value and what was
            expected, and `NoSkeleton` where nobody is seen.

    Raises:
        InputError: a built-in or odd name.
    """
    from orvpe.data.formats import FORMATS
    from orvpe.data.formats.base import Format

    _check(name, "reader", FORMATS)
    others = {key: value for key, value in FORMATS.items() if key != name}
    FORMATS.clear()
    FORMATS.update({name: Format(name, about, items, read), **others})
    _registered.add(("reader", name))


def register_protocol(
    name: str,
    about: str,
    split: Callable[[Info], np.ndarray],
    metric: str = "top1",
    classes: tuple[str, ...] | None = None,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Make a data set's split and metric available as ``-p NAME``.

    Args:
        name: as for `register_encoder`.
        about: one line for people.
        split: (info) -> (N,) text: "train", "val", "test", or "" for a clip that is not used. ``info`` has (N,) text of
            ``name``, ``label``, ``subject``, ``camera`` and ``split``, '' where unknown.
        metric: "top1", or "mean_class" for the mean of the classes' accuracies.
        classes: labels in the order of the scores; by default those of the training clips, sorted.
        titles: label -> its name in tables and figures.

    Raises:
        InputError: a built-in or odd name, or an unknown metric.
    """
    from orvpe.data.protocols import PROTOCOLS
    from orvpe.data.protocols.base import Protocol

    _check(name, "protocol", PROTOCOLS)
    if metric not in ("top1", "mean_class"):
        raise InputError(f"protocol {name!r}: metric is {metric!r}, expected 'top1' or 'mean_class'")
    PROTOCOLS[name] = Protocol(name, about, split, metric, classes, titles or {})
    _registered.add(("protocol", name))


def register_occlusion(
    name: str,
    pattern: Callable[[Batch, Draws, float], Batch],
    default: float,
    largest: float = 1.0,
    reads_coordinates: bool = False,
) -> None:
    """Make an occlusion available as ``NAME`` and ``NAME:VALUE``, in training and testing, alone or joined.

    Args:
        name: as for `register_encoder`.
        pattern: (batch, draws, value) -> a batch with fewer joints visible. It hides through `keep`, so that nothing
            can leak, and draws every random number from ``draws``.
        default: the value where none is given.
        largest: the largest value.
        reads_coordinates: whether it looks where joints are; it then comes after all patterns that do not, so that
            joints hidden by those have no influence on it.

    Raises:
        InputError: a built-in or odd name, or a default above the largest value.
    """
    from orvpe.poses.body_parts import PARTS
    from orvpe.views import occlusion

    _check(name, "occlusion", {"none": None, **PARTS, **occlusion.PATTERNS})
    if not 0 <= default <= largest:
        raise InputError(f"occlusion {name!r}: default is {default}, expected 0 to {largest}")
    occlusion.PATTERNS[name] = (pattern, default, largest)
    occlusion.READS_COORDINATES[:] = [n for n in occlusion.READS_COORDINATES if n != name]
    if reads_coordinates:
        occlusion.READS_COORDINATES.append(name)
    _registered.add(("occlusion", name))


def _check(name: str, kind: str, known: Mapping[str, object]) -> None:
    """Registering a name again replaces it, as in a notebook's cell that is run twice; built-in ones stay."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise InputError(f"{kind} {name!r}: expected lower-case letters, digits, _ and -, a letter first")
    if name in known and (kind, name) not in _registered:
        raise InputError(f"{kind} {name!r} is built in; choose another name")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'orvpe.extend' has no attribute {name!r}")
    value = getattr(import_module(f"orvpe.{_HOME[name]}"), name)
    globals()[name] = value
    return value

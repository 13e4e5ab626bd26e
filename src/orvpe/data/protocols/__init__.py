"""Data sets: which clips train, which test, and the number that counts.  One module a data set."""

from __future__ import annotations

from collections.abc import Iterable

from orvpe.data.protocols import generic, ntu, nucla, penn, smarthome
from orvpe.data.protocols.base import Info, Protocol
from orvpe.errors import InputError, unknown

__all__ = ["PROTOCOLS", "Info", "Protocol", "get_protocol"]

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        nucla.CV, nucla.CV_UNSEEN, penn.OFFICIAL, smarthome.CS, smarthome.CV1, smarthome.CV2,
        ntu.XSUB60, ntu.XVIEW60, ntu.XSUB120, ntu.XSET120,
    )
}  # fmt: skip


def get_protocol(spec: str) -> Protocol:
    """A protocol by name, or custom: ``split``, ``subject:3,5,9``, ``random:0.2`` (see `generic`).

    Raises:
        InputError: unknown name (nearest ones suggested), or a wrong text.
    """
    own = generic.parse(spec)
    if own is not None:
        return own
    if spec not in PROTOCOLS:
        known = [*PROTOCOLS, "split", "subject:...", "camera:...", "random:...", "fold:...", "all"]
        raise InputError(unknown("protocol", spec, known))
    return PROTOCOLS[spec]


def titles_for(labels: Iterable[str]) -> dict[str, str]:
    """Names of labels, where a data set's protocol has them all; else empty."""
    used = set(labels) - {""}
    for protocol in PROTOCOLS.values():
        if used and protocol.titles and used <= set(protocol.titles):
            return dict(protocol.titles)
    return {}

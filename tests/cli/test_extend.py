"""orvpe.extend: what registering checks; docs/guides/extending.md and examples/extend.py use the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from helpers.clips import batch, drawn
from helpers.small_runs import surroundings

from orvpe import extend
from orvpe.data.formats import FORMATS
from orvpe.data.protocols import PROTOCOLS
from orvpe.errors import InputError
from orvpe.models.encoders import ENCODERS
from orvpe.views import occlusion


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    tables = (ENCODERS, FORMATS, PROTOCOLS, occlusion.PATTERNS)
    kept, order = [dict(t) for t in tables], list(occlusion.READS_COORDINATES)  # type: ignore[call-overload]
    yield
    for table, old in zip(tables, kept, strict=True):
        table.clear()
        table.update(old)  # type: ignore[call-overload, arg-type]
    occlusion.READS_COORDINATES[:] = order


def test_every_name_is_there() -> None:
    for name in extend.__all__:
        assert getattr(extend, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'frob'"):
        _ = extend.frob  # type: ignore[attr-defined]


def test_readers_do_not_load_torch() -> None:
    code = (
        "import sys; from orvpe.extend import Clip, Options, Source, by_suffix, get_layout, register_reader; "
        "register_reader('mine', 'mine', lambda s: [], lambda s, i, o: []); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=surroundings(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_reader_is_asked_first_and_may_be_registered_again() -> None:
    for about in ("one", "two"):
        extend.register_reader("mine", about, lambda source: [], lambda source, item, options: [])
    assert next(iter(FORMATS)) == "mine"
    assert FORMATS["mine"].about == "two"


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="encoder 'agcn' is built in"):
        extend.register_encoder("agcn", torch.nn.Linear)
    with pytest.raises(InputError, match="Linear takes no in_channels"):
        extend.register_encoder("mine", torch.nn.Linear)
    with pytest.raises(InputError, match="reader 'ntu' is built in"):
        extend.register_reader("ntu", "", lambda source: [], lambda source, item, options: [])
    with pytest.raises(InputError, match="metric is 'f1', expected 'top1' or 'mean_class'"):
        extend.register_protocol("mine", "", lambda info: info["split"], metric="f1")
    with pytest.raises(InputError, match="occlusion 'upper' is built in"):
        extend.register_occlusion("upper", lambda b, d, v: b, 0.5)
    with pytest.raises(InputError, match="default is 2, expected 0 to 1"):
        extend.register_occlusion("mine", lambda b, d, v: b, 2, 1)
    for name in ("a+b", "a:b", "A", "", "a/b"):
        with pytest.raises(InputError, match="expected lower-case letters"):
            extend.register_occlusion(name, lambda b, d, v: b, 0.5)


def test_what_reads_coordinates_comes_last() -> None:
    seen = []

    def look(raw: extend.Batch, draws: extend.Draws, value: float) -> extend.Batch:
        seen.append(int(raw.visible.sum()))
        return raw

    extend.register_occlusion("look", look, 0.5, reads_coordinates=True)
    raw = batch()
    hidden = int(occlusion.corruption("upper")(raw, drawn(4)).visible.sum())
    occlusion.corruption("look+upper")(raw, drawn(4))
    assert seen == [hidden]

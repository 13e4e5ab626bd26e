"""Many numbers at once against ``float()``, bit for bit."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orvpe.data.formats.numbers import floats


def parse(tokens: list[bytes], before: bytes = b"", between: bytes = b" ") -> np.ndarray:
    ends = np.cumsum([len(t) + len(between) for t in tokens]) - len(between) + len(before)
    starts = ends - [len(t) for t in tokens]
    return floats(before + between.join(tokens), starts, ends)


def bits(values: np.ndarray | list[float]) -> list[bytes]:
    return [struct.pack("<d", v) for v in values]


digits = st.text("0123456789", max_size=18)
plain = st.builds(
    lambda s, a, p, b: s + a + p + b,
    st.sampled_from(["", "-", "+"]),
    digits,
    st.sampled_from(".") | st.just(""),
    digits,
)
exponents = st.builds(lambda x, e: f"{x}e{e}", st.integers(-(10**17), 10**17), st.integers(-330, 310))
printed = st.builds(lambda x, n: f"{x:.{n}g}", st.floats(), st.integers(1, 17))
fixed = st.builds(lambda x, n: f"{x:.{n}f}", st.floats(-1e12, 1e12), st.integers(0, 12))
odd = st.sampled_from(
    ["nan", "-NaN", "Infinity", "-inf", "1_000", "0", "-0", "+.0", "-0.", "9007199254740993", "00000000000000001"]
)
numbers = st.one_of(printed, plain, fixed, exponents, odd)


def is_number(text: str) -> bool:
    try:
        float(text.encode())
    except ValueError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(tokens=st.lists(numbers.filter(is_number), min_size=1, max_size=30), before=st.binary(max_size=20))
@example(tokens=["9007199254740992", "9007199254740993", "900719925474099.3", "0.000000000000001"], before=b"")
@example(
    tokens=["-0.02764709", "1234567890123456", ".123456789012345", "12345678.9012345", "1234567.89012345"], before=b""
)
def test_every_bit_is_that_of_float(tokens: list[str], before: bytes) -> None:
    encoded = [t.encode() for t in tokens]
    found, wanted = parse(encoded, before), [float(t) for t in encoded]
    nan = np.isnan(wanted)
    assert (np.isnan(found) == nan).all()
    assert bits(found[~nan]) == bits([w for w, n in zip(wanted, nan, strict=True) if not n])


def test_many_numbers_as_data_sets_print_them() -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(size=20_000) * 10.0 ** rng.integers(-6, 7, 20_000), np.arange(-500, 500)])
    for form in ("{:.7g}", "{:.9f}", "{:.3f}", "{:.15g}", "{:+.4f}", "{!r}"):
        tokens = [form.format(float(v)).encode() for v in values]
        assert bits(parse(tokens)) == bits([float(t) for t in tokens]), form


@settings(max_examples=400, deadline=None)
@given(token=st.one_of(plain.map(str.encode), st.binary(max_size=18).filter(lambda b: not any(c <= 32 for c in b))))
@example(token=b"")
@example(token=b".")
@example(token=b"-")
@example(token=b"--1")
@example(token=b"1.2.3")
@example(token=b"1234567.8.1234567")
@example(token=b"1.345678.12345678")
@example(token=b"1-2")
@example(token=b"1:2")
@example(token=b"1/2")
@example(token=b"\xb0")
def test_what_float_refuses_is_refused(token: bytes) -> None:
    try:
        wanted = float(token)
    except ValueError:
        with pytest.raises(ValueError, match="float"):
            parse([b"1.5", token, b"2"])
    else:
        found = parse([b"1.5", token, b"2"])
        assert np.isnan(wanted) or bits(found) == bits([1.5, wanted, 2.0])


def test_nothing_is_no_number() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert floats(b"", nothing, nothing).shape == (0,)

"""Plain data comes back as it went in; everything else is refused before it can act."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.formats import safe_pickle
from orvpe.errors import InputError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers() | st.text(), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_survives(data: object, protocol: int) -> None:
    assert safe_pickle.load(pickle.dumps(data, protocol=protocol), "x.pkl") == data


ARRAYS = [
    np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    np.asfortranarray(np.random.default_rng(0).normal(size=(3, 5))),
    np.arange(6, dtype=">i4").reshape(2, 3),
    np.array([True, False]),
    np.array(["left", "right_wrist"]),
    np.array(3.5),
    np.zeros((0, 17, 2), dtype=np.float32),
    np.arange(10)[::2],
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("old", [False, True], ids=["numpy2", "numpy1"])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: str(a.dtype) + str(a.shape))
def test_arrays_of_every_numpy_survive(array: np.ndarray, protocol: int, old: bool) -> None:
    data = pickle.dumps({"a": array, "s": array.ravel()[:1].sum() if array.dtype.kind != "U" else 1}, protocol)
    if old and protocol < 4:  # protocol 4 states the length of a name
        data = data.replace(b"numpy._core", b"numpy.core")
    found = safe_pickle.load(data, "x.pkl")
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].dtype.newbyteorder("=") == array.dtype.newbyteorder("=")  # numpy itself makes it native


def test_arrays_of_objects_and_scalars_survive() -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[1, 2], "x"]
    data = {"o": ragged, "f": np.float32(1.5), "i": np.int64(-3), "d": collections.OrderedDict(a=1)}
    found = safe_pickle.load(pickle.dumps(data), "x.pkl")
    assert list(found["o"]) == [[1, 2], "x"]
    assert (found["f"], found["i"], found["d"]) == (1.5, -3, {"a": 1})


class Calls:
    """A pickle of this calls ``function`` when it is loaded."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.reduced


def refused(data: bytes, says: str) -> None:
    with pytest.raises(InputError) as error:
        safe_pickle.load(data, "evil.pkl")
    assert str(error.value).startswith("evil.pkl: refused")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    for call, name in (
        (Calls(os.system, f"echo > {made}"), "system"),
        (Calls(eval, f"open({str(made)!r}, 'w')"), "eval"),
        (Calls(exec, "1"), "exec"),
        (Calls(getattr, {}, "clear"), "getattr"),
        (Calls(open, str(made), "w"), "open"),
        (Calls(np.fromfile, str(made)), "fromfile"),
        (Calls(np.load, str(made), None, True), "load"),
        (Calls(Path, "x"), "Path"),
    ):
        for data in (call, [1, {"annotations": [call]}], np.array([call, None], dtype=object)):
            refused(pickle.dumps(data, protocol), name)
    assert not made.exists()


def test_dotted_and_disguised_names_are_refused() -> None:
    refused(b"cos\nsystem\n(S'true'\ntR.", "os.system")
    refused(b"cnumpy\nos.system\n(S'true'\ntR.", "numpy.os.system")  # Python 2's protocol
    refused(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "ndarray.tofile")
    refused(b"c_codecs\nencode\n(V\nS'zlib'\ntR.", "codec")
    refused(b"cnumpy\nndarray\n((I9\ntS'O'\ntR.", "numpy.ndarray")
    refused(b"Pelsewhere\n.", "PERSID")


def test_crafted_arrays_are_refused() -> None:
    """States that would make numpy itself read or write where it must not."""
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    plain = b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"
    fields = b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR"
    named = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'|'\nN(S'a'\nt(dS'a'\nNsI8\nI1\nI0\ntb"
    refused(start + b"(I1\n(I5\nt" + plain % b"O" + b"I00\n(lNatb.", "objects")  # a list of 1 for 5 objects
    refused(start + b"(I1\n(I1\nt" + plain % b"O" + b"I00\nS'12345678'\ntb.", "objects")  # a forged pointer
    refused(start + b"(I1\n(I1\nt" + fields + b"I00\nS'12345678'\ntb.", "dtype")
    refused(start + b"(I1\n(I1\nt" + named + b"I00\nS'12345678'\ntb.", "structured")
    refused(start + b"(I1\n(I-1\nt" + plain % b"f8" + b"I00\nS''\ntb.", "shape")
    with pytest.raises(InputError, match=r"8 bytes, not 8000000000"):
        safe_pickle.load(start + b"(I1\n(I1000000000\nt" + plain % b"f8" + b"I00\nS'12345678'\ntb.", "x")


def test_structured_dtypes_are_refused() -> None:
    refused(pickle.dumps(np.zeros(2, dtype=[("x", "f4"), ("o", "O")])), "dtype")


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_damaged_pickle_is_one_line(protocol: int) -> None:
    data = pickle.dumps({"annotations": [{"keypoint": np.ones((1, 4, 17, 2)), "label": 3}]}, protocol)
    for stop in range(0, len(data) - 1, 7):
        with pytest.raises(InputError) as error:
            safe_pickle.load(data[:stop], "cut.pkl")
        assert str(error.value).startswith("cut.pkl: ")
        assert "\n" not in str(error.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_data_or_input_error(data: bytes) -> None:
    with contextlib.suppress(InputError):  # no other exception
        safe_pickle.load(data, "noise")

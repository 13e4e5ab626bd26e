"""A function's arguments from its signature: flat groups, dotted dataclasses, values of their types."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest

from orvpe.cli.commands import COMMANDS, function_of
from orvpe.errors import InputError
from orvpe.runtime.plain import Text
from orvpe.runtime.typed import Group, arguments_of, converted, documented, filled, flat_arguments, flat_values


@dataclass(frozen=True)
class Inner:
    """Inner.

    Args:
        deep, deeper: two of them.
    """

    deep: int = 1
    deeper: float | None = None


@dataclass(frozen=True)
class Outer:
    """Outer.

    Args:
        inner: more.
        names: several.
    """

    inner: Inner = Inner()
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shared(Group):
    """What is shared.

    Args:
        speed: how fast,
            on two lines.
        colour: of it.
    """

    speed: float = 1.0
    colour: str = "red"

    def __post_init__(self) -> None:
        if self.speed < 0:
            raise InputError(f"speed is {self.speed:g}, expected at least 0")


@flat_arguments
def job(
    where: str, shared: Shared = Shared(colour="blue"), out: Outer = Outer(), size: tuple[int, int] | None = None
) -> Any:
    """Do it.

    Args:
        where: the place.
        shared: not seen.
        out: of it.
        size: width and height.
    """
    return where, shared, out, size


def test_names_defaults_and_texts() -> None:
    known = arguments_of(job)
    assert list(known) == ["where", "out.inner.deep", "out.inner.deeper", "out.names", "size", "speed", "colour"]
    assert (known["colour"].default, known["speed"].about) == ("blue", "how fast, on two lines.")
    assert known["out.inner.deeper"].about == "two of them."
    assert (known["speed"].heading, known["where"].heading, known["out.names"].heading) == (
        "What is shared", "", "of it.",
    )  # fmt: skip


def test_python_callers_give_the_fields_of_groups() -> None:
    assert job("x", speed=2.0) == ("x", Shared(2.0, "blue"), Outer(), None)
    assert job("x", shared=Shared(3.0), colour="green")[1] == Shared(3.0, "green")
    assert list(inspect.signature(job).parameters) == ["where", "out", "size", "speed", "colour"]
    with pytest.raises(TypeError, match="spede"):
        job("x", spede=2.0)
    with pytest.raises(InputError, match="speed is -1"):
        job("x", speed=-1.0)


def test_filling_in_and_back() -> None:
    values = {"where": "x", "out.inner.deep": 5, "colour": "green"}
    called = filled(job, values)
    assert job(**called) == ("x", Shared(1.0, "green"), Outer(Inner(5)), None)
    assert flat_values(job, called) == {**{n: a.default for n, a in arguments_of(job).items()}, **values}


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("size", ["640x480"], (640, 480)),
        ("size", [Text("640"), Text("480")], (640, 480)),
        ("size", "null", None),
        ("out.inner.deep", Text("12", bare=False), 12),
        ("out.inner.deeper", "1e-3", 0.001),
        ("out.inner.deeper", Text("~"), None),
        ("out.names", ["[a, 'b c']"], ["a", "b c"]),
        ("out.names", ["1", "null"], ["1", "null"]),
        ("colour", Text("12"), "12"),
    ],
)
def test_values(name: str, raw: Any, value: Any) -> None:
    assert converted(arguments_of(job)[name], raw) == value


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("out.inner.deep", "9" * 5000),
        ("out.inner.deep", "9223372036854775808"),
        ("out.inner.deep", "1_000"),
        ("out.inner.deep", "١٢"),  # Arabic digits, which int() reads
        ("out.inner.deep", "2.0"),
        ("speed", "inf"),
        ("speed", "1e999"),
        ("speed", "nan"),
        ("speed", {"a": 1}),
        ("colour", [Text("a")]),
        ("colour", Text("null")),
        ("out.names", Text("a")),
        ("size", ["640x480x3"]),
    ],
)
def test_other_values_are_refused_in_a_line(name: str, raw: Any) -> None:
    with pytest.raises(InputError, match=r"^(--)?[\w.]+ is ") as told:
        converted(arguments_of(job)[name], raw)
    assert len(str(told.value)) < 200
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_of_every_command_is_documented_and_known(command: str) -> None:
    function = function_of(command)
    known = arguments_of(function)
    assert [name for name, argument in known.items() if not argument.about] == []
    flat = [name for name in known if "." not in name]
    seen = [n for n, p in inspect.signature(function).parameters.items()]
    assert {*flat} <= {*seen}
    own = inspect.signature(inspect.unwrap(function)).parameters
    assert set(documented(function)) == set(own)

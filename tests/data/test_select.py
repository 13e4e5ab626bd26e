"""Part of a store as a store: which clips, under which labels, and their joints untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.small_runs import make_store
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.cli.main import main
from orvpe.data.relabel import read_classes, relabel
from orvpe.data.select import at_most, select
from orvpe.data.store import Store
from orvpe.errors import InputError


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    """50 clips of ten labels."""
    return make_store(tmp_path_factory.mktemp("select") / "clips.orvpe", count=50)


def counts(labels: np.ndarray) -> dict[str, int]:
    return {str(k): int(v) for k, v in zip(*np.unique(labels, return_counts=True), strict=True)}


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "classes.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def same_clip(a: Store, i: int, b: Store, j: int) -> bool:
    """Names, times and the stored integers themselves."""
    one, two = (s.table.slice(k, 1).drop_columns(["label"]) for s, k in ((a, i), (b, j)))
    return one.equals(two)


# --- classes ------------------------------------------------------------------------------------------------


def test_classes_of_ones_own(clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = Store.open(clips)
    before = counts(whole.labels)
    names = sorted(before)
    file = write(tmp_path, f'first: [{names[0]}, {names[1]}]\nthird one: "{names[2][:3]}*"\n')
    assert main(["select", clips, "-o", str(tmp_path / "part.orvpe"), "--classes", file]) == 0
    fits = [n for n in names if n.startswith(names[2][:3])]
    expected = {"first": before[names[0]] + before[names[1]], "third one": sum(before[n] for n in fits)}
    part = Store.open_whole(tmp_path / "part.orvpe")
    assert counts(part.labels) == expected
    printed = capsys.readouterr().out
    assert all(f"{n}  {c}" in printed for c, n in expected.items())
    assert f"{sum(expected.values())} of 50 clips" in printed
    place = {n: i for i, n in enumerate(whole.names.tolist())}
    for j, name in enumerate(part.names.tolist()):
        i = place[name]
        assert same_clip(whole, i, part, j)
        assert part.labels[j] == ("first" if whole.labels[i] in names[:2] else "third one")
    joints = [np.array_equal(whole.clip(place[n]).joints, part.clip(j).joints) for j, n in enumerate(part.names)]
    assert all(joints)
    assert "classes of classes.yaml" in part.meta["selected"]


def test_a_scalar_is_a_label_as_it_is_written(tmp_path: Path) -> None:
    found = read_classes(write(tmp_path, "\ufeffyes: [1, 0x1F, null]\n12: off\n2020-01-01: [1.0]\n"))
    assert found == {"yes": ["1", "0x1F", "null"], "12": ["off"], "2020-01-01": ["1.0"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected lines like"),
        ("# nothing\n", "expected lines like"),
        ("- a\n- b\n", "expected lines like"),
        ("walk", "expected lines like"),
        ("a: [b\n", "not YAML"),
        ("a: [b]\n---\nc: [d]\n", "a second document"),
        (b"\xff\xfea", "not UTF-8"),
        ("&a b: &c [*c]\n", "an anchor or alias"),
        ("a: []\n", "'a' is [], expected a list of labels"),
        ("a:\n", "'a' is [''], expected a list of labels"),
        ("a: {b: c}\n", "expected a list of labels"),
        ("a: [[b]]\n", "expected a list of labels"),
        ('a: [""]\n', "expected a list of labels"),
        ('"": [b]\n', "a class without a name"),
        ("? [a, b]\n: [c]\n", "expected text"),
        ("a: [b]\nc: [d]\na: [e]\n", "line 3: 'a' stands there twice"),
    ],
)
def test_a_file_that_holds_no_classes(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        read_classes(write(tmp_path, text))
    said = str(told.value)
    assert message in said
    assert "classes.yaml" in said
    assert "\n" not in said


def test_files_that_are_not_there(clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("missing.yaml", "."):
        assert main(["select", clips, "-o", str(tmp_path / "x.orvpe"), "--classes", str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "classes" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [clap, zzz*]\n", "class 'a': unknown label 'zzz*'; known: "),
        ("a: [Clap]\n", "did you mean 'clap'"),
        ('a: [clap]\nb: ["c*"]\n', "label 'clap' is of two classes, 'a' and 'b'"),
    ],
)
def test_classes_that_do_not_fit(
    text: str, message: str, clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, text)
    assert main(["select", clips, "-o", str(tmp_path / "x.orvpe"), "--classes", file]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.yaml"]


def test_a_store_with_hundreds_of_labels_names_a_few() -> None:
    labels = np.array([f"take {i:03d}" for i in range(300)])
    with pytest.raises(InputError, match=r"unknown label 'zzz'; known: take 000.* and 288 more$"):
        relabel(labels, {"a": ["zzz"]})
    with pytest.raises(InputError, match="the store has none"):
        relabel(np.array(["", ""]), {"a": ["*"]})


def test_no_clip_of_a_class_among_the_chosen(tmp_path: Path) -> None:
    clips = make_store(tmp_path / "few.orvpe", count=15)  # the second subject does five of the ten actions
    whole = Store.open(clips)
    subject = str(whole.subjects[14])
    label = next(str(v) for v in whole.labels if v not in whole.labels[whole.subjects == subject])
    file = write(tmp_path, f"a: [{label}]\n")
    with pytest.raises(InputError, match=r"classes.yaml: none of the \d+ test clips of 'subject:.*' is of a class"):
        select(clips, str(tmp_path / "x.orvpe"), f"subject:{subject}", "test", classes=file)


def test_the_classes_are_not_written_over(clips: str, tmp_path: Path) -> None:
    file = write(tmp_path, "a: [clap]\n")
    with pytest.raises(InputError, match="is what would be read"):
        select(clips, file, classes=file, overwrite=True)
    assert Path(file).read_text() == "a: [clap]\n"


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz"), min_size=1))
@settings(max_examples=50, deadline=None)
def test_relabelling_is_a_lookup(wanted: dict[str, str]) -> None:
    classes: dict[str, list[str]] = {}
    for label, name in wanted.items():
        classes.setdefault(name, []).append(label)
    labels = np.array(list("abcdef") * 3 + [""], dtype=object)
    assert relabel(labels, classes).tolist() == [wanted.get(label, "") for label in labels.tolist()]


# --- at most ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 2**40),
    st.data(),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_at_most_so_many_of_every_label(labels: list[str], most: int, seed: int, data: st.DataObject) -> None:
    every = np.array(labels, dtype=object)
    chosen = np.array(sorted(data.draw(st.sets(st.integers(0, len(labels) - 1), min_size=1))))
    kept = at_most(every, chosen, most, np.random.default_rng(seed))
    assert (np.diff(kept) > 0).all()
    assert set(kept.tolist()) <= set(chosen.tolist())
    had = counts(every[chosen])
    assert counts(every[kept]) == {label: min(n, most) for label, n in had.items()}
    assert np.array_equal(kept, at_most(every, chosen, most, np.random.default_rng(seed)))


def test_most_is_drawn_from_the_seed(clips: str, tmp_path: Path) -> None:
    def names(out: str, *words: str) -> list[str]:
        assert main(["select", clips, "-o", str(tmp_path / out), "--most", "2", *words]) == 0
        return Store.open_whole(tmp_path / out).names.tolist()

    zero, again, other = names("a"), names("b", "--seed", "0"), names("c", "--seed", "1")
    assert zero == again
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert zero != other
    whole, part = Store.open(clips), Store.open(tmp_path / "a")
    place = {n: i for i, n in enumerate(whole.names.tolist())}
    assert all(same_clip(whole, place[n], part, j) for j, n in enumerate(zero))
    assert set(counts(part.labels).values()) == {2}


def test_most_counts_labels_of_the_store_not_classes(clips: str, tmp_path: Path) -> None:
    names = sorted(counts(Store.open(clips).labels))[:3]
    file = write(tmp_path, f"one: {names}\n")
    part = select(clips, str(tmp_path / "x.orvpe"), classes=file, most=2)
    assert counts(part.labels) == {"one": 6}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--most", "0"], "most is 0, expected at least 1"),
        (["--most", "-3"], "most is -3, expected at least 1"),
        (["--most", "2.5"], "--most is '2.5', expected a whole number"),
        (["--most", "nan"], "--most is 'nan', expected a whole number"),
        (["--most", "2", "--seed", "-1"], "seed is -1, expected at least 0"),
        (["--part", "all"], "unknown part 'all'"),
        (["-p", "nucla-cv", "--part", "val"], "finds no val clip"),
    ],
)
def test_bad_numbers(
    words: list[str], message: str, clips: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", clips, "-o", str(tmp_path / "x.orvpe"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []

"""An index of vectors: its search against brute force, and what adding and removing leave in it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orvpe
from orvpe.data.generated import write_generated
from orvpe.errors import InputError
from orvpe.vectors.search import Index
from orvpe.vectors.vector_index import Added

MADE_BY = {"name": "none", "feature_dim": 4}


def filled(folder: Path, count: int, dim: int = 4, seed: int = 0) -> tuple[Index, np.ndarray, dict[str, list[str]]]:
    """An index of several parts with rows of some labels and cameras."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    text = {c: [f"{c[0]}{i}" for i in rng.integers(0, 4, count)] for c in ("label", "subject", "camera")}
    made = Index.create(folder, {**MADE_BY, "feature_dim": dim})
    for cut in (slice(0, count // 2), slice(count // 2, count)):
        names = [f"c{i}" for i in range(count)[cut]]
        made.add(vectors[cut], names, "s", {c: v[cut] for c, v in text.items()})
    return made, vectors, text


# --- search against the plain thing -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    count=st.integers(1, 60),
    k=st.integers(1, 70),
    seed=st.integers(0, 9),
    replaced=st.integers(0, 10),
    chosen=st.dictionaries(
        st.sampled_from(["label", "subject", "camera"]), st.lists(st.integers(0, 3), min_size=1, max_size=3)
    ),
)
def test_filters_against_brute_force(
    tmp_path_factory: pytest.TempPathFactory, count: int, k: int, seed: int, replaced: int, chosen: dict[str, list[int]]
) -> None:
    made, vectors, text = filled(tmp_path_factory.mktemp("db") / "i", count, seed=seed)
    rng = np.random.default_rng(seed + 100)
    for i in rng.integers(0, count, replaced):  # the last word on a clip is what counts
        vectors[i] = rng.normal(size=4)
        made.add(vectors[[i]], [f"c{i}"], "s", {c: [v[i]] for c, v in text.items()})
    where = {
        c: known for c, v in chosen.items() if (known := [f"{c[0]}{i}" for i in v if f"{c[0]}{i}" in made.values(c)])
    }
    query = rng.normal(size=4)
    expected = []
    for i in range(count):
        if all(text[c][i] in wanted for c, wanted in where.items()):
            cosine = sum(float(a) * float(b) for a, b in zip(vectors[i], query, strict=True))
            expected.append((cosine / np.linalg.norm(vectors[i]) / np.linalg.norm(query), f"c{i}"))
    expected = sorted(expected, reverse=True)[:k]
    for opened in (made, Index.open(made.path)):
        assert len(opened) == count
        found = opened.search(query, k, where)
        np.testing.assert_allclose([h.similarity for h in found], [e[0] for e in expected], atol=1e-5)
        for hit in found:  # ties within rounding may come in either order
            assert text["label"][int(hit.name[1:])] == hit.label
        assert {h.name for h in found if h.similarity > expected[-1][0] + 1e-5} <= {name for _, name in expected}


def test_recall_of_the_search_is_whole(tmp_path: Path) -> None:
    made, vectors, _ = filled(tmp_path / "db", 3000, dim=32)
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    hits = 0
    for query in np.random.default_rng(1).normal(size=(20, 32)):
        exact = np.argsort(-(unit @ query))[:10]
        hits += len({f"c{i}" for i in exact} & {h.name for h in made.search(query, 10)})
    assert hits >= 0.99 * 200


# --- adding -------------------------------------------------------------------------------------------------


def test_added_once_replaced_and_removed(tmp_path: Path) -> None:
    made = Index.create(tmp_path / "db", MADE_BY)
    eye = np.eye(4, dtype=np.float32)
    assert made.add(eye, list("abcd"), "s") == Added(4, 0, 0)
    assert made.add(eye * 3, list("abcd"), "s") == Added(0, 0, 4)  # the same direction is the same vector
    assert made.add(eye[:1], ["a"], "other") == Added(1, 0, 0)  # another source's clip of that name
    assert made.add(eye[[1]], ["a"], "s") == Added(0, 1, 0)
    assert made.add(eye[[1]], ["a"], "s", {"label": ["wave"]}) == Added(0, 1, 0)  # its label changed
    other = Index.open(tmp_path / "db")
    assert len(other) == 5
    assert [(h.name, h.source, h.label) for h in other.search(eye[0], 1)] == [("a", "other", None)]
    assert {h.name for h in other.search(eye[1], 2)} == {"a", "b"}
    assert other.values("label") == ["wave"]
    assert other.remove("s", {("a", 0), ("b", 0)}) == 2
    assert other.remove("s", {("a", 0), ("b", 0)}) == 0
    made.refresh()
    assert len(made) == 3
    assert made.remove("s") == 2
    assert [h.source for h in made.search(eye[1], 5)] == ["other"]


def test_clips_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    made = Index.create(tmp_path / "db", MADE_BY)
    eye = np.eye(4, dtype=np.float32)
    assert made.add(eye[:3], ["a", "b", "a"], "s") == Added(3, 0, 0)
    assert made.add(eye[[0, 1, 3]], ["a", "b", "a"], "s") == Added(0, 1, 2)
    assert [round(made.search(eye[i], 1)[0].similarity) for i in range(4)] == [1, 1, 0, 1]


def test_two_writers_at_a_time(tmp_path: Path) -> None:
    Index.create(tmp_path / "db", MADE_BY)

    def write(source: str) -> None:
        mine = Index.open(tmp_path / "db")
        for i in range(20):
            mine.add(np.eye(4, dtype=np.float32)[[i % 4]], [f"c{i % 15}"], source)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ["a", "b"]))
    found = Index.open(tmp_path / "db")
    assert len(found) == 30
    for source in ("a", "b"):
        assert {h.name for h in found.search(np.ones(4), 99, {"source": source})} == {f"c{i}" for i in range(15)}


def test_the_examples_of_the_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_generated("nucla.orvpe", count=30)
    orvpe.index("nucla.orvpe", "moves", weights="kinder-light-3d-joint")
    page = (Path(__file__).parents[2] / "docs" / "guides" / "search.md").read_text(encoding="utf-8")
    for code in (block.split("```")[0] for block in page.split("```python\n")[1:]):
        given: dict[str, Any] = {}
        exec(compile(code, "docs/guides/search.md", "exec"), given)
    assert {hit.camera for hit in given["hits"]} == {"v02", "v03"}
    assert len(Index.open("moves")) == 30  # two were added and removed again


def test_small_parts_are_merged_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orvpe.vectors.vector_index._MANY", 5)
    monkeypatch.setattr("orvpe.vectors.vector_index._SMALL", 8)
    made = Index.create(tmp_path / "db", MADE_BY)
    reader = Index.open(tmp_path / "db")
    rng = np.random.default_rng(0)
    truth: dict[str, np.ndarray] = {}
    large = {f"large{i}": rng.normal(size=4).astype(np.float32) for i in range(20)}
    made.add(np.stack(list(large.values())), list(large), "s")  # stays a part of its own, rows of it die
    truth |= large
    for i in range(60):
        name = f"large{i % 7}" if i % 3 == 0 else f"c{i % 25}"
        truth[name] = rng.normal(size=4).astype(np.float32)
        made.add(truth[name][None], [name], "s")
        if i % 10 == 9:
            assert made.remove("s", {(n, 0) for n in truth if n != name}) == 1
            del truth[name]
    assert len(list((tmp_path / "db").glob("part-*"))) < 12
    reader.refresh()
    for opened in (made, reader, Index.open(tmp_path / "db")):
        assert len(opened) == len(truth)
        for name, vector in truth.items():
            hit = opened.search(vector, 1)[0]
            assert (hit.name, round(hit.similarity, 5)) == (name, 1)


def test_a_merge_that_was_cut_off_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orvpe.vectors.vector_index._MANY", 4)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # as if it had died before
    made = Index.create(tmp_path / "db", MADE_BY)
    for i in range(9):
        made.add(np.eye(4, dtype=np.float32)[[i % 4]], [f"c{i}"], "s")
    assert len(list((tmp_path / "db").glob("part-*.arrow"))) > 9
    assert len(Index.open(tmp_path / "db")) == len(made) == 9


def test_bad_vectors_and_arguments(tmp_path: Path) -> None:
    made, *_ = filled(tmp_path / "db", 6)
    for vector, told in (
        (np.zeros(4), "zero or not finite"),
        (np.array([1, np.nan, 0, 0]), "zero or not finite"),
        (np.ones(5), r"shape \(5,\), this index holds vectors of 4 numbers"),
    ):
        with pytest.raises(InputError, match=told):
            made.search(vector)
        with pytest.raises(InputError, match=r"'x' is zero or not finite|have shape"):
            made.add(vector[None], ["x"], "s")
    with pytest.raises(InputError, match="k is 0, expected at least 1"):
        made.search(np.ones(4), 0)
    with pytest.raises(InputError, match="unknown filter 'lable'; did you mean 'label'"):
        made.search(np.ones(4), 1, {"lable": "l0"})
    with pytest.raises(InputError, match=r"split is None|none of its clips has a split"):
        made.search(np.ones(4), 1, {"split": "train"})
    assert len(made) == 6


def test_what_is_no_path_is_left_alone(tmp_path: Path) -> None:
    made = Index.create(tmp_path / "db", MADE_BY)
    made.add(np.eye(4, dtype=np.float32), list("abcd"), "my clips")
    (tmp_path / "db" / "sources.json").write_text("{")  # damaged: a help only
    assert Index.open(tmp_path / "db").values("source") == ["my clips"]
    assert Index.open(tmp_path / "db").remove("my clips") == 4


def test_no_flipped_bit_changes_an_answer(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(30, 8)).astype(np.float32)
    index = Index.create(tmp_path / "a", {**MADE_BY, "feature_dim": 8})
    index.add(vectors[:20], [f"c{i}" for i in range(20)], str(tmp_path / "s.orvpe"))
    index.add(vectors[15:], [f"c{i}" for i in range(15, 30)], str(tmp_path / "s.orvpe"))  # replaces some
    right = index.search(vectors[3], 30)
    assert len(right) == 30
    files = [p for p in (tmp_path / "a").iterdir() if p.stat().st_size]
    assert len(files) == 4
    refused = 0
    for _ in range(300):
        file = files[draw.integers(len(files))]
        good = file.read_bytes()
        bad = bytearray(good)
        bad[draw.integers(len(bad))] ^= 1 << draw.integers(8)
        file.write_bytes(bad)
        try:
            assert Index.open(tmp_path / "a").search(vectors[3], 30) == right
        except InputError:
            refused += 1
        file.write_bytes(good)
    assert refused > 150

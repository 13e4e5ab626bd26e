"""Score files, and their fusion whatever the order of clips and classes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from orvpe.errors import InputError
from orvpe.evaluation.fusion import fuse
from orvpe.evaluation.scores import Scores, fuse_scores, load_scores, probabilities


def scores(seed: int = 0, n: int = 7, k: int = 4, labels: bool = True) -> Scores:
    rng = np.random.default_rng(seed)
    names, classes = np.array([f"clip {i}" for i in range(n)]), np.array([f"c{i}" for i in range(k)])
    truth = classes[np.random.default_rng(1).integers(0, k, n)]
    return Scores(names, classes, rng.normal(size=(n, k)), truth if labels else np.full(n, ""))


def shuffled(s: Scores, seed: int = 5) -> Scores:
    rng = np.random.default_rng(seed)
    row, column = rng.permutation(len(s.names)), rng.permutation(len(s.classes))
    return Scores(s.names[row], s.classes[column], s.scores[row][:, column], s.labels[row])


@pytest.mark.parametrize("suffix", ["npz", "csv", "CSV"])
def test_files_come_back(tmp_path: Path, suffix: str) -> None:
    s = scores()
    s.save(tmp_path / f"s.{suffix}")
    got = load_scores(tmp_path / f"s.{suffix}")
    assert got.names.tolist() == s.names.tolist()
    assert got.classes.tolist() == s.classes.tolist()
    assert got.labels.tolist() == s.labels.tolist()
    np.testing.assert_allclose(got.scores, s.scores, rtol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [f"s.{suffix}"]  # nothing temporary left


def test_names_with_commas_and_objects(tmp_path: Path) -> None:
    s = scores(n=2)
    odd = Scores(np.array(['a,"b"', "ç\n"], dtype=object), s.classes.astype(object), s.scores, s.labels)
    for name in ("s.csv", "s.npz"):
        odd.save(tmp_path / name)
        assert load_scores(tmp_path / name).names.tolist() == odd.names.tolist()


def test_csv_from_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "rgb.csv"
    path.write_bytes(b"\xef\xbb\xbfwalk,name,jump\r\n1.5,x,-2\r\n0,y,3e1\r\n\r\n")  # as a spreadsheet writes it
    got = load_scores(path)
    assert got.names.tolist() == ["x", "y"]
    assert got.classes.tolist() == ["walk", "jump"]
    assert got.scores.tolist() == [[1.5, -2], [0, 30]]
    assert got.labels.tolist() == ["", ""]


def test_npz_from_elsewhere_needs_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "rgb.npz"
    np.savez(path, names=np.array(["x"]), classes=np.array([3, 5]), scores=np.array([[1, 2]], dtype=np.int8))
    got = load_scores(path)
    assert got.classes.tolist() == ["3", "5"]
    assert got.labels.tolist() == [""]


def softmax(row: np.ndarray) -> np.ndarray:
    return np.array([1 / sum(np.exp(b - a) for b in row) for a in row])


def test_probabilities() -> None:
    logits = scores().scores
    want = np.array([softmax(r) for r in logits])
    np.testing.assert_allclose(probabilities(logits), want)
    assert probabilities(want) is want  # such they are already
    assert np.isfinite(probabilities(np.array([[1e4, -1e4]]))).all()


@pytest.mark.parametrize("weights", [None, [1.0, 1.0], [3.0, 1.0], [0.0, 2.0]])
def test_fusion_against_a_loop(weights: list[float] | None) -> None:
    a, b = scores(0), scores(9)
    got = fuse_scores([a, shuffled(b)], weights)
    w = weights or [1.0, 1.0]
    for i in range(len(a.names)):
        want = (w[0] * softmax(a.scores[i]) + w[1] * softmax(b.scores[i])) / sum(w)
        np.testing.assert_allclose(got.scores[i], want)
    assert got.names.tolist() == a.names.tolist()
    assert got.classes.tolist() == a.classes.tolist()


def test_order_does_not_matter() -> None:
    a, b = scores(0), scores(9)
    one, other = fuse_scores([a, b]), fuse_scores([shuffled(a, 2), shuffled(b, 3)])
    row = {n: i for i, n in enumerate(other.names)}
    column = {c: i for i, c in enumerate(other.classes)}
    for i, name in enumerate(one.names):
        assert other.labels[row[name]] == one.labels[i]
        for k, c in enumerate(one.classes):
            assert other.scores[row[name], column[c]] == pytest.approx(one.scores[i, k])


def test_labels_come_from_whoever_has_them() -> None:
    a, b = scores(0, labels=False), shuffled(scores(9))
    assert fuse_scores([a, b]).labels.tolist() == scores(9).labels.tolist()


def test_the_job_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = scores(0, 50), shuffled(scores(9, 50))
    a.save(tmp_path / "a.npz")
    b.save(tmp_path / "b.csv")
    files = [str(tmp_path / "a.npz"), str(tmp_path / "b.csv")]
    got = fuse(files, [2.0, 1.0], str(tmp_path / "out.csv"))
    for file, s in zip(files, (a, b), strict=True):
        right = [s.classes[row.argmax()] == label for row, label in zip(s.scores, s.labels, strict=True)]
        assert got["files"][file] == pytest.approx(100 * np.mean(right))
    fused = load_scores(tmp_path / "out.csv")
    right = [fused.classes[row.argmax()] == label for row, label in zip(fused.scores, fused.labels, strict=True)]
    assert got["fused"]["top1"] == pytest.approx(100 * np.mean(right))
    assert "fused" in capsys.readouterr().out


def test_without_labels_no_accuracy(tmp_path: Path) -> None:
    files = []
    for i in range(2):
        files.append(str(tmp_path / f"{i}.npz"))
        scores(i, labels=False).save(files[-1])
    assert fuse(files)["fused"] is None


@pytest.mark.parametrize(
    ("weights", "found"),
    [([1.0], "expected 2 numbers"), ([-1.0, 1.0], "at least 0"), ([0.0, 0.0], "not all 0"),
     ([float("nan"), 1.0], "at least 0"), ([float("inf"), 1.0], "at least 0")],
)  # fmt: skip
def test_bad_weights(weights: list[float], found: str) -> None:
    with pytest.raises(InputError, match=found):
        fuse_scores([scores(0), scores(1)], weights)


def test_files_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match="at least 2 score files, got 1"):
        fuse_scores([scores()])
    with pytest.raises(InputError, match=r"clip 'clip 6' is not in all of them: in file 1, not in file 2 \("):
        fuse_scores([scores(), scores(n=6)])
    with pytest.raises(InputError, match="clip 'clip 6' is not in all of them: in file 3, not in file 1"):
        fuse_scores([scores(n=6), scores(n=6), scores()])
    with pytest.raises(InputError, match="class 'c3' is not in all"):
        fuse_scores([scores(), scores(k=3)])


def npz(path: Path, **arrays: np.ndarray) -> None:
    good = {"names": np.array(["x", "y"]), "classes": np.array(["a", "b"]), "scores": np.zeros((2, 2))}
    merged = {k: v for k, v in {**good, **arrays}.items() if v is not None}
    np.savez(path, **merged)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"scores": None}, "no 'scores'"),
        ({"scores": np.zeros((2, 3))}, r"shape \(2, 3\), expected \(2, 2\)"),
        ({"scores": np.array([[0, 1], [np.inf, 0]])}, "clip 'y' is not finite"),
        ({"scores": np.array([["a", "b"], ["c", "d"]])}, "not a readable npz"),
        ({"names": np.array(["x", "x"])}, "clip 'x' occurs twice"),
        ({"classes": np.array(["a", "a"])}, "a class occurs twice"),
        ({"labels": np.array(["a"])}, r"labels have shape \(1,\), expected \(2,\)"),
        ({"names": np.array(["x", 3], dtype=object)}, "not a readable npz"),  # would need pickle
        ({"names": np.zeros(0, str), "scores": np.zeros((0, 2))}, "0 clips and 2 classes"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict, found: str) -> None:
    npz(tmp_path / "s.npz", **arrays)
    with pytest.raises(InputError, match=found) as error:
        load_scores(tmp_path / "s.npz")
    assert "s.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_npz(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    scores().save(whole)
    data, array = whole.read_bytes(), tmp_path / "array.npy"
    np.save(array, np.zeros(3))
    bodies = [b"", data[: len(data) // 2], data[:-30], b"hello", array.read_bytes(), pickle.dumps({"names": 1})]
    bodies += [data[:60] + bytes(20) + data[80:]]
    for i, body in enumerate(bodies):
        path = tmp_path / f"{i}.npz"
        path.write_bytes(body)
        with pytest.raises(InputError, match=f"{i}.npz"):
            load_scores(path)
    with pytest.raises(InputError, match="no such file"):
        load_scores(tmp_path / "none.npz")
    with pytest.raises(InputError, match="score file"):
        load_scores(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "expected a header"),
        ("name,a\n", "at least one row"),
        ("clip,a\nx,1\n", "'name' column"),
        ("name,a,b\nx,1\n", "line 2 has 2 columns, the header 3"),
        ("name,a\nx,one\n", "not a number"),
        ("name,a\nx,nan\n", "not finite"),
        ("name,a\nx,1\nx,2\n", "clip 'x' occurs twice"),
        ("name,a,a\nx,1,2\n", "a class occurs twice"),
        ("name,label\nx,a\n", "1 clips and 0 classes"),
    ],
)
def test_bad_csv(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "s.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=found):
        load_scores(tmp_path / "s.csv")


def test_csv_of_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes("name,naïve\nx,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="not a readable CSV"):
        load_scores(tmp_path / "s.csv")
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(InputError, match="a folder"):
        load_scores(tmp_path / "dir.csv")


def test_a_label_that_two_files_tell_differently(tmp_path: Path) -> None:
    a = scores()
    other = Scores(a.names, a.classes, a.scores, np.roll(a.labels, 1))
    with pytest.raises(InputError, match=r"score files disagree: clip 'clip .*' is 'c.' in one, 'c.' in another"):
        fuse_scores([a, other])
    unknown = Scores(a.names, a.classes, a.scores, np.full(len(a.names), ""))
    assert fuse_scores([unknown, a]).labels.tolist() == a.labels.tolist()


@pytest.mark.parametrize("out", ["one.npz", "two.csv", "dir", "dir.npz", "sum", "sum.txt", "one.npz/sum.npz"])
def test_what_is_fused_is_not_written_over(out: str, tmp_path: Path) -> None:
    files = [str(tmp_path / "one.npz"), str(tmp_path / "two.csv")]
    for i, file in enumerate(files):
        scores(i).save(file)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir.npz").mkdir()
    before = {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(InputError, match=r"is what would be read|ends in \.npz or \.csv|is a file"):
        fuse(files, out=str(tmp_path / out))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_more_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder; the scores of a run are .*scores\.npz"):
        load_scores(tmp_path)
    (tmp_path / "s.txt").write_text("name,a\nx,1\n")
    with pytest.raises(InputError, match=r"expected an \.npz or a \.csv$"):
        load_scores(tmp_path / "s.txt")
    (tmp_path / "s.csv").write_text("name,name,a\nx,y,1\n")
    with pytest.raises(InputError, match="two columns 'name'"):
        load_scores(tmp_path / "s.csv")
    np.savez(tmp_path / "c.npz", names=["x"], classes=["a"], scores=[[1j]])
    with pytest.raises(InputError, match="complex"):
        load_scores(tmp_path / "c.npz")
    with pytest.raises(InputError, match="weights are"):
        fuse_scores([scores(), scores()], [1e308, 1e308])

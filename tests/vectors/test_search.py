"""The commands index and search: what is embedded, what is found, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW, make_store, orvpe, surroundings, write_nucla

import orvpe.vectors.index as indexing
from orvpe.cli.main import main
from orvpe.data.formats.base import Options
from orvpe.data.generated import generate
from orvpe.data.store import Store, write_store
from orvpe.errors import InputError
from orvpe.models.embed import embed_clips, embed_tokens, similarity
from orvpe.models.model import Model, load
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.vectors.index import index
from orvpe.vectors.search import Hit, Index, find_clip, search

torch.set_num_threads(1)


def make_model(folder: Path, seed: int = 0, dims: int = 3) -> str:
    torch.manual_seed(seed)
    Model(ENCODER, unified, dims, VIEW, ("linear", 8)).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("stores") / "s.orvpe", count=30)


@pytest.fixture(scope="module")
def db(weights: str, store: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("indices") / "db")
    report = index(store, path, weights, device="cpu")
    assert (report.added, report.clips) == (30, 30)
    return path


def test_indexing_again_embeds_nothing(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, db, clips = str(tmp_path / "s.orvpe"), str(tmp_path / "db"), list(generate(12))
    write_store(store, clips)
    index(store, db, weights, device="cpu")
    moved = clips[3].joints.copy()
    moved[..., 0] += np.linspace(0, 1, moved.shape[1])[:, None]
    clips[3] = clips[3].with_(joints=moved)
    clips[5] = clips[5].with_(label="something else")
    write_store(store, [c for i, c in enumerate(clips) if i != 7])
    report = index(store, db, device="cpu")  # the index knows its model
    assert (report.added, report.replaced, report.unchanged, report.removed, report.clips) == (0, 2, 9, 1, 11)
    assert Index.open(db).values("label").count("something else") == 1
    monkeypatch.setattr("orvpe.vectors.index.embed_batch", None)
    report = index(store, db, weights, device="cpu")
    assert (report.added, report.replaced, report.unchanged, report.removed) == (0, 0, 11, 0)


def test_an_interruption_loses_nothing_that_was_done(
    weights: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed, calls = indexing.embed_batch, []

    def stopping(*given: object) -> object:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return embed(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("orvpe.vectors.index.embed_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        index(store, str(tmp_path / "db"), weights, batch_size=4, device="cpu")
    assert len(Index.open(tmp_path / "db")) == 12
    report = index(store, str(tmp_path / "db"), weights, batch_size=4, device="cpu")
    assert (report.added, report.unchanged, report.clips) == (18, 12, 30)


def test_a_folder_and_its_bad_files(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nucla(tmp_path / "clips", 6)
    db = str(tmp_path / "db")
    report = index(str(tmp_path / "clips"), db, weights, device="cpu", batch_size=4)
    assert (report.added, report.clips) == (6, 6)
    names = Index.open(db).values("name")
    (tmp_path / "clips" / f"{names[0]}.json").unlink()
    (tmp_path / "clips" / "a01_s01_e09_v01.json").write_text('{"skeletons": 3}')
    with pytest.raises(InputError, match="a01_s01_e09_v01"):
        index(str(tmp_path / "clips"), db, weights, device="cpu")
    report = index(str(tmp_path / "clips"), db, weights, device="cpu", skip_bad=True)
    assert (report.added, report.unchanged, report.removed, len(report.left_out)) == (0, 5, 0, 1)
    (tmp_path / "clips" / "a01_s01_e09_v01.json").unlink()
    assert index(str(tmp_path / "clips"), db, weights, device="cpu").removed == 1
    # every way to name a clip finds the clip itself first
    name = names[2]
    for typed in (name, f"{tmp_path / 'clips'}:{name}", f"{tmp_path / 'clips'}:{name}.json",
                  str(tmp_path / "clips" / f"{name}.json")):  # fmt: skip
        hit = search(typed, db, k=1, device="cpu").hits[0]
        assert (hit.name, round(hit.similarity, 4), hit.source) == (name, 1, str((tmp_path / "clips").resolve()))
    for typed, told in (
        (str(tmp_path / "clips"), "holds 5 items; name one, as in .*clips:a"),
        (f"{tmp_path / 'clips'}:a01_s09", "unknown clip 'a01_s09' in"),
        ("a01_s09", "a01_s09: no such file; unknown clip"),
    ):
        with pytest.raises(InputError, match=told):
            search(typed, db, device="cpu")


def test_what_is_found_is_what_brute_force_finds(db: str, weights: str, store: str) -> None:
    clips = list(Store.open(store))
    model = load(weights)
    whole = embed_clips(model, clips)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    for occlusion in ("none", "upper", "joints:0.5"):
        query = embed_clips(model, [clips[4]], occlusion=occlusion, seed=3)[0]
        similar = whole @ (query / np.linalg.norm(query))
        report = search(f"{store}:{clips[4].name}", db, k=30, occlusion=occlusion, seed=3, device="cpu")
        found = {h.name: h.similarity for h in report.hits}
        np.testing.assert_allclose([found[c.name] for c in clips], similar, atol=1e-3)
    assert search(clips[4].name, db, k=30, device="cpu").hits[0].name == clips[4].name
    label = clips[4].label or ""
    hits = search(clips[4].name, db, k=30, label=[label], device="cpu").hits
    assert len(hits) == sum(c.label == label for c in clips)
    assert {h.label for h in hits} == {label}


def test_an_array_of_joints(db: str, store: str, tmp_path: Path) -> None:
    clip = Store.open(store).clip(2)
    np.save(tmp_path / "q.npy", np.where(clip.visible[..., None], clip.joints, np.nan))
    assert search(str(tmp_path / "q.npy"), db, joints="unified", device="cpu").hits[0].name == clip.name
    for array, told in (
        (clip.joints, "does not name its 17 joints; give their layout with --joints"),
        (clip.joints[..., 0], "expected .*people"),
        (np.array(["a"]), "expected numbers"),
    ):
        np.save(tmp_path / "q.npy", array)
        with pytest.raises(InputError, match=told):
            find_clip(str(tmp_path / "q.npy"), Options())
    np.save(tmp_path / "q.npy", clip.joints[:, :, :5])
    with pytest.raises(InputError, match="5 joints a person, but layout 'unified'"):
        find_clip(str(tmp_path / "q.npy"), Options(layout=unified))
    np.save(tmp_path / "q.npy", clip.joints[..., :2])
    with pytest.raises(InputError, match="clip 'q' is 2D, the model reads 3D joints"):
        search(str(tmp_path / "q.npy"), db, joints="unified", device="cpu")
    (tmp_path / "q.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="not a readable npy"):
        find_clip(str(tmp_path / "q.npy"), Options(layout=LAYOUTS["coco"]))


def test_another_model_is_refused(db: str, weights: str, store: str, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=1)
    for refused in (
        lambda: index(store, db, other, device="cpu"),
        lambda: search(Store.open(store).names[0], db, other, device="cpu"),
    ):
        with pytest.raises(InputError, match=r"holds vectors of model 'mine', not of this 'other' .*weights differ"):
            refused()
    card = json.loads((Path(weights) / "card.json").read_text())
    shutil.copytree(weights, tmp_path / "edited")
    card["view"]["tau"] = 12
    (tmp_path / "edited" / "card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="its view differs"):
        index(store, db, str(tmp_path / "edited"), device="cpu")
    shutil.copytree(weights, tmp_path / "moved")  # the same model by another name
    assert index(store, db, str(tmp_path / "moved"), device="cpu").unchanged == 30
    flat = make_store(tmp_path / "flat.orvpe", count=4, dims=2)
    with pytest.raises(InputError, match="reads 3D joints, the store holds 2D"):
        index(flat, db, weights, device="cpu")
    with pytest.raises(InputError, match="is 2D, the model reads 3D"):
        search(f"{flat}:{Store.open(flat).names[0]}", db, device="cpu")
    with pytest.raises(InputError, match=r"coordinates a joint: 3, not 2|its weights differ"):
        index(flat, db, make_model(tmp_path / "two", dims=2), device="cpu")


def test_store_model_and_index_are_moved_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "else" / "where"
    (old / "data").mkdir(parents=True)
    weights = make_model(old / "model")
    sources = [make_store(old / "data" / "s.orvpe", count=8), str(old / "clips")]
    write_nucla(old / "clips", 3)
    far = make_store(tmp_path / "far.orvpe", count=4)
    for source in (*sources, far):
        index(source, str(old / "db"), weights, device="cpu")
    new.parent.mkdir()
    old.rename(new)
    monkeypatch.setattr("orvpe.vectors.index.embed_batch", None)
    for source, count in (("data/s.orvpe", 8), ("clips", 3)):
        report = index(str(new / source), str(new / "db"), device="cpu")  # nor has the model to be named
        assert (report.added, report.unchanged, report.removed, report.clips) == (0, count, 0, 15)
    assert index(far, str(new / "db"), device="cpu").unchanged == 4
    opened = Index.open(new / "db")
    assert opened.values("source") == sorted([str(new / "data" / "s.orvpe"), str(new / "clips"), far])
    name = next(iter((new / "clips").iterdir())).stem
    monkeypatch.undo()
    hit = search(name, str(new / "db"), k=1, occlusion="upper", device="cpu").hits[0]  # reads the clip where it is now
    assert hit.source in opened.values("source")
    assert search(name, str(new / "db"), k=1, device="cpu").hits[0].source == str(new / "clips")
    found = opened.search(np.ones(opened.dim), 20, {"source": str(new / "data" / "s.orvpe")})
    assert len(found) == 8
    write_store(new / "data" / "s.orvpe", list(Store.open(new / "data" / "s.orvpe"))[:5])
    report = index(str(new / "data" / "s.orvpe"), str(new / "db"), device="cpu")
    assert (report.unchanged + report.replaced, report.clips) == (5, 12)


def test_an_index_that_is_moved_alone_finds_its_store(weights: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    store = make_store(tmp_path / "a" / "s.orvpe", count=6)
    index(store, str(tmp_path / "a" / "db"), weights, device="cpu")
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "db").rename(tmp_path / "b" / "db")
    assert Index.open(tmp_path / "b" / "db").values("source") == [store]
    report = index(store, str(tmp_path / "b" / "db"), weights, device="cpu")
    assert (report.added, report.unchanged, report.clips) == (0, 6, 6)


def test_an_index_with_absolute_paths_is_read_and_added_to(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older orvpe made it."""
    store, db = make_store(tmp_path / "s.orvpe", count=6), str(tmp_path / "db")
    with monkeypatch.context() as patch:
        patch.setattr("orvpe.vectors.index_sources.Sources.stored", lambda _, source: source)
        index(store, db, weights, device="cpu")
    assert not (tmp_path / "db" / "sources.json").exists()
    assert index(store, db, weights, device="cpu").unchanged == 6
    made = list(Store.open(store))
    write_store(store, [made[0].with_(label="other"), *made[1:5]])
    report = index(store, db, weights, device="cpu")
    assert (report.added, report.replaced + report.unchanged, report.removed, report.clips) == (0, 5, 1, 5)
    assert 1 <= report.replaced < 5
    assert Index.open(db).values("source") == [store]


def test_a_model_that_went_away(store: str, tmp_path: Path) -> None:
    weights, db = make_model(tmp_path / "here"), str(tmp_path / "db")
    index(store, db, weights, device="cpu")
    Path(weights).rename(tmp_path / "there")
    name = str(Store.open(store).names[0])
    assert search(name, db, device="cpu").hits[0].name == name  # needs no model
    with pytest.raises(InputError, match=r"its model is not at .*here any more; give its path with -w"):
        search(name, db, occlusion="upper", device="cpu")
    assert search(name, db, str(tmp_path / "there"), occlusion="upper", device="cpu").occlusion == "upper"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search", "x", "-d", "nothing"], "nothing: no such index; make one with 'orvpe index"),
        (["search", "x", "-d", "STORE"], "not an index (no index.json in it)"),
        (["search", "NAME", "-d", "DB", "--label", "wav"], "unknown label 'wav' in"),
        (["search", "NAME", "-d", "DB", "--camera", "v9"], "unknown camera 'v9' in"),
        (["search", "NAME", "-d", "DB", "-k", "0"], "k is 0, expected at least 1"),
        (["search", "NAME", "-d", "DB", "--occlusion", "uper"], "did you mean 'upper'"),
        (["search", "STORE", "-d", "DB"], "holds 30 clips; name one, as in"),
        (["search", "STORE:no", "-d", "DB"], "unknown clip 'no' in"),
        (["search", "no", "-d", "DB"], "no: no such file; unknown clip 'no' in"),
        (["index", "STORE", "-o", "new"], "new: no such index yet; give the model that makes its vectors with -w"),
        (["index", "nothing", "-o", "DB"], "nothing: no such store, file or folder"),
        (["index", "STORE", "-w", "no", "-o", "new"], "no such folder, and no model of that name"),
        (["index", "STORE", "-w", "WEIGHTS", "-o", "STORE"], "is a file, expected the folder of an index"),
        (["index", "STORE", "-w", "WEIGHTS", "-o", "WEIGHTS"], "is not empty and no index"),
    ],
)
def test_wrong_words(
    words: list[str], told: str, db: str, store: str, weights: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    real = {"DB": db, "STORE": store, "NAME": str(Store.open(store).names[0]), "WEIGHTS": weights}
    assert main([real.get(w) or w.replace("STORE:", f"{store}:") for w in words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert told in err


def test_damaged_indices(db: str, tmp_path: Path) -> None:
    shutil.copytree(db, tmp_path / "a")
    part = next((tmp_path / "a").glob("part-*.arrow"))
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(InputError, match=r"damaged .*rebuild the index"):
        Index.open(tmp_path / "a")
    for text, told in (("{", "damaged"), ("[1]", "damaged"), ('{"orvpe_index": 9, "model": {"name": "", '
                       '"feature_dim": 4}}', "index version 9, this orvpe reads 2")):  # fmt: skip
        (tmp_path / "a" / "index.json").write_text(text)
        with pytest.raises(InputError, match=told):
            Index.open(tmp_path / "a")
    write_nucla(tmp_path / "clips", 2)
    with pytest.raises(InputError, match=r"is inside .* which would be read"):
        index(str(tmp_path / "clips"), str(tmp_path / "clips" / "db"), "no")


def test_as_typed(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With relative paths, the searches in processes of their own."""
    monkeypatch.chdir(tmp_path)
    make_store(Path("s.orvpe"), count=8)
    capsys.readouterr()
    assert main(["index", "s.orvpe", "-w", weights, "-o", "db", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("8 clips added, ")
    name = str(Store.open(tmp_path / "s.orvpe").names[0])
    found = orvpe("search", f"s.orvpe:{name}", "-d", "db", "-k", "3", "--json", "--occlusion", "lower", cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, "")
    hits = json.loads(found.stdout)["hits"]
    assert len(hits) == 3
    assert set(hits[0]) == set(Hit.__dataclass_fields__)
    # a clip that the index holds is found without torch, which takes seconds to import
    code = "import sys; from orvpe.cli.main import main; sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    words = [sys.executable, "-c", code, "search", name, "-d", "db", "-k", "3"]
    light = subprocess.run(words, capture_output=True, text=True, env=surroundings(), cwd=tmp_path)
    assert (light.returncode, light.stderr) == (0, "")
    first = light.stdout.splitlines()[2].split()
    assert (first[:2], first[-1]) == (["1.000", name], "s.orvpe")
    table = str(search(name, str(tmp_path / "db"), k=3))
    assert table.splitlines()[1].split() == ["similarity", "name", "label", "subject", "camera", "store"]
    assert table.splitlines()[2].split()[:2] == ["1.000", name]


def test_structured_embeddings_are_indexed_and_compared(store: str, tmp_path: Path) -> None:
    db = str(tmp_path / "db")
    index(store, db, "corpora-tokens-3d-joint", device="cpu")
    opened, names = Index.open(db), Store.open(store).names.tolist()
    assert opened.numbers == 17 * 8 * 6
    model = load("corpora-tokens-3d-joint")
    clips = [Store.open(store).clip(i) for i in range(30)]
    whole = embed_tokens(model, clips)
    right = 0
    for i in range(5):
        report = search(f"{store}:{names[i]}", db, occlusion="right", k=3, device="cpu")
        hidden = embed_tokens(model, clips[i : i + 1], occlusion="right")
        expected = similarity(model, hidden, whole)[0]
        assert [h.name for h in report.hits] == [names[j] for j in np.argsort(-expected, kind="stable")[:3]]
        assert abs(report.hits[0].similarity - expected.max()) < 2e-3  # tokens of an index are float16
        right += report.hits[0].name == names[i]
    assert right == 5
    own = search(names[0], db, k=1, device="cpu").hits[0]
    assert own.name == names[0]
    assert own.similarity > 0.999
    index(store, db, device="cpu")  # nothing new
    assert len(Index.open(db)) == 30


def test_only_a_structured_index_compares(db: str) -> None:
    vector = np.ones(Index.open(db).dim)
    with pytest.raises(InputError, match="holds no structured embeddings"):
        Index.open(db).search(vector, compare=lambda rows: rows[:, 0])

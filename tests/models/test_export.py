"""A model as ONNX: the same numbers as torch at any shape, nothing hidden is read, the file explains itself."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import make_store, orvpe
from torch import nn

from orvpe.cli.main import main
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.embed import embed_batch, embed_clips
from orvpe.models.export import PACKAGES, check, export, random_clips, session, to_onnx
from orvpe.models.model import Model, load
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, Layout, unified
from orvpe.views.batch import collate
from orvpe.views.resident import ResidentStore
from orvpe.views.view import ViewConfig

for package in PACKAGES:
    pytest.importorskip(package)
torch.set_num_threads(1)
SHAPES = [(1, 1, 1), (1, 2, 30), (4, 1, 9), (3, 3, 17)]
AGCN = EncoderConfig("agcn", {"width": [8, 16], "strides": [1, 2]})
LIGHT = EncoderConfig("light", {"width": [16], "strides": [1], "groups": 4})
MASKED = EncoderConfig("light", {**LIGHT.options, "mask_channel": True})
# Preprocessing is most of a graph and of the time to export it, so the configurations are few and cover all of it.
MODELS = {
    "3D as in the paper": (AGCN, ViewConfig(tau=12, crop="run", align=True, scale="body"), 3, unified, True),
    "2D image, another layout, bone motion, mask": (
        MASKED, ViewConfig(tau=8, crop="resample", stream="bone-motion"), 2, LAYOUTS["coco"], False
    ),
    "2D body, bone": (LIGHT, ViewConfig(tau=10, image="body", centre="clip", stream="bone"), 2, unified, False),
}  # fmt: skip


def build(
    encoder: EncoderConfig, view: ViewConfig, dims: int = 3, layout: Layout = unified, heads: bool = False
) -> Model:
    """A model with the statistics of a trained one; AGCN's own first values would silence it."""
    torch.manual_seed(0)
    model = Model(encoder, layout, dims, view, ("mlp", 6) if heads else None, ["sit", "wink é"] if heads else None)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for value in (module.weight.data, module.running_var):
                value.uniform_(0.5, 2)  # type: ignore[union-attr]
            for value in (module.bias.data, module.running_mean):
                value.normal_(0, 0.1)  # type: ignore[union-attr]
    return model.eval()


@pytest.mark.slow("exports AGCN and runs it at several shapes")
@pytest.mark.parametrize("name", MODELS)
def test_a_model(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, because an export takes seconds and pytest-xdist would repeat it."""
    build(*MODELS[name]).save(tmp_path / "model", about="A test.", data_terms="Nobody's data.")
    path = export(str(tmp_path / "model"), str(tmp_path / "model.onnx"))
    assert [p.name for p in tmp_path.iterdir() if p.name != "model"] == ["model.onnx"]
    model = load(tmp_path / "model")
    same_as_torch_at_any_shape(model, path)
    hidden_values_do_not_change_one_bit(model, path)
    the_file_explains_itself(model, path)
    if model.dims == 3:
        the_example_of_the_docs_runs(model, monkeypatch, tmp_path)


def as_clips(model: Model, given: dict[str, np.ndarray]) -> list[Clip]:
    """The same clips as a user of the library would have them, each of its own length; hidden clips are left out."""
    found = []
    for n, frames in enumerate(given["frames"]):
        size = tuple(int(s) for s in given["image_size"][n]) if "image_size" in given else (0, 0)
        joints = np.where(given["visible"][n, ..., None], given["joints"][n], np.nan)[:, :frames]
        found.append(Clip.from_array(joints, model.layout, image_size=size if all(size) else None))
    return found


def same_as_torch_at_any_shape(model: Model, path: Path) -> None:
    running = session(path)
    for seed, shape in enumerate(SHAPES):
        given = random_clips(model, shape, seed)
        given["visible"][-1, 0, 0, :4] = True  # somebody in every clip, which is what makes a Clip
        given["joints"][-1, 0, 0, :4] = np.random.default_rng(seed).normal(size=(4, model.dims))
        found = dict(zip([o.name for o in running.get_outputs()], running.run(None, given), strict=True))
        clips = as_clips(model, given)
        feature, embedding, _ = embed_batch(model, collate(clips))
        one_by_one = np.concatenate([embed_clips(model, [c]) for c in clips])  # no padding at all
        limit = {"rtol": 1e-4, "atol": 1e-4 * max(1, np.abs(feature).max())}
        assert np.ptp(feature) > 0.01
        np.testing.assert_allclose(found["feature"], feature, **limit)
        np.testing.assert_allclose(found["feature"], one_by_one, **limit)
        assert ("embedding" in found) == (embedding is not None) == (model.head is not None) == ("scores" in found)
        if embedding is not None and model.head is not None:
            np.testing.assert_allclose(found["embedding"], embedding, atol=1e-4)
            with torch.no_grad():
                np.testing.assert_allclose(found["scores"], model.head(torch.from_numpy(feature)).numpy(), **limit)


def hidden_values_do_not_change_one_bit(model: Model, path: Path) -> None:
    running = session(path)
    given = random_clips(model, (3, 2, 21), seed=5)
    before = running.run(None, given)
    for value in (0.0, -7.0, 1e38, np.inf, np.nan):
        joints = np.where(given["visible"][..., None], given["joints"], np.float32(value))
        for a, b in zip(before, running.run(None, {**given, "joints": joints}), strict=True):
            assert a.tobytes() == b.tobytes()
    # beyond a clip's length nothing is visible, whatever the mask says; NaN is missing, whatever the mask says
    said = given["visible"] | (np.arange(21) >= given["frames"][:, None])[:, None, :, None]
    filled = np.where(said[..., None] & ~given["visible"][..., None], np.float32(3.0), given["joints"])
    for joints, visible in ((filled, said), (given["joints"], np.ones_like(said))):
        for a, b in zip(before, running.run(None, {**given, "joints": joints, "visible": visible}), strict=True):
            assert a.tobytes() == b.tobytes()
    # and what is seen does matter
    moved = running.run(None, {**given, "joints": given["joints"] * np.linspace(1, 2, 21)[:, None, None].astype("f4")})
    assert not np.array_equal(before[0], moved[0])


def the_file_explains_itself(model: Model, path: Path) -> None:
    import onnx

    told = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert json.loads(told["joints"]) == list(model.layout.joints)
    assert json.loads(told["layout"]) == model.layout.to_dict()
    assert (told["dims"], told["tau"], told["stream"]) == (str(model.dims), str(model.view.tau), model.view.stream)
    assert told["units"] == ("metres" if model.dims == 3 else "pixels")
    assert told["axes"].startswith("y up" if model.dims == 3 else "x right, y down")
    assert (told["about"], told["terms"], told["precision"]) == ("A test.", "Nobody's data.", "32")
    assert ("classes" in told) == (model.classes is not None)
    if model.classes is not None:
        assert json.loads(told["classes"]) == model.classes
    running = session(path)
    assert list(json.loads(told["inputs"])) == [i.name for i in running.get_inputs()]
    assert list(json.loads(told["outputs"])) == [o.name for o in running.get_outputs()]
    assert ("image_size" in told["inputs"]) == (model.dims == 2 and model.view.image == "image")
    assert running.get_inputs()[0].shape == ["clips", "people", "time", len(model.layout), model.dims]
    assert str(Path(__file__).parents[2]).encode() not in path.read_bytes()  # no stack traces


def the_example_of_the_docs_runs(model: Model, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "deploying.md").read_text(encoding="utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```$", page, flags=re.M | re.S)
    monkeypatch.chdir(folder)
    place: dict[str, Any] = {}
    exec(compile(code, "docs/guides/deploying.md", "exec"), place)
    clips = [Clip.from_array(c, unified) for c in place["clips"]]
    np.testing.assert_allclose(place["found"]["feature"], embed_clips(model, clips), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and stores."""
    folder = tmp_path_factory.mktemp("light")
    build(LIGHT, ViewConfig(tau=8), 2, heads=True).save(folder / "model")
    make_store(folder / "s.orvpe", count=20, dims=2)
    make_store(folder / "solid.orvpe", count=4)
    return folder


@cache
def graph_of(folder: Path) -> bytes:
    return to_onnx(load(folder / "model")).SerializeToString()


def test_half_precision_as_a_user_types_it(light: Path) -> None:
    import onnx

    done = orvpe("export", "model", "-o", "new/half.onnx", "--precision", "fp16", cwd=light)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "mean cosine distance" in done.stdout
    assert "MB -> new/half.onnx" in done.stdout
    kinds = {t.data_type for t in onnx.load(light / "new" / "half.onnx").graph.initializer if t.dims}
    assert onnx.TensorProto.FLOAT16 in kinds
    running = session(light / "new" / "half.onnx")
    assert {i.type for i in running.get_outputs()} == {"tensor(float)"}
    model = load(light / "model")
    given = random_clips(model, (2, 2, 30), seed=9)
    feature = embed_clips(model, as_clips(model, given))
    found = running.run(["feature"], given)[0]
    assert not np.array_equal(found, feature)
    np.testing.assert_allclose(found, feature, atol=5e-3 * np.abs(feature).max())


def test_int8(light: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    monkeypatch.setattr("orvpe.models.export.to_onnx", lambda *_: onnx.load_from_string(graph_of(light)))
    monkeypatch.chdir(light)
    assert main(["export", "model", "-o", "small.onnx", "--precision", "int8", "--calibrate", "s.orvpe"]) == 0
    printed = capsys.readouterr()
    assert "mean cosine distance" in printed.out
    assert printed.err == ""
    graph = onnx.load(light / "small.onnx").graph
    made_by = {o: n for n in graph.node for o in n.output}
    quantised = [made_by[n.input[0]].op_type == "DequantizeLinear" for n in graph.node if n.op_type == "Conv"]
    assert not quantised[0]  # it reads coordinates
    assert any(quantised)
    for node in graph.node:
        if not node.name.startswith("encoder/") and node.op_type in ("MatMul", "Gemm", "Mul", "Sub", "Div"):
            assert all(made_by[i].op_type != "DequantizeLinear" for i in node.input if i in made_by), node.name
    model, opened = load(light / "model"), Store.open(light / "s.orvpe")
    batch = ResidentStore(opened).batch(np.arange(len(opened)))
    given = {n: getattr(batch, n).numpy() for n in ("joints", "visible", "frames", "image_size")}
    found, feature = session(light / "small.onnx").run(["feature"], given)[0], embed_batch(model, batch)[0]
    cosine = (found * feature).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(feature, axis=1)
    assert cosine.mean() > 0.999
    assert not np.array_equal(found, feature)


def test_a_graph_that_differs_leaves_no_file(light: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import onnx

    def wrong(*_: object) -> onnx.ModelProto:
        made = onnx.load_from_string(graph_of(light))
        [bias] = [t for t in made.graph.initializer if list(t.dims) == [2] and t.data_type == onnx.TensorProto.FLOAT]
        value = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
        bias.CopyFrom(onnx.numpy_helper.from_array(value, bias.name))  # of the classifier, a little off
        return made

    monkeypatch.setattr("orvpe.models.export.to_onnx", wrong)
    (tmp_path / "old.onnx").write_bytes(b"precious")
    for name in ("old.onnx", "new.onnx"):
        with pytest.raises(InputError, match=r"self-check: largest difference to torch .*, expected at most 0\.0001"):
            export(str(light / "model"), str(tmp_path / name))
    assert [p.name for p in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_bytes() == b"precious"


def test_a_graph_that_reads_what_is_hidden_is_refused(light: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaky:
        def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.nan_to_num(given["joints"]).sum(axis=(1, 2, 3))]

    monkeypatch.setattr("orvpe.models.export.session", lambda path: Leaky())
    with pytest.raises(InputError, match="reads coordinates of hidden joints"):
        check(light / "any.onnx", load(light / "model"), "32", [])


BAD = {
    "model -o x.onnx --precision fp8": "unknown precision 'fp8'",
    "model -o x.onnx --precision int8": "needs --calibrate STORE",
    "model -o x.onnx --calibrate s.orvpe": "calibrate is for precision int8, not 32",
    "model -o x.onnx --precision int8 --calibrate solid.orvpe": "the store holds 3D",
    "model -o x.onnx --precision int8 --calibrate coco.orvpe": "the store holds 'coco'",
    "model -o x.onnx --precision int8 --calibrate none.orvpe": "none.orvpe",
    "model -o x.onnx --precision int8 --calibrate s.orvpe --calibration-clips 0": "calibration_clips is 0",
    "model -o model": "is a folder",
    "nowhere -o x.onnx": "no such folder",
    "model": "out",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input(
    words: str, light: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(light)
    if "coco" in words and not Path("coco.orvpe").exists():
        joints = 300 + 90 * np.random.default_rng(0).normal(size=(6, 17, 2))
        np.savez("coco.npz", joints=joints)
        assert (
            main(["ingest", "coco.npz", "-o", "coco.orvpe", "--joints", "coco", "--layout", "native", "--workers", "1"])
            == 0
        )
    capsys.readouterr()
    assert main(["export", *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("orvpe export: ")
    assert BAD[words] in err
    assert not Path("x.onnx").exists()
    assert not list(light.glob(".*.tmp*"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_missing_package_is_named(package: str, light: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import orvpe.models.export as module

    true = module.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == package else true(name))
    with pytest.raises(InputError, match=rf"package {package}, .* pip install 'orvpe\[onnx\]'"):
        export(str(light / "model"), str(light / "x.onnx"))

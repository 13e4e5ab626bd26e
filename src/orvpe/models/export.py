"""Export a model as one ONNX file that maps raw joints and a visibility mask to vectors, without torch or orvpe.

Cropping, normalisation, stream and mask handling are the library's own functions, traced; nothing is written twice.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from orvpe import __version__
from orvpe.data.store import Store
from orvpe.errors import InputError, unknown
from orvpe.models.card import read_card
from orvpe.models.embed import check_fits
from orvpe.models.model import Model, load, note_unfinished
from orvpe.runtime.files import whole_file
from orvpe.runtime.lock import alone_in
from orvpe.views.batch import Batch, batches, hide
from orvpe.views.resident import ResidentStore
from orvpe.views.view import fixed_view

if TYPE_CHECKING:
    import onnx
    import onnxruntime

PRECISIONS = ("32", "fp16", "int8")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# The largest difference to torch: for 32 of a value, as a share of the largest value (at least 1); for the others of
# a feature's direction, as 1 - cosine, in the mean over the clips, because single values may differ without harm.
TOLERANCE = {"32": 1e-4, "fp16": 1e-3, "int8": 5e-3}
_LEAST_CHANNELS = 16  # a convolution of fewer reads coordinates, which need more than 8 bits


class Graph(nn.Module):
    """The exported module: a model that starts from raw joints.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, joints: Tensor, visible: Tensor, frames: Tensor, image_size: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Vectors of clips; what is hidden, NaN or beyond a clip's length is not read.

        Args:
            joints: (N, M, T, V, C) float32, metres or pixels.
            visible: (N, M, T, V) bool.
            frames: (N,) int64 true lengths.
            image_size: (N, 2) float32, pixels, 0 where unknown.

        Returns:
            feature (N, 256), then embedding (N, 128) and scores (N, classes) where the model has them.
        """
        n, _, length = joints.shape[:3]
        frames = frames.clamp(min=1, max=length)
        inside = torch.arange(length, device=frames.device) < frames[:, None]  # (N, T)
        visible = visible & inside[:, None, :, None] & ~joints.isnan().any(dim=-1)
        if image_size is None:
            image_size = joints.new_zeros(n, 2)
        place = torch.arange(n, device=frames.device)
        batch = Batch(hide(joints, visible), visible, frames, image_size, self.model.layout, place)
        return outputs(self.model, self.model.features(fixed_view(batch, self.model.view, everyone=True)))


def outputs(model: Model, feature: Tensor) -> tuple[Tensor, ...]:
    """The feature and the outputs of the heads, in the order of `output_names`."""
    return feature, *(part(feature) for part in (model.projection, model.head) if part is not None)


def output_names(model: Model) -> list[str]:
    """Names of the graph's outputs."""
    parts = {"embedding": model.projection, "scores": model.head}
    return ["feature", *(name for name, part in parts.items() if part is not None)]


def input_names(model: Model) -> list[str]:
    """Names of the graph's inputs."""
    sized = model.dims == 2 and model.view.image == "image"
    return ["joints", "visible", "frames", *(["image_size"] if sized else [])]


class Half(nn.Module):
    """An encoder in half precision between float32 input and output."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder.half()

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """(P, C, T, V) -> (P, 256)."""
        return self.encoder(x.half(), visible).float()


@alone_in("out")
def export(
    weights: str,
    out: str,
    precision: str = "32",
    calibrate: str | None = None,
    calibration_clips: int = 200,
) -> Path:
    """Write a model as an ONNX file that takes raw joints and a visibility mask.

    The file says in its metadata what its inputs mean.  It is compared with torch before it gets its name.

    Args:
        weights: folder of the model.
        out: the file, by convention ending in .onnx.
        precision: 32, fp16 (the encoder's weights in half precision) or int8 (its weights quantised, needs calibrate).
        calibrate: for int8, a store with typical clips of the model's layout, which give the ranges of values.
        calibration_clips: use that many clips of it, evenly spaced.

    Returns:
        The ONNX file.

    Raises:
        InputError: a missing package, a model, store or value that does not fit, or a graph that differs from torch.
    """
    if precision not in PRECISIONS:
        raise InputError(unknown("precision", precision, PRECISIONS))
    if precision == "int8" and calibrate is None:
        raise InputError("precision int8 needs --calibrate STORE, a store with typical clips")
    if precision != "int8" and calibrate is not None:
        raise InputError(f"calibrate is for precision int8, not {precision}")
    if calibration_clips < 1:
        raise InputError(f"calibration_clips is {calibration_clips}, expected at least 1")
    target = Path(out)
    if target.is_dir():
        raise InputError(f"{out}: is a folder, expected the name of the ONNX file to write")
    for package in PACKAGES:
        if find_spec(package) is None:
            raise InputError(f"export needs the package {package}, which is not installed: pip install 'orvpe[onnx]'")
    model = load(weights)
    note_unfinished(model, weights)
    typical: list[dict[str, np.ndarray]] = []
    if calibrate is not None:
        store = Store.open(calibrate)
        check_fits(model, store, weights)
        typical = list(_typical(model, store, calibration_clips))
    made = to_onnx(model, precision)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as temporary:
        temporary.write_bytes(made.SerializeToString())
        if precision == "int8":
            quantise(temporary, typical)
        describe(temporary, model, read_card(weights), precision)
        found = check(temporary, model, precision, typical)
    print(f"{found}\n{target.stat().st_size / 1e6:.2f} MB -> {target}")
    return target


def to_onnx(model: Model, precision: str = "32") -> onnx.ModelProto:
    """The model as an ONNX graph with any number of clips, people and frames.

    Args:
        model: in evaluation mode.
        precision: 32 or fp16.
    """
    graph = Graph(copy.deepcopy(model).cpu()).eval().requires_grad_(False)
    if precision == "fp16":
        graph.model.encoder = Half(graph.model.encoder)
    clips, people, time = (torch.export.Dim(name) for name in ("clips", "people", "time"))
    sizes: dict[str, Any] = {
        "joints": {0: clips, 1: people, 2: time}, "visible": {0: clips, 1: people, 2: time},
        "frames": {0: clips}, "image_size": {0: clips},
    }  # fmt: skip
    names = input_names(model)
    example = random_clips(model, (3, 2, 5), seed=0)
    with _quiet():
        program = torch.onnx.export(
            graph,
            tuple(torch.from_numpy(example[n]) for n in names),
            input_names=names,
            output_names=output_names(model),
            dynamic_shapes={n: sizes.get(n) for n in names},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for i, node in enumerate(proto.graph.node):
        scopes = next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "")
        node.name = f"{'encoder' if 'model.encoder' in scopes else 'other'}/{node.op_type}_{i}"
        del node.metadata_props[:]  # stack traces, with the paths of this machine
        node.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:], proto.metadata_props[:]
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings about optional packages and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def quantise(path: Path, clips: list[dict[str, np.ndarray]]) -> None:
    """Quantise the encoder's convolutions of a float32 graph, in place: weights to int8, what they read to 16 bits.

    Products with a graph and convolutions that read coordinates stay float32: they are few of the weights and lose
    most of the accuracy (docs/guides/deploying.md has the numbers).

    Args:
        path: the ONNX file.
        clips: inputs of the graph, batch by batch, which give the ranges of activations.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(clips)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    graph = onnx.load(path).graph
    inputs = {t.name: t.dims[1] for t in graph.initializer if len(t.dims) == 4}  # of weights (outputs, inputs, K, 1)
    chosen = [
        n.name
        for n in graph.node
        if n.name.startswith("encoder/") and n.op_type == "Conv" and inputs.get(n.input[1], 0) >= _LEAST_CHANNELS
    ]
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it recommends a preparation that the exporter has done
    try:
        with np.errstate(invalid="ignore"):  # of an activation that is always zero
            quantize_static(
                path,
                path,
                Reader(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt16,  # with 8 bits the accuracy falls by 5 points, and it was no quicker
                weight_type=QuantType.QInt8,
                per_channel=True,
                nodes_to_quantize=chosen,
            )
    finally:
        logger.setLevel(level)


def describe(path: Path, model: Model, card: dict[str, Any], precision: str) -> None:
    """Write into the file's metadata how to use it."""
    import onnx

    layout, view, flat = model.layout, model.view, model.dims == 2
    units = "pixels" if flat else "metres"
    about = {
        "joints": f"(clips, people, time, {len(layout)}, {model.dims}) float32, raw {units}; any value where hidden",
        "visible": f"(clips, people, time, {len(layout)}) bool, False where a joint is missing and in the padding",
        "frames": "(clips) int64, true length of each clip; later frames are padding",
        "image_size": "(clips, 2) float32, width and height in pixels; 0 0 where unknown",
        "feature": f"(clips, {model.feature_dim}) float32, mean over the people who are seen",
        "embedding": "(clips, size) float32 of unit length, for cosine similarity",
        "scores": "(clips, classes) float32, before softmax",
    }
    found = {
        "orvpe_version": __version__,
        "about": card.get("about"),
        "terms": card.get("data_terms", card.get("terms")),
        "joints": list(layout.joints),
        "layout": layout.to_dict(),
        "dims": str(model.dims),
        "units": units,
        "axes": "x right, y down, as in an image" if flat else "y up, right-handed",
        "tau": str(view.tau),
        "stream": view.stream,
        "classes": model.classes,
        "precision": precision,
        "inputs": {n: about[n] for n in input_names(model)},
        "outputs": {n: about[n] for n in output_names(model)},
    }
    proto = onnx.load(path)
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in found.items() if v is not None}
    onnx.helper.set_model_props(proto, text)
    proto.doc_string = "Pose sequences to vectors, made by orvpe; see the metadata."
    path.write_bytes(proto.SerializeToString())


def session(path: str | Path) -> onnxruntime.InferenceSession:
    """Open the file in onnxruntime on the CPU, without log messages."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check(path: Path, model: Model, precision: str, typical: list[dict[str, np.ndarray]]) -> str:
    """Compare a file with torch on random clips of several shapes and on typical ones.

    Returns:
        The largest difference, as a sentence.

    Raises:
        InputError: it differs by more than `TOLERANCE`, or reads what is hidden.
    """
    running, tau = session(path), model.view.tau
    shapes = [(1, 1, 1), (3, 2, tau + 7), (2, 3, tau // 2 + 1), (1, 1, 2 * tau + 3)]
    clips = [random_clips(model, shape, seed) for seed, shape in enumerate(shapes, start=1)]
    for given in clips:
        spoiled = {**given, "joints": np.where(np.isnan(given["joints"]), np.float32(1e30), given["joints"])}
        both = zip(running.run(None, given), running.run(None, spoiled), strict=True)
        if any(not np.array_equal(a, b) for a, b in both):
            raise InputError("self-check: the exported graph reads coordinates of hidden joints; no file was written")
    # ranges of values were measured on typical clips, so only those tell how well int8 does
    pairs = [(running.run(None, c), reference(model, c)) for c in (typical or clips)]
    if precision == "32":
        worst = max(_difference(a, b) for ours, torchs in pairs for a, b in zip(ours, torchs, strict=True))
        what = "largest difference to torch"
    else:
        ours, torchs = (np.concatenate([p[i][0] for p in pairs]).astype(np.float64) for i in (0, 1))
        cosine = (ours * torchs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(torchs, axis=1)
        worst, what = float(1 - cosine.mean()), "mean cosine distance to torch's feature"
    if not worst <= TOLERANCE[precision]:
        raise InputError(f"self-check: {what} {worst:.2g}, expected at most {TOLERANCE[precision]:g}; no file written")
    return f"self-check: {what} {worst:.2g}"


def _difference(ours: np.ndarray, torchs: np.ndarray) -> float:
    return float(np.abs(ours - torchs).max() / max(1.0, np.abs(torchs).max()))


@torch.no_grad()
def reference(model: Model, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of torch for a graph's inputs, computed as `orvpe embed` does."""
    joints, visible, frames = (torch.from_numpy(given[n]) for n in ("joints", "visible", "frames"))
    visible = visible & (torch.arange(joints.shape[2]) < frames[:, None])[:, None, :, None]
    size = torch.from_numpy(given["image_size"]) if "image_size" in given else torch.zeros(len(joints), 2)
    batch = Batch(hide(joints, visible), visible, frames, size, model.layout, torch.arange(len(joints)))
    return [o.numpy() for o in outputs(model, model.features(fixed_view(batch, model.view)))]


def random_clips(model: Model, shape: tuple[int, int, int], seed: int) -> dict[str, np.ndarray]:
    """Inputs of the graph: still bodies that tremble, a third of the joints hidden (NaN), nobody in the last of many.

    Args:
        model: gives joints and dimensions.
        shape: clips, people, frames.
        seed: another one, another draw.
    """
    rng = np.random.default_rng(seed)
    n, m, t = shape
    v, c = len(model.layout), model.dims
    joints = rng.normal(size=(n, m, 1, v, c)) * 0.4 + rng.normal(size=(n, m, t, v, c)) * 0.05
    if c == 2:
        joints = 400 + 200 * joints
    frames = rng.integers(max(1, t // 2), t + 1, size=n)
    visible = (rng.random((n, m, t, v)) > 0.3) & (np.arange(t) < frames[:, None])[:, None, :, None]
    if m > 1:
        visible[0, 1:] = False  # fewer people than the others
    if n > 2:
        visible[-1] = False
    joints[~visible] = np.nan
    size = np.stack([rng.integers(0, 2, size=n) * s for s in (800, 600)], axis=1)
    found = {
        "joints": joints.astype(np.float32), "visible": visible, "frames": frames.astype(np.int64),
        "image_size": size.astype(np.float32),
    }  # fmt: skip
    return {name: found[name] for name in input_names(model)}


def _typical(model: Model, store: Store, count: int) -> Iterator[dict[str, np.ndarray]]:
    data = ResidentStore(store)
    chosen = np.unique(np.linspace(0, len(store) - 1, min(count, len(store))).round().astype(np.int64))
    for index in batches(chosen, 16):
        batch = data.batch(index)
        yield {name: getattr(batch, name).numpy() for name in input_names(model)}

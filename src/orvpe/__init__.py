"""Occlusion-robust embeddings of human pose sequences, and action classifiers that use them.

    import orvpe

    model = orvpe.load("robust-light-3d-joint")
    vectors = orvpe.embed_clips(model, [orvpe.Clip.from_array(joints, orvpe.get_layout("coco"))])

Every command is a function: ``orvpe.ingest(["poses/"], out="clips.orvpe")``.  Names are imported when first used, so
``import orvpe`` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from orvpe.actions.classify import classify
    from orvpe.actions.learn import learn
    from orvpe.actions.live import live
    from orvpe.data.convert import convert
    from orvpe.data.formats.reading import checked
    from orvpe.data.generated import generate, write_generated
    from orvpe.data.ingest import ingest
    from orvpe.data.inspect import inspect
    from orvpe.data.select import select
    from orvpe.data.store import Store, write_store
    from orvpe.errors import InputError
    from orvpe.evaluation.evaluate import evaluate
    from orvpe.evaluation.fusion import fuse
    from orvpe.evaluation.robustness import robustness
    from orvpe.lab.bench import bench
    from orvpe.lab.reproduce import reproduce
    from orvpe.lab.walkthrough import walkthrough
    from orvpe.models.embed import embed_clips, embed_tokens, similarity
    from orvpe.models.export import export
    from orvpe.models.model import Model, load
    from orvpe.poses.clip import Clip
    from orvpe.poses.skeleton import Layout, get_layout
    from orvpe.training.finetune import finetune
    from orvpe.training.pretrain import pretrain
    from orvpe.training.probe import probe
    from orvpe.training.token_metric import metric
    from orvpe.vectors.embed import embed
    from orvpe.vectors.embed_many import embed_many
    from orvpe.vectors.estimator import PoseEmbedder
    from orvpe.vectors.index import index
    from orvpe.vectors.search import search
    from orvpe.video.command import pose
    from orvpe.views.view import ViewConfig
    from orvpe.web.command import serve
    from orvpe.web.demo import demo

_NAMES = {
    "actions.classify": "classify",
    "actions.learn": "learn",
    "actions.live": "live",
    "data.convert": "convert",
    "data.formats.reading": "checked",
    "data.generated": "generate write_generated",
    "data.ingest": "ingest",
    "data.inspect": "inspect",
    "data.select": "select",
    "data.store": "Store write_store",
    "errors": "InputError",
    "evaluation.evaluate": "evaluate",
    "evaluation.fusion": "fuse",
    "evaluation.robustness": "robustness",
    "lab.bench": "bench",
    "lab.reproduce": "reproduce",
    "lab.walkthrough": "walkthrough",
    "models.embed": "embed_clips embed_tokens similarity",
    "models.export": "export",
    "models.model": "Model load",
    "poses.clip": "Clip",
    "poses.skeleton": "Layout get_layout",
    "training.finetune": "finetune",
    "training.pretrain": "pretrain",
    "training.probe": "probe",
    "training.token_metric": "metric",
    "vectors.embed": "embed",
    "vectors.embed_many": "embed_many",
    "vectors.estimator": "PoseEmbedder",
    "vectors.index": "index",
    "vectors.search": "search",
    "video.command": "pose",
    "views.view": "ViewConfig",
    "web.command": "serve",
    "web.demo": "demo",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = _version()
        globals()[name] = value
        return value
    if name not in _HOME:
        raise AttributeError(f"module 'orvpe' has no attribute {name!r}")
    value = getattr(import_module(f"orvpe.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def _version() -> str:
    """From the installed package's metadata; pyproject.toml is the one place that it is written in."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("orvpe")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""Occlusion-robust embeddings of human pose sequences, learned without labels.

    import orvpe

    model = orvpe.load("runs/pretrained")
    vectors = orvpe.embed_clips(model, [orvpe.Clip.from_array(joints, orvpe.get_layout("coco"))])

The jobs are functions of the modules of the same name: ``from orvpe.training.pretrain import pretrain``.  Names here
are imported when first used, so that ``import orvpe`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from orvpe.data.generated import generate
    from orvpe.data.store import Store, write_store
    from orvpe.errors import InputError
    from orvpe.models.embed import embed_clips
    from orvpe.models.model import Model, load
    from orvpe.poses.clip import Clip
    from orvpe.poses.skeleton import Layout, get_layout
    from orvpe.views.view import ViewConfig

# not the jobs: a function with its module's name would be hidden by the module as soon as that is imported
_HOME = {
    "Clip": "poses.clip", "InputError": "errors", "Layout": "poses.skeleton", "get_layout": "poses.skeleton",
    "Store": "data.store",
    "write_store": "data.store", "ViewConfig": "views.view", "Model": "models.model", "load": "models.model",
    "embed_clips": "models.embed",
    "generate": "data.generated",
}  # fmt: skip
__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'orvpe' has no attribute {name!r}")
    value = getattr(import_module(f"orvpe.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

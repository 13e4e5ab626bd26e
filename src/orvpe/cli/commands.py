"""Every command: its function, what it does in a line, and the arguments that need no flag."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# command -> (module:function, one line, arguments that may be given without their flag)
COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "inspect": (
        "orvpe.data.inspect:inspect",
        "what a path holds: format, clips, classes, what is missing; a picture",
        ("path",),
    ),
    "ingest": ("orvpe.data.ingest:ingest", "pose files, folders, zips -> a store", ("paths",)),
    "pose": ("orvpe.video.command:pose", "videos, folders of images, a camera -> a store", ("videos",)),
    "generate": ("orvpe.data.generated:write_generated", "a generated data set, for trying things out", ("out",)),
    "select": (
        "orvpe.data.select:select",
        "the training (or test) clips of a store as a store of their own",
        ("store",),
    ),
    "pretrain": ("orvpe.training.pretrain:pretrain", "learn an encoder from a store without labels", ("store",)),
    "probe": (
        "orvpe.training.probe:probe",
        "test a frozen encoder with a linear or nearest-neighbour classifier",
        ("store",),
    ),
    "finetune": (
        "orvpe.training.finetune:finetune",
        "train encoder and classifier, pre-trained or from scratch",
        ("store",),
    ),
    "learn": (
        "orvpe.actions.learn:learn",
        "a folder of clips a class -> a classifier, and how well it does",
        ("folder",),
    ),
    "classify": (
        "orvpe.actions.classify:classify",
        "videos, pose files, stores -> who does what when, and videos that show it",
        ("paths",),
    ),
    "live": ("orvpe.actions.live:live", "the same from a camera or a file, in real time", ("source",)),
    "evaluate": ("orvpe.evaluation.evaluate:evaluate", "accuracy of a model, clean and under occlusions", ("store",)),
    "robustness": (
        "orvpe.evaluation.robustness:robustness",
        "several models under every occlusion: accuracy, similarity, retrieval, as a table and a figure",
        ("store",),
    ),
    "embed": ("orvpe.vectors.embed:embed", "a store or pose files -> vectors in a Parquet table", ("path",)),
    "index": ("orvpe.vectors.index:index", "a store or pose files -> an index to search by movement", ("path",)),
    "search": ("orvpe.vectors.search:search", "the clips of an index that move like this one", ("clip",)),
    "export": ("orvpe.models.export:export", "a model -> an ONNX file that takes raw joints and a mask", ("weights",)),
    "embed-many": ("orvpe.vectors.embed_many:embed_many", "very many pose files -> vectors, with Ray Data", ("paths",)),
    "serve": ("orvpe.web.command:serve", "a model on this machine's address: a page to try it, and an HTTP API", ()),
    "fuse": ("orvpe.evaluation.fusion:fuse", "fuse score files of streams or of other models", ("files",)),
    "reproduce": ("orvpe.lab.reproduce:reproduce", "run what a table of results needs, and write it", ("table",)),
    "bench": (
        "orvpe.lab.bench:bench",
        "how fast it is here, beside references and the machine's limits",
        ("parts",),
    ),
    "demo": ("orvpe.web.demo:demo", "who does what in a video, and what hiding half the body changes", ("video",)),
    "walkthrough": ("orvpe.lab.walkthrough:walkthrough", "the method end to end, on N-UCLA or on generated clips", ()),
    "models": ("orvpe.models.card:models", "list the models that come with orvpe, or print a card", ("name",)),
    "recipes": ("orvpe.cli.recipe_files:recipes", "list the shipped recipes, or print one", ("name",)),
}


def function_of(command: str) -> Callable[..., Any]:
    """The function of a command; only its module is imported."""
    module, _, name = COMMANDS[command][0].partition(":")
    return getattr(import_module(module), name)

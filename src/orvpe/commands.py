"""Every command: its function, what it does in a line, and the arguments that need no flag."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# command -> (module:function, one line, arguments that may be given without their flag)
COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "inspect": (
        "orvpe.inspect:inspect",
        "what a path holds: format, clips, classes, what is missing; a picture",
        ("path",),
    ),
    "ingest": ("orvpe.ingest:ingest", "pose files, folders, zips -> a store", ("paths",)),
    "pose": ("orvpe.video.command:pose", "videos, folders of images, a camera -> a store", ("videos",)),
    "generate": ("orvpe.generated:write_generated", "a generated data set, for trying things out", ("out",)),
    "select": ("orvpe.select:select", "the training (or test) clips of a store as a store of their own", ("store",)),
    "pretrain": ("orvpe.pretrain:pretrain", "learn an encoder from a store without labels", ("store",)),
    "probe": (
        "orvpe.probe:probe",
        "test a frozen encoder with a linear or nearest-neighbour classifier",
        ("store",),
    ),
    "finetune": (
        "orvpe.finetune:finetune",
        "train encoder and classifier, pre-trained or from scratch",
        ("store",),
    ),
    "learn": ("orvpe.learn:learn", "a folder of clips a class -> a classifier, and how well it does", ("folder",)),
    "classify": (
        "orvpe.classify:classify",
        "videos, pose files, stores -> who does what when, and videos that show it",
        ("paths",),
    ),
    "live": ("orvpe.live:live", "the same from a camera or a file, in real time", ("source",)),
    "evaluate": ("orvpe.evaluate:evaluate", "accuracy of a model, clean and under occlusions", ("store",)),
    "robustness": (
        "orvpe.robustness:robustness",
        "several models under every occlusion: accuracy, similarity, retrieval, as a table and a figure",
        ("store",),
    ),
    "embed": ("orvpe.embed:embed", "a store or pose files -> vectors in a Parquet table", ("path",)),
    "index": ("orvpe.index:index", "a store or pose files -> an index to search by movement", ("path",)),
    "search": ("orvpe.search:search", "the clips of an index that move like this one", ("clip",)),
    "export": ("orvpe.export:export", "a model -> an ONNX file that takes raw joints and a mask", ("weights",)),
    "embed-many": ("orvpe.embed_many:embed_many", "very many pose files -> vectors, with Ray Data", ("paths",)),
    "serve": ("orvpe.web.command:serve", "a model on this machine's address: a page to try it, and an HTTP API", ()),
    "fuse": ("orvpe.fusion:fuse", "fuse score files of streams or of other models", ("files",)),
    "reproduce": ("orvpe.reproduce:reproduce", "run what a table of results needs, and write it", ("table",)),
    "bench": (
        "orvpe.bench:bench",
        "how fast it is here, beside references and the machine's limits",
        ("parts",),
    ),
    "demo": ("orvpe.demo:demo", "who does what in a video, and what hiding half the body changes", ("video",)),
    "walkthrough": ("orvpe.walkthrough:walkthrough", "the method end to end, on N-UCLA or on generated clips", ()),
    "models": ("orvpe.pretrained:models", "list the models that come with orvpe, or print a card", ("name",)),
    "recipes": ("orvpe.recipe_files:recipes", "list the shipped recipes, or print one", ("name",)),
}


def function_of(command: str) -> Callable[..., Any]:
    """The function of a command; only its module is imported."""
    module, _, name = COMMANDS[command][0].partition(":")
    return getattr(import_module(module), name)

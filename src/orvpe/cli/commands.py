"""Every command, in groups: its function, what it does in a line, the arguments that need no flag, an example."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command.

    Args:
        target: ``module:function``.
        about: what it does, in a line.
        positional: arguments that may be given without their flag.
        example: a line as one would type it.
    """

    target: str
    about: str
    positional: tuple[str, ...]
    example: str


GROUPS: dict[str, dict[str, Command]] = {
    "poses from files and videos": {
        "inspect": Command(
            "orvpe.data.inspect:inspect",
            "what a path holds: format, clips, classes, what is missing; a picture",
            ("path",),
            "orvpe inspect recordings/ --figure recordings.png",
        ),
        "ingest": Command(
            "orvpe.data.ingest:ingest",
            "pose files, folders, zips -> a store",
            ("paths",),
            "orvpe ingest recordings/ -o clips.orvpe --fps 30",
        ),
        "convert": Command(
            "orvpe.data.convert:convert",
            "pose files or a store -> the files of another tool",
            ("path",),
            "orvpe convert recordings/ -o recordings.csv",
        ),
        "pose": Command(
            "orvpe.video.command:pose",
            "videos, folders of images, a camera -> a store",
            ("videos",),
            "orvpe pose video.mp4 -o people.orvpe --overlay seen/",
        ),
        "generate": Command(
            "orvpe.data.generated:write_generated",
            "a generated data set, for trying things out",
            ("out",),
            "orvpe generate clips.orvpe --count 600",
        ),
        "select": Command(
            "orvpe.data.select:select",
            "the training (or test) clips of a store as a store of their own",
            ("store",),
            "orvpe select clips.orvpe -o train.orvpe -p random:0.2",
        ),
    },
    "training": {
        "pretrain": Command(
            "orvpe.training.pretrain:pretrain",
            "learn an encoder from a store without labels",
            ("store",),
            "orvpe pretrain clips.orvpe -r runs/pre --recipe quick-pretrain",
        ),
        "metric": Command(
            "orvpe.training.token_metric:metric",
            "learn a structured embedding from labelled stores, in seconds",
            ("stores",),
            "orvpe metric some.orvpe others.orvpe -o tokens/",
        ),
        "probe": Command(
            "orvpe.training.probe:probe",
            "test a frozen encoder with a linear or nearest-neighbour classifier",
            ("store",),
            "orvpe probe clips.orvpe -r runs/probe -p random:0.2 -w runs/pre --recipe quick-probe",
        ),
        "finetune": Command(
            "orvpe.training.finetune:finetune",
            "train encoder and classifier, pre-trained or from scratch",
            ("store",),
            "orvpe finetune clips.orvpe -r runs/fine -p random:0.2 -w runs/pre",
        ),
        "learn": Command(
            "orvpe.actions.learn:learn",
            "a folder of clips a class -> a classifier, and how well it does",
            ("folder",),
            "orvpe learn examples/ -r runs/mine",
        ),
    },
    "recognising actions": {
        "demo": Command(
            "orvpe.web.demo:demo",
            "who does what in a video, and what hiding half the body changes",
            ("video",),
            "orvpe demo video.mp4 -o demo",
        ),
        "classify": Command(
            "orvpe.actions.classify:classify",
            "videos, pose files, stores -> who does what when, and videos that show it",
            ("paths",),
            "orvpe classify video.mp4 -w runs/mine -o answers",
        ),
        "live": Command(
            "orvpe.actions.live:live",
            "the same from a camera or a file, in real time",
            ("source",),
            "orvpe live 0 -w runs/mine",
        ),
        "serve": Command(
            "orvpe.web.command:serve",
            "a model on this machine's address: a page to try it, and an HTTP API",
            (),
            "orvpe serve -w runs/mine --open",
        ),
    },
    "evaluation": {
        "evaluate": Command(
            "orvpe.evaluation.evaluate:evaluate",
            "accuracy of a model, clean and under occlusions",
            ("store",),
            "orvpe evaluate clips.orvpe -w runs/fine -p random:0.2",
        ),
        "robustness": Command(
            "orvpe.evaluation.robustness:robustness",
            "several models under every occlusion: accuracy, similarity, retrieval, as a table and a figure",
            ("store",),
            "orvpe robustness clips.orvpe -w runs/fine runs/probe -p random:0.2 -o robustness",
        ),
        "fuse": Command(
            "orvpe.evaluation.fusion:fuse",
            "fuse score files of streams or of other models",
            ("files",),
            "orvpe fuse joint.npz bone.npz -o both.csv",
        ),
    },
    "vectors and search": {
        "embed": Command(
            "orvpe.vectors.embed:embed",
            "a store or pose files -> vectors in a Parquet table",
            ("path",),
            "orvpe embed clips.orvpe -w robust-light-3d-joint -o vectors.parquet",
        ),
        "embed-many": Command(
            "orvpe.vectors.embed_many:embed_many",
            "very many pose files -> vectors, with Ray Data",
            ("paths",),
            "orvpe embed-many recordings/ -w robust-light-3d-joint -o vectors/ --workers 8",
        ),
        "index": Command(
            "orvpe.vectors.index:index",
            "a store or pose files -> an index to search by movement",
            ("path",),
            "orvpe index clips.orvpe -w robust-light-3d-joint -o clips.index",
        ),
        "search": Command(
            "orvpe.vectors.search:search",
            "the clips of an index that move like this one",
            ("clip",),
            "orvpe search query.csv -d clips.index -k 5",
        ),
        "export": Command(
            "orvpe.models.export:export",
            "a model -> an ONNX file that takes raw joints and a mask",
            ("weights",),
            "orvpe export runs/fine -o model.onnx",
        ),
    },
    "this library": {
        "models": Command(
            "orvpe.models.card:models",
            "list the models that come with orvpe, or print a card",
            ("name",),
            "orvpe models robust-light-3d-joint",
        ),
        "recipes": Command(
            "orvpe.training.recipes:recipes",
            "list the shipped recipes, or print one",
            ("name",),
            "orvpe recipes quick-pretrain",
        ),
        "walkthrough": Command(
            "orvpe.lab.walkthrough:walkthrough",
            "the method end to end, on N-UCLA or on generated clips",
            (),
            "orvpe walkthrough --minutes 3",
        ),
        "reproduce": Command(
            "orvpe.lab.reproduce:reproduce",
            "run what a table of results needs, and write it",
            ("table",),
            "orvpe reproduce encoders --dry-run",
        ),
        "bench": Command(
            "orvpe.lab.bench:bench",
            "how fast it is here, beside references and the machine's limits",
            ("parts",),
            "orvpe bench encoders --quick",
        ),
    },
}
COMMANDS: dict[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}


def function_of(command: str) -> Callable[..., Any]:
    """The function of a command; only its module is imported."""
    module, _, name = COMMANDS[command].target.partition(":")
    return getattr(import_module(module), name)

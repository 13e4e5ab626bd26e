"""All commands, in groups: function, one-line description, positional arguments, example."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command.

    Args:
        target: ``module:function``.
        about: one-line description.
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
            "show what a path contains: format, clips, classes, missing joints; plot a figure",
            ("path",),
            "orvpe inspect recordings/ --figure recordings.png",
        ),
        "ingest": Command(
            "orvpe.data.ingest:ingest",
            "read pose files, folders or zips into a store",
            ("paths",),
            "orvpe ingest recordings/ -o clips.orvpe --fps 30",
        ),
        "convert": Command(
            "orvpe.data.convert:convert",
            "write pose files or a store in the format of another tool",
            ("path",),
            "orvpe convert recordings/ -o recordings.csv",
        ),
        "pose": Command(
            "orvpe.video.command:pose",
            "find people in videos, images or a camera and write their poses into a store",
            ("videos",),
            "orvpe pose video.mp4 -o people.orvpe --overlay seen/",
        ),
        "generate": Command(
            "orvpe.data.generated:write_generated",
            "write a generated data set, for trying things out",
            ("out",),
            "orvpe generate clips.orvpe --count 600",
        ),
        "select": Command(
            "orvpe.data.select:select",
            "copy the training (or test) clips of a store into a new store",
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
            "train a classifier from a folder of example clips per class, with cross-validation",
            ("folder",),
            "orvpe learn clips/ -r runs/mine",
        ),
    },
    "recognising actions": {
        "demo": Command(
            "orvpe.web.demo:demo",
            "name the actions in a video, also with half of the body hidden, and show them on a page",
            ("video",),
            "orvpe demo video.mp4 -o demo",
        ),
        "classify": Command(
            "orvpe.actions.classify:classify",
            "name the actions in videos, pose files or stores; write a table and annotated videos",
            ("paths",),
            "orvpe classify video.mp4 -w runs/mine -o answers",
        ),
        "live": Command(
            "orvpe.actions.live:live",
            "name the actions in a camera stream or a file in real time",
            ("source",),
            "orvpe live 0 -w runs/mine",
        ),
        "serve": Command(
            "orvpe.web.command:serve",
            "serve a model on this machine: a page to try it on, and an HTTP API",
            (),
            "orvpe serve -w runs/mine --open",
        ),
    },
    "evaluation": {
        "evaluate": Command(
            "orvpe.evaluation.evaluate:evaluate",
            "measure a model's accuracy, clean and under occlusion",
            ("store",),
            "orvpe evaluate clips.orvpe -w runs/fine -p random:0.2",
        ),
        "robustness": Command(
            "orvpe.evaluation.robustness:robustness",
            "compare models under every occlusion: accuracy, similarity, retrieval; table and figure",
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
            "write the vectors of a store or pose files to a Parquet table",
            ("path",),
            "orvpe embed clips.orvpe -w robust-light-3d-joint -o vectors.parquet",
        ),
        "embed-many": Command(
            "orvpe.vectors.embed_many:embed_many",
            "the same for very many pose files, with Ray Data",
            ("paths",),
            "orvpe embed-many recordings/ -w robust-light-3d-joint -o vectors/ --workers 8",
        ),
        "index": Command(
            "orvpe.vectors.index:index",
            "put the vectors of a store or pose files into a search index",
            ("path",),
            "orvpe index clips.orvpe -w robust-light-3d-joint -o clips.index",
        ),
        "search": Command(
            "orvpe.vectors.search:search",
            "find the clips of an index that move like a given one",
            ("clip",),
            "orvpe search query.csv -d clips.index -k 5",
        ),
        "export": Command(
            "orvpe.models.export:export",
            "export a model as an ONNX file that reads raw joints and a mask",
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
            "run the method end to end, on N-UCLA or on generated clips",
            (),
            "orvpe walkthrough --minutes 3",
        ),
        "reproduce": Command(
            "orvpe.lab.reproduce:reproduce",
            "run all trainings of a table of results, and write the table",
            ("table",),
            "orvpe reproduce table-1 --data data/ --dry-run",
        ),
        "bench": Command(
            "orvpe.lab.bench:bench",
            "measure speed on this machine, next to references and the hardware's limits",
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


SHORT = {"run": "-r", "out": "-o", "weights": "-w", "protocol": "-p", "db": "-d"}


def takes_recipes(command: str) -> bool:
    return command not in _WITHOUT_RECIPES


_WITHOUT_RECIPES = ("recipes", "models")

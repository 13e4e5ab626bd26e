"""Bad stores and models: one line that names the file, exit code 2, and nothing that was there is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from helpers.refusals import Refused, training
from helpers.small_runs import LIGHT, make_store
from safetensors.torch import load_file, save_file

from orvpe.poses.skeleton import LAYOUTS


def rewrite(store: Path, **metadata: str) -> None:
    with pa.ipc.open_file(store) as reader:
        table = reader.read_all()
    table = table.replace_schema_metadata({**table.schema.metadata, **{k.encode(): v for k, v in metadata.items()}})
    with pa.ipc.new_file(store, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("command", ["pretrain", "probe", "finetune", "evaluate", "embed", "inspect"])
@pytest.mark.parametrize("how", ["missing", "truncated", "other version", "text", "folder"])
def test_stores(command: str, how: str, here: Path, refused: Refused) -> None:
    store = here / "s.orvpe"
    if how == "missing":
        store = here / "no.orvpe"
    elif how == "truncated":
        store.write_bytes(store.read_bytes()[:-1000])
    elif how == "other version":
        rewrite(store, orvpe_store="99")
    elif how == "text":
        store.write_text("hello")
    else:
        store = here / "empty"
        store.mkdir()
    more = {
        "pretrain": ["-r", here / "new", *LIGHT], "inspect": [],
        "probe": ["-r", here / "new", "-p", "random:0.3", *LIGHT],
        "finetune": ["-r", here / "new", "-p", "random:0.3", *LIGHT],
        "evaluate": ["-w", here / "fine", "-p", "random:0.3", "-o", here / "new"],
        "embed": ["-w", here / "fine", "-o", here / "new.parquet"],
    }[command]  # fmt: skip
    line = refused(command, store, *more)
    assert store.name in line
    assert not (here / "new").exists()


def edit_card(model: Path, **changes: object) -> None:
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps({**card, **changes}))


def edit_view(model: Path, **changes: object) -> None:
    view = json.loads((model / "card.json").read_text())["view"]
    edit_card(model, view={**view, **changes})


def edit_options(here: Path, **options: object) -> None:
    edit_card(here / "fine", encoder={"name": "light", "options": options})


def folder_for_weights(here: Path) -> None:
    (here / "fine" / "weights.safetensors").unlink()
    (here / "fine" / "weights.safetensors").mkdir()


def change_weights(here: Path, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    path = here / "fine" / "weights.safetensors"
    save_file({k: change(v) if v.is_floating_point() else v for k, v in load_file(path).items()}, path)


def narrower(here: Path) -> None:
    edit_card(here / "fine", encoder={"name": "light", "options": {"width": [8, 8], "strides": [1, 1], "groups": 4}})


def lacking(here: Path) -> None:
    path = here / "fine" / "weights.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if k != "encoder.stem.weight"}, path)


def cut(here: Path) -> None:
    path = here / "fine" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


SPOIL_MODEL: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda here: (here / "fine" / "weights.safetensors").unlink(), "weights.safetensors"),
    "card is no JSON": (lambda here: (here / "fine" / "card.json").write_text("{"), "not valid JSON"),
    "card of another version": (lambda here: edit_card(here / "fine", card_version=7), "card version 7"),
    "card is a list": (lambda here: (here / "fine" / "card.json").write_text("[]"), "card version None"),
    "another width": (narrower, "another width, layout or dimension?"),
    "another layout": (lambda here: edit_card(here / "fine", layout=LAYOUTS["coco"].to_dict()), "layout 'coco'"),
    "another dimension": (lambda here: edit_card(here / "fine", dims=2), "another width, layout"),
    "dimension is text": (lambda here: edit_card(here / "fine", dims="two"), "card.json"),
    "dimension is no whole number": (lambda here: edit_card(here / "fine", dims=2.5), "dims is 2.5"),
    "layout is text": (lambda here: edit_card(here / "fine", layout="unified"), "card.json lacks"),
    "classes twice": (lambda here: edit_card(here / "fine", classes=["a", "a"]), "expected different names"),
    "a setting of another type": (lambda here: edit_view(here / "fine", tau=1.5), "view.tau is 1.5, expected int"),
    "a switch is text": (lambda here: edit_view(here / "fine", align="no"), "view.align is 'no', expected bool"),
    "a camera for a 3D model": (lambda here: edit_view(here / "fine", camera="virtual"), "dims is 3, expected 2"),
    "weights are a folder": (folder_for_weights, "expected card.json and weights.safetensors"),
    "weights are NaN": (lambda here: change_weights(here, lambda v: v * float("nan")), "holds NaN or infinite"),
    "weights are whole numbers": (lambda here: change_weights(here, lambda v: v.int()), "is of type torch.int32"),
    "unknown encoder": (lambda here: edit_card(here / "fine", encoder={"name": "lihgt", "options": {}}), "'light'"),
    "view of the future": (lambda here: edit_card(here / "fine", view={"augment": {}, "warp": 3}), "card.json"),
    "endless frames": (lambda here: edit_view(here / "fine", tau=10**9), "view.tau is 1000000000, expected at most"),
    "endless width": (lambda here: edit_options(here, width=[10**9, 8]), "encoder.options.width.0 is 1000000000"),
    "endless depth": (lambda here: edit_options(here, width=[8] * 1000), "encoder.options.width has 1000 entries"),
    "wider than its weights": (
        lambda here: edit_options(here, width=[4096] * 4, strides=[1] * 4),
        "weights, more than",
    ),
    "half a projection": (lambda here: edit_card(here / "fine", projection=["linear"]), "projection is ['linear']"),
    "endless projection": (lambda here: edit_card(here / "fine", projection=["linear", 10**12]), "weights, more than"),
    "a class to build": (lambda here: edit_options(here, x={"class_path": "os.system"}), "class_path is refused"),
    "no classifier": (lambda here: edit_card(here / "fine", classes=None), "head"),
    "a tensor is missing": (lacking, "lack 'encoder.stem.weight'"),
    "weights are cut": (cut, "damaged"),
}


@pytest.mark.parametrize("how", SPOIL_MODEL)
@pytest.mark.parametrize("command", ["evaluate", "embed"])
def test_models(how: str, command: str, here: Path, refused: Refused) -> None:
    spoil, told = SPOIL_MODEL[how]
    spoil(here)
    more = ["-p", "random:0.3"] if command == "evaluate" else ["-o", here / "o.parquet"]
    assert told in refused(command, here / "s.orvpe", "-w", here / "fine", *more)


def test_weights_that_do_not_fit_the_data(here: Path, refused: Refused) -> None:
    flat = make_store(here / "flat.orvpe", count=30, dims=2)
    fine, pre, run = here / "fine", here / "pre", here / "new"
    assert "3D" in refused("evaluate", flat, "-w", fine, "-p", "random:0.3")
    assert "3D" in refused("embed", flat, "-w", fine, "-o", here / "x.parquet")
    assert "3D" in refused("probe", flat, "-w", pre, "-p", "random:0.3", "-r", run)
    assert "3D" in refused("finetune", flat, "-w", pre, "-p", "random:0.3", "-r", run, *LIGHT)
    other = [*training(here, "finetune"), "-w", str(pre), "--encoder.options", '{"width": [8, 8], "strides": [1, 1]}']
    assert "another width" in refused(*other)
    assert "no classifier" in refused("evaluate", here / "s.orvpe", "-w", pre, "-p", "random:0.3")
    assert "no such folder" in refused("evaluate", here / "s.orvpe", "-w", here / "nowhere", "-p", "random:0.3")
    assert not run.exists()

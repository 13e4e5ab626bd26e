"""The benchmark: what it counts against closed forms, what it writes, and that every part runs.  Nothing is timed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from orvpe.cli.arguments import parse
from orvpe.cli.main import main
from orvpe.data.formats import FORMATS
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.data.ingest import ingest
from orvpe.errors import InputError
from orvpe.lab.bench import PARTS, bench, literal_ntu, ntu_files, pose_files
from orvpe.lab.bench.candidates import Candidate, candidates, scrambled_agcn, training_step
from orvpe.lab.bench.encoders import differences
from orvpe.lab.bench.literal_agcn import reference_of
from orvpe.lab.bench.operations import KINDS, Operations, flops, kind_of
from orvpe.lab.bench.profile import pieces, roof
from orvpe.lab.bench.results import JSON, MARKDOWN, Table, keep, markdown, number, read
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median, ratios, speedup, spread
from orvpe.models.encoders import ENCODERS
from orvpe.models.encoders.agcn import AGCN

QUICK = {"quick": True, "repeats": 2, "threads": 1, "device": "cpu"}


# --- counting -----------------------------------------------------------------------------------------------


def test_flops_of_a_product_and_a_convolution() -> None:
    a, b = torch.zeros(5, 7), torch.zeros(7, 11)
    assert flops(lambda: a @ b) == 2 * 5 * 7 * 11
    x, conv = torch.zeros(2, 3, 10, 4), nn.Conv2d(3, 6, (9, 1), padding=(4, 0))
    forward = 2 * 9 * 3 * 6 * 2 * 10 * 4
    assert flops(lambda: conv(x)) == forward
    assert flops(lambda: conv(x).sum().backward()) == 2 * forward  # and the gradient of the weight, not of the input
    y = x.clone().requires_grad_()
    assert flops(lambda: conv(y).sum().backward()) == 3 * forward


def agcn_by_hand(t: int, v: int = 17, channels: int = 3, channels_first: bool = False) -> int:
    """FLOPs of one clip of t frames, block by block from the formulas of the paper's encoder.

    The joints are mixed at the input's width, or, with ``channels_first``, after W_k at the output's.
    """
    total, inputs = 0, channels
    for outputs, stride in zip((64,) * 4 + (128,) * 3 + (256,) * 3, (1, 1, 1, 1, 2, 1, 1, 2, 1, 1), strict=True):
        inner, place = outputs // 4, t * v
        macs = 3 * 2 * inner * inputs * place  # theta and phi of three subsets
        macs += 3 * v * v * inner * t  # their product
        macs += 3 * v * place * (outputs if channels_first else inputs)  # the joints mixed
        macs += 3 * inputs * outputs * place  # W_k
        macs += inputs * outputs * place if inputs != outputs else 0  # the residual of the graph convolution
        first = inputs == channels
        t = -(-t // stride)
        macs += 9 * outputs * outputs * t * v  # over time
        macs += inputs * outputs * t * v if (inputs != outputs or stride > 1) and not first else 0
        total, inputs = total + 2 * macs, outputs
    return total


@pytest.mark.parametrize("frames", [8, 13])
def test_flops_of_agcn_by_hand(frames: int) -> None:
    model = AGCN().eval()
    x = torch.zeros(2, 3, frames, 17)
    with torch.no_grad():
        assert flops(lambda: model(x)) == 2 * agcn_by_hand(frames, channels_first=True)
        assert flops(lambda: reference_of(model)(x)) == 2 * agcn_by_hand(frames)


def test_operations_are_sorted_by_kind_and_weighed() -> None:
    x, conv = torch.zeros(1, 4, 10, 3), nn.Conv2d(4, 8, (9, 1), padding=(4, 0), bias=False)
    point = nn.Conv2d(8, 8, 1, bias=False)
    with torch.no_grad(), Operations() as counted:
        y = F.relu(point(conv(x)))
        torch.bmm(y.view(8, 10, 3), torch.zeros(8, 3, 3))
    work = counted.work
    assert work["temporal convolution"].flops == 2 * 9 * 4 * 8 * 30
    assert work["temporal convolution"].bytes == 4 * (4 * 30 + 9 * 4 * 8 + 8 * 30)
    assert work["1x1 convolution"].flops == 2 * 8 * 8 * 30
    assert work["graph products"].flops == 2 * 8 * 10 * 3 * 3
    assert work["elementwise"].flops == 0
    assert work["elementwise"].bytes == 4 * 2 * 240
    assert kind_of("native_batch_norm_backward", ()) == "batch-norm"
    assert kind_of("clone", ()) == "copies"
    assert kind_of("_fused_sgd_", ()) == "update"


def test_kinds_and_blocks_add_up_to_the_whole_step() -> None:
    settings = Settings(Path(), **QUICK)  # type: ignore[arg-type]
    model = scrambled_agcn(settings)
    x = torch.randn(1, 3, 5, 17)
    steps = pieces(Candidate(model.train()), x, "cpu", training=True)
    assert list(steps) == [f"block {i}" for i in range(1, 11)] + ["update"]
    whole = flops(training_step(Candidate(model), x, "cpu"))
    parts = 0.0
    for step in steps.values():
        with Operations() as counted:
            step()
        assert set(counted.work) <= set(KINDS)
        parts += sum(w.flops for w in counted.work.values())
    # the first block's input has a gradient in the encoder, for the batch-norm before it, and none by itself
    assert 0.98 * whole < parts <= whole


def test_roof_names_the_limit() -> None:
    from orvpe.lab.bench.operations import Work

    assert roof(2.0, Work(1, 8e9, 1e9), 8e9, 1e10)[-2:] == ["compute", "50 %"]
    assert roof(1.0, Work(1, 8e7, 5e9), 8e9, 1e10)[-2:] == ["memory", "50 %"]
    assert roof(1.0, Work(), 1.0, 1.0) == [None] * 6


# --- medians, ratios, tables --------------------------------------------------------------------------------


def test_candidates_take_turns() -> None:
    turns: list[str] = []
    taken = interleave({n: lambda n=n: turns.append(n) for n in "abc"}, 3, least_seconds=0.0)
    assert "".join(turns) == "abc" + 3 * "abc"  # the first are the warm-up
    assert {n: len(s) for n, s in taken.items()} == {"a": 3, "b": 3, "c": 3}


def test_medians_and_ratios() -> None:
    assert median([3.0, 1.0, 10.0]) == 3.0
    assert math.isnan(median([]))
    assert ratios([1.0, 2.0], [4.0, 2.0]) == [4.0, 1.0]
    # a machine that becomes ten times slower half-way does not move the ratio
    assert speedup([1.0, 1.0, 10.0, 10.0], [2.0, 2.0, 20.0, 20.0]) == 2.0
    assert spread([1.0, 2.0, 4.0]) == 1.5


def test_numbers_and_tables_as_text() -> None:
    shown = [number(v) for v in (None, 0.0, 12345.6, 1.2345, 0.01234, 1e-6, 12345, "x", math.nan)]
    assert shown == ["-", "0", "12,346", "1.23", "0.0123", "1.0e-06", "12,345", "x", "-"]
    lines = markdown(Table("T", ["", "ms"], [["a", 1.0], ["bcd", 23.45]], ["note"])).splitlines()
    assert lines == ["**T**", "", "|     |   ms |", "|-----|-----:|", "| a   | 1.00 |", "| bcd | 23.4 |", "", "* note"]


def test_a_part_replaces_its_own_entry_only(tmp_path: Path) -> None:
    def entry(value: float) -> dict:
        environment = {"gpu": None, "system": "s", "threads": 1, "torch": "2", "commit": "c", "orvpe": "0"}
        asked = {"device": "cpu", "precision": "32", "repeats": 1}
        table = Table("T", ["", "v"], [["row", value]])
        return {"arguments": asked, "environment": environment, "seconds": 1.0, "tables": [table],
                "values": {"v": value}}  # fmt: skip

    for part, value in (("machine", 1.0), ("data", 2.0), ("machine", math.inf)):
        keep(tmp_path, part, entry(value))
    parts = read(tmp_path)["parts"]
    assert list(parts) == ["machine", "data"]
    assert parts["data"]["values"] == {"v": 2.0}
    assert parts["machine"]["values"] == {"v": None}  # JSON has no infinity
    page = (tmp_path / MARKDOWN).read_text(encoding="utf-8")
    assert page.count("## ") == 2
    assert "2.00" in page


# --- references and files -----------------------------------------------------------------------------------


def test_the_plain_ntu_reader_agrees_with_ours(tmp_path: Path) -> None:
    pose_files.ntu(tmp_path, 3, seed=4)
    source = Source(tmp_path)
    frames = 0
    for item in FORMATS["ntu"].items(source):
        (clip,) = FORMATS["ntu"].read(source, item, Options())
        bodies = literal_ntu.read(tmp_path / item[0])
        assert len(bodies) == clip.people
        wanted = [np.array([body[t] for t in sorted(body)], dtype=np.float32) for body in bodies.values()]
        for joints in clip.joints:  # ours orders people by energy
            assert any(np.array_equal(joints, w) for w in wanted)
        frames += clip.people * clip.frames
    assert literal_ntu.read_all(tmp_path, 1) == frames


def test_many_ntu_files_have_legal_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {pose_files.ntu_name(i) for i in range(60_000)}
    assert len(names) == 60_000
    monkeypatch.setattr(pose_files, "NTU_DISTINCT", 2)
    pose_files.ntu(tmp_path, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(pose_files.ntu_name(i) for i in range(5))
    assert ntu_files.plain_read(tmp_path / pose_files.ntu_name(4))


@pytest.mark.parametrize("name", sorted(pose_files.WRITERS))
def test_generated_files_of_each_format_are_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    pose_files.WRITERS[name](folder, 2, 0)
    out = str(tmp_path / "o.orvpe")
    report = ingest([str(folder)], out, format=name, dims=pose_files.DIMS.get(name, 3), workers=1)
    assert report.clips == 2
    assert not report.bad
    ingest([str(folder)], out, dims=pose_files.DIMS.get(name, 3), workers=1, overwrite=True)  # recognised


def test_candidates_agree_with_the_reference() -> None:
    settings = Settings(Path(), **QUICK)  # type: ignore[arg-type]
    people = candidates(settings, training=False)
    assert next(iter(people)) == "reference"
    assert {"agcn", "light"} <= set(people)
    found = differences(people, torch.randn(1, 3, 6, 17), "cpu")
    assert found["agcn"] < 1e-4
    assert all(value < 1e-3 for value in found.values())
    assert "reference" not in found


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts that need no process of their own, as typed."""
    out = tmp_path_factory.mktemp("bench") / "out"
    parts = [p for p in PARTS if p not in ("embed", "commands")]
    words = ["--quick", "--repeats", "1", "--threads", "1", "--device", "cpu"]
    assert main(["bench", *parts, "-o", str(out), *words]) == 0
    return out


def test_what_is_written(result: Path) -> None:
    assert sorted(p.name for p in result.iterdir()) == sorted([JSON, MARKDOWN])  # the files that were made are gone
    data = json.loads((result / JSON).read_text(encoding="utf-8"))
    assert list(data["parts"]) == [p for p in PARTS if p not in ("embed", "commands")]
    page = (result / MARKDOWN).read_text(encoding="utf-8")
    for part, entry in data["parts"].items():
        assert entry["environment"]["torch"] == torch.__version__
        assert entry["arguments"]["repeats"] == 1
        assert entry["tables"]
        assert entry["values"]
        assert f"## {part}\n" in page
        for table in entry["tables"]:
            assert table["title"] in page
            assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_values_of_the_encoders(result: Path) -> None:
    values = read(result)["parts"]["encoders"]["values"]
    assert list(values) == ["infer-8-1", "infer-8-2", "train-8-2"]
    for case, entry in values.items():
        ours, theirs = entry["candidates"]["agcn"], entry["candidates"]["reference"]
        assert ours["times_reference"] == pytest.approx(theirs["seconds"][0] / ours["seconds"][0])
        assert ours["max_difference"] < 1e-4
        assert theirs["max_difference"] is None
        if case.startswith("infer"):
            assert theirs["flops_per_clip"] == agcn_by_hand(8)
        assert len(ours["seconds"]) == 1


def test_values_of_the_other_parts(result: Path) -> None:
    parts = read(result)["parts"]
    assert parts["machine"]["values"]["gflops"] > 0
    blocks = parts["profile"]["values"]["training step"]["blocks"]
    assert set(blocks["update"]) == {"update", "other"}
    assert blocks["block 1"]["temporal convolution"]["flops"] > 0
    ingested = parts["ingest"]["values"]["ntu-against-plain"]
    assert ingested["frames_plain"] == ingested["frames_orvpe"]
    train = parts["train"]["values"]
    assert train["minutes_ntu120"] == pytest.approx(113_945 * 60 / train["clips_per_second"] / 60)
    assert set(parts["data"]["values"]["quick-finetune-nucla"]["share_of_step"]) == {"agcn", "light"}
    zoo = parts["zoo"]["values"]
    assert list(zoo) == list(ENCODERS)
    assert zoo["agcn"]["parameters"] == 3_443_812
    assert zoo["agcn"]["flops_per_clip"] == pytest.approx(zoo["unik"]["flops_per_clip"])
    assert all(value["step_ms_per_clip"] > 0 for value in zoo.values())


def test_processes_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bench(["commands", "embed"], str(tmp_path / "out"), **QUICK)  # type: ignore[arg-type]
    parts = read(out)["parts"]
    assert parts["embed"]["values"]["8 x"]["clips"] == 128
    assert "`orvpe" not in capsys.readouterr().out
    commands = parts["commands"]["values"]
    assert commands["orvpe --help"]["target"] == 0.5
    assert commands["import orvpe"]["seconds"]


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    from orvpe.lab.bench.usage import measured

    with pytest.raises(InputError, match="boom"):
        measured(["-c", "raise SystemExit('boom')"], Settings(tmp_path))


def test_words_become_arguments() -> None:
    found = parse("bench", ["encoders", "data", "-o", "x", "--frames", "64", "32", "--quick", "--files", "10"])
    assert (found["parts"], found["frames"], found["quick"], found["files"]) == (
        ["encoders", "data"],
        [64, 32],
        True,
        10,
    )
    assert parse("bench", [])["parts"] == ["all"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["encoder"], "did you mean 'encoders'"),
        (["machine", "--repeats", "0"], "repeats is 0"),
        (["ingest", "--files", "0"], "files is 0"),
        (["machine", "--threads", "-1"], "threads is -1"),
        (["train", "--batch-size", "1"], "batch_size is 1"),
        (["train", "--clips", "3"], "clips is 3"),
        (["encoders", "--frames", "0"], "frames is [0]"),
        (["machine", "--device", "gpu"], "device"),
        (["machine", "--precision", "64"], "precision"),
        (["embed", "--store", "none.orvpe"], "none.orvpe: no such store"),
        (["machine", "--reapeats", "1"], "--repeats"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert named in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / JSON).write_text("[]")
    with pytest.raises(InputError, match="not a result of orvpe bench"):
        bench(["machine"], str(tmp_path), **QUICK)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        bench(["machine"], str(tmp_path / "file"), **QUICK)  # type: ignore[arg-type]

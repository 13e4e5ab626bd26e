"""Tables of results: plans that can be typed, runs that resume, numbers that are those of the runs."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.pose_files import write_packed
from helpers.small_runs import orvpe, surroundings

from orvpe.cli.arguments import parse
from orvpe.cli.main import main
from orvpe.data.generated import generate, generated_clip
from orvpe.data.store import write_store
from orvpe.errors import InputError
from orvpe.evaluation.scores import Scores
from orvpe.lab.reproduce import _How
from orvpe.lab.reproduce.report import Copies, write
from orvpe.lab.reproduce.steps import CORPORA, SETS, Plan, Step, _deciding
from orvpe.lab.reproduce.tables import ENCODERS, TABLES, Row, Table
from orvpe.models.card import shipped


@pytest.mark.parametrize(("recipes", "from_shipped"), [(s, False) for s in SETS] + [("strong", True)])
def test_every_command_of_every_table_parses(recipes: str, from_shipped: bool) -> None:
    plan = Plan(recipes, 0.5, from_shipped)
    kinds: set[tuple[str, ...]] = set()
    for make in TABLES.values():
        for data in ("nucla", "penn"):
            made: set[str] = set()
            for step in plan.in_order(make(plan, data, [0, 1]).wanted()):
                assert {*step.needs} <= made, step  # each after what it needs
                made.add(step.folder)
                assert shlex.split(step.command()) == ["orvpe", *step.words]
                kind = (step.job, *(w for w in step.words if w.startswith("-")), *(step.words[5:6]))
                if kind not in kinds:  # one of each kind: a parser takes a third of a second
                    kinds.add(kind)
                    parse(step.job, list(step.words[1:]))
    assert len(kinds) > 10


def test_a_share_of_a_recipes_epochs() -> None:
    plan = Plan("paper", 0.5)
    run = plan.finetuned("nucla", 0)
    words = list(plan.steps[run].words)
    assert words[words.index("--epochs") + 1] == "25"
    at = words.index("--optim.milestones")
    assert words[at + 1 : at + 3] == ["15", "20"]
    assert "--epochs" not in Plan("paper").steps.get(run, Step(run, ("finetune",))).words
    with pytest.raises(InputError, match="share is 0"):
        Plan("paper", 0.0)
    with pytest.raises(InputError, match="recipes is 'other'"):
        Plan("other")


@pytest.mark.parametrize("data", ["nucla", "penn"])
def test_the_papers_recipe_for_a_cpu_is_the_papers(data: str) -> None:
    plan, paper = Plan("paper-light"), Plan("paper")

    def made(plan: Plan) -> list[tuple[str, dict[str, Any]]]:
        tables = [TABLES[name](plan, data, [0]) for name in ("table-1", "table-2", "few-labels")]
        steps = plan.in_order(list(dict.fromkeys(run for table in tables for run in table.wanted())))
        return [(s.job, parse(s.job, list(s.words[1:]))) for s in steps if s.job not in ("ingest", "fuse")]

    apart = ("run", "weights", "store")  # folders and stores have other names
    for (job, ours), (_, theirs) in zip(made(plan), made(paper), strict=True):
        wanted = {k: v for k, v in theirs.items() if k not in apart}
        wanted["encoder"] = replace(theirs["encoder"], name="light")
        wanted["view"] = replace(theirs["view"], tau=64)
        if job == "pretrain":
            assert theirs["contrast"].negatives == 4096  # more than Kinder-Gator has
            wanted["contrast"] = replace(theirs["contrast"], negatives=None)
        assert {k: v for k, v in ours.items() if k not in apart} == wanted
    encoders = [plan.steps[row.runs[0]].words for row in TABLES["table-3"](plan, data, [0]).rows]
    assert [w[w.index("--encoder.name") + 1] for w in encoders] == list(ENCODERS)
    assert all(w.count("--encoder.name") == 1 for w in encoders)


def descent(plan: Plan, run: str) -> list[Step]:
    """The pre-trainings that a run's weights come from, the last one first."""
    step = plan.steps[run]
    start = step.words[step.words.index("-w") + 1] if "-w" in step.words else None
    return [step, *(descent(plan, start) if start in plan.steps else [])]


@pytest.mark.parametrize("from_shipped", [False, True])
@pytest.mark.parametrize("data", ["nucla", "penn"])
def test_what_is_temporal_only_is_so_from_the_start(data: str, from_shipped: bool) -> None:
    plan = Plan("strong", 1.0, from_shipped)
    steps = descent(plan, plan.pretrained(data, occlusion="none"))
    assert steps[-1].folder == "strong/pretrain-3d-joint-none"
    for step in steps:
        parsed = parse(step.job, list(step.words[1:]))
        assert parsed["view"].occlusion == "none"
        assert parsed["weights"] in (None, *plan.steps)  # nothing that comes with orvpe
        before = plan.in_order([step.folder])
        assert {parsed["weights"]} <= {None, *(s.folder for s in before[:-1])}
    bone = descent(plan, plan.pretrained(data, "bone", occlusion="none"))
    assert all("none" in s.words for s in bone)
    assert len(bone) == len(steps) + 1


def test_the_other_pretrainings_are_typed_as_ever() -> None:  # finished runs are recognised by their commands
    plan = Plan("strong")
    made = [plan.steps[plan.pretrained(d, s)].command() for d in ("nucla", "penn") for s in ("joint", "bone")]
    pretrain = "orvpe pretrain kinder.orvpe -r strong/pretrain-"
    three, two = "--recipe quick-pretrain-kinder", "--recipe strong-pretrain-2d"
    assert made == [
        f"{pretrain}3d-joint {three}",
        f"{pretrain}3d-bone {three} --view.stream bone -w strong/pretrain-3d-joint --epochs 20 --optim.warmup 1",
        f"{pretrain}2d-joint {two}",
        f"{pretrain}2d-bone {two} --view.stream bone -w strong/pretrain-2d-joint --epochs 20 --optim.warmup 1",
    ]
    temporal = plan.steps[plan.pretrained("nucla", occlusion="none")].command()
    assert temporal == f"{pretrain}3d-joint-none {three} --view.occlusion none"


def test_the_rows_of_all_corpora() -> None:
    plan = Plan("strong")
    assert plan.widest("nucla") == "strong/pretrain-3d-all"
    step = plan.steps["strong/pretrain-3d-all"]
    assert parse(step.job, list(step.words[1:]))["weights"] == "kinder-light-3d-joint"
    assert [s.job for s in plan.in_order([step.folder])] == ["ingest", "pretrain"]
    assert Plan("strong", from_shipped=True).widest("nucla") in shipped()
    assert [Plan("strong").widest("penn"), Plan("paper").widest("nucla")] == [None, None]
    for name, rows in (("table-1", 2), ("few-labels", 5)):
        with_them, without = (
            [row for row in TABLES[name](Plan(which), "nucla", [0]).rows if "mixed" not in row.name]
            for which in ("strong", "paper")
        )
        assert len(with_them) == len(without) + rows


def test_the_rows_of_several_occlusions() -> None:
    for plan in (Plan("strong"), Plan("strong", from_shipped=True)):
        for data in ("nucla", "penn"):
            several = plan.robust(data)
            if plan.from_shipped:
                assert several in shipped()
            else:
                assert [s.job for s in plan.in_order([several])] == ["ingest", "pretrain"]
            steps = {
                (step.job, labels)
                for name, labels in (("table-1", "1"), ("few-labels", "0.1"))
                for row in TABLES[name](plan, data, [0]).rows
                if "mixed" in row.name
                for step in (plan.steps[row.runs[0]],)
                if labels == "1" or f"--labels {labels} " in step.command() + " "
            }
            assert steps == {("finetune", "1"), ("probe", "1"), ("finetune", "0.1"), ("probe", "0.1")}
    plan = Plan("strong")
    starts = {
        data: {row.name: plan.steps[row.runs[0]].command() for row in TABLES["table-1"](plan, data, [0]).rows}
        for data in ("nucla", "penn")
    }
    of = "linear probe, mixed occlusion"
    assert of not in starts["nucla"]
    assert "-w strong/pretrain-3d-mix " in starts["nucla"][f"{of}, also in pre-training"]
    assert "-w strong/pretrain-2d-joint " in starts["penn"][of]
    assert "-w strong/pretrain-2d-mix " in starts["penn"][f"{of}, also in pre-training"]
    for data, dims in (("nucla", 3), ("penn", 2)):
        tuned = starts[data]["fine-tuned, mixed occlusion, also in pre-training"]
        assert f"-r strong/{data}-several-0 " in tuned
        assert f"-w strong/pretrain-{dims}d-mix " in tuned
    words = plan.steps[plan.finetuned("nucla", 0, labels=0.05, robust=True)].words  # twice its recipe's epochs
    assert words[words.index("--epochs") + 1] == "180"


def test_the_rows_of_several_occlusions_in_turn() -> None:
    plan = Plan("strong", from_shipped=True)
    made = plan.in_order(TABLES["table-2"](plan, "nucla", [0]).wanted())
    commands = [s.command() for s in made if "robust" in s.folder]
    tuned = "orvpe finetune nucla.orvpe -r strong/nucla-robust"
    assert commands == [
        f"{tuned}-0 --recipe robust-finetune-nucla -w kinder-light-3d-joint --seed 0",
        f"{tuned}-bone-0 --recipe robust-finetune-nucla -w strong/pretrain-3d-bone --view.stream bone --seed 0",
        "orvpe fuse strong/nucla-robust-0/scores.npz strong/nucla-robust-bone-0/scores.npz "
        "-o strong/nucla-robust-two-stream-0.npz",
    ]


def test_what_decides_a_result() -> None:
    words = shlex.split("finetune a -r b --threads 1 --device=cpu --restart --seed 3 --precision 32")
    assert _deciding(words) == [["finetune", "a"], ["--seed", "3"], ["-r", "b"]]
    assert _deciding(words) == _deciding(shlex.split("finetune a --seed 3 -r b"))
    assert _deciding(words) != _deciding(shlex.split("finetune a --seed 4 -r b"))


def finished(folder: Path, command: str, top1: float, commit: str = "abc", gpu: str | None = None) -> None:
    folder.mkdir(parents=True)
    environment = {"command": command, "commit": commit, "threads": 1, "gpu": gpu}
    (folder / "recipe.json").write_text(json.dumps({"arguments": {"epochs": 1}, "environment": environment}))
    occlusions = {"none": {"top1": top1}, "upper": {"top1": top1 / 2}}
    (folder / "results.json").write_text(json.dumps({"occlusions": occlusions, "environment": environment}))


def test_the_table_says_what_the_runs_say(tmp_path: Path) -> None:
    plan = Plan()
    runs = [plan.finetuned("nucla", s) for s in range(3)]
    other = plan.finetuned("nucla", 0, encoder=ENCODERS[0])
    where = (("abc", None), ("def", "H200"), ("abc", None))  # each said once
    for run, top1, (commit, gpu) in zip(runs, (80.0, 81.0, 85.0), where, strict=True):
        finished(tmp_path / run, plan.steps[run].command(), top1, commit, gpu)
    table = Table("T", [Row("ours", "78.2", runs), Row("another", "", [other])], ("upper", "lower"))
    text = write(table, plan, tmp_path, tmp_path / "out", "t", Copies(tmp_path, "nucla")).read_text()
    assert "| ours | 78.2 | 82.0 (80.0 to 85.0) | 41.0 (40.0 to 42.5) | 3 | `orvpe finetune nucla.orvpe" in text
    assert "| abc; def | CPU, 1 threads; H200 |" in text
    assert "| another | - | not run | not run | - |" in text
    assert "lower" not in text
    assert "copies" not in text


def test_the_table_tells_what_is_right_without_copies(tmp_path: Path) -> None:
    copy = generated_clip(0, seed=5).with_(label="a01", name="first", camera="v01")
    clips = [copy, copy.with_(name="copy", camera="v03")]
    clips += [c.with_(label="a02", name=f"c{i}", camera=f"v0{i + 1}") for i, c in enumerate(generate(3, seed=6))]
    write_store(tmp_path / "nucla.orvpe", clips)
    copies = Copies(tmp_path, "nucla")
    assert copies.of() == {"copy"}
    assert Copies(tmp_path, "penn").of() == set()
    plan = Plan()
    run = plan.finetuned("nucla", 0)
    finished(tmp_path / run, plan.steps[run].command(), 50.0)
    scores = np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32)  # the copy is wrong, the other one right
    names, classes = np.array(["copy", "c2"]), np.array(["a01", "a02"])
    Scores(names, classes, scores, classes).save(tmp_path / run / "scores.npz")
    text = write(Table("T", [Row("ours", "", [run])]), plan, tmp_path, tmp_path / "out", "t", copies).read_text()
    assert "1 test clips are training clips under another name" in text
    assert "|  | paper | ours | without duplicates | seeds |" in text
    assert "| ours | - | 50.0 | 100.0 | 1 |" in text


def test_a_folder_of_another_command_is_not_taken_for_done(tmp_path: Path) -> None:
    plan = Plan()
    step = plan.steps[plan.finetuned("nucla", 0)]
    assert not step.done(tmp_path)
    finished(tmp_path / step.folder, step.command() + " --threads 2", 80.0)
    assert step.done(tmp_path)
    with pytest.raises(InputError, match="was made by"):
        plan.steps[plan.finetuned("nucla", 0)].__class__(step.folder, (*step.words, "--labels", "0.1")).done(tmp_path)


def data_folder(folder: Path) -> Path:
    """N-UCLA and the corpora in miniature, in their own formats."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir()
    for i in range(48):  # every action before every camera
        walk = rng.normal(0, 0.02, (20 + i, 20, 3)).cumsum(axis=0) + rng.normal(0, 1, (20, 3))
        name = f"a{i // 3 % 4 + 1:02d}_s{i % 5 + 1:02d}_e{i // 12:02d}_v{i % 3 + 1:02d}.json"
        (folder / "clips" / name).write_text(json.dumps({"skeletons": walk.round(3).tolist()}))
    with zipfile.ZipFile(folder / "nw-ucla-skeletons.zip", "w") as archive:
        for file in sorted((folder / "clips").iterdir()):
            archive.write(file, f"all_sqe/{file.name}")
    (folder / "corpora").mkdir()
    lengths = np.full(66, 30)  # a batch is 64
    joints = np.random.default_rng(0).integers(1, 2000, size=(lengths.sum(), 20, 3)).astype(np.int16)
    for name in CORPORA:
        changes = {"joints_mm": joints, "start": np.r_[0, lengths.cumsum()]}
        write_packed(folder / "corpora" / name, 66, **changes)
    return folder


@pytest.mark.slow("trains and tests every row of a table, each step a process")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_table_from_nothing_and_again(jobs: str, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    words = [
        *("reproduce", "figures", "--datasets", "nucla", "--seeds", "0", "--share", "0.04", "--threads", "1"),
        *("--jobs", jobs),
        *("--work", str(tmp_path / "w"), "--out", str(tmp_path / "out"), "--data", str(data)),
    ]
    done = orvpe(*words)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "strong-figures-nucla.md").read_text()
    results = json.loads((tmp_path / "w" / "strong" / "nucla-scratch-curve-0" / "results.json").read_text())
    assert f"| from scratch | - | {results['occlusions']['none']['top1']:.1f} |" in text
    assert "Only 4 % of each training's epochs were run (a probe has all)." in text
    assert str(tmp_path) not in text
    for picture in ("curve", "confusion-0", "confusion-1"):
        assert (tmp_path / "out" / f"strong-figures-nucla-{picture}.png").stat().st_size > 5000
    again = orvpe(*words)
    assert again.returncode == 0, again.stderr
    assert "5 of 5 steps are done" in again.stdout


def test_bad_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORVPE_DATA", raising=False)
    base = ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    for words, message in (
        (["table-9"], "unknown table 'table-9'"),
        (["figures", "--datasets", "ntu"], "unknown data set 'ntu'"),
        (["figures", "--recipes", "weak"], "expected one of paper, paper-light, strong"),
        (["figures"], "give --data FOLDER"),
        (["figures", "--data", str(tmp_path)], "no such file"),
    ):
        assert main(["reproduce", *words, *base]) == 2
        assert message in capsys.readouterr().err
    assert main(["reproduce", "table-1", "--dry-run", *base]) == 0
    assert "to run orvpe pretrain kinder.orvpe" in capsys.readouterr().out


def test_what_cannot_work_is_told_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORVPE_DATA", raising=False)
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("began"))
    data = data_folder(tmp_path / "data")
    (tmp_path / "file").write_text("mine")
    work, out = tmp_path / "w", tmp_path / "o"

    def told(*words: str, work: Path = work, out: Path = out) -> str:
        assert main(["reproduce", *words, "--data", str(data), "--work", str(work), "--out", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "penn-action-labels.zip: no such file" in told("table-1", "--datasets", "nucla", "penn")
    assert "seeds are 0 1 0, expected different" in told("figures", "--seeds", "0", "1", "0")
    assert "seeds are -1, expected different" in told("figures", "--seeds", "-1")
    assert "--seeds is '0-2', expected numbers" in told("figures", "--seeds", "0-2")
    assert "unknown device 'gpu'" in told("figures", "--datasets", "nucla", "--device", "gpu")
    assert "jobs is 0, expected at least 1" in told("figures", "--datasets", "nucla", "--jobs", "0")
    assert "unknown precision 'half'" in told("figures", "--datasets", "nucla", "--precision", "half")
    assert "threads is -1" in told("figures", "--datasets", "nucla", "--threads", "-1")
    for file in (tmp_path / "file", tmp_path / "file" / "more"):
        assert "file is a file, expected a folder" in told("figures", "--datasets", "nucla", work=file)
        assert "file is a file, expected a folder" in told("figures", "--datasets", "nucla", out=file)
    assert (tmp_path / "file").read_text() == "mine"
    assert not out.exists()


def test_a_report_of_nothing_leaves_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["reproduce", "figures", "--datasets", "nucla", "--seeds", "0", "--out", str(tmp_path / "o"), "--work"]
    plan = Plan()
    step = plan.steps[plan.finetuned("nucla", 0, None, "scratch-curve", curve=True)]
    finished(tmp_path / "w" / step.folder, step.command(), 77.0)
    (tmp_path / "w" / step.folder / "metrics.jsonl").write_text('{"epoch": 1, "test_top1": 5.0}\n{"epoch": 2, "te')
    assert main([*base, str(tmp_path / "w"), "--report"]) == 0
    table = tmp_path / "o" / "strong-figures-nucla.md"
    text = table.read_text()
    assert "77.0" in text
    assert main([*base, str(tmp_path / "elsewhere"), "--report"]) == 2
    assert "holds none of these runs" in capsys.readouterr().err
    assert table.read_text() == text
    assert main([*base, str(tmp_path / "elsewhere"), "--dry-run"]) == 0
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("how", ["{", "[]", "{}", '{"environment": 3, "occlusions": 3}'])
@pytest.mark.parametrize("file", ["recipe.json", "results.json"])
def test_damaged_runs_are_told(how: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan()
    step = plan.steps[plan.finetuned("nucla", 0, None, "scratch-curve", curve=True)]
    finished(tmp_path / "w" / step.folder, step.command(), 77.0)
    (tmp_path / "w" / step.folder / file).write_text(how)
    words = ["reproduce", "figures", "--datasets", "nucla", "--seeds", "0", "--work", str(tmp_path / "w")]
    more = ["--dry-run"] if file == "recipe.json" else ["--report", "--out", str(tmp_path / "o")]
    assert main([*words, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line
    assert "move its folder away" in line


def test_a_curve_of_other_models_is_not_taken_for_done(tmp_path: Path) -> None:
    plan = Plan()
    step = plan.steps[plan.robustness("nucla", {"a": plan.finetuned("nucla", 0)}, 0)]
    folder = tmp_path / step.folder
    folder.mkdir(parents=True)
    (folder / "robustness.json").write_text(json.dumps({"environment": {"command": step.command() + " --device cpu"}}))
    assert step.done(tmp_path)
    (folder / "robustness.json").write_text(json.dumps({"environment": {"command": "orvpe robustness x -o y"}}))
    with pytest.raises(InputError, match="was made by"):
        step.done(tmp_path)


def test_how_the_steps_run() -> None:
    how = _How("cpu", 2, "bf16", True)
    assert how.words("pretrain") == shlex.split("--device cpu --threads 2 --precision bf16 --compile true")
    assert how.words("finetune") == shlex.split("--device cpu --threads 2 --precision bf16")
    assert how.words("probe") == how.words("robustness") == shlex.split("--device cpu --threads 2")
    assert how.words("fuse") == _How("auto", 0, None, False).words("pretrain") == []
    for job in ("pretrain", "finetune"):  # a run made so is the one the plan means
        assert _deciding(shlex.split(f"{job} a") + how.words(job)) == [[job, "a"]]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
@pytest.mark.parametrize(("how", "jobs"), [("Ctrl-C", "1"), ("SIGTERM", "1"), ("Ctrl-C", "2")])
def test_stopped_it_saves_the_running_steps_and_goes_on(how: str, jobs: str, tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    words = ["reproduce", "figures", "--datasets", "nucla", "--seeds", "0", "--threads", "1", "--share", "0.5"]
    words += ["--jobs", jobs, "--work", str(tmp_path / "w"), "--out", str(tmp_path / "o"), "--data", str(data)]
    process = subprocess.Popen(
        [sys.executable, "-m", "orvpe", *words], env=surroundings(), text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in the background of a script
    )  # fmt: skip
    metrics = tmp_path / "w" / "strong" / "nucla-scratch-curve-0" / "metrics.jsonl"
    beside = [metrics.parents[1] / "pretrain-3d-joint" / "metrics.jsonl"] if jobs == "2" else []
    until = time.monotonic() + 120
    while not all(m.exists() for m in (metrics, *beside)) and time.monotonic() < until:
        time.sleep(0.02)
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # all that the terminal runs in the foreground
    else:
        process.terminate()
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + (signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM), told
    for run in (metrics, *beside):
        assert f"saved in strong/{run.parent.name}" in told
    assert told.rstrip().endswith("orvpe reproduce: stopped; the same command goes on from here")
    assert "Traceback" not in told
    assert "stopping when saved: " in told
    import fcntl

    with (metrics.parent / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody is left who trains there
    assert not (metrics.parent / "results.json").exists()

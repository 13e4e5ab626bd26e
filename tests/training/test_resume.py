"""An interrupted training, resumed by the same command, ends bit-identical to one that was never interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_runs import ENCODER, LIGHT, assert_same_run, checkpoint, make_store, metrics, surroundings

from orvpe.cli.main import main
from orvpe.errors import InputError, Interrupted
from orvpe.runtime.run import Run
from orvpe.training.finetune import finetune
from orvpe.training.optim import Optim
from orvpe.training.pretrain import Contrast, pretrain
from orvpe.views.augment import Augment
from orvpe.views.view import ViewConfig

torch.set_num_threads(1)

VIEW = ViewConfig(
    tau=16, crop="resample", shortest=0.5, occlusion="subgraph", augment=Augment(yaw=30, flip=0.5, noise=0.01)
)
COMMON: dict[str, Any] = {
    "view": VIEW, "encoder": ENCODER, "epochs": 3, "batch_size": 8, "device": "cpu", "threads": 1,
    "optim": Optim(lr=0.05, nesterov=True, schedule="cosine", warmup=0.5, clip_norm=1.0),
}  # fmt: skip
JOBS: dict[str, Any] = {
    "pretrain": lambda store, run, **more: pretrain(
        store, run, contrast=Contrast(outputs=8, loss="nce", negatives=12), **{**COMMON, **more}
    ),
    "teacher": lambda store, run, **more: pretrain(
        store, run, contrast=Contrast(outputs=8, negatives=None, teacher=0.9, views=2), **{**COMMON, **more}
    ),
    "finetune": lambda store, run, **more: finetune(
        store, run, "random:0.2", dropout=0.5, label_smoothing=0.1, eval_every=1, occlusions=["none", "joints:0.3"],
        **{**COMMON, "optim": Optim("adamw", lr=0.01, schedule="one-cycle", warmup=1), **more},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("data") / "clips.orvpe")


@pytest.fixture(scope="module")
def whole(store: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Uninterrupted runs."""
    return {name: job(store, str(tmp_path_factory.mktemp(name) / "run")) for name, job in JOBS.items()}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("stops", [(1,), (2, 1, 3), (4,), (7,)])  # finetune has 4 steps an epoch, pretrain 5
def test_stopped_and_resumed(
    job: str, stops: tuple[int, ...], store: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for steps in stops:
        with pytest.raises(Interrupted):
            JOBS[job](store, str(run), stop_after=steps)
        assert not (run / "results.json").exists()
        torch.rand(3)  # a global generator elsewhere must not matter
    JOBS[job](store, str(run))
    assert_same_run(whole[job], run)


def test_a_finished_run_is_left_as_it_is(store: str, whole: dict[str, Path]) -> None:
    before = (whole["pretrain"] / "last.ckpt").read_bytes()
    weights = (whole["pretrain"] / "weights.safetensors").read_bytes()
    JOBS["pretrain"](store, str(whole["pretrain"]))
    assert (whole["pretrain"] / "last.ckpt").read_bytes() == before
    assert (whole["pretrain"] / "weights.safetensors").read_bytes() == weights
    assert [m["epoch"] for m in metrics(whole["pretrain"])] == [1, 2, 3]


def test_another_seed_is_another_run(store: str, whole: dict[str, Path], tmp_path: Path) -> None:
    """The comparison above can fail."""
    other = JOBS["pretrain"](store, str(tmp_path / "run"), seed=1)
    with pytest.raises(AssertionError):
        assert_same_run(whole["pretrain"], other)


def test_the_normaliser_of_nce_is_estimated_once(store: str, whole: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        JOBS["pretrain"](store, str(run), stop_after=1)
    first = checkpoint(run)["state"]
    last = checkpoint(whole["pretrain"])["state"]
    assert torch.isfinite(first["loss"]["log_z"])
    assert torch.equal(first["loss"]["log_z"], last["loss"]["log_z"])
    assert not torch.equal(first["bank"]["rows"], last["bank"]["rows"])
    kept = [name for part in last.values() for name in part if "log_z" in str(name)]
    assert kept == ["log_z"]


def test_killed_between_metrics_and_checkpoint(
    store: str, whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an epoch logged twice nor half a line survives a resume."""
    for when in (1, 2):  # the checkpoint of that epoch is never written
        run, saves = tmp_path / f"run{when}", []
        save = Run.save

        def fails(
            self: Run, state: dict[str, Any], when: int = when, saves: list[int] = saves, save: Any = save
        ) -> None:
            saves.append(1)
            if len(saves) == when:
                raise KeyboardInterrupt
            save(self, state)

        with monkeypatch.context() as patch:
            patch.setattr(Run, "save", fails)
            with pytest.raises(KeyboardInterrupt):
                JOBS["pretrain"](store, str(run))
        assert len(metrics(run)) == when
        with open(run / "metrics.jsonl", "a") as file:
            file.write('{"epoch": 9, "lo')
        JOBS["pretrain"](store, str(run))
        assert_same_run(whole["pretrain"], run)


def test_a_checkpoint_is_replaced_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path / "run", {"a": 1})
    run.save({"x": torch.arange(5)})

    def breaks(state: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(OSError, match="disk full"):
        run.save({"x": torch.arange(6)})
    loaded = run.load()
    assert loaded is not None
    assert torch.equal(loaded["x"], torch.arange(5))


def test_a_loss_that_explodes_keeps_the_last_sound_state(store: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    more = {"epochs": 2, "save_every": 1, "optim": Optim(lr=1e30, schedule="constant")}
    with pytest.raises(InputError, match="loss became NaN"):
        JOBS["finetune"](store, str(run), **more)
    for name, value in checkpoint(run)["sums"].items() if (run / "last.ckpt").exists() else ():
        assert torch.isfinite(value), name
    # and the advice, a lower rate, can be followed in the same folder where nothing was kept
    assert not (run / "weights.safetensors").exists()


def test_a_folder_of_another_run_is_refused_and_kept(store: str, whole: dict[str, Path], tmp_path: Path) -> None:
    folder = whole["pretrain"]
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError, match=r"another run \(seed was 0, now 5\)"):
        JOBS["pretrain"](store, str(folder), seed=5)
    with pytest.raises(InputError, match=r"another run \(optim.lr was 0.05, now 0.2\)"):
        JOBS["pretrain"](
            store, str(folder), optim=Optim(lr=0.2, nesterov=True, schedule="cosine", warmup=0.5, clip_norm=1.0)
        )
    with pytest.raises(InputError, match=r"another run \(job was 'pretrain', now 'finetune'\)"):
        JOBS["finetune"](store, str(folder))
    other = make_store(tmp_path / "clips.orvpe", seed=1)  # of the same name and size
    with pytest.raises(InputError, match="store_checksum"):
        JOBS["pretrain"](other, str(folder))
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_restart_throws_the_earlier_run_away(store: str, whole: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    JOBS["finetune"](store, str(run), epochs=1, seed=3)
    with pytest.raises(Interrupted):
        JOBS["finetune"](store, str(run), restart=True, stop_after=2)
    assert not (run / "weights.safetensors").exists()
    assert not (run / "results.json").exists()
    JOBS["finetune"](store, str(run))
    assert_same_run(whole["finetune"], run)


# --- real signals to a real process ---

EPOCHS = "20"  # long enough that the signal finds it at work, also on a busy machine


def words(job: str, store: str, run: Path) -> list[str]:
    own = {
        "pretrain": ["--contrast.negatives", "10", "--contrast.outputs", "8", "--optim.lr", "0.01"],
        "finetune": ["-p", "random:0.2", "--dropout", "0.5", "--optim.lr", "0.01", "--occlusions", "none"],
    }[job]
    return [job, store, "-r", str(run), *LIGHT, *own, "--epochs", EPOCHS, "--batch-size", "4", "--save-every", "7"]


@pytest.mark.slow("a training that is stopped by a signal and resumed, in processes")
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("job", "number"), [("pretrain", signal.SIGTERM), ("finetune", signal.SIGINT), ("pretrain", signal.SIGKILL)]
)
def test_signals(job: str, number: signal.Signals, store: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = words(job, store, run)
    with subprocess.Popen(
        [sys.executable, "-m", "orvpe", *command], env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 120
        while not ((run / "metrics.jsonl").exists() and len(metrics_lines(run)) >= 1) and time.monotonic() < until:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        os.kill(process.pid, number)
        _, complaint = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert complaint.count("\n") == 1
        assert "stopped" in complaint
        assert str(run) in complaint
    saved = checkpoint(run)  # whole, whatever happened
    assert saved["epoch"] < int(EPOCHS), "the signal came too late to test anything"
    assert main(command) == 0
    command[command.index("-r") + 1] = str(tmp_path / "uninterrupted")
    assert main(command) == 0
    assert_same_run(tmp_path / "uninterrupted", run)


def metrics_lines(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()


def test_recipe_and_environment_are_written_down(whole: dict[str, Path]) -> None:
    found = json.loads((whole["finetune"] / "recipe.json").read_text())
    assert found["arguments"]["view"]["augment"]["flip"] == 0.5
    assert found["arguments"]["dropout"] == 0.5
    assert found["environment"]["torch"] == torch.__version__


def test_two_processes_do_not_share_a_folder(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    command = words("pretrain", store, run)
    assert main([*command, "--stop-after", "3"]) == 130
    before = (run / "last.ckpt").read_bytes()
    held = (
        "from pathlib import Path; from orvpe.runtime.lock import alone\n"
        f"with alone(Path(r'{run / '.lock'}')): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        capsys.readouterr()
        assert main(command) == 2
        assert "in use by another process" in capsys.readouterr().err
        other.kill()  # the system frees the lock
    assert (run / "last.ckpt").read_bytes() == before
    assert main([*command, "--stop-after", "3"]) == 130

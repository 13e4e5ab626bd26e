"""A run is a folder: resolved recipe, seed, versions and device, metrics as JSON lines, last checkpoint, figures."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from orvpe.errors import InputError, Interrupted
from orvpe.runtime.files import whole_file, write_atomic
from orvpe.runtime.signals import heard_by

CHECKPOINT = "last.ckpt"
METRICS = "metrics.jsonl"
RECIPE = "recipe.json"
RESULTS = ("weights.safetensors", "card.json", "results.json", "scores.npz", "per_class.csv", "confusion.png")


def check_folder(path: str | Path, what: str = "--out") -> None:
    """Before any work: whether ``path`` can be the folder that the work will write.

    Raises:
        InputError: it, or a folder on the way to it, is a file, or it has no name.
    """
    if path == "":  # Path takes it for the folder one is in
        raise InputError(f"{what} {path!r}: expected the name of a folder")
    for part in (Path(path), *Path(path).parents):
        if part.exists():
            if not part.is_dir():
                raise InputError(f"{what} {path}: {part} is a file, expected a folder or a new name")
            return


def plain(value: Any) -> Any:
    """Dataclasses, paths and tuples as JSON's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"view": {"tau": 16}} -> {"view.tau": 16}."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


@lru_cache(maxsize=1)  # of the start: the source may change while a run goes on with what it has loaded
def environment() -> dict[str, Any]:
    """Versions, commit, device and command, written next to every number."""
    import numpy

    import orvpe

    here, called = Path(__file__).resolve().parents[1], Path(sys.argv[0])  # .../orvpe, or .../orvpe/__main__.py
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here, capture_output=True, text=True, timeout=5, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        commit = None  # an installed package has no repository around it
    return {
        "command": " ".join(["orvpe", *sys.argv[1:]]) if "orvpe" in (called.stem, called.parent.name) else None,
        "orvpe": orvpe.__version__,
        "commit": commit,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


class Run:
    """One run's folder.

    Args:
        folder: where; made if missing.
        arguments: every argument that decides the result.  A folder that holds another run is refused.
        main: whether this process writes (rank 0 of a distributed run).
        restart: throw an earlier run in this folder away instead of resuming it.

    Raises:
        InputError: the folder holds another run, or a model that no run of ours put there, or is no folder.
    """

    def __init__(self, folder: str | Path, arguments: dict[str, Any], main: bool = True, restart: bool = False) -> None:
        self.folder, self.main = Path(folder), main
        self.stop_signal: int | None = None
        check_folder(folder, "run folder")
        start = arguments.get("weights")
        if isinstance(start, (str, Path)) and self.folder.resolve() == Path(start).resolve():
            raise InputError(f"run folder {self.folder} is where the weights come from; choose another folder")
        arguments = json.loads(json.dumps(plain(arguments)))
        recipe = self.folder / RECIPE
        # a recipe alone, left by a run that failed at once, is nothing to lose
        held = [name for name in (CHECKPOINT, METRICS, *RESULTS) if (self.folder / name).exists()]
        if held and not restart:
            advice = "choose another folder or add --restart to throw away what is there"
            if not recipe.exists():
                raise InputError(f"run folder {self.folder} holds {held[0]} but no {RECIPE}, so no run; {advice}")
            try:
                before = json.loads(recipe.read_text(encoding="utf-8"))["arguments"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f"run folder {self.folder}: {RECIPE} is damaged; {advice}") from None
            was, now = _leaves(before), _leaves(arguments)
            differ = [k for k in dict.fromkeys(("job", *was, *now)) if was.get(k) != now.get(k)]
            if differ:
                k = differ[0]
                change = f"{k} was {was.get(k)!r}, now {now.get(k)!r}"
                raise InputError(f"run folder {self.folder} holds another run ({change}); {advice}")
        elif main:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in held:  # nothing of an earlier run may pass for this one's
                (self.folder / name).unlink(missing_ok=True)
            text = json.dumps({"arguments": arguments, "environment": environment()}, indent=1)
            write_atomic(recipe, text + "\n")

    # --- checkpoints ---

    def save(self, state: dict[str, Any]) -> None:
        """Keep the whole state of training; what was there before stays until the new one is complete."""
        if not self.main:
            return
        target = self.folder / CHECKPOINT
        with whole_file(target) as temporary, open(temporary, "wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # torch's words for a full disk
                if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
                    raise
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
            file.flush()
            os.fsync(file.fileno())

    def checkpoint_bytes(self) -> int:
        """Size of the last checkpoint, 0 without one."""
        path = self.folder / CHECKPOINT
        return path.stat().st_size if path.exists() else 0

    def load(self, device: torch.device | str = "cpu") -> dict[str, Any] | None:
        """The last checkpoint, or None on a fresh start.

        Raises:
            InputError: a damaged checkpoint.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:
            what = f"checkpoint {path} cannot be read ({type(error).__name__})"
            raise InputError(f"{what}; add --restart to start over") from None

    # --- metrics ---

    def log(self, **values: Any) -> None:
        """Append one line to metrics.jsonl."""
        if self.main:
            with open(self.folder / METRICS, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain(values)) + "\n")

    def forget_after(self, epoch: int) -> None:
        """Drop metric lines of epochs that a resumed run is about to repeat, and a last line cut short by a kill."""
        path = self.folder / METRICS
        if self.main and path.exists():
            whole = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            lines = [line for line in whole if json.loads(line).get("epoch", 0) <= epoch]
            write_atomic(path, "".join(line + "\n" for line in lines))

    def metrics(self) -> list[dict[str, Any]]:
        path = self.folder / METRICS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # --- interruption ---

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn SIGTERM and Ctrl-C into a request that `stop_requested` sees after the current step."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.stop_signal is not None:  # asked twice: do not wait for the step
                raise KeyboardInterrupt
            self.stop_signal = number

        with heard_by(ask):
            yield

    def interrupted(self, where: str) -> Interrupted:
        return Interrupted(
            self.stop_signal or signal.SIGINT,
            f"stopped {where}; saved in {self.folder}. The same command goes on from here.",
        )

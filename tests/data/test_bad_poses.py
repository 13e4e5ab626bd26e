"""Bad pose files: one line that names the file, exit code 2, and nothing that was there is lost."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import Refused

from orvpe.cli.main import main


def ingest(source: Path, *more: str) -> list[str]:
    return ["ingest", str(source), "-o", str(source.parent / "out.orvpe"), "--workers", "1", *more]


def spoiled(name: str, tmp_path: Path) -> tuple[Path, list[str]]:
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(6, 17, 3)).astype(np.float32)
    array, clip = tmp_path / "clip.npz", tmp_path / "a01_s01_e01_v01.json"
    own = ["--joints", "unified"]
    if name == "missing":
        return tmp_path / "nothing.json", []
    if name == "unknown format":
        (tmp_path / "x.bin").write_bytes(bytes(range(256)))
        return tmp_path / "x.bin", []
    if name == "empty file":
        clip.write_bytes(b"")
        return clip, []
    if name == "empty clip":
        np.savez(array, joints=joints[:0])
        return array, own
    if name == "all missing":
        np.savez(array, joints=np.full_like(joints, np.nan))
        return array, own
    if name == "infinite":
        joints[2, 3, 1] = np.inf
        np.savez(array, joints=joints)
        return array, own
    if name == "0 x 0 image":
        np.savez(array, joints=joints[..., :2])
        return array, [*own, "--image-size", "0x0", "--dims", "2"]
    if name == "unknown layout":
        np.savez(array, joints=joints)
        return array, ["--joints", "kinect_v3"]
    if name == "other joints":
        np.savez(array, joints=joints[:, :16])
        return array, own
    if name == "truncated json":
        clip.write_text(json.dumps({"skeletons": rng.normal(size=(5, 20, 3)).tolist()})[:700])
        return clip, []
    if name == "infinite json":
        data = rng.normal(size=(5, 20, 3)).tolist()
        data[1][2][0] = float("inf")
        clip.write_text(json.dumps({"skeletons": data}))
        return clip, []
    if name == "truncated zip":
        with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
            archive.writestr(clip.name, json.dumps({"skeletons": rng.normal(size=(5, 20, 3)).tolist()}))
        (tmp_path / "cut.zip").write_bytes((tmp_path / "whole.zip").read_bytes()[:-200])
        return tmp_path / "cut.zip", []
    if name == "truncated skeleton":
        file = tmp_path / "S001C001P001R001A001.skeleton"
        file.write_text("3\n1\n72057594037931101 0 1 1 1 1 0 0.02 0.1 2\n25\n0.1 0.2 3.1 0 0 0 0 0 0 0 0 2\n0.1 0.2")
        return file, []
    raise AssertionError(name)


SPOILED = {  # and what the line says of each
    "missing": "no such", "unknown format": "no pose file of a known format",
    "empty file": "JSON", "empty clip": "empty",
    "all missing": "all joints are missing", "infinite": "infinite", "0 x 0 image": "0",
    "unknown layout": "did you mean",
    "other joints": "16", "truncated json": "JSON", "infinite json": "nfinite", "truncated zip": "zip",
    "truncated skeleton": "line",
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_pose_files(name: str, tmp_path: Path, refused: Refused) -> None:
    source, more = spoiled(name, tmp_path)
    (tmp_path / "out.orvpe").write_bytes(b"precious")
    line = refused(*ingest(source, *more, "--overwrite"))
    assert SPOILED[name] in line
    if name not in ("0 x 0 image", "unknown layout"):
        assert source.name in line


@pytest.mark.parametrize("name", [n for n in SPOILED if n != "0 x 0 image"])
def test_pose_files_to_embed(name: str, here: Path, refused: Refused) -> None:
    source, more = spoiled(name, here)
    (here / "out.parquet").write_bytes(b"precious")
    words = ("embed", source, "-w", here / "fine", "-o", here / "out.parquet", *more)
    assert SPOILED[name] in refused(*words, "--overwrite")
    assert (here / "out.parquet").read_bytes() == b"precious"


def test_nan_is_a_missing_joint_and_no_error(tmp_path: Path) -> None:
    joints = 0.3 * np.random.default_rng(0).normal(size=(6, 17, 3))
    joints[:, 4] = np.nan
    np.savez(tmp_path / "clip.npz", joints=joints)
    assert main(ingest(tmp_path / "clip.npz", "--joints", "unified")) == 0


class Attack:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (_write, (str(self.target), "owned"))

    def __init__(self, target: Path) -> None:
        self.target = target


def _write(path: str, text: str) -> int:
    return Path(path).write_text(text)


@pytest.mark.parametrize("command", ["ingest", "inspect", "embed"])
def test_a_pickle_that_runs_code(command: str, here: Path, refused: Refused) -> None:
    file, mark = here / "x.pkl", here / "owned.txt"
    file.write_bytes(pickle.dumps({"annotations": [Attack(mark)], "split": {}}))
    words = {
        "ingest": ingest(file),
        "inspect": ["inspect", str(file)],
        "embed": ["embed", str(file), "-w", str(here / "fine"), "-o", str(here / "o.parquet")],
    }[command]
    assert "x.pkl" in refused(*words)
    assert not mark.exists()
    pickle.loads(file.read_bytes())  # it would have
    assert mark.exists()

"""The batch job on the real engine: one Ray for the whole file, started as the command starts it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import ENCODER, VIEW, read_vectors, write_nucla

from orvpe.cli.main import main
from orvpe.data.formats.base import Options
from orvpe.data.generated import generate
from orvpe.errors import InputError
from orvpe.models.embed import embed_batch
from orvpe.models.model import Model
from orvpe.poses.skeleton import unified
from orvpe.vectors import embed_many as job
from orvpe.vectors.embed import embed
from orvpe.vectors.embed_many import FAILED, JOB, _chunks, _Embedder, embed_many
from orvpe.views.batch import Batch

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    Model(ENCODER, unified, 3, VIEW, ("linear", 8)).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    if find_spec("ray") is None:  # importing it here would be too early for the settings that the job makes
        pytest.skip("Ray has no wheel for this Python")
    with job._engine(2, False) as ray:
        yield ray
    assert not ray.is_initialized()


def write_bad(folder: Path) -> dict[str, str]:
    """Files that cannot be embedded, each with a word of the reason."""
    good = json.loads((folder / "a01_s01_e00_v01.json").read_text())["skeletons"]
    endless = [[[1e999, 0.0, 0.0]] * 20] * 5
    nobody = [[[float("nan")] * 3] * 20] * 5
    texts = {
        "a01_s09_e00_v01.json": (json.dumps({"skeletons": good})[:500], "not valid JSON"),
        "a02_s09_e00_v01.json": (json.dumps({"wrong": 1}), "skeletons"),
        "a03_s09_e00_v01.json": (json.dumps({"skeletons": endless}), ""),
        "a04_s09_e00_v01.json": (json.dumps({"skeletons": nobody}), ""),
        "a05_s09_e00_v01.json": ("", "not valid JSON"),
    }
    for name, (text, _) in texts.items():
        (folder / name).write_text(text)
    return {name: word for name, (_, word) in texts.items()}


def failures(out: Path) -> dict[str, str]:
    lines = map(json.loads, (out / FAILED).read_text().splitlines())
    return {Path(line["item"]).name: line["reason"] for line in lines}


def by_id(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    order = np.argsort(columns["id"])
    return {name: column[order] for name, column in columns.items()}


def test_the_same_vectors_as_one_process_and_again(
    ray: Any, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    write_nucla(folder, 40)  # three chunks
    embed(str(folder), weights, str(tmp_path / "one.parquet"), device="cpu")
    want = by_id(read_vectors(tmp_path / "one.parquet"))
    bad = write_bad(folder)
    words = ["embed-many", str(folder), "-w", weights, "-o", str(out), "--device", "cpu", "--batch-size", "7"]
    assert main(words) == 0
    assert "40 clips" in capsys.readouterr().out
    got = by_id(read_vectors(out))
    assert list(got) == list(want)
    for name in ("id", "label", "subject", "camera", "split"):
        assert got[name].tolist() == want[name].tolist()
    for name in ("feature", "embedding"):
        np.testing.assert_allclose(got[name], want[name], atol=1e-5)
    found = failures(out)
    assert found.keys() == bad.keys()
    for name, word in bad.items():
        assert word in found[name]
        assert found[name]
        assert "\n" not in found[name]

    # again: what is there stays as it is, what failed is tried again, a mended file and a new one are embedded
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.parquet")}
    shutil.copy(folder / "a01_s01_e00_v01.json", folder / "a02_s09_e00_v01.json")
    shutil.copy(folder / "a01_s01_e00_v01.json", folder / "a06_s09_e00_v01.json")
    report = embed_many([str(folder)], weights, str(out), device="cpu")
    assert (report.clips, report.parts, report.before, len(report.failed)) == (2, 1, 40, 4)
    after = {p.name: p.stat().st_mtime_ns for p in out.glob("*.parquet")}
    assert len(after) == len(before) + 1
    assert {name: after[name] for name in before} == before
    assert len(set(read_vectors(out)["id"])) == 42
    assert "a02_s09_e00_v01.json" not in failures(out)


def test_nothing_but_failures(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "_import_ray", lambda: None)
    monkeypatch.setattr(
        job, "_run", lambda chunks, weights, *more: map(_Embedder(weights, *more[:2], "cpu").chunk, chunks)
    )
    folder, out = tmp_path / "clips", tmp_path / "out"
    write_nucla(folder, 1)
    bad = write_bad(folder)
    (folder / "a01_s01_e00_v01.json").unlink()
    words = ["embed-many", str(folder), str(tmp_path / "none"), "--format", "nucla", "-w", weights, "-o", str(out)]
    assert main([*words, "--device", "cpu"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "no clip" in said
    assert "5 more" in said
    assert failures(out).keys() == {*bad, "none"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_only_this_machine_can_connect(ray: Any) -> None:
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening[f"socket:[{fields[9]}]"] = fields[1].rpartition(":")[0]
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may have ended
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    assert len(ours) > 3
    addresses = set()
    for file in (f for pid in ours for f in Path(f"/proc/{pid}/fd").glob("*")):
        with suppress(OSError):
            addresses.add(listening.get(os.readlink(file)))
    addresses.discard(None)
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_an_item_is_there_whole_or_not_at_all(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip that cannot be embedded takes the others of its item along, whichever batch they were in."""
    first, second, far, third = generate(4)
    far = far.with_(joints=far.joints + np.float32(1e6))

    def one_is_endless(model: Model, batch: Batch) -> tuple[np.ndarray, np.ndarray | None]:
        feature, embedding, _ = embed_batch(model, batch)
        feature[batch.joints.amax(dim=(1, 2, 3, 4)).numpy() > 1e5] = np.inf
        return feature, embedding

    monkeypatch.setattr(job, "embed_batch", one_is_endless)
    clips = {"a": [first], "b": [second, far], "c": [third]}
    monkeypatch.setattr(job, "read_item", lambda model, source, reader, item, options: clips[item[0]])
    for size in (1, 2, 64):
        part = tmp_path / f"part-{size}.parquet"
        chunk = {"source": str(tmp_path), "format": "nucla", "items": [["a"], ["b"], ["c"]], "part": str(part)}
        note = _Embedder(weights, Options(), size, "cpu").chunk(chunk)
        assert note["clips"] == 2
        assert [Path(f["item"]).name for f in note["failed"]] == ["b"]
        assert read_vectors(part)["id"].tolist() == [first.name, third.name]
    assert not list(tmp_path.glob(".*.tmp*"))


def test_chunks_grow_with_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sizes(count: int) -> list[int]:
        return [len(c["items"]) for c in _chunks([(("s", (str(i),)), "nucla") for i in range(count)], tmp_path)]

    assert sizes(20) == [16, 4]
    assert len(sizes(25_600)) == 256
    monkeypatch.setattr(job, "_PARTS", 2)
    assert sizes(5000) == [2048, 2048, 904]


def test_an_output_of_another_job_is_refused(weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_import_ray", lambda: None)
    write_nucla(tmp_path / "clips", 1)
    out = tmp_path / "out"
    job._claim(out, job._description(weights, None, Options()))
    with pytest.raises(InputError, match="max_people was 2, now 1"):
        embed_many([str(tmp_path / "clips")], weights, str(out), max_people=1)
    (out / JOB).unlink()
    (out / "mine.txt").write_text("")
    with pytest.raises(InputError, match=r"not empty and holds no _job\.json"):
        embed_many([str(tmp_path / "clips")], weights, str(out))


def test_without_ray_one_line_says_what_to_install(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["embed-many", str(tmp_path), "-w", weights, "-o", str(tmp_path / "out")]) == 2
    assert "pip install 'orvpe[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

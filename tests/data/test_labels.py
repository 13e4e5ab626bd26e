"""Labels from outside of the files, columns by any name, files that are left out, and packed arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orvpe.data.formats import choose_reader
from orvpe.data.formats.base import Options
from orvpe.data.formats.reading import read_clips
from orvpe.data.formats.source import Source
from orvpe.data.generated import generated_clip
from orvpe.data.ingest import ingest
from orvpe.data.inspect import inspect
from orvpe.data.store import Store
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import unified


def standing(seed: int) -> Clip:
    clip = generated_clip(seed, missing=0.0, noise=0.0)
    return clip.with_(joints=clip.joints[:, :16], visible=clip.visible[:, :16])


def as_pixels(clip: Clip) -> Clip:
    return clip.with_(joints=clip.joints[..., :2] * (150, -150) + (320, 240), image_size=(640, 480))


def write_rows(path: Path, head: str, rows: list[str]) -> str:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(path)


def coco_rows(clip: Clip) -> tuple[str, list[str]]:
    """Columns and rows of a wide table in pixels."""
    names = [f"{joint}_{axis}" for joint in clip.layout.joints for axis in "xy"]
    return ",".join(names), [",".join(f"{v:.2f}" for v in frame.ravel()) for frame in clip.joints[0]]


def test_labels_of_folders_and_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, rows = coco_rows(as_pixels(standing(1)))
    for label in ("wave", "walk"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for i in range(2):
            write_rows(tmp_path / "clips" / label / f"{label}{i}.csv", head, rows)
    out = str(tmp_path / "a.orvpe")
    ingest([str(tmp_path / "clips")], out, labels="folders", workers=1)
    assert sorted(Store.open(out).labels) == ["walk", "walk", "wave", "wave"]
    table = write_rows(
        tmp_path / "labels.csv", "name,label,subject,split", ["wave0,hello,s1,train", "walk1.csv,stroll,s2,test"]
    )
    ingest([str(tmp_path / "clips")], out, labels=table, workers=1, overwrite=True)
    store = Store.open(out)
    said = {n: (a, s, p) for n, a, s, p in zip(store.names, store.labels, store.subjects, store.splits, strict=True)}
    assert said["wave0"] == ("hello", "s1", "train")
    assert said["walk1"] == ("stroll", "s2", "test")
    assert said["walk0"] == said["wave1"] == ("", "", "")
    assert "without a row in the table of labels" in capsys.readouterr().err
    with pytest.raises(InputError, match="lies in no folder that could be its label"):
        ingest([str(tmp_path / "clips" / "wave")], out, labels="folders", workers=1, overwrite=True)
    with pytest.raises(InputError, match="columns a, b, expected name, label"):
        ingest([str(tmp_path / "clips")], out, labels=write_rows(tmp_path / "b.csv", "a,b", ["1,2"]), overwrite=True)
    twice = write_rows(tmp_path / "c.csv", "name,label", ["x,1", "x,2"])
    with pytest.raises(InputError, match="name 'x' in line 3 is there twice"):
        ingest([str(tmp_path / "clips")], out, labels=twice, overwrite=True)


def test_columns_by_any_name(tmp_path: Path) -> None:
    head, rows = coco_rows(as_pixels(standing(1)))
    path = write_rows(
        tmp_path / "a.csv",
        f"shot,take,{head}",
        [f"{'dunk' if i < 8 else 'pass'},t{i // 8},{r}" for i, r in enumerate(rows)],
    )
    with pytest.raises(InputError, match=r"column 'shot' changes from 'dunk' to 'pass' in row 9, .*--column clip=shot"):
        read_table(path)
    found = read_table(path, columns=(("label", "shot"), ("clip", "take")))
    assert [(c.name, c.label, c.frames) for c in found] == [("t0", "dunk", 8), ("t1", "pass", 8)]
    assert not found[0].notes
    assert len(read_table(path, columns=(("ignore", "shot"), ("ignore", "take")))) == 1
    with pytest.raises(InputError, match=r"unknown column 'shots'.*did you mean 'shot'"):
        read_table(path, columns=(("label", "shots"),))
    numbered = write_rows(tmp_path / "b.csv", f"frame,mood,{head}", [f"{3 * i},ok,{r}" for i, r in enumerate(rows)])
    (clip,) = read_table(numbered, fps=30.0)
    assert (clip.frames, clip.fps) == (16, 10.0)
    text = " ".join(n.text for n in clip.notes)
    assert "columns that are not used: mood" in text
    assert "one frame in 3" in text


def read_table(path: str, **options: object) -> list[Clip]:
    source = Source(path)
    reader = choose_reader(source, None)
    return [c for i in reader.items(source) for c in read_clips(reader, source, i, Options(**options))]  # type: ignore[arg-type]


def test_files_that_are_not_read_are_counted(tmp_path: Path) -> None:
    head, rows = coco_rows(as_pixels(standing(1)))
    write_rows(tmp_path / "a.csv", head, rows)
    (tmp_path / "calibration.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))  # no Penn Action
    (tmp_path / "readme.txt").write_text("hello")
    text = str(inspect(str(tmp_path)))
    assert "(table)" in text
    assert "2 files are not read: 1 .mat, 1 .txt, as calibration.mat" in text


def test_a_packed_npz_of_floats(tmp_path: Path) -> None:
    clips = [standing(1), standing(2)]
    np.savez(
        tmp_path / "p.npz", joints=np.concatenate([c.joints[0] for c in clips]), start=np.array([0, 16, 32]),
        joint_names=np.array(unified.joints), label=np.array(["a", "b"]), fps=30,
    )  # fmt: skip
    found = read_table(str(tmp_path / "p.npz"))
    assert [(c.label, c.frames, c.fps) for c in found] == [("a", 16, 30.0), ("b", 16, 30.0)]
    assert np.array_equal(found[1].joints, clips[1].joints)
    np.savez(tmp_path / "q.npz", joints=np.zeros((4, 17, 3), np.float32), start=np.array([0, 2, 4]))
    with pytest.raises(InputError, match="no 'joint_names' in it"):
        read_table(str(tmp_path / "q.npz"))

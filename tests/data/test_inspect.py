"""What `inspect` says of a path, and what it draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.pose_files import write_folder

from orvpe.data.generated import generated_clip, write_generated
from orvpe.data.ingest import ingest
from orvpe.data.inspect import inspect
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.drawing import draw_skeletons, front_view, save_figure
from orvpe.poses.skeleton import LAYOUTS, unified


def test_a_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clips", count=20)
    found = inspect(str(folder))
    assert (found.format, found.items, found.read, found.clips) == ("nucla", 20, 20, 20)
    assert dict(found.layouts) == {"kinect_v1": 20}
    assert dict(found.people) == {1: 20}
    assert dict(found.fps) == {30.0: 20}
    assert found.labels["a03"] == 2
    assert sorted(found.frames) == sorted(12 + i % 5 for i in range(20))
    assert set(found.missing) == set(LAYOUTS["kinect_v1"].joints)
    text = str(found)
    for piece in ("3D, metres", "12 to 16, median 14", "kinect_v1", "left_shoulder", "0.0%"):
        assert piece in text


def test_a_large_folder_is_sampled_and_says_so(tmp_path: Path) -> None:
    found = inspect(str(write_folder(tmp_path / "clips", count=30)), sample=10)
    assert (found.items, found.read, found.clips) == (30, 10, 10)
    assert "looked at 10 of 30 items" in str(found)


def test_bad_files_are_counted_and_only_bad_files_are_an_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clips", count=3)
    (folder / "a01_s01_e99_v01.json").write_text("{")
    found = inspect(str(folder))
    assert found.clips == 3
    assert len(found.bad) == 1
    assert "a01_s01_e99_v01.json" in str(found)
    for file in folder.iterdir():
        file.write_text("{")
    with pytest.raises(InputError, match="no clip in 4 items"):
        inspect(str(folder))
    with pytest.raises(InputError, match="no such file or folder"):
        inspect(str(tmp_path / "none"))


def test_a_store_and_the_files_it_came_from_agree(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "clips", count=12)
    ingest([str(folder)], str(tmp_path / "s.orvpe"), layout="native", workers=1)
    files, store = inspect(str(folder)), inspect(str(tmp_path / "s.orvpe"))
    assert store.format == "store"
    for name in ("clips", "layouts", "dims", "labels", "subjects", "cameras", "people", "fps", "missing"):
        assert getattr(files, name) == getattr(store, name)
    assert sorted(files.frames) == sorted(store.frames)
    assert "checksums of all 12 clips agree" in str(store)
    assert "grid 1 mm" in str(store)


def test_missing_and_generated_are_said(tmp_path: Path) -> None:
    store = write_generated(str(tmp_path / "g"), count=30, dims=2, missing=0.3)
    found = inspect(str(tmp_path / "g"))
    hidden = np.mean(np.concatenate([~c.visible[0] for c in store]), axis=0)
    np.testing.assert_allclose(list(found.missing.values()), hidden)
    assert "GENERATED" in str(found)
    assert "640 x 480" in str(found)


def test_a_damaged_store_is_an_error(tmp_path: Path) -> None:
    store = write_generated(str(tmp_path / "g"), count=3)
    whole = bytearray((tmp_path / "g").read_bytes())
    at = bytes(whole).index(store.quantised(1)[0, 3].tobytes())
    whole[at] ^= 1
    (tmp_path / "b").write_bytes(whole)
    with pytest.raises(InputError, match="checksum"):
        inspect(str(tmp_path / "b"))


def test_it_draws(tmp_path: Path) -> None:
    write_generated(str(tmp_path / "g"), count=12, people=2)
    found = inspect(str(tmp_path / "g"), figure=str(tmp_path / "g.png"))
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert found.figure in str(found)
    folder = write_folder(tmp_path / "clips", count=3, frames=1)
    inspect(str(folder), figure=str(tmp_path / "f.svg"))
    assert b"<svg" in (tmp_path / "f.svg").read_bytes()
    with pytest.raises(InputError, match=r"suffix 'xyz', expected one of .*png"):
        inspect(str(folder), figure=str(tmp_path / "f.xyz"))


def test_drawings_stand_clips_upright_whatever_their_axes() -> None:
    clip = generated_clip(0, noise=0, missing=0)
    straight = front_view(clip)
    head, ankle = unified.index("head"), unified.index("left_ankle")
    left, right = unified.index("left_shoulder"), unified.index("right_shoulder")
    for axes in ([0, 1, 2], [0, 2, 1], [2, 0, 1]):  # y up, z up, ...
        for flip in (1.0, -1.0):
            turned = front_view(clip.with_(joints=clip.joints[..., axes] * flip))
            assert (turned[0, :, head, 1] > turned[0, :, ankle, 1]).all()
            assert turned[0, :, left, 0].mean() > turned[0, :, right, 0].mean()
            centred = turned - turned[0, 0, 0], straight - straight[0, 0, 0]
            np.testing.assert_allclose(*centred, atol=1e-5)


def test_a_joint_never_seen_or_a_person_who_leaves_can_be_drawn(tmp_path: Path) -> None:
    clip = generated_clip(3)
    visible = clip.visible.copy()
    visible[:, :, 0] = False
    visible[:, 20:] = False
    layoutless = Clip(np.zeros((1, 1, 13, 2)), np.eye(13, dtype=bool)[:1][None], LAYOUTS["penn"])
    save_figure(draw_skeletons([clip.with_(visible=visible), layoutless]), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    with pytest.raises(InputError, match="no clip to draw"):
        draw_skeletons([])

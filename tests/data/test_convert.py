"""What is written is read again: coordinates, visibility, who is who, rate; and the command as one types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.convert import convert
from orvpe.data.formats import detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.data.store import write_store
from orvpe.data.writers import WRITERS
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout, layout_for_names

LAYOUTS = {2: ("coco", "openpose_25", "halpe", "crowdpose"), 3: ("kinect_v2", "smpl", "unified", "h36m")}


def made(seed: int, dims: int, layout: str, people: int = 2, frames: int = 6, hide: float = 0.2) -> Clip:
    """People who stand apart, so that who is who is not in doubt; everybody is seen in the first frame and the last."""
    rng = np.random.default_rng(seed)
    size = 100.0 if dims == 2 else 1.0
    joints = rng.uniform(0.1, 1, (people, frames, len(get_layout(layout)), dims)) * size
    joints += np.arange(people)[:, None, None, None] * 5 * size
    visible = rng.random(joints.shape[:3]) >= hide
    visible[:, [0, -1], :4] = True
    visible[:, :, 0] = True
    fps = float(rng.choice([24, 29.97, 60]))
    return Clip(
        joints.astype(np.float32) * visible[..., None], visible, get_layout(layout), fps=fps,
        image_size=(1280, 720) if dims == 2 else None, name=f"a clip/{seed}", label="wave", subject="s1", split="train",
    )  # fmt: skip


def read(path: Path) -> list[Clip]:
    source = Source(path)
    reader = detect(source)
    return [c for item in reader.items(source) for c in reader.read(source, item, Options(max_people=10))]


def check(got: Clip, want: Clip, atol: float = 0.0, texts: tuple[str, ...] = ()) -> None:
    """The same joints under the same names; people in any order."""
    assert set(got.layout.joints) == set(want.layout.joints)
    order = [got.layout.index(j) for j in want.layout.joints]
    assert got.joints.shape == want.joints.shape
    people = sorted(range(got.people), key=lambda m: float(np.nanmean(got.to_array()[m, ..., 0])))
    np.testing.assert_array_equal(got.visible[people][:, :, order], want.visible)
    seen = want.visible
    np.testing.assert_allclose(got.joints[people][:, :, order][seen], want.joints[seen], rtol=0, atol=atol)
    for key in texts:
        found, wanted = getattr(got, key), getattr(want, key)
        assert found == (pytest.approx(wanted, rel=1e-6) if key == "fps" else wanted)


TEXTS = ("name", "label", "subject", "split")
# format -> (OUT, dimensions, tolerance, what is said besides)
EXACT = {
    "coco": ("out.json", (2,), 0.0, (*TEXTS, "fps", "image_size")),
    "pyskl": ("out.pkl", (2, 3), 0.0, ("name", "label", "split", "fps", "image_size")),
    "table": ("out.csv", (2, 3), 0.0, (*TEXTS, "fps", "image_size")),
    "parquet": ("out.parquet", (2, 3), 0.0, (*TEXTS, "fps", "image_size")),
    "npz": ("out.npz", (2, 3), 0.0, (*TEXTS, "fps", "image_size")),
}  # fmt: skip


@pytest.mark.parametrize("format", EXACT)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), which=st.integers(0, 3), people=st.integers(1, 3), frames=st.integers(1, 7))
def test_round_trips(
    tmp_path_factory: pytest.TempPathFactory, format: str, seed: int, which: int, people: int, frames: int
) -> None:
    out, dims, atol, texts = EXACT[format]
    writer = next(w for w in WRITERS.values() if Path(out).suffix in w.suffixes)
    for d in dims:
        clip = made(seed, d, LAYOUTS[d][which], people, frames)
        target = tmp_path_factory.mktemp("c") / out
        writer.write(iter([clip]), target)
        (got,) = read(target)
        check(got, clip, atol, texts)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), layout=st.sampled_from(["openpose_25", "coco", "halpe", "openpose_18"]))
def test_openpose_folders(tmp_path_factory: pytest.TempPathFactory, seed: int, layout: str) -> None:
    clip = made(seed, 2, layout, people=3)
    folder = tmp_path_factory.mktemp("c")
    WRITERS["openpose"].write(iter([clip]), folder)
    (got,) = read(folder)
    check(got, clip, 1e-4, ("fps", "image_size"))


def test_other_layouts_become_body_25(tmp_path: Path) -> None:
    clip = made(0, 2, "crowdpose", people=1)
    WRITERS["openpose"].write(iter([clip]), tmp_path)
    (got,) = read(tmp_path)
    assert got.layout == get_layout("openpose_25")
    for joint in ("neck", "left_wrist", "right_ankle"):
        mine, theirs = clip.layout.index(joint), got.layout.index(joint)
        np.testing.assert_array_equal(got.visible[0, :, theirs], clip.visible[0, :, mine])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), dims=st.sampled_from([2, 3]))
def test_trc_is_exact_a_person_a_file(tmp_path_factory: pytest.TempPathFactory, seed: int, dims: int) -> None:
    clip = made(seed, dims, LAYOUTS[dims][0], people=2)
    folder = tmp_path_factory.mktemp("c")
    WRITERS["trc"].write(iter([clip]), folder / "a.trc")
    first, second = read(folder)
    for m, got in enumerate((first, second)):
        check(got, clip.with_(joints=clip.joints[[m]], visible=clip.visible[[m]]), 0.0, ("fps",))


def body(seed: int, layout: str, frames: int = 5) -> Clip:
    """Somebody of a person's size, all joints seen: BVH has no unit and no missing joints."""
    rng = np.random.default_rng(seed)
    tree = get_layout(layout)
    joints, chain = np.zeros((1, frames, len(tree), 3)), np.zeros(len(tree))
    for v in tree.depth_order:
        if tree.parents[v] is not None:
            step, bone = rng.normal(0, 1, (frames, 3)), rng.uniform(0.1, 0.25)
            step *= bone / np.linalg.norm(step, axis=1, keepdims=True)
            joints[0, :, v] = joints[0, :, tree.parent_index[v]] + step
            chain[v] = chain[tree.parent_index[v]] + bone
    joints *= 1.2 / chain.max()  # by which a reader knows the unit
    joints += rng.normal(0, 1, (1, frames, 1, 3))
    return Clip.from_array(joints, tree, fps=60.0, name="b")


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), layout=st.sampled_from(["unified", "kinect_v2", "smpl", "h36m", "kinect_azure"]))
def test_bvh_keeps_every_joint(tmp_path_factory: pytest.TempPathFactory, seed: int, layout: str) -> None:
    clip = body(seed, layout)
    out = tmp_path_factory.mktemp("c") / "b.bvh"
    WRITERS["bvh"].write(iter([clip]), out)
    (got,) = read(out)
    check(got, clip, 2e-5, ("name", "fps"))


def test_bvh_of_a_stiff_body_turns_its_bones(tmp_path: Path) -> None:
    """A body that only turns as a whole: one rotation says it all, and no bone moves in its parent."""
    from scipy.spatial.transform import Rotation

    rest = body(3, "smpl", frames=1).joints[0, 0].astype(np.float64)
    turns = Rotation.from_euler("y", np.linspace(0, 80, 6)[:, None], degrees=True)
    clip = Clip.from_array(np.stack([t.apply(rest) for t in turns]), get_layout("smpl"), fps=30, name="b")
    WRITERS["bvh"].write(iter([clip]), tmp_path / "b.bvh")
    motion = np.loadtxt((tmp_path / "b.bvh").read_text().split("Frame Time:")[1].splitlines()[1:])
    channels = motion.reshape(6, 24, 6)
    np.testing.assert_allclose(
        channels[:, 1:, :3], np.broadcast_to(channels[:1, 1:, :3], channels[:, 1:, :3].shape), atol=2e-4
    )
    np.testing.assert_allclose(channels[:, 0, 5], np.linspace(0, 80, 6), atol=1e-2)  # about y
    np.testing.assert_allclose(channels[:, 1:, 3:], 0, atol=1e-2)


def test_bvh_fills_gaps(tmp_path: Path) -> None:
    clip = body(1, "unified")
    visible = clip.visible.copy()
    visible[0, 2, clip.layout.index("left_wrist")] = False
    visible[0, :, clip.layout.index("nose")] = False
    WRITERS["bvh"].write(iter([clip.with_(visible=visible)]), tmp_path / "b.bvh")
    (got,) = read(tmp_path / "b.bvh")
    wrist = clip.joints[0, :, clip.layout.index("left_wrist")]
    mine = got.joints[0, 2, got.layout.index("left_wrist")]
    np.testing.assert_allclose(mine, (wrist[1] + wrist[3]) / 2, atol=1e-4)


def test_a_joint_at_the_origin_stays_seen(tmp_path: Path) -> None:
    clip = made(0, 3, "kinect_v2", people=1, hide=0)
    joints = clip.joints.copy()
    joints[0, :, 0] = 0
    WRITERS["pyskl"].write(iter([clip.with_(joints=joints)]), tmp_path / "a.pkl")
    (got,) = read(tmp_path / "a.pkl")
    assert got.visible[0, :, 0].all()
    assert np.abs(got.joints[0, :, 0]).max() < 1e-5


def test_the_command(tmp_path: Path) -> None:
    clips = [made(i, 2, "coco").with_(name=f"c{i}") for i in range(3)]
    store = tmp_path / "s.orvpe"
    write_store(store, clips)
    for out in ("a.json", "b.csv", "c.parquet", "d.pkl"):
        done = convert(str(store), str(tmp_path / out))
        assert done.clips == 3
        again = read(tmp_path / out)
        assert [c.name for c in again] == ["c0", "c1", "c2"]
    convert(str(store), str(tmp_path / "folder"), to="openpose")
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["c0", "c1", "c2"]
    convert(str(tmp_path / "folder"), str(tmp_path / "npz"), to="npz")
    assert sorted(p.name for p in (tmp_path / "npz").iterdir()) == ["c0.npz", "c1.npz", "c2.npz"]
    words = [sys.executable, "-m", "orvpe", "convert", str(tmp_path / "a.json"), "-o", str(tmp_path / "e.csv")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "3 clips" in done.stdout


@pytest.mark.parametrize(
    ("out", "to", "says"),
    [
        ("x.bvh", None, "BVH holds positions in space"),
        ("x.xyz", None, "the ending does not say what to write"),
        ("x", "fbx", "unknown format to write 'fbx'"),
        ("s.orvpe", "coco", "is what would be read"),
        ("no/such/x.csv", None, "does not exist"),
    ],
)
def test_refusals(tmp_path: Path, out: str, to: str | None, says: str) -> None:
    write_store(tmp_path / "s.orvpe", [made(0, 2, "coco")])
    with pytest.raises(InputError, match=says):
        convert(str(tmp_path / "s.orvpe"), str(tmp_path / out), to=to)
    assert not [p for p in tmp_path.iterdir() if p.name != "s.orvpe"]


def test_a_file_of_one_clip_does_not_become_a_folder(tmp_path: Path) -> None:
    write_store(tmp_path / "s.orvpe", [made(i, 2, "coco").with_(name=f"c{i}") for i in range(2)])
    with pytest.raises(InputError, match="holds one clip, and there are more; give a folder and --to npz"):
        convert(str(tmp_path / "s.orvpe"), str(tmp_path / "x.npz"))
    assert [p.name for p in tmp_path.iterdir()] == ["s.orvpe"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    write_store(tmp_path / "s.orvpe", [made(0, 2, "coco")])
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        convert(str(tmp_path / "s.orvpe"), str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_text() == "mine"
    convert(str(tmp_path / "s.orvpe"), str(tmp_path / "x.csv"), overwrite=True)
    assert len(read(tmp_path / "x.csv")) == 1


def test_joints_of_ones_own_keep_their_names(tmp_path: Path) -> None:
    layout = layout_for_names(["neck", "left_shoulder", "left_elbow", "left_wrist", "left_finger"])
    rng = np.random.default_rng(0)
    clip = Clip.from_array(rng.uniform(1, 100, (4, 5, 2)), layout, name="a", fps=30)
    for out in ("a.json", "a.pkl", "a.csv", "a.npz"):
        writer = next(w for w in WRITERS.values() if Path(out).suffix in w.suffixes)
        writer.write(iter([clip]), tmp_path / out)
        (got,) = read(tmp_path / out)
        check(got, clip)

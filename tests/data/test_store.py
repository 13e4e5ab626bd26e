"""The store: what comes back, what is refused, and how large it is."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orvpe.data.generated import generate
from orvpe.data.store import Store, StoreWriter, is_store, write_store
from orvpe.data.store.grid import STEP, dequantise, grid, quantise
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified
from orvpe.poses.unify import to_unified
from orvpe.views.batch import collate
from orvpe.views.resident import ResidentStore


def random_clip(seed: int, dims: int = 3, name: str = "c", scale: float = 1.0, **info: object) -> Clip:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 30)), 17)
    visible = rng.random(shape) < rng.uniform(0.1, 1.0)
    visible[0, 0, 0] = True
    joints = rng.normal(0, scale, (*shape, dims)) + rng.normal(0, 10 * scale, dims)
    return Clip(joints, visible, unified, name=name, **info)


def same(a: Clip, b: Clip, most: float) -> None:
    np.testing.assert_array_equal(a.visible, b.visible)
    difference = np.abs(a.joints.astype(np.float64) - b.joints)[a.visible].max()
    rounding = float(np.spacing(np.abs(a.joints[a.visible]).max()))  # float32 of the result
    assert difference <= most + rounding
    for field in ("layout", "fps", "image_size", "name", "label", "subject", "camera", "split"):
        assert getattr(a, field) == getattr(b, field)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
    scale=st.floats(1e-3, 3.0),
    dims=st.sampled_from([2, 3]),
    text=st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9)),
    fps=st.sampled_from([None, 30.0, 25.0]),
)
def test_clips_come_back_within_half_a_step(
    tmp_path: Path, seeds: list[int], scale: float, dims: int, text: str | None, fps: float | None
) -> None:
    info = {"label": text, "subject": text, "camera": None, "split": "train", "fps": fps}
    size = (1920, 1080) if dims == 2 else None
    unit = 100.0 if dims == 2 else 1.0
    clips = [random_clip(s, dims, f"clip {i}", scale * unit, image_size=size, **info) for i, s in enumerate(seeds)]
    store = write_store(tmp_path / "a.orvpe", clips, {"note": "x"})
    store.verify()
    assert len(store) == len(clips) == store.meta["clips"]
    assert store.meta["note"] == "x"
    for clip, back in zip(clips, store, strict=True):
        same(clip, back, 0.05 if dims == 2 else 0.0005)


@pytest.mark.parametrize(("dims", "span", "most"), [(3, 130.0, 0.001), (3, 65.0, 0.0005), (2, 13000.0, 0.1)])
def test_the_step_grows_with_the_span_and_the_bound_holds(tmp_path: Path, dims: int, span: float, most: float) -> None:
    joints = np.random.default_rng(0).uniform(0, span, (1, 50, 17, dims)) - 0.3 * span
    joints[0, 0, 0], joints[0, 0, 1] = -0.3 * span, 0.7 * span
    clip = Clip(joints, np.ones((1, 50, 17), bool), unified)
    same(clip, write_store(tmp_path / "a", [clip]).clip(0), most)


def test_a_span_beyond_sixteen_bits_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    joints = np.zeros((1, 2, 17, 3))
    joints[0, 1] = 132.0
    with pytest.raises(InputError, match=r"'far'.*span 132 m, expected at most 131"):
        write_store(tmp_path / "a", [Clip(joints, np.ones((1, 2, 17), bool), unified, name="far")])
    assert not list(tmp_path.iterdir())


def test_coordinates_on_the_grid_come_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    metres = Clip(rng.integers(-4000, 4000, (1, 40, 17, 3)) / 1000, np.ones((1, 40, 17), bool), unified)
    pixels = Clip(rng.integers(0, 19200, (1, 40, 17, 2)) / 10, np.ones((1, 40, 17), bool), unified)
    for i, clip in enumerate((metres, pixels)):
        np.testing.assert_array_equal(write_store(tmp_path / str(i), [clip]).clip(0).joints, clip.joints)


def test_missing_is_the_sentinel_in_every_coordinate_and_nothing_else_is(tmp_path: Path) -> None:
    clip = random_clip(3)
    clip.joints[~clip.visible] = 1e30  # no information: neither the range nor the values may depend on it
    store = write_store(tmp_path / "a", [clip])
    np.testing.assert_array_equal(store.quantised(0) == -32768, np.repeat(~clip.visible[..., None], 3, -1))
    assert np.all(store.clip(0).joints[~clip.visible] == 0)
    np.testing.assert_allclose(store.missing, (~clip.visible).mean(axis=(0, 1)))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Clip], Store]:
    monkeypatch.setattr("orvpe.data.store.writing._BATCH_CLIPS", 7)
    clips = [random_clip(i, name=f"c{i}", label=None if i % 3 else f"l{i}") for i in range(25)]
    return clips, write_store(tmp_path / "many.orvpe", clips)


def test_several_batches_read_as_one(many: tuple[list[Clip], Store]) -> None:
    clips, store = many
    assert store.table.column("name").num_chunks == 4
    values, start = store.flat()
    assert values.shape == (sum(c.people * c.frames for c in clips), 17, 3)
    for i, clip in enumerate(clips):
        same(clip, store.clip(i), 0.0005)
        rows = values[start[i] : start[i] + clip.people * clip.frames]
        np.testing.assert_array_equal(rows.reshape(clip.joints.shape), store.quantised(i))
    assert store.labels.tolist() == [c.label or "" for c in clips]
    assert store.people.tolist() == [c.people for c in clips]
    assert store.frames.tolist() == [c.frames for c in clips]
    same(clips[-1], store.clip(-1), 0.0005)
    with pytest.raises(IndexError):
        store.clip(25)
    decoded = store.origin[0] + store.quantised(0) * store.step[0]  # the float32 form that devices use
    np.testing.assert_allclose(decoded[clips[0].visible], clips[0].joints[clips[0].visible], atol=0.00051)


def test_one_batch_is_a_view_of_the_file(tmp_path: Path) -> None:
    store = write_store(tmp_path / "a", generate(5))
    values, _ = store.flat()
    assert not values.flags.owndata
    assert not values.flags.writeable
    assert np.shares_memory(values, store.quantised(3))


def test_a_store_copied_into_another_is_not_quantised_again(tmp_path: Path, many: tuple[list[Clip], Store]) -> None:
    clips, store = many
    with StoreWriter(tmp_path / "b", unified, 3) as writer:
        writer.add(clips[0])
        writer.add_store(store)
        writer.add(clips[1])
    both = Store.open(tmp_path / "b")
    both.verify()
    assert both.names.tolist() == ["c0", *(c.name for c in clips), "c1"]
    for i in range(25):
        np.testing.assert_array_equal(both.quantised(i + 1), store.quantised(i))


def test_one_layout_and_one_dimension_a_store(tmp_path: Path) -> None:
    penn = Clip(np.zeros((1, 2, 13, 3)), np.ones((1, 2, 13), bool), LAYOUTS["penn"], name="p")
    with pytest.raises(InputError, match=r"p: layout 'penn' \(13 joints\).*'unified' \(17 joints\)"):
        write_store(tmp_path / "a", [random_clip(0), penn])
    with pytest.raises(InputError, match="flat: 2D, but the store's clips are 3D"):
        write_store(tmp_path / "a", [random_clip(0), random_clip(1, dims=2, name="flat")])
    with pytest.raises(InputError, match="no clip to write"):
        write_store(tmp_path / "a", [])
    with pytest.raises(InputError, match="does not exist"):
        write_store(tmp_path / "no" / "a", [random_clip(0)])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    write_store(tmp_path / "a", generate(3))
    before = (tmp_path / "a").read_bytes()

    def broken():  # type: ignore[no-untyped-def]
        yield from generate(2, seed=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "a", broken())
    assert (tmp_path / "a").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    clip = random_clip(0)
    writer = StoreWriter(tmp_path / "s.orvpe", clip.layout, clip.dims).__enter__()
    file, close = writer._file, writer._file.close
    writer._file = SimpleNamespace(close=full)  # type: ignore[assignment]
    monkeypatch.setattr(writer, "_flush", full)
    with pytest.raises(OSError, match="No space"):
        writer.__exit__(None, None, None)
    close()
    assert file.closed
    assert not any(tmp_path.iterdir())


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such store"):
        Store.open(tmp_path / "none")
    with pytest.raises(InputError, match="a folder, expected a store"):
        Store.open(tmp_path)
    for content in (b"", b"hello", b'{"skeletons": []}'):
        (tmp_path / "x").write_bytes(content)
        assert not is_store(tmp_path / "x")
        with pytest.raises(InputError, match="not a store"):
            Store.open(tmp_path / "x")
    table = pa.table({"a": [1]})
    with pa.ipc.new_file(str(tmp_path / "arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match="an Arrow file, but not a store"):
        Store.open(tmp_path / "arrow")


def test_another_version_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip,) = generate(1)
    with monkeypatch.context() as patch:
        patch.setattr("orvpe.data.store.writing.VERSION", 3)
        with StoreWriter(tmp_path / "a", clip.layout, clip.dims) as writer:
            writer.add(clip)
    with pytest.raises(InputError, match="store version 3, this orvpe reads version 2"):
        Store.open(tmp_path / "a")


def test_a_truncated_store_is_refused_at_any_length(tmp_path: Path) -> None:
    write_store(tmp_path / "a", generate(4))
    whole = (tmp_path / "a").read_bytes()
    for length in (0, 3, 8, 100, len(whole) // 2, len(whole) - 20, len(whole) - 1):
        (tmp_path / "b").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"not a store|cut short"):
            Store.open(tmp_path / "b")
    (tmp_path / "b").write_bytes(whole[: len(whole) // 2] + whole[-6:])  # an end, but no footer
    with pytest.raises(InputError, match="damaged"):
        Store.open(tmp_path / "b")


def test_one_flipped_bit_is_found_and_the_clip_named(tmp_path: Path) -> None:
    store = write_store(tmp_path / "a", generate(6))
    whole = bytearray((tmp_path / "a").read_bytes())
    target = store.quantised(4)[0, 10].tobytes()
    at = bytes(whole).index(target)
    whole[at + 5] ^= 0x10
    (tmp_path / "b").write_bytes(whole)
    with pytest.raises(InputError, match=r"clip 4 \('generated_0000004'\) is damaged, checksum"):
        Store.open(tmp_path / "b").verify()


def test_no_flipped_bit_passes(tmp_path: Path) -> None:
    """Names, labels, origins, steps, offsets, metadata and coordinates: refused, or read as it was written."""
    write_store(tmp_path / "a", generate(6))
    write_store(tmp_path / "more", generate(3))
    with StoreWriter(tmp_path / "a", Store.open(tmp_path / "more").layout, 3) as writer:  # two batches
        for clip in generate(6):
            writer.add(clip)
        writer._flush()
        writer.add_store(Store.open(tmp_path / "more"))

    def content(path: Path) -> list[object]:
        store = Store.open(path)
        clips = [(c.name, c.label, c.subject, c.fps, c.joints.tobytes(), c.visible.tobytes()) for c in store]
        return [clips, store.meta, store.layout.to_dict(), store.checksum]

    right, whole = content(tmp_path / "a"), (tmp_path / "a").read_bytes()
    assert len(right[0]) == 9  # type: ignore[arg-type]
    draw = np.random.default_rng(0)
    table = len(whole) - 9000  # the second half of the draws are in what is not coordinates
    for i in range(400):
        bad = bytearray(whole)
        bad[draw.integers(len(bad)) if i % 2 else draw.integers(table, len(bad))] ^= 1 << draw.integers(8)
        (tmp_path / "b").write_bytes(bad)
        try:
            assert content(tmp_path / "b") == right
        except InputError:
            continue
        assert i < 0, "a flipped bit that nobody noticed"


def test_a_wrong_length_is_found_on_opening(tmp_path: Path) -> None:
    write_store(tmp_path / "a", [random_clip(0, name="odd").with_(fps=12345.0)])
    table = Store.open(tmp_path / "a").table
    with pa.ipc.new_file(str(tmp_path / "b"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=r"damaged \(its checksum is not there\)"):
        Store.open(tmp_path / "b")
    table = table.replace_schema_metadata({**table.schema.metadata, b"orvpe_store": b"1"})  # which has no seal
    with pa.ipc.new_file(str(tmp_path / "b"), table.schema) as writer:
        writer.write_table(table)
    assert Store.open(tmp_path / "b").clip(0).name == "odd"
    frames = pa.array([int(table.column("frames")[0].as_py()) + 1], pa.int32())
    wrong = table.set_column(table.schema.get_field_index("frames"), "frames", frames)
    with pa.ipc.new_file(str(tmp_path / "b"), wrong.schema) as writer:
        writer.write_table(wrong)
    with pytest.raises(InputError, match=r"damaged, clip 0 .* values, expected"):
        Store.open(tmp_path / "b")


def test_ntu_120_fits_in_two_gigabytes(tmp_path: Path) -> None:
    """113,945 clips, about 8 million frames, 1.2 people each: 17 joints x 3 x 2 bytes, and a row a clip."""
    clips, frames, people = 113_945, 8_000_000, 1.2
    store = write_store(tmp_path / "a", generate(400))
    size = store.path.stat().st_size
    coordinates = int((store.people * store.frames).sum()) * 17 * 3 * struct.calcsize("h")
    a_clip = (size - coordinates) / len(store)
    assert a_clip < 250  # names, texts, offsets, checksum
    assert frames * people * 17 * 3 * 2 + clips * a_clip < 2 * 10**9  # 0.98 GB + 0.02 GB
    # and against what padding to 300 frames of 2 people takes: 77 GB as published for 25 joints in float32
    assert size * 10 < len(store) * 300 * 2 * 25 * 3 * 4


# --- small clips, damaged clips ---


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [1e-6, 0.003, 0.09, 0.8, 5.0])
def test_a_small_clip_keeps_its_shape(dims: int, size: float) -> None:
    """Coordinates of 0 to 1, as MediaPipe gives them, would be ten steps of 0.1 px."""
    joints = (0.5 + size * np.random.default_rng(0).random((6, 17, dims))).astype(np.float32)
    clip = Clip.from_array(joints, unified)
    q, origin, step = quantise(clip)
    back, _ = dequantise(q, origin, step)
    assert np.abs(back[0] - joints).max() <= step / 2 + np.spacing(np.float32(1)) * (1 + size)
    assert step <= STEP[dims]
    assert step < size / 90 or size < 1e-5


def test_one_point_has_no_finer_step() -> None:
    joints = np.full((1, 17, 2), np.nan, np.float32)
    joints[0, 3] = 0.25
    assert grid(Clip.from_array(joints, unified))[1] == 0.1


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    values = Store.open(path).quantised(1).tobytes()
    data[data.find(values) + 8] ^= 0xFF
    path.write_bytes(data)


def test_damage_is_not_laundered(tmp_path: Path) -> None:
    write_store(tmp_path / "a.orvpe", list(generate(12, seed=1)))
    flip_a_byte(tmp_path / "a.orvpe")
    with pytest.raises(InputError, match=r"clip 1 .* is damaged"):
        Store.open_whole(tmp_path / "a.orvpe")
    damaged = Store.open(tmp_path / "a.orvpe")
    with pytest.raises(InputError, match="is damaged"), StoreWriter(tmp_path / "b.orvpe", unified, 3) as writer:
        writer.add_store(damaged)
    with StoreWriter(tmp_path / "b.orvpe", unified, 3) as writer:
        writer.add_store(damaged, np.array([0, 5, 11]))  # the others are whole
    part = Store.open(tmp_path / "b.orvpe")
    part.verify()
    assert part.names.tolist() == damaged.names[[0, 5, 11]].tolist()
    assert np.array_equal(part.quantised(2), damaged.quantised(11))


# --- joints that are means of others -----------------------------------------------------------------------------


def test_a_store_remembers_which_joints_are_means(tmp_path: Path) -> None:
    def mapped(name: str) -> Clip:
        joints = np.random.default_rng(0).normal(size=(4, len(LAYOUTS[name]), 3))
        return to_unified(Clip.from_array(joints, LAYOUTS[name], name=name))

    clips = [mapped(n) for n in ("kinect_v1", "penn", "openpose_25")]
    assert write_store(tmp_path / "kinect.orvpe", clips[:1]).layout.derived == {}
    mixed = write_store(tmp_path / "mixed.orvpe", clips)  # the first clip has no means
    assert set(mixed.layout.derived) == {"neck", "chest", "mid_hip"}
    assert {"neck", "mid_hip", "left_hip"} < set(mixed.layout.derived["chest"])
    mixed.verify()
    assert mixed.names.tolist() == ["kinect_v1", "penn", "openpose_25"]
    assert mixed.clip(0).layout.derived == mixed.layout.derived
    assert ResidentStore(mixed).batch(np.array([0])).layout.derived == mixed.layout.derived
    with StoreWriter(tmp_path / "added.orvpe", unified, 3) as writer:
        writer.add_store(Store.open(tmp_path / "kinect.orvpe"))
        writer.add_store(mixed)
    assert Store.open(tmp_path / "added.orvpe").layout.derived == mixed.layout.derived
    assert sorted(p.name for p in tmp_path.iterdir()) == ["added.orvpe", "kinect.orvpe", "mixed.orvpe"]
    assert collate(clips).layout.derived == mixed.layout.derived

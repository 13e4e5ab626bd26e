"""Where MediaPipe's weights come from, and the estimator itself on a real video where both are at hand."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from orvpe.errors import InputError
from orvpe.video import PoseOptions, find_people, weights
from orvpe.video.bundle import DETECTOR, LANDMARKS, task_bundle, with_scaling


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(weights.WEIGHTS_VARIABLE, raising=False)
    return tmp_path / "cache" / "orvpe"


def task(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for name, data in members.items():
            bundle.writestr(f"{name}.tflite", data)
    return out.getvalue()


GOOD = task(pose_detector=b"a", pose_landmarks_detector=b"b")


def refuse(text: str):  # type: ignore[no-untyped-def]
    def source() -> bytes:
        raise weights.NotThere(text)

    return source


def test_fetched_once_and_checked(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, said = [], []
    monkeypatch.setattr(weights, "from_address", lambda: asked.append(1) or GOOD)
    for _ in range(2):
        path = weights.pose_weights(say=said.append)
        assert path == own_cache / weights.FILE
        assert path.read_bytes() == GOOD
    assert (len(asked), len(said)) == (1, 1)
    path.write_bytes(GOOD[:-1])  # damaged since: fetched again
    assert weights.pose_weights(say=said.append).read_bytes() == GOOD
    assert len(asked) == 2
    assert sorted(p.name for p in own_cache.iterdir()) == [weights.FILE, weights.FILE + ".sha256"]


def test_the_second_source_and_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(weights, "from_address", refuse("the web does not answer"))
    monkeypatch.setattr(weights, "from_wheel", lambda: GOOD)
    assert weights.pose_weights().read_bytes() == GOOD
    assert "fetching" in capsys.readouterr().err
    weights._note(weights.cache_folder() / weights.FILE).unlink()
    monkeypatch.setattr(weights, "from_wheel", refuse("pip cannot download"))
    with pytest.raises(InputError, match=r"the web does not answer; pip cannot download; get .* --weights-file"):
        weights.pose_weights()


def test_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "from_address", refuse("must not be asked"))
    path = tmp_path / "own.task"
    path.write_bytes(GOOD)
    assert weights.pose_weights(str(path)) == path
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(path))
    assert weights.pose_weights() == path
    for data, line in (
        (b"no zip", "not a .task file"),
        (task(pose_detector=b"a"), "no pose_landmarks_detector.tflite"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match=line):
            weights.pose_weights()
    with pytest.raises(InputError, match="no such file"):
        weights.pose_weights(str(tmp_path / "none.task"))


def test_what_is_not_expected_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(io.BytesIO):
        pass

    monkeypatch.setattr(weights.urllib.request, "urlopen", lambda *_, **__: Answer(b"<html>log in first</html>"))
    with pytest.raises(weights.NotThere, match="sent something else"):
        weights.from_address()
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in weights._NETWORKS:
            file.writestr(name, b"another network")
    with pytest.raises(weights.NotThere, match="has checksum"):
        weights.bundle_of_wheel(wheel)
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("something", b"")
    with pytest.raises(weights.NotThere, match="no item named"):
        weights.bundle_of_wheel(wheel)


def tiny_network() -> bytes:
    """A TFLite model with one empty buffer and nothing in it."""
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT()
    model.version, model.buffers, model.subgraphs, model.operatorCodes = 3, [tflite.BufferT()], [], []
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_bundle_says_how_pixels_are_scaled() -> None:
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    network = tiny_network()
    bundle = task_bundle(network, network)
    assert bundle == task_bundle(network, network)
    with zipfile.ZipFile(io.BytesIO(bundle)) as file:
        assert {i.compress_type for i in file.infolist()} == {zipfile.ZIP_STORED}
        members = {name: file.read(name) for name in file.namelist()}
    assert list(members) == [DETECTOR, LANDMARKS]
    for name, expected in ((DETECTOR, (127.5, 127.5)), (LANDMARKS, (0.0, 255.0))):
        assert members[name] == with_scaling(network, *expected)
        model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(members[name], 0))
        (entry,) = model.metadata
        assert entry.name in (b"TFLITE_METADATA", "TFLITE_METADATA")
        data = bytes(model.buffers[entry.buffer].data)
        assert data[4:8] == b"M001"
        meta = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAsModelMetadata(data, 0))
        unit = meta.subgraphMetadata[0].inputTensorMetadata[0].processUnits[0].options
        assert (unit.mean[0], unit.std[0]) == expected


# --- with the real weights and a real video ------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """MediaPipe's weights and Sports2D's clip, where somebody has put them."""
    given = os.environ.get("ORVPE_TEST_VIDEO")
    kept = Path.home() / ".cache" / "orvpe" / weights.FILE
    if not given or not Path(given).is_file() or not kept.is_file():
        pytest.skip("needs ORVPE_TEST_VIDEO (Sports2D's demo.mp4) and MediaPipe's weights in ~/.cache/orvpe")
    return kept, Path(given)


def test_two_people_of_a_real_video(real: tuple[Path, Path]) -> None:
    kept, video = real
    found = find_people(video, PoseOptions(weights_file=str(kept), seconds=5.0))
    man, woman = (p for p in found.people if p.frames > 60)
    seen = [np.nanmedian(p.found, axis=1) for p in (man, woman)]  # (T, 2)
    if np.nanmean(seen[0][:, 1]) > np.nanmean(seen[1][:, 1]):
        seen = seen[::-1]
    above, below = seen
    assert np.nanmax(above[:, 1]) < 400  # on the roof
    assert np.nanmin(below[:, 1]) > 550  # on the grass
    assert np.nanmax(np.diff(below[:, 0])) < 20  # she walks to the left, evenly
    assert np.nanmin(np.diff(below[:, 0])) > -40

"""Protocols: against the published lists, against real counts, and wrong specifications."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.data.formats import FORMATS, detect
from orvpe.data.formats.base import Options
from orvpe.data.formats.source import Source
from orvpe.data.protocols import PROTOCOLS, get_protocol
from orvpe.errors import InputError

COLUMNS = ("name", "label", "subject", "camera", "split")


def info(*rows: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {column: np.array(values) for column, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


def people(subjects: int = 10, cameras: int = 3, actions: int = 4) -> dict[str, np.ndarray]:
    return info(
        *(
            (
                f"a{a:02d}_s{s:02d}_v{c:02d}",
                f"a{a:02d}",
                f"s{s:02d}",
                f"v{c:02d}",
                "train" if s % 2 else "test",
            )
            for a in range(1, actions + 1)
            for s in range(1, subjects + 1)
            for c in range(1, cameras + 1)
        )
    )


def test_every_protocol_is_whole() -> None:
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.metric in ("top1", "mean_class")
        assert protocol.classes is not None
        assert len(set(protocol.classes)) == len(protocol.classes)
        assert set(protocol.titles) <= set(protocol.classes)
        assert get_protocol(name) is protocol
    sizes = {name: len(p.classes or ()) for name, p in PROTOCOLS.items()}
    assert sizes == {
        "nucla-cv": 10, "nucla-cv-unseen": 10, "penn-official": 15,
        "smarthome-cs": 31, "smarthome-cv1": 19, "smarthome-cv2": 19, "ntu60-xsub": 60, "ntu60-xview": 60,
        "ntu120-xsub": 120, "ntu120-xset": 120,
    }  # fmt: skip
    assert {n for n, p in PROTOCOLS.items() if p.metric == "mean_class"} == {n for n in sizes if "smarthome" in n}


def test_nucla_counts(data_dir: Path) -> None:
    with zipfile.ZipFile(data_dir / "nw-ucla-skeletons.zip") as z:
        stems = [Path(n).stem for n in z.namelist() if n.endswith(".json")]
    rows = [(s, s[:3], s[4:7], s[12:15], "") for s in stems]
    parts = Counter(PROTOCOLS["nucla-cv"].split(info(*rows)).tolist())
    assert parts == {"train": 1020, "test": 464}
    assert {r[1] for r in rows} == set(PROTOCOLS["nucla-cv"].classes or ())
    unseen = Counter(PROTOCOLS["nucla-cv-unseen"].split(info(*rows)).tolist())
    assert unseen == {"train": 1020, "test": 369, "": 95}


def test_penn_by_its_files(data_dir: Path) -> None:
    source = Source(data_dir / "penn-action-labels.zip")
    reader = detect(source)
    assert reader.name == "penn"
    clips = [clip for item in reader.items(source)[::10] for clip in reader.read(source, item, Options())]
    rows = [(c.name, c.label or "", "", "", c.split or "") for c in clips]
    parts = PROTOCOLS["penn-official"].split(info(*rows))
    assert parts.tolist() == [c.split for c in clips]
    assert {c.label for c in clips} == set(PROTOCOLS["penn-official"].classes or ())


def test_detects_the_corpora(data_dir: Path) -> None:
    assert detect(Source(data_dir / "corpora" / "precog16.npz")).name == "packed"
    assert detect(Source(data_dir / "nw-ucla-skeletons.zip")).name == "nucla"


def test_detect_names_the_known_formats_when_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"no pose file of a known format.*nucla, ntu"):
        detect(Source(tmp_path))
    (tmp_path / "walk.MP4").write_bytes(b"a film")
    with pytest.raises(InputError, match="a video or images, not poses; orvpe pose makes a store of it"):
        detect(Source(tmp_path / "walk.MP4"))
    assert all(name == reader.name and reader.about for name, reader in FORMATS.items())


NTU_120_TRAIN = {
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38, 45, 46, 47, 49, 50, 52, 53, 54,
    55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
}  # fmt: skip


def test_ntu() -> None:
    rows = [
        (f"S{s:03d}C{c:03d}P{p:03d}R001A{a:03d}", f"A{a:03d}", f"P{p:03d}", f"C{c:03d}", "")
        for s in (1, 17, 18, 32)
        for c in (1, 2, 3)
        for p in range(1, 107)
        for a in (1, 60, 61, 120)
    ]
    parts = {n: PROTOCOLS[n].split(info(*rows)) for n in PROTOCOLS if n.startswith("ntu")}
    for i, (name, label, subject, camera, _) in enumerate(rows):
        old = label in ("A001", "A060")
        trained = int(subject[1:]) in NTU_120_TRAIN
        assert parts["ntu120-xsub"][i] == ("train" if trained else "test")
        assert parts["ntu120-xset"][i] == ("test" if name[3] in "17" else "train")
        assert parts["ntu60-xview"][i] == (("test" if camera == "C001" else "train") if old else "")
        if int(subject[1:]) <= 40:
            assert parts["ntu60-xsub"][i] == (("train" if trained else "test") if old else "")
    assert len(NTU_120_TRAIN) == 53
    trained = {s for s, p in zip((r[2] for r in rows), parts["ntu60-xsub"], strict=True) if p == "train"}
    assert len(trained) == 20


def test_smarthome() -> None:
    rows = [
        (f"{a}_p{p:02d}_r00_v00_c{c:02d}", a, f"p{p:02d}", f"c{c:02d}", "")
        for a in ("Cook.Cut", "Walk", "Nap")
        for p in (2, 3, 10, 25)
        for c in range(1, 8)
    ]
    parts = {n: PROTOCOLS[n].split(info(*rows)) for n in PROTOCOLS if n.startswith("smarthome")}
    views = {"smarthome-cv1": "1", "smarthome-cv2": "13467"}
    for i, (_, label, subject, camera, _) in enumerate(rows):
        cs = "" if label == "Nap" else "train" if subject in ("p03", "p25") else "test"
        assert parts["smarthome-cs"][i] == cs
        for name, train in views.items():
            own = "train" if camera[-1] in train else {"2": "test", "5": "val"}.get(camera[-1], "")
            assert parts[name][i] == (own if label == "Walk" else "")


def test_by_column() -> None:
    words = ["train", "Validation", "test", "", "holdout"]
    found = get_protocol("split").split(info(*(("n", "l", "s", "c", w) for w in words)))
    assert found.tolist() == ["train", "val", "test", "", ""]


@pytest.mark.parametrize("spec", ["subject:3,5", "subject:s03,s05", "subject: s03 , 5"])
def test_by_subject(spec: str) -> None:
    data = people()
    parts = get_protocol(spec).split(data)
    wanted = np.where(np.isin(data["subject"], ["s03", "s05"]), "test", "train")
    assert parts.tolist() == wanted.tolist()


def test_by_camera_and_unknown_ones_are_not_used() -> None:
    data = people()
    data["camera"][:2] = ""
    parts = get_protocol("camera:v03").split(data)
    assert (parts[:2] == "").all()
    assert (parts[2:] == np.where(data["camera"][2:] == "v03", "test", "train")).all()


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.05, 0.9), seed=st.integers(0, 99), actions=st.integers(1, 5))
def test_random_is_stratified_and_does_not_depend_on_the_order(share: float, seed: int, actions: int) -> None:
    data = people(5, 3, actions)
    protocol = get_protocol(f"random:{share},seed={seed}")
    parts = protocol.split(data)
    for label in np.unique(data["label"]):
        own = parts[data["label"] == label]
        assert (own == "test").sum() == min(max(1, round(share * 15)), 14)
        assert ((own == "test") | (own == "train")).all()
    mixed = np.random.default_rng(seed).permutation(len(parts))
    assert (protocol.split({k: v[mixed] for k, v in data.items()}) == parts[mixed]).all()


def test_random_by_subject_parts_no_subject_and_seeds_differ() -> None:
    data = people()
    seen = set()
    for seed in range(5):
        parts = get_protocol(f"random:0.3,by=subject,seed={seed}").split(data)
        test = set(data["subject"][parts == "test"])
        assert len(test) == 3
        assert not test & set(data["subject"][parts == "train"])
        seen.add(tuple(sorted(test)))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nucla", "unknown protocol 'nucla'; did you mean 'nucla-cv'"),
        ("ntu60-xveiw", "did you mean 'ntu60-xview'"),
        ("", "unknown protocol ''"),
        ("subject:", "no subject named"),
        ("subject:77", "unknown subject '77'"),
        ("camera:v3x", "unknown camera 'v3x'"),
        ("random:", "expected random:SHARE"),
        ("random:half", "expected random:SHARE"),
        ("random:0.2,sed=1", "expected random:SHARE"),
        ("random:0.2,by", "expected random:SHARE"),
        ("random:0.2,seed=x", "expected random:SHARE"),
        ("random:1.5", "share is 1.5"),
        ("random:nan", "share is nan"),
        ("random:0.2,by=hat", "unknown grouping 'hat'"),
    ],
)
def test_wrong_specifications(spec: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        get_protocol(spec).split(people())
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_random_by_subject_needs_two() -> None:
    with pytest.raises(InputError, match="1 subjects known, expected at least 2"):
        get_protocol("random:0.5,by=subject").split(people(subjects=1))


def test_a_protocol_of_what_no_clip_says() -> None:
    info = {"name": np.array(["a", "b"]), "subject": np.array(["", ""])}
    with pytest.raises(InputError, match="protocol 'subject:3': no clip names its subject"):
        get_protocol("subject:3").split(info)

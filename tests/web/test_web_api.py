"""orvpe serve: what it answers, against the library itself."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile

import httpx
import numpy as np
import pytest
import torch
from helpers.clips import same_bits
from helpers.web_server import npz_bytes, send

from orvpe.data.generated import generated_clip
from orvpe.models.embed import embed_clips
from orvpe.poses.body_parts import PARTS
from orvpe.poses.skeleton import unified
from orvpe.views.batch import collate
from orvpe.views.occlusion import SUBGRAPHS, corruption
from orvpe.views.view import fixed_view
from orvpe.web.answers import Answers
from orvpe.web.hiding import Rectangle, hidden
from orvpe.web.limits import HEADERS


def test_health_models_and_samples(client: httpx.Client, answers: Answers) -> None:
    health = client.get("/api/health").json()
    assert (health["status"], health["model"], health["parts"]) == ("ok", "small", list(SUBGRAPHS))
    (model,) = client.get("/api/models").json()["models"]
    assert (model["about"], model["dims"], model["frames"]) == ("a model for tests", 3, 16)
    assert model["fitted"]
    assert len(model["classes"]) == 10
    samples = client.get("/api/samples").json()["clips"]
    assert len(samples) == 6
    assert answers.index is not None
    assert health["index"] == len(answers.index) == 60 - 6
    drawn = client.get(f"/api/clips/{samples[0]['id']}").json()
    assert drawn["parents"] == list(unified.parent_index)
    assert len(drawn["coordinates"]) == drawn["people"] == 1
    assert len(drawn["coordinates"][0]) == drawn["frames"]
    clip = answers.samples[0].clip
    for at, p in enumerate(drawn["coordinates"][0][5]):
        assert (p is None) == (not clip.visible[0, 5, at])
        assert p is None or np.allclose(p, clip.joints[0, 5, at], atol=1e-4)
    points = client.get("/api/map").json()
    assert len(points["points"]) == len(points["labels"]) == 54
    assert np.abs(points["points"]).max() == pytest.approx(1, abs=1e-3)


def test_an_uploaded_file_is_embedded_as_the_library_does(client: httpx.Client, answers: Answers) -> None:
    clip = generated_clip(9, seed=3, missing=0.0)
    sent = send(client, npz_bytes(name="mine"))
    assert sent.status_code == 200, sent.text
    (info,) = sent.json()["clips"]
    assert (info["title"], info["frames"], info["people"]) == ("mine", clip.frames, 1)
    got = client.post("/api/embed", json={"clip": info["id"]}).json()
    assert np.array_equal(np.float32(got["feature"]), embed_clips(answers.model, [clip])[0])
    assert np.linalg.norm(got["embedding"]) == pytest.approx(1, abs=1e-5)
    assert got["hidden"] == 0
    for part in SUBGRAPHS:  # the same as every other place that hides parts
        got = client.post("/api/embed", json={"clip": info["id"], "part": part}).json()
        batch = corruption(part)(collate([clip]), None)  # type: ignore[arg-type]
        with torch.no_grad():
            expected = answers.model.features(fixed_view(batch, answers.model.view))[0].numpy()
        assert np.array_equal(np.float32(got["feature"]), expected)
        assert got["hidden"] == pytest.approx(len(PARTS[part]) / 17)


def test_classify_search_and_compare_agree(client: httpx.Client, answers: Answers) -> None:
    asked = {"clip": "sample-1", "part": "lower", "rectangle": {"x": [-0.2, 0.2], "y": [0, 0.4], "angle": 0.5}}
    classes = client.post("/api/classify", json=asked).json()["classes"]
    assert sum(c["probability"] for c in classes) == pytest.approx(1, abs=1e-5)
    assert classes == sorted(classes, key=lambda c: -c["probability"])
    nearest = client.post("/api/search", json={**asked, "nearest": 7}).json()["nearest"]
    assert len(nearest) == 7
    both = client.post("/api/compare", json={**asked, "nearest": 7}).json()
    assert both["occluded"]["nearest"] == nearest
    occluded = dict(zip(both["classes"], both["occluded"]["probabilities"], strict=True))
    assert occluded == {c["title"]: c["probability"] for c in classes}
    assert both["full"] != both["occluded"]
    assert 0 < both["hidden"] < 1
    assert 0 <= both["closer"] <= 1
    shown = answers.samples[1]
    expected = hidden(shown.batch, "lower", Rectangle((-0.2, 0.2), (0, 0.4), 0.5)).visible[0].numpy()
    bits = np.unpackbits(np.frombuffer(base64.b64decode(both["visible"]), np.uint8))[: expected.size]
    assert np.array_equal(bits.reshape(expected.shape), expected)
    # against a plain search
    assert answers.index is not None
    with torch.no_grad():
        feature = answers.vectors(shown, "lower", Rectangle((-0.2, 0.2), (0, 0.4), 0.5)).feature
    unit = (feature - answers.index.centre) / np.linalg.norm(feature - answers.index.centre)
    rows = zip(answers.index.features, answers.index.names, strict=True)
    by_hand = [(float(row @ unit), str(name)) for row, name in rows]
    assert [n["name"] for n in nearest] == [name for _, name in sorted(by_hand, reverse=True)[:7]]


def test_nothing_hidden_changes_nothing(client: httpx.Client) -> None:
    both = client.post("/api/compare", json={"clip": "sample-0"}).json()
    assert both["full"] == both["occluded"]
    assert (both["similarity"], both["cosine"], both["hidden"]) == (1, 1, 0)
    everything = {"x": [-1e3, 1e3], "y": [-1e3, 1e3]}
    none = client.post("/api/compare", json={"clip": "sample-0", "rectangle": everything}).json()
    assert none["hidden"] == 1


def test_hidden_coordinates_do_not_change_one_bit(client: httpx.Client) -> None:
    clip = generated_clip(9, seed=3, missing=0.0)
    rng = np.random.default_rng(0)
    left = [unified.index(j) for j in PARTS["left"]]
    around = np.array([0.0, -5.0, 2.0])  # nobody is there
    wrist, variants = unified.index("right_wrist"), []
    for _ in range(3):
        joints = clip.joints.copy()
        joints[:, :, left] = rng.normal(size=joints[:, :, left].shape) * 10
        joints[0, 4:20, wrist] = around + rng.uniform(-0.1, 0.1, (16, 3))
        variants.append(joints)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for i, joints in enumerate(variants):
            archive.writestr(f"{i}.npz", npz_bytes(joints))
    sent = send(client, packed.getvalue(), "three.zip")
    assert sent.status_code == 200, sent.text
    ids = [c["id"] for c in sent.json()["clips"]]
    assert len(ids) == 3
    asked = {"part": "left", "rectangle": {"x": [1, 3], "y": [-4.5, -5.5], "angle": 1.3}}
    seen, whole = set(), set()
    for i in ids:
        both = client.post("/api/compare", json={"clip": i, **asked}).json()
        seen.add(json.dumps([both["occluded"], both["visible"]]))
        whole.add(json.dumps(both["full"]))
    assert len(seen) == 1
    assert len(whole) == 3


def test_rectangle_against_one_joint_at_a_time() -> None:
    clip = generated_clip(4, people=2)
    rectangle = Rectangle((0.5, -0.3), (-0.2, 0.6), angle=2.1)
    got = hidden(collate([clip]), None, rectangle)
    for m, t, v in np.ndindex(*clip.visible.shape):
        x, y, z = clip.joints[m, t, v].astype(float)
        across = x * np.cos(2.1) + z * np.sin(2.1)
        inside = -0.3 <= across <= 0.5 and -0.2 <= y <= 0.6
        assert bool(got.visible[0, m, t, v]) == (clip.visible[m, t, v] and not inside), (across, y)
    flat = generated_clip(4, dims=2)
    got = hidden(collate([flat]), None, Rectangle((300, 340), (0, 250), angle=1.0))  # no angle in an image
    x, y = flat.joints[..., 0], flat.joints[..., 1]
    assert np.array_equal(got.visible[0].numpy(), flat.visible & ~((x >= 300) & (x <= 340) & (y <= 250)))
    assert same_bits(got.joints[~got.visible], torch.zeros_like(got.joints[~got.visible]))


def test_the_page_is_whole_and_stays_at_home(client: httpx.Client) -> None:
    page = client.get("/")
    files = re.findall(r'(?:src|href)="(/[^"]*)"', page.text)
    assert "/static/page.js" in files
    for name in files:
        got = client.get(name)
        assert got.status_code == 200, name
        assert got.headers["content-security-policy"] == HEADERS["content-security-policy"]
    for path in ("/", "/static/page.js", "/static/stage.js", "/static/panels.js", "/static/page.css"):
        text = client.get(path).text
        assert not re.findall(r"https?://(?!www\.w3\.org)", text), path
        assert " style=" not in text
    assert "unsafe" not in HEADERS["content-security-policy"]

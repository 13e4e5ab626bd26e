"""Windows, smoothing and spans against slow references and closed forms."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers.clips import clip as random_clip
from helpers.small_runs import ENCODER, VIEW
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.actions.timeline import (
    UNSEEN,
    UNSURE,
    WindowOptions,
    class_probabilities,
    find_spans,
    one_by_one,
    smooth,
    timeline,
    visible_share,
    window_starts,
)
from orvpe.errors import InputError
from orvpe.models.model import Model
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import LAYOUTS, unified


def model(classes: tuple[str, ...] = ("sit", "walk", "wave"), dims: int = 3, seconds: float | None = None) -> Model:
    torch.manual_seed(0)
    made = Model(ENCODER, unified, dims, VIEW, classes=list(classes)).eval()
    made.card = {"trained": {"clip_seconds": seconds}}
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 25), st.integers(1, 12))
def test_windows_cover_every_frame_and_the_last_ends_with_the_clip(frames: int, length: int, step: int) -> None:
    starts, used = window_starts(frames, length, step)
    assert used == min(length, frames)
    assert starts[0] == 0
    assert starts[-1] + used == frames
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= step).all()
    if step <= used:
        assert len({t for s in starts for t in range(s, s + used)}) == frames


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 50), st.integers(1, 20), st.integers(1, 9), st.integers(0, 1000))
def test_smoothing_is_the_mean_over_frames_and_windows(frames: int, length: int, step: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, length = window_starts(frames, length, min(step, length))
    starts = starts[rng.random(len(starts)) < 0.7]
    edges = np.append(np.arange(0, frames, min(step, length)), frames)
    p = rng.random((len(starts), 3))
    got = smooth(starts, length, p, edges)
    for s in range(len(edges) - 1):
        rows = [p[w] for t in range(edges[s], edges[s + 1]) for w in range(len(starts)) if 0 <= t - starts[w] < length]
        if rows:
            np.testing.assert_allclose(got[s], np.mean(rows, axis=0), rtol=1e-5)
        else:
            assert np.isnan(got[s]).all()


def test_visible_share_is_that_of_the_person_who_shows_most() -> None:
    visible = np.zeros((2, 4, 3), bool)
    visible[0, 0] = True
    visible[1, :, 0] = True
    share = visible_share(visible, np.array([0, 1, 0]), np.array([4, 4, 1]))
    assert share == pytest.approx([1 / 3, 1 / 3, 1.0])


def test_spans_by_hand() -> None:
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.45, 0.55], [0.4, 0.6], [0.9, 0.1], [np.nan, np.nan], [0.9, 0.1]])
    seen = np.array([1.0, 1.0, 1.0, 0.5, 0.1, 0.0, 1.0])
    edges = np.array([0.0, 1, 2, 3, 4, 5, 6, 6.5])
    spans = find_spans(edges, p, seen, ["sit", "walk"], 0.6, 0.25)
    assert [(s.start, s.end, s.label, s.best) for s in spans] == [
        (0, 2, "sit", "sit"),
        (2, 3, UNSURE, "walk"),
        (3, 4, "walk", "walk"),
        (4, 6, UNSEEN, None),  # too little visible, then no window
        (6, 6.5, "sit", "sit"),
    ]
    assert spans[0].score == pytest.approx(0.7)
    assert spans[3].visible == pytest.approx(0.05)
    assert {s.label for s in find_spans(edges, p, seen, ["sit", "walk"], 1.0, 0.25)} == {UNSURE, UNSEEN}


def test_a_short_clip_is_one_window_seen_whole() -> None:
    net, clip = model(), random_clip(20).with_(fps=30)
    line = timeline(net, clip, WindowOptions(window=2.0, stride=0.5, threshold=0.0))
    whole = class_probabilities(net, [clip])[0]
    assert whole.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(line.probabilities, np.stack([whole, whole]), rtol=1e-5)  # 15 and 5 frames
    (span,) = line.spans
    assert (span.label, span.start, span.end) == (net.classes[whole.argmax()], 0, pytest.approx(20 / 30))  # type: ignore[index]


def test_probabilities_are_those_of_the_windows() -> None:
    net, clip = model(), random_clip(50, missing=0.2).with_(fps=10)
    line = timeline(net, clip, WindowOptions(window=2.0, stride=2.0, threshold=0.0), begin=3.0)
    parts = [clip.with_(joints=clip.joints[:, s : s + 20], visible=clip.visible[:, s : s + 20]) for s in (0, 20, 30)]
    one, two, three = class_probabilities(net, parts)
    np.testing.assert_allclose(line.edges, [3, 5, 7, 8])
    np.testing.assert_allclose(line.probabilities, [one, (20 * two + 10 * three) / 30, three], rtol=1e-4)


def test_who_is_away_is_not_seen_and_does_not_change_the_rest() -> None:
    net, clip = model(), random_clip(90).with_(fps=10)
    visible = clip.visible.copy()
    visible[:, 40:70] = False
    away = clip.with_(visible=visible, joints=np.where(visible[..., None], clip.joints, 7.0))
    options = WindowOptions(window=2.0, stride=1.0, threshold=0.0)
    line = timeline(net, away, options)
    gone = [s for s in line.spans if s.label == UNSEEN]
    assert [(s.start, s.end) for s in gone] == [(4, 7)]
    before = timeline(net, clip, options)
    np.testing.assert_allclose(line.probabilities[:3], before.probabilities[:3], rtol=1e-5)
    assert line.at(5.5) == gone[0]
    assert line.at(-0.1) is None
    assert line.at(9.1) is None
    assert json.loads(json.dumps(line.to_dict()))["spans"][-1]["end"] == 9


def test_window_comes_from_what_the_model_learned_from() -> None:
    assert WindowOptions().for_model(model(seconds=1.2)) == WindowOptions(1.2, 0.3, 0.5)
    assert WindowOptions().for_model(model()) == WindowOptions(2.0, 0.5, 0.5)
    assert WindowOptions(window=4.0).for_model(model(seconds=1.2)) == WindowOptions(4.0, 1.0, 0.5)


def test_joints_of_another_layout_are_mapped() -> None:
    rng = np.random.default_rng(0)
    clip = Clip.from_array(rng.random((30, 33, 2)) * 200, LAYOUTS["mediapipe"], fps=30, image_size=(640, 480))
    assert timeline(model(dims=2), clip, WindowOptions()).spans[0].visible == pytest.approx(1)


def test_people_one_by_one() -> None:
    two = random_clip(10, people=3)
    visible = two.visible.copy()
    visible[1] = False
    names = [(c.name, c.people) for c in one_by_one(two.with_(visible=visible))]
    assert names == [("c0-p1", 1), ("c0-p3", 1)]
    assert one_by_one(random_clip(10))[0].name == "c0"


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match="has no frame rate"):
        timeline(model(), random_clip(10), WindowOptions())
    with pytest.raises(InputError, match="no classifier"):
        timeline(Model(ENCODER, unified, 3, VIEW), random_clip(10).with_(fps=30), WindowOptions())
    with pytest.raises(InputError, match="is 2D, the model reads 3D"):
        timeline(model(), random_clip(10, dims=2).with_(fps=30), WindowOptions())
    for words, line in (
        ({"window": 0.0}, "window is 0"),
        ({"stride": -1.0}, "stride is -1"),
        ({"window": 1.0, "stride": 2.0}, "at most the window"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"min_visible": -0.1}, "min_visible is -0.1"),
    ):
        with pytest.raises(InputError, match=line):
            WindowOptions(**words)

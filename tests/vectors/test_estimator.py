"""`PoseEmbedder` in scikit-learn's own tools."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import orvpe
from orvpe.data.generated import generate
from orvpe.errors import InputError
from orvpe.vectors.estimator import PoseEmbedder

# those of scikit-learn's checks that feed no table of numbers, which this estimator does not take
CHECKS = [
    "check_estimator_cloneable", "check_estimator_get_tags_default_keys", "check_estimator_repr",
    "check_estimator_tags_renamed", "check_get_params_invariance", "check_no_attributes_set_in_init",
    "check_parameters_default_constructible", "check_set_params", "check_valid_tag_types",
]  # fmt: skip


@pytest.mark.parametrize("check", [c for c in CHECKS if hasattr(estimator_checks, c)])
def test_scikit_learns_own_checks(check: str) -> None:
    getattr(estimator_checks, check)("PoseEmbedder", PoseEmbedder())


def test_the_features_are_those_of_embed_clips_for_clips_and_arrays() -> None:
    clips = list(generate(6, seed=1))
    embedder = PoseEmbedder(fps=30.0, device="cpu").fit(clips)
    wanted = orvpe.embed_clips(orvpe.load("robust-light-3d-joint"), clips)
    assert np.array_equal(embedder.transform(clips), wanted)
    arrays = [c.to_array()[0] for c in clips]  # (T, V, C)
    one_person = [c.with_(joints=c.joints[:1], visible=c.visible[:1]) for c in clips]
    assert np.allclose(embedder.transform(arrays), embedder.transform(one_person), atol=1e-5)
    assert embedder.get_feature_names_out().shape == (embedder.n_features_out_,)


def test_a_grid_search_over_a_pipeline_chooses_the_occlusion_that_the_clips_have() -> None:
    clips = list(generate(40, seed=3))
    labels = [c.label for c in clips]
    pipeline = make_pipeline(PoseEmbedder(device="cpu"), LogisticRegression(max_iter=500))
    search = GridSearchCV(pipeline, {"poseembedder__occlusion": ["none", "block:0.9"]}, cv=2).fit(clips, labels)
    assert search.best_params_["poseembedder__occlusion"] == "none"
    assert search.score(clips, labels) > 0.9


def test_what_it_cannot_read_is_said() -> None:
    with pytest.raises(InputError, match="shape"):
        PoseEmbedder(device="cpu").fit([np.zeros((4, 3))])
    with pytest.raises(InputError, match="no model of that name"):
        PoseEmbedder("no-such-model").fit(list(generate(2)))
    with pytest.raises(Exception, match="not fitted"):
        PoseEmbedder().transform(list(generate(2)))

"""A scikit-learn transformer: clips or arrays of joints in, features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from orvpe.errors import InputError
from orvpe.models.embed import embed_clips
from orvpe.models.model import Model, load
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import get_layout
from orvpe.runtime.device import pick_device


class PoseEmbedder(TransformerMixin, BaseEstimator):
    """Features of pose sequences as a step of a scikit-learn pipeline.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> pipeline = make_pipeline(PoseEmbedder(), LogisticRegression(max_iter=1000))
    >>> pipeline.fit(clips, actions).predict(others)  # doctest: +SKIP

    The encoder is pre-trained and stays as it is: `fit` loads it and learns nothing from the clips.

    Args:
        model: the name of a shipped model, a model's folder, or a loaded `Model`.
        layout: of the joints of arrays: a known name, or a `Layout`; clips carry their own.
        fps: frames per second of arrays.
        image_size: (width, height) in pixels of 2D arrays.
        occlusion: hide joints before embedding, e.g. "upper" or "joints:0.3".
        batch_size: clips at a time.
        device: "auto", "cpu", "cuda" or "mps".

    Attributes:
        model_: the loaded `Model`.
        n_features_out_: numbers per clip, 256.
    """

    def __init__(
        self,
        model: str | Model = "robust-light-3d-joint",
        *,
        layout: Any = "unified",
        fps: float | None = None,
        image_size: tuple[int, int] | None = None,
        occlusion: str = "none",
        batch_size: int = 64,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.layout = layout
        self.fps = fps
        self.image_size = image_size
        self.occlusion = occlusion
        self.batch_size = batch_size
        self.device = device

    def fit(self, X: Sequence[Clip | np.ndarray], y: Any = None) -> PoseEmbedder:
        """Load the encoder and check that the first clip is one it reads.

        Args:
            X: N clips, or N arrays (T, V, C) or (M, T, V, C) with NaN where a joint is missing.
            y: ignored.

        Raises:
            InputError: no such model or layout; clips it cannot read.
        """
        self.model_ = load(self.model, pick_device(self.device)) if isinstance(self.model, str) else self.model
        self.n_features_out_ = int(self.model_.feature_dim)
        self.transform(X[:1])
        return self

    def transform(self, X: Sequence[Clip | np.ndarray]) -> np.ndarray:
        """(N, 256) float32 features of N clips or arrays, as for `fit`.

        Raises:
            InputError: clips that the model cannot read.
        """
        check_is_fitted(self, "model_")
        clips = [self._clip(x, i) for i, x in enumerate(X)]
        return embed_clips(self.model_, clips, batch_size=self.batch_size, occlusion=self.occlusion)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the 256 columns: poseembedder0, poseembedder1, ..."""
        check_is_fitted(self, "n_features_out_")
        return np.array([f"poseembedder{i}" for i in range(self.n_features_out_)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.requires_fit = True
        return tags

    def _clip(self, x: Clip | np.ndarray, place: int) -> Clip:
        if isinstance(x, Clip):
            return x
        if np.ndim(x) not in (3, 4):
            raise InputError(
                f"clip {place} has shape {np.shape(x)}, expected (frames, joints, 2 or 3), or that with people first"
            )
        layout = get_layout(self.layout) if isinstance(self.layout, str) else self.layout
        return Clip.from_array(x, layout, fps=self.fps, image_size=self.image_size, name=f"clip {place}")

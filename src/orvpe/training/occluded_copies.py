"""Clips as they are and under several occlusions, seen by a frozen encoder: what a classifier may learn from.

A linear classifier on the features of whole clips alone knows nothing of what an encoder makes of half a body.  It
costs a pass of the encoder for each version to tell it, and nothing when the classifier is used.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from orvpe.errors import InputError
from orvpe.evaluation.features import extract
from orvpe.models.model import Model
from orvpe.runtime.progress import Progress
from orvpe.views.occlusion import SEVERAL
from orvpe.views.resident import ResidentStore

_MOST = 100
VERSIONS = 9  # twice as many are no better (docs/lab/training-trials.md)


def check_versions(versions: int) -> None:
    """Nothing, for a number of versions that can be kept.

    Raises:
        InputError: another.
    """
    if not 0 <= versions <= _MOST:
        raise InputError(f"versions is {versions}, expected 0 to {_MOST}")


def with_versions(
    model: Model,
    data: ResidentStore,
    indices: np.ndarray,
    versions: int,
    occlusion: str = SEVERAL,
    seed: int = 0,
    batch_size: int = 64,
) -> Tensor:
    """(1 + versions, len(indices), 256) features, those of the whole clips first.

    Args:
        model: in any mode; it is evaluated, and put back.
        data: where the clips are.
        indices: which clips.
        versions: how many more of each clip.
        occlusion: of all but the first; each clip of each version draws for itself.
        seed: of the draws.  What a clip is drawn depends on its place in the store and the version, on nothing else.
        batch_size: clips at a time.
    """
    found = [extract(model, data, indices, batch_size=batch_size)]
    with Progress("versions", versions * len(indices), "clips") as progress:
        for version in range(1, versions + 1):
            found.append(extract(model, data, indices, occlusion, seed, batch_size, version=version))
            progress.advance(len(indices))
    return torch.stack(found)

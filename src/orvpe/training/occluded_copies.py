"""Features of whole clips and of occluded copies of them, from a frozen encoder, to train a classifier on.

A linear classifier trained on whole clips alone has never seen the feature of half a body. Each set of occluded
copies costs one more pass of the encoder in training and nothing later.
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
    """Check the number of occluded copies.

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
    """Features of whole clips and of occluded copies, (1 + versions, len(indices), 256), whole clips first.

    Args:
        model: in any mode; it is evaluated, and put back.
        data: where the clips are.
        indices: which clips.
        versions: occluded copies of each clip.
        occlusion: of the copies; each copy of each clip is drawn separately.
        seed: of the draws, which depend on the clip's place in the store and the number of the copy only.
        batch_size: clips at a time.
    """
    found = [extract(model, data, indices, batch_size=batch_size)]
    with Progress("versions", versions * len(indices), "clips") as progress:
        for version in range(1, versions + 1):
            found.append(extract(model, data, indices, occlusion, seed, batch_size, version=version))
            progress.advance(len(indices))
    return torch.stack(found)

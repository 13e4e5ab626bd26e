"""N-UCLA (Wang et al., CVPR 2014): ten actions, ten subjects, three cameras; cross-view."""

from __future__ import annotations

import numpy as np

from orvpe.datasets.base import Info, Protocol, is_one_of, numbers, parts

TITLES = {
    "a01": "pick up with one hand",
    "a02": "pick up with two hands",
    "a03": "drop trash",
    "a04": "walk around",
    "a05": "sit down",
    "a06": "stand up",
    "a08": "donning",
    "a09": "doffing",
    "a11": "throw",
    "a12": "carry",
}


def cross_view(info: Info) -> np.ndarray:
    """Cameras 1 and 2 train (1,020 clips as distributed), camera 3 tests (464)."""
    camera, known = numbers(info["camera"]), is_one_of(info["label"], TITLES)
    return parts(known & is_one_of(camera, (1, 2)), known & (camera == 3))


CV = Protocol("nucla-cv", "N-UCLA, train on cameras 1 and 2, test on 3", cross_view, "top1", tuple(TITLES), TITLES)

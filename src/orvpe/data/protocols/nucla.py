"""N-UCLA (Wang et al., CVPR 2014): ten actions, ten subjects, three cameras; cross-view."""

from __future__ import annotations

import numpy as np

from orvpe.data.protocols.base import Info, Protocol, is_one_of, numbers, parts

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


COPIED = ("a02", "a03")  # of camera 3


def cross_view(info: Info) -> np.ndarray:
    """Cameras 1 and 2 train (1,020 clips as distributed), camera 3 tests (464)."""
    camera, known = numbers(info["camera"]), is_one_of(info["label"], TITLES)
    return parts(known & is_one_of(camera, (1, 2)), known & (camera == 3))


def cross_view_unseen(info: Info) -> np.ndarray:
    """As `cross_view`, without the test clips of two actions, which are camera 2's again (369 are left)."""
    split = cross_view(info)
    return np.where((split == "test") & is_one_of(info["label"], COPIED), "", split)


CV = Protocol("nucla-cv", "N-UCLA, train on cameras 1 and 2, test on 3", cross_view, "top1", tuple(TITLES), TITLES)
CV_UNSEEN = Protocol(
    "nucla-cv-unseen",
    "N-UCLA, as nucla-cv without the 95 test clips that are training clips under another name",
    cross_view_unseen,
    "top1",
    tuple(TITLES),
    TITLES,
)

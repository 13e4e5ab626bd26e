"""NTU RGB+D (Shahroudy et al., CVPR 2016) and NTU RGB+D 120 (Liu et al., TPAMI 2020).

NTU-120 contains NTU-60: an encoder pre-trained on all of NTU-120 has seen the test clips of both, and is
not to be probed on either.
"""

from __future__ import annotations

import numpy as np

from orvpe.data.protocols.base import Info, Protocol, is_one_of, numbers, parts

CLASSES_60 = tuple(f"A{i:03d}" for i in range(1, 61))
CLASSES_120 = tuple(f"A{i:03d}" for i in range(1, 121))
SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
SUBJECTS_120 = (
    *SUBJECTS_60, 45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96),
    97, 98, 100, 103,
)  # fmt: skip


def _cross_subject(info: Info, classes: tuple[str, ...], subjects: tuple[int, ...]) -> np.ndarray:
    subject, known = numbers(info["subject"]), is_one_of(info["label"], classes)
    train = is_one_of(subject, subjects)
    return parts(known & train, known & ~train & (subject >= 0))


def xsub60(info: Info) -> np.ndarray:
    """Twenty of forty subjects train, the others test."""
    return _cross_subject(info, CLASSES_60, SUBJECTS_60)


def xview60(info: Info) -> np.ndarray:
    """Cameras 2 and 3 train, camera 1 tests."""
    camera, known = numbers(info["camera"]), is_one_of(info["label"], CLASSES_60)
    return parts(known & is_one_of(camera, (2, 3)), known & (camera == 1))


def xsub120(info: Info) -> np.ndarray:
    """53 of 106 subjects train, the others test."""
    return _cross_subject(info, CLASSES_120, SUBJECTS_120)


def xset120(info: Info) -> np.ndarray:
    """Even setups train, odd ones test; the setup is in the clip's name (``S017C003...``)."""
    setup, known = numbers(info["name"], r"S(\d{3})C\d{3}P\d{3}"), is_one_of(info["label"], CLASSES_120)
    return parts(known & (setup >= 0) & (setup % 2 == 0), known & (setup >= 0) & (setup % 2 == 1))


XSUB60 = Protocol("ntu60-xsub", "NTU RGB+D, cross-subject", xsub60, "top1", CLASSES_60)
XVIEW60 = Protocol("ntu60-xview", "NTU RGB+D, train on cameras 2 and 3, test on 1", xview60, "top1", CLASSES_60)
XSUB120 = Protocol("ntu120-xsub", "NTU RGB+D 120, cross-subject", xsub120, "top1", CLASSES_120)
XSET120 = Protocol("ntu120-xset", "NTU RGB+D 120, even setups train, odd ones test", xset120, "top1", CLASSES_120)

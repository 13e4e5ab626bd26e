"""Toyota Smarthome (Das et al., ICCV 2019): cross-subject with 31 classes, cross-view with 19.

What counts is the mean of the classes' accuracies; camera 5 validates both cross-view splits.
"""

from __future__ import annotations

import numpy as np

from orvpe.data.protocols.base import Info, Protocol, is_one_of, numbers, parts

CS_CLASSES = (
    "Cook.Cleandishes", "Cook.Cleanup", "Cook.Cut", "Cook.Stir", "Cook.Usestove", "Cutbread",
    "Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable", "Eat.Snack",
    "Enter", "Getup", "Laydown", "Leave", "Makecoffee.Pourgrains", "Makecoffee.Pourwater",
    "Maketea.Boilwater", "Maketea.Insertteabag", "Pour.Frombottle", "Pour.Fromcan", "Pour.Fromkettle",
    "Readbook", "Sitdown", "Takepills", "Uselaptop", "Usetablet", "Usetelephone", "Walk", "WatchTV",
)  # fmt: skip
CV_CLASSES = (
    "Cutbread", "Drink.Frombottle", "Drink.Fromcan", "Drink.Fromcup", "Drink.Fromglass", "Eat.Attable",
    "Eat.Snack", "Enter", "Getup", "Leave", "Pour.Frombottle", "Pour.Fromcan", "Readbook", "Sitdown",
    "Takepills", "Uselaptop", "Usetablet", "Usetelephone", "Walk",
)  # fmt: skip
TRAIN_SUBJECTS = (3, 4, 6, 7, 9, 12, 13, 15, 17, 19, 25)
TEST_CAMERA, VAL_CAMERA = 2, 5


def cross_subject(info: Info) -> np.ndarray:
    """Eleven subjects train, all others test."""
    subject, known = numbers(info["subject"]), is_one_of(info["label"], CS_CLASSES)
    train = is_one_of(subject, TRAIN_SUBJECTS)
    return parts(known & train, known & ~train & (subject >= 0))


def _cross_view(info: Info, cameras: tuple[int, ...]) -> np.ndarray:
    camera, known = numbers(info["camera"]), is_one_of(info["label"], CV_CLASSES)
    return parts(known & is_one_of(camera, cameras), known & (camera == TEST_CAMERA), known & (camera == VAL_CAMERA))


def cross_view_1(info: Info) -> np.ndarray:
    """Camera 1 trains, 5 validates, 2 tests."""
    return _cross_view(info, (1,))


def cross_view_2(info: Info) -> np.ndarray:
    """Cameras 1, 3, 4, 6 and 7 train, 5 validates, 2 tests."""
    return _cross_view(info, (1, 3, 4, 6, 7))


CS = Protocol("smarthome-cs", "Smarthome, 11 subjects train and 7 test", cross_subject, "mean_class", CS_CLASSES)
CV1 = Protocol("smarthome-cv1", "Smarthome, train on camera 1, test on 2", cross_view_1, "mean_class", CV_CLASSES)
CV2 = Protocol(
    "smarthome-cv2",
    "Smarthome, train on cameras 1 3 4 6 7, test on 2",
    cross_view_2,
    "mean_class",
    CV_CLASSES,
)

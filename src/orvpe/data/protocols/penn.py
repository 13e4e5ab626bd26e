"""Penn Action (Zhang et al., ICCV 2013): fifteen actions, the split written in its files."""

from __future__ import annotations

import numpy as np

from orvpe.data.protocols.base import Info, Protocol, is_one_of, parts

CLASSES = (
    "baseball_pitch", "baseball_swing", "bench_press", "bowl", "clean_and_jerk", "golf_swing", "jump_rope",
    "jumping_jacks", "pullup", "pushup", "situp", "squat", "strum_guitar", "tennis_forehand", "tennis_serve",
)  # fmt: skip


def official(info: Info) -> np.ndarray:
    """By the files' ``train`` flag: 1,258 clips train, 1,068 test."""
    known = is_one_of(info["label"], CLASSES)
    return parts(known & (info["split"] == "train"), known & (info["split"] == "test"))


OFFICIAL = Protocol("penn-official", "Penn Action, the split in its files", official, "top1", CLASSES)

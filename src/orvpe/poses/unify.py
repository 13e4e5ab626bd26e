"""Clips of any layout on the 17 unified joints."""

from __future__ import annotations

import numpy as np

from orvpe.poses.clip import Clip
from orvpe.poses.skeleton.layout import unified

_HEAD = unified.index("head")


def to_unified(clip: Clip) -> Clip:
    """The clip on the 17 unified joints; what the layout does not have is never visible.

    Its layout is `unified` and remembers which joints are means of others (`Layout.derived`).

    Raises:
        InputError: when no unified joint is ever visible.
    """
    if clip.layout.joints == unified.joints:
        return clip if clip.layout == unified else clip.with_(layout=clip.layout.on_unified)
    pairs = clip.layout.unified_index
    # one gather for all joints; those that are means, and those that nothing gives, are put right after it
    one = np.zeros(len(unified), dtype=np.int64)
    given = np.zeros(len(unified), dtype=bool)
    for v, index in pairs:
        one[v], given[v] = index[0], True
    joints, visible = clip.joints[:, :, one], clip.visible[:, :, one] & given
    for v, index in pairs:
        if len(index) > 1:
            seen = clip.visible[:, :, index]
            visible[:, :, v] = seen.all(axis=2)
            joints[:, :, v] = clip.joints[:, :, index].mean(axis=2)
            if v == _HEAD and (one_side := seen.any(axis=2) & ~visible[:, :, v]).any():  # a head seen from the side
                there = np.where(seen[..., None], clip.joints[:, :, index], 0.0)
                joints[one_side, v] = (there.sum(axis=2) / np.maximum(seen.sum(axis=2), 1)[..., None])[one_side]
                visible[:, :, v] |= one_side
    if not visible.all():
        joints[~visible] = 0.0
    return clip.with_(joints=joints, visible=visible, layout=clip.layout.on_unified)

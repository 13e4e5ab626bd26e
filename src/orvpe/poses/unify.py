"""Clips of any layout on the 17 unified joints."""

from __future__ import annotations

import numpy as np

from orvpe.poses.clip import Clip
from orvpe.poses.skeleton.layout import unified


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
            visible[:, :, v] = clip.visible[:, :, index].all(axis=2)
            joints[:, :, v] = clip.joints[:, :, index].mean(axis=2)
    if not visible.all():
        joints[~visible] = 0.0
    return clip.with_(joints=joints, visible=visible, layout=clip.layout.on_unified)

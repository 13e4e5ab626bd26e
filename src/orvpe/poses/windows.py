"""A recording cut into windows, and what of it is of people who are seen."""

from __future__ import annotations

from collections.abc import Iterator

from orvpe.poses.clip import Clip


def seen_people(clip: Clip) -> Clip:
    """The clip without the people of whom no joint is ever visible."""
    seen = clip.visible.any(axis=(1, 2))  # (M,)
    return clip if seen.all() else clip.with_(joints=clip.joints[seen], visible=clip.visible[seen])


def windows(clip: Clip, window: int | None, stride: int | None) -> Iterator[Clip | None]:
    """A long recording as overlapping windows; the last one ends with the recording.

    Args:
        clip: the recording; comes back as it is when no longer than ``window``.
        window: frames a window, None for no cutting.
        stride: frames from one window to the next, half a window when None.

    Yields:
        the windows, named ``NAME@FIRST_FRAME``; None for a window in which nobody is seen.
    """
    if window is None or clip.frames <= window:
        yield clip
        return
    last = clip.frames - window
    for begin in [*range(0, last, stride or max(1, window // 2)), last]:
        cut = slice(begin, begin + window)
        if clip.visible[:, cut].any():
            name = f"{clip.name}@{begin}"
            yield seen_people(clip.with_(joints=clip.joints[:, cut], visible=clip.visible[:, cut], name=name))
        else:
            yield None

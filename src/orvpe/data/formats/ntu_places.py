"""Where the numbers stand in an NTU ``.skeleton`` file that is written as the data set's are, found without a loop.

A line of such a file has one value (a count), ten (a body) or twelve (a joint), with one space between two.  Anything
else is None here; `orvpe.data.formats.ntu` then goes line by line, and says what is wrong if it cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COUNT, BODY, JOINT = 1, 10, 12  # values in a line of each kind
JOINTS = 25
_LINES = 2 + JOINTS  # of a body
_NEWLINE, _RETURN, _SPACE, _ZERO, _TWO, _FIVE = b"\n\r 025"


@dataclass(frozen=True)
class Places:
    """A regular file, its frames and bodies.

    Args:
        data: the text.
        frames: how many there are.
        frame: for each of B bodies its frame.
        body: for each body its identifier.
        line: for each body the index of its first joint line.
        ends: (S,) int64, where each white space stands; a value ends at one and begins after the one before.
        first: (B * 25,) int64, for each joint line the end of its first value in ``ends``.
    """

    data: bytes
    frames: int
    frame: list[int]
    body: list[int]
    line: list[int]
    ends: np.ndarray
    first: np.ndarray

    def columns(self, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Where values ``low`` to ``high - 1`` of each joint line begin and end: (B * 25, high - low) int64 each."""
        size = high - low + 1
        if not len(self.first):
            return np.zeros((0, size - 1), np.int64), np.zeros((0, size - 1), np.int64)
        # a view of every run of so many ends, one beginning at each, so that a line's are copied in one piece
        runs = np.ndarray((len(self.ends) - size + 1,), f"V{8 * size}", self.ends, strides=(8,))
        found = runs[self.first + (low - 1)].view(np.int64).reshape(-1, size)
        return found[:, :-1] + 1, found[:, 1:]


def places(data: bytes) -> Places | None:
    """The places in a file, or None when anything about it is irregular."""
    if not data.endswith(b"\n"):
        data = data.rstrip() + (b"\r\n" if b"\r" in data else b"\n")
    text = np.frombuffer(data, dtype=np.uint8)
    white = np.zeros(len(text) * 3 // 2, dtype=bool)  # numpy goes a quicker way where less than a tenth is True
    np.less_equal(text, _SPACE, out=white[: len(text)])
    ends = np.flatnonzero(white)
    mark = text[ends]
    wide = 2 if data.endswith(b"\r\n") else 1  # white space at the end of a line
    line_end = np.flatnonzero(mark == (_RETURN if wide == 2 else _NEWLINE))
    lines = len(line_end)
    if wide == 2 and (line_end[-1] + 1 >= len(mark) or (mark[line_end + 1] != _NEWLINE).any()):
        return None
    # all the rest are single spaces: nothing but the two of a line's end stand side by side
    if np.count_nonzero(mark == _SPACE) != len(mark) - wide * lines:
        return None
    if ends[0] == 0 or np.count_nonzero(ends[1:] - ends[:-1] == 1) != (wide - 1) * lines:
        return None

    line_first = np.concatenate([[0], line_end[:-1] + wide])  # in ``ends``, where a line's first value ends
    values = line_end - line_first + 1
    body = np.flatnonzero(values == BODY)
    if len(body) and body[-1] + _LINES > lines:
        return None
    joint = np.add.outer(body, np.arange(2, _LINES))  # (B, 25) lines
    count = values == COUNT
    if not count[0] or not count[body + 1].all() or (values[joint] != JOINT).any():
        return None
    if np.count_nonzero(count) != lines - (_LINES - 1) * len(body):
        return None

    begin, end = _values_at(ends, line_first[body + 1])
    if (end - begin != 2).any() or (text[begin] != _TWO).any() or (text[begin + 1] != _FIVE).any():
        return None
    count[0] = False
    count[body + 1] = False
    frame_line = np.flatnonzero(count)
    begin, end = _values_at(ends, line_first[frame_line])
    people = text[begin].astype(np.int64) - _ZERO  # one digit: a sensor follows six people at most
    if (end - begin != 1).any() or (people < 0).any() or (people > 9).any():
        return None
    before = np.cumsum(people) - people
    if people.sum() != len(body) or (frame_line != 1 + np.arange(len(people)) + _LINES * before).any():
        return None
    begin, end = _values_at(ends, line_first[body])
    try:
        frames = int(data[: ends[0]])
        names = [int(data[a:b]) for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    except ValueError:
        return None
    if frames != len(people):
        return None
    frame = np.repeat(np.arange(frames), people)
    return Places(data, frames, frame.tolist(), names, (body + 2).tolist(), ends, line_first[joint].ravel())


def _values_at(ends: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the values with these ends begin and end; none of them is the file's first."""
    return ends[at - 1] + 1, ends[at]

"""Memory estimated from counts before it is taken."""

from __future__ import annotations

from orvpe.errors import InputError

MOST_POSITIONS = (
    1 << 25
)  # joints of all people and frames of a clip: 400 MB in 3D; 9 hours of two people at 30 a second
MOST_PEOPLE = 5000  # in one clip; to compare each with each takes that squared


def check_room(people: int, frames: int, joints: int, where: str = "") -> None:
    """Refuse a clip that would not fit, which a few bytes can describe.

    Raises:
        InputError: people x frames x joints are more than `MOST_POSITIONS`.
    """
    if people * frames * joints > MOST_POSITIONS:
        raise InputError(
            f"{where + ': ' if where else ''}{people:,} people in {frames:,} frames with {joints:,} joints, expected "
            f"at most {MOST_POSITIONS:,} positions in a clip; cut it into shorter files"
        )

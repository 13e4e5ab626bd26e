"""The column names of pose tables as tools and people spell them, in the spelling of `orvpe.data.formats.table`.

``landmark_7_x``, ``x7``, ``7.x``, ``Nose X`` and ``nose_pos_x`` become ``7_x`` and ``nose_x``; ``LandmarkID``
becomes ``joint`` and ``frame_number`` becomes ``frame``.  Names are changed only where no column has the plain name
already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

AXES = ("x", "y", "z")
CONFIDENCE = ("confidence", "visibility", "likelihood", "score")
_SURE = {**dict.fromkeys(("conf", "c", "v", "vis", "prob", "p", "probability", "visible"), "confidence"),
         **{word: word for word in CONFIDENCE}}  # fmt: skip
_PLAIN = {
    "joint": ("landmark", "landmarkid", "landmark_id", "landmark_index", "landmark_idx", "landmark_name", "joint_id",
              "joint_name", "joint_index", "jointid", "jointname", "keypoint", "keypoint_id", "keypoint_name",
              "keypoint_index", "bodypart", "body_part", "bodyparts", "marker", "marker_name", "point"),
    "frame": ("frame_number", "frame_id", "frameid", "frame_idx", "frame_index", "frame_num", "frame_no", "framenumber",
              "frame#", "fnum", "frames", "#frame", "frame_count", "frameindex", "frameno"),
    "person": ("person_id", "personid", "track_id", "trackid", "track", "individual", "individuals", "person_idx",
               "player_id", "pid"),
}  # fmt: skip
ROLES = {
    "clip": ("video", "video_name", "videoname", "video_id", "video_path", "vid", "clip_name", "clip_id", "clipname",
             "sequence", "sequence_id", "seq", "seq_id", "file", "filename", "file_name", "recording", "trial",
             "sample", "source_video", "source_file"),
    "label": ("action", "class", "class_name", "activity", "label_name", "action_name", "action_label", "gesture",
              "exercise", "category", "target", "movement", "behavior", "behaviour"),
    "subject": ("participant", "participant_id", "performer", "actor", "subject_id", "user", "user_id", "volunteer"),
    "camera": ("cam", "camera_id", "view", "viewpoint"),
    "split": ("subset", "partition"),
}  # fmt: skip
"""What people call the columns that say something of a whole clip; each is taken with a note."""
IGNORED = ("", "unnamed: 0", "index", "row", "fps", "width", "height")  # a table's own numbering and settings


def roles(columns: Sequence[str]) -> dict[str, str]:
    """Our name -> the column that is called otherwise and means it, where no column has our name."""
    lower = {c.lower(): c for c in reversed(columns)}
    found: dict[str, str] = {}
    for ours, words in ROLES.items():
        theirs = next((lower[w] for w in words if w in lower), None)
        if ours not in lower and theirs is not None:
            found[ours] = theirs
    return found


_AXIS_LAST = re.compile(r"(?P<joint>.*[^\W_])[\s_.\-/:]+(?P<axis>[a-z]+)\Z", re.I)
_AXIS_GLUED = re.compile(r"(?P<joint>.*[a-z0-9])(?P<axis>[XYZ])\Z|(?P<number>.*\d)(?P<small>[xyz])\Z")
_AXIS_FIRST = re.compile(r"(?P<axis>[a-z]+?)[\s_.\-]*(?P<joint>\d+)\Z", re.I)
_AXIS_BEFORE = re.compile(
    r"(?P<axis>x|y|z|conf(?:idence)?|visibility|likelihood|score)[\s_.\-]+(?P<joint>[a-z].*)\Z", re.I
)
_POSITION = re.compile(r"[\s_.\-](pos|position|coord)\Z", re.I)
_NUMBER = re.compile(r"[a-z]*[\s_.\-]*0*(\d+)\Z", re.I)


def our_columns(raw: Sequence[str]) -> list[str]:
    """A name for each column; one that says nothing we know stays as it is."""
    names = [str(r).strip() for r in raw]
    lower = {n.lower() for n in names}
    result = []
    for name in names:
        plain = next((p for p, words in _PLAIN.items() if name.lower() in words and p not in lower), None)
        result.append(plain or _joint_column(name))
    if not any(n.rpartition("_")[2] in AXES for n in result):  # x_nose, y_nose
        result = [_before(n) for n in result]
    there = set(result)
    for i, (name, new) in enumerate(zip(names, result, strict=True)):
        joint, _, last = new.rpartition("_")
        if new != name and last in CONFIDENCE and f"{joint}_x" not in there:  # 'video_p' is no confidence
            result[i] = name
    return result if len(set(result)) == len(set(names)) else names


def _before(name: str) -> str:
    """``nose_x`` of ``x_nose``."""
    match = _AXIS_BEFORE.match(name)
    if match is None:
        return name
    axis = match["axis"].lower()
    return f"{match['joint']}_{axis if axis in AXES else _SURE.get(axis, axis)}"


def _joint_column(name: str) -> str:
    """``<joint>_<axis or confidence>`` of a column of a wide table."""
    for match in (_AXIS_LAST.match(name), _AXIS_GLUED.match(name), _AXIS_FIRST.match(name)):
        if match is None:
            continue
        found = match.groupdict()
        joint = found.get("joint") or found.get("number") or ""
        axis = (found.get("axis") or found.get("small") or "").lower()
        joint = _POSITION.sub("", joint)
        word = axis if axis in AXES else _SURE.get(axis)
        if word is None or not joint:
            continue
        number = _NUMBER.match(joint)
        known_word = number and joint[: number.start(1)].strip(" _.-0").lower() in _COUNTED
        return f"{number[1] if number and known_word else joint}_{word}"
    return name


_COUNTED = ("", "landmark", "landmarks", "lm", "keypoint", "keypoints", "kp", "kpt", "joint", "j", "point", "pt",
            "pose", "pose_landmark", "marker", "node")  # fmt: skip


def numbers_of(names: Sequence[str]) -> list[int] | None:
    """The joints' numbers, counted from 0, where all are numbers; None where one is a name."""
    if not names or not all(n.isdecimal() and len(n) < 5 for n in names):
        return None
    numbers = [int(n) for n in names]
    return [n - 1 for n in numbers] if min(numbers) == 1 and max(numbers) == len(numbers) else numbers

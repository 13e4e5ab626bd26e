"""Which tool wrote a JSON file, judged by its first bytes, so that the readers need not parse what is not theirs."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

from orvpe.data.formats.base import by_suffix
from orvpe.data.formats.detections import FRAME_FILE
from orvpe.data.formats.source import Source

_LOOKED_AT = 64  # files at each end of a long list
_kinds: WeakKeyDictionary[Source, dict[str, str | None]] = WeakKeyDictionary()
_KEYPOINTS_OF_AXES = re.compile(rb'"keypoints"\s*:\s*\{')
_LANDMARKS = re.compile(rb'"(pose_?|world_?|pose_?world_?|image_?)?landmarks?"', re.IGNORECASE)
_POINT = re.compile(rb'\{\s*("[a-z]+"\s*:\s*[-+.\deE]+\s*,\s*)*"visibility"\s*:')
_EMPTY = re.compile(rb"\s*(\[\s*\]|\{\s*\}|\{[^\[]*\[\s*\]\s*\})?\s*\Z")


def kind_of(head: bytes) -> str | None:
    """The format of a JSON text by the keys in its first bytes; None for what is recognised elsewhere or unknown."""
    if b'"image_id"' in head or b'"annotations"' in head:  # COCO's
        return None
    if b'"keypoint_scores"' in head:
        return "mmpose"
    if b'"body_list"' in head:
        return "zed"
    if _KEYPOINTS_OF_AXES.search(head):
        return "ultralytics"
    if b'"joint_positions"' in head:
        return "azure-kinect"
    if b'"bodies"' in head and b'"joints"' in head:
        return "alphapose"
    if b'"pose_keypoints' in head:
        begin = head[: head.index(b'"pose_keypoints')]
        return "alphapose" if re.search(rb'"[^"]*\.(jpe?g|png|bmp)"\s*:\s*\{', begin, re.IGNORECASE) else "openpose"
    if b'"keypoints"' in head:
        if b'"predictions"' in head or (b'"bbox"' in head and b'"category_id"' in head):
            return "openpifpaf"
        return None
    if b'"frame_index"' in head and b'"skeleton"' in head:
        return None  # Kinetics-skeleton
    if _LANDMARKS.search(head) or (b'"visibility"' in head and _POINT.search(head)):
        return "mediapipe"
    return None


def json_of(source: Source, kind: str) -> list[str]:
    """The JSON files of a kind.  Of a long list the ends are looked at, and the rest is taken for the same.

    A file without anybody, ``[]`` say, counts as of the kind where another file next to it is.
    """
    names = [n for n in by_suffix(source, ".json", ".jsonl") if not FRAME_FILE.match(n)]
    seen = names if len(names) <= 2 * _LOOKED_AT else [*names[:_LOOKED_AT], *names[-_LOOKED_AT:]]
    known = _kinds.setdefault(source, {})
    kinds = {n: known[n] if n in known else known.setdefault(n, kind_of(source.head(n))) for n in seen}
    if kind not in kinds.values():
        return []
    folders = {n.rpartition("/")[0] for n, k in kinds.items() if k == kind}
    other = {n for n, k in kinds.items() if k != kind and not (k is None and _EMPTY.match(source.head(n)[:400]))}
    return [n for n in names if n not in other and (len(names) > len(seen) or n.rpartition("/")[0] in folders)]

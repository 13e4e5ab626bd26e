"""Joint names of any tool or rig in our words: ``LeftForeArm``, ``lower_arm.L``, ``RElbow``, ``lradius`` ...

What all names of a set begin with (``mixamorig:``, ``Bip01 ``, ``Skeleton_``) is no part of them.  A side may be a word
(``left``, ``_l``, ``.L``) or a letter before or after a known word (``lShldr``, ``RKnee``).  Motion-capture rigs name a
joint after the bone that begins there: ``LeftArm`` is the left shoulder.  Where several names mean the same joint, the
one that names it best is the joint: ``LeftArm`` and not ``LeftShoulder``, ``LeftHip`` and not ``LHipJoint``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SIDES = ("left", "right")
_SIDE_WORDS = {"left": "left", "l": "left", "lft": "left", "lt": "left",
               "right": "right", "r": "right", "rgt": "right", "rt": "right"}  # fmt: skip
# words that say nothing about which joint it is
_NOISE = {
    "joint", "joints", "jnt", "jt", "bone", "bip", "bip01", "bip001", "bip1", "def", "org", "mch", "bind", "j", "c",
    "m", "marker", "keypoint", "kp", "study", "stretch", "x", "skel", "skeleton",
}  # fmt: skip

# words that say which of several parts it is
_WHICH = {"upper", "lower", "up", "low", "fore", "mid", "middle", "inner", "outer", "front", "back", "big", "small"}
# joint -> the words for it, best first: of several that are there, the first is the joint and the others are not
_MIDDLE: dict[str, tuple[str, ...]] = {
    "head": ("head", "headcenter", "headcentre", "forehead"),
    "head_top": ("headtop", "tophead", "topofhead", "vertex", "crown"),
    "nose": ("nose", "nosetip"),
    "neck": ("neck", "lowerneck", "necklower", "neckcenter", "neckcentre", "midneck", "neckmid", "shouldercenter",
             "shouldercentre", "centershoulder", "midshoulder", "shouldermid"),
    "chest": ("chest", "torso", "trunk", "trunkcenter", "spinechest", "chestspine", "chestlower", "uppertorso"),
    "upper_chest": ("upperchest", "chestupper"),
    "spine": ("spine", "spine0", "spinenavel", "spinenaval", "navelspine", "navalspine", "navel", "abdomen",
              "abdomenlower", "ab", "lowerback", "belly", "waist"),
    "mid_hip": ("hips", "hip", "pelvis", "midhip", "midhips", "hipmid", "hipcenter", "hipcentre", "centerhip",
                "hipscenter", "pelviscenter", "spinebase", "lowertorso", "rootpelvis", "root"),
    "thorax": ("thorax",),
    "spine_mid": ("spinemid", "midspine"),
    "spine_shoulder": ("spineshoulder",),
    "upper_neck": ("upperneck",),
    "head_bottom": ("headbottom",),
}  # fmt: skip
_SIDED: dict[str, tuple[str, ...]] = {
    "shoulder": ("upperarm", "uparm", "arm", "uarm", "shldr", "shldrbend", "humerus", "shoulder", "acromion", "sho",
                 "sjc"),
    "clavicle": ("clavicle", "collar", "collarbone", "scapula", "clav"),
    "elbow": ("elbow", "forearm", "lowerarm", "farm", "forearmbend", "radius", "ulna", "elb", "ejc"),
    "wrist": ("wrist", "hand", "wjc"),
    "hip": ("upleg", "upperleg", "thigh", "thighbend", "femur", "hip", "hjc", "hipjoint", "buttock"),
    "knee": ("knee", "shin", "calf", "lowerleg", "lowleg", "leg", "tibia", "crus", "kne", "kjc"),
    "ankle": ("ankle", "foot", "ank", "ajc", "talus"),
    "toe": ("toebase", "toes", "toe", "ball"),
    "heel": ("heel", "hee", "calcaneus", "calc"),
    "big_toe": ("bigtoe", "hallux"),
    "small_toe": ("smalltoe", "littletoe", "5meta"),
    "hand_tip": ("handtip",),
    "eye": ("eye",),
    "ear": ("ear",),
    # markers on the skin (Vicon's Plug-in Gait), of which a joint is the mean
    "front_head": ("fhd",), "back_head": ("bhd",), "wrist_a": ("wra",), "wrist_b": ("wrb",),
    "asis": ("asis", "asi"), "psis": ("psis", "psi"),
}  # fmt: skip
# a word that lost its joint to a better one, and what it is then
_OTHERWISE = {"shoulder": "clavicle", "acromion": "acromion", "hand": "hand", "foot": "foot", "hip": "hip_joint",
              "leg": "hip", "root": "root", "thorax": "thorax"}  # fmt: skip
_WORDS: dict[tuple[bool, str], tuple[str, int]] = {
    (sided, word): (joint, rank)
    for sided, table in ((False, _MIDDLE), (True, _SIDED))
    for joint, words in table.items()
    for rank, word in enumerate(words)
}
_NUMBERED = re.compile(r"(.*?)[_.\s]?0*(\d{1,3})\Z")
# DeepLabCut's pretrained human model names MPII's joints by number: 1 is right, 2 is left
_DLC_HUMAN = {
    **{f"{joint}{n}": f"{side}_{joint}" for n, side in ((1, "right"), (2, "left"))
       for joint in ("ankle", "knee", "hip", "wrist", "elbow", "shoulder")},
    "chin": "chin", "forehead": "head",
}  # fmt: skip
_RIGIFY = ("mid_hip", "spine", "chest", "upper_chest", "neck", "neck_2", "head")  # spine, spine.001 ... spine.006


def canonical(raw: Sequence[str], parents: Sequence[int] | None = None) -> list[str]:
    """Joint names of one skeleton in our words, all different.

    Args:
        raw: the names as a file has them.
        parents: index of each joint's parent, -1 for a root, where the file says so: of two names that fit a joint
            equally well, the one farther from the root is taken.

    Returns:
        a name each: ``left_elbow``, or the words of the raw name where none of ours is meant (``left_hand_index_1``).
    """
    names = [str(n) for n in raw]
    if {n.lower() for n in names} >= {"ankle1", "ankle2", "shoulder1", "shoulder2"}:
        return _distinct([_DLC_HUMAN.get(n.lower(), n.lower()) for n in names])
    found = [_one(n) for n in without_prefix(names)]
    depth = [0] * len(names) if parents is None else _depths(parents)
    _spine(found, depth)
    _compete(found, depth)
    return _distinct([_text(f) for f in found])


def without_prefix(names: Sequence[str]) -> list[str]:
    """The names without name spaces, and without what nearly all of them begin with, up to a word's end."""
    rest = [re.split(r"[:|/]", n)[-1] or n for n in names]
    while len(rest) > 2:
        cut = _shared(rest)
        if not cut:
            return rest
        rest = [n[len(cut) :] if n.startswith(cut) and len(n) > len(cut) else n for n in rest]
    return rest


def _shared(names: Sequence[str]) -> str:
    """What at least four of five names begin with; '' where that is a side, a joint or nothing."""
    middle = sorted(names)[len(names) // 2]  # whatever most begin with, this one does
    for end in range(1, len(middle)):  # the shortest, as what is left is looked at again
        prefix = middle[:end]
        last, after = prefix[-1], middle[end]
        border = not last.isalnum() or (after.isupper() and not last.isupper())
        if not border or sum(n.startswith(prefix) and len(n) > end for n in names) < 0.8 * len(names):
            continue
        words = _split(prefix)
        joint = any((sided, "".join(words)) in _WORDS for sided in (True, False))
        if not joint and not any(w in _SIDE_WORDS or w in _WHICH for w in words):
            return prefix
    return ""


@dataclass
class _Name:
    """A raw name on its way to a joint."""

    side: str
    words: list[str]
    joint: str = ""
    rank: int = 0
    word: str = ""
    number: int = -1


def _split(raw: str) -> list[str]:
    """Lower-case words: at capitals, and at anything that is neither a letter nor a digit."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1 \2", raw))
    return [w for w in re.split(r"[\W_]+", parted.lower()) if w]


def _one(raw: str) -> _Name:
    words = _split(raw)
    side = next((_SIDE_WORDS[w] for w in words if w in _SIDE_WORDS), "")
    rest = [w for w in words if w not in _SIDE_WORDS] if side else words
    for tried in (rest, [w for w in rest if w not in _NOISE]):
        if tried and (name := _known(side, tried)):
            return name
    kept = [w for w in rest if w not in _NOISE] or rest or words
    return _Name(side, kept)


def _known(side: str, words: list[str]) -> _Name | None:
    """The joint that these words mean, if any."""
    text = "".join(words)
    number = -1
    for _ in range(2):
        if side:  # the letter again in 'r_RHJC'
            sides = [(side, text), *([(side, text[1:])] if text[0] == side[0] else [])]
        else:
            sides = [("", text)]
            for s, begins in (("left", ("left", "l")), ("right", ("right", "r"))):
                sides += [(s, text[len(b) :]) for b in begins if text.startswith(b)]
                sides += [(s, text[: -len(b)]) for b in begins if text.endswith(b)]
        for one, word in sides:
            found = _WORDS.get((bool(one), word))
            if found is not None:
                return _Name(one, words if word == "".join(words) else [word], *found, word, number)
        match = _NUMBERED.match(text)
        if match is None or not match[1]:
            return None
        text, number = match[1], int(match[2])
        if (number > 1 and text != "spine") or text == "hand":  # points of a hand are numbered
            return None
    return None


def _spine(found: list[_Name], depth: Sequence[int]) -> None:
    """Numbered bones of the spine: the chest is the middle one, where nothing is called the chest."""
    row = [
        f
        for _, f in sorted(
            ((d, f) for d, f in zip(depth, found, strict=True) if f.word == "spine"),
            key=lambda df: (df[0], df[1].number),
        )
    ]
    numbers = [f.number for f in row]
    if len(set(numbers)) < len(numbers):  # 'Spine', 'Spine': told apart by their place later on
        for f in row[1:]:
            if f.number in (-1, row[0].number):
                f.joint, f.words = "", ["spine"]
        return
    there = {f.joint for f in found if not f.side}
    if len(row) == len(_RIGIFY) and not there & {"head", "neck"}:
        for f, joint in zip(row, _RIGIFY, strict=True):
            f.joint, f.rank = joint, -1
        return
    middle = max(1, (len(row) - 1) // 2)
    for place, f in enumerate(row):
        if place == 0:
            f.joint = "spine"
        elif place == middle and "chest" not in there:
            f.joint = "chest"
        elif place == middle + 1 and "upper_chest" not in there and "chest" not in there:
            f.joint = "upper_chest"
        else:
            f.joint, f.words = "", ["spine", str(f.number)]


def _compete(found: list[_Name], depth: Sequence[int]) -> None:
    """Of several names for a joint the best keeps it."""
    for _ in range(2):  # a word that lost may win another joint
        best: dict[tuple[str, str], int] = {}
        for i, f in enumerate(found):
            key = (f.side, f.joint)
            other = best.get(key)
            if f.joint and (other is None or (f.rank, -depth[i]) < (found[other].rank, -depth[other])):
                best[key] = i
        # 'thorax' begins at the middle of the back in rigs that have a neck, too
        thorax, neck = best.get(("", "thorax")), best.get(("", "neck"))
        if thorax is not None and neck is not None and ("", "chest") not in best:
            found[thorax].joint = "chest"
            best["", "chest"] = thorax
        changed = False
        for i, f in enumerate(found):
            if f.joint and best[f.side, f.joint] != i and f.rank != found[best[f.side, f.joint]].rank:
                f.joint, f.rank = _OTHERWISE.get(f.word, ""), 99
                changed = True
        if not changed:
            return


def _depths(parents: Sequence[int]) -> list[int]:
    depth: list[int] = []
    for i, p in enumerate(parents):
        depth.append(depth[p] + 1 if 0 <= p < i else 0)
    return depth


def _text(f: _Name) -> str:
    joint = f.joint or "_".join(f.words)
    return f"{f.side}_{joint}" if f.side else joint


def _distinct(names: list[str]) -> list[str]:
    """The first of equal names stays; the others get their place as a number."""
    seen: set[str] = set()
    result = []
    for i, n in enumerate(names):
        while n in seen:
            n = f"{n}_{i}"
        seen.add(n)
        result.append(n)
    return result

"""AlphaPose's two nested forms: pictures by name with ``bodies`` (``--format cmu``) or ``people`` (``open``), pixels.

``alphapose-results.json`` maps each picture's name to ``{"bodies": [{"joints": [x, y, confidence, ...]}]}`` or
``{"people": [{"pose_keypoints_2d": [...]}]}``; the folder ``sep-json`` next to it says the same in a file a picture
and is left out where the whole is there.  18 joints are OpenPose's, which is what AlphaPose makes of COCO's 17 in
these forms.  The list form (the default) is `orvpe.data.formats.coco`.
"""

from __future__ import annotations

from typing import Any

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, read_json
from orvpe.data.formats.detected import Detection, detected_clip, frame_groups, numbers, video_name
from orvpe.data.formats.detections import layout_for
from orvpe.data.formats.json_kinds import json_of
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.poses.skeleton import layouts_by_count


def items(source: Source) -> list[Item]:
    names = json_of(source, "alphapose")
    single = [n for n in names if source.head(n).lstrip()[:400].find(b'"bodies"') in range(60)]
    whole = [n for n in names if n not in set(single)]
    if whole:
        return [(n,) for n in whole]
    return [tuple(n for _, n in frames) for frames in frame_groups(single).values()]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    numbered = {n: t for group in frame_groups(item).values() for t, n in group}
    videos: dict[str, list[tuple[int, Any, str]]] = {}
    for file in item:
        data = read_json(source, file)
        if not isinstance(data, dict):
            raise InputError(f"{source.where(file)}: expected pictures by name, as AlphaPose writes")
        if "bodies" in data or "people" in data:
            video = next(iter(frame_groups([file])))
            videos.setdefault(video, []).append((numbered[file], data, source.where(file)))
            continue
        for video, frames in frame_groups(str(name) for name in data).items():
            place = videos.setdefault(video, [])
            place += [(t, data[name], f"{source.where(file)}: {name}") for t, name in frames]
    clips = []
    for video, pictures in videos.items():
        found = [d for t, picture, place in pictures for d in _people(picture, t, place)]
        if not found:
            continue
        layout = layout_for(len(found[0].joints), layouts_by_count(2), options, where)
        name = video_name(video, source) if len(videos) > 1 or len(item) > 1 else stem(item[0])
        try:
            clips.append(detected_clip(found, layout, options, where, frames=[t for t, *_ in pictures], name=name))
        except NoSkeleton:
            continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in any picture")
    return clips


def _people(picture: Any, frame: int, where: str) -> list[Detection]:
    people = picture.get("bodies", picture.get("people")) if isinstance(picture, dict) else None
    if not isinstance(people, list):
        raise InputError(f"{where}: no list of 'bodies' or 'people' in it")
    found = []
    for person in people:
        flat = person.get("joints", person.get("pose_keypoints_2d")) if isinstance(person, dict) else None
        points = numbers(flat, "'joints'", where).ravel() if flat else None
        if points is None or points.size % 3:
            raise InputError(f"{where}: a person without 3 numbers a joint")
        table = points.reshape(-1, 3)
        found.append(Detection(frame, table[:, :2], table[:, 2]))
    return found


FORMAT = Format("alphapose", "AlphaPose --format cmu or open: pictures by name, pixels", items, read)

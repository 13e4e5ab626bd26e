"""SLEAP's ``.slp``, read by sleap-io (``orvpe[sleap]``): a clip a video, joints by the skeleton's names, pixels.

SLEAP's analysis CSV is read without it (`orvpe.data.formats.deeplabcut`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix
from orvpe.data.formats.detected import Detection, detected_clip
from orvpe.data.formats.detections import named_layout
from orvpe.data.formats.extras import library, on_disk, said
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".slp")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    sleap = library("sleap_io", "sleap", where, "export its analysis CSV in SLEAP")
    try:
        with on_disk(source, item[0]) as path:
            labels = sleap.load_slp(str(path), open_videos=False)
            videos = _instances(labels)
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{where}: not readable as SLEAP's ({said(error)})") from None
    clips = []
    for number, (nodes, found) in enumerate(videos):
        if not found:
            continue
        layout, order = named_layout(nodes, options.layout, where)
        name = stem(item[0]) + (f"_{number}" if len(videos) > 1 else "")
        try:
            clips.append(detected_clip([d.placed(layout, order) for d in found], layout, options, where, name=name))
        except NoSkeleton:
            continue
    if not clips:
        raise NoSkeleton(f"{where}: nobody in it")
    return clips


def _instances(labels: Any) -> list[tuple[list[str], list[Detection]]]:
    """For each video the nodes' names and its instances."""
    videos: dict[int, tuple[list[str], list[Detection]]] = {}
    for frame in labels.labeled_frames:
        for instance in frame.instances:
            nodes = [str(n) for n in instance.skeleton.node_names]
            track = getattr(instance, "track", None)
            joints = np.asarray(instance.numpy(), dtype=np.float64)[:, :2]
            sure = np.where(np.isfinite(joints).all(axis=1), 1.0, 0.0)
            detection = Detection(int(frame.frame_idx), joints, sure, track=None if track is None else str(track.name))
            videos.setdefault(id(frame.video), (nodes, []))[1].append(detection)
    return list(videos.values())


FORMAT = Format("sleap", "SLEAP .slp (by sleap-io): joints by name, pixels", items, read)

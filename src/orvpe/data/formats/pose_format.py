"""``.pose`` files of sign-language tools, read by their library pose-format (``orvpe[pose-format]``).

The component with most joints of the body is taken: pixels, or with ``--dims 3`` MediaPipe's world landmarks where
the file has them.  Hands and face are left out.
"""

from __future__ import annotations

from orvpe.data.formats.base import Format, Item, NoSkeleton, Options, by_suffix
from orvpe.data.formats.detections import people_clip
from orvpe.data.formats.extras import library, said
from orvpe.data.formats.source import Source, stem
from orvpe.errors import InputError
from orvpe.poses.clip import Clip


def items(source: Source) -> list[Item]:
    return [(n,) for n in by_suffix(source, ".pose")]


def read(source: Source, item: Item, options: Options) -> list[Clip]:
    where = source.where(item[0])
    pose_class = library("pose_format", "pose-format", where).Pose
    data = source.read(item[0])
    try:
        pose = pose_class.read(data)
        world = options.dims == 3 and any("WORLD" in str(c.name).upper() for c in pose.header.components)
        found = Clip.from_pose_format(pose, world=world, min_confidence=options.min_confidence)
    except InputError as error:
        if "nobody" in str(error):
            raise NoSkeleton(f"{where}: nobody in it") from None
        raise InputError(f"{where}: {error}") from None
    except Exception as error:  # a damaged file fails in many ways
        raise InputError(f"{where}: not readable as .pose ({said(error)})") from None
    return [
        people_clip(found.to_array(), found.layout, options, where, name=stem(item[0]), fps=found.fps,
                    image_size=found.image_size)
    ]  # fmt: skip


FORMAT = Format("pose-format", ".pose files (by pose-format): the body's component, pixels or metres", items, read)

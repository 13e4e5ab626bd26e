"""What a command's caller says of pose files that these do not say of themselves."""

from __future__ import annotations

from dataclasses import dataclass

from orvpe.data.formats import FORMATS
from orvpe.data.formats.base import Options
from orvpe.data.formats.labels import column_pairs
from orvpe.data.formats.reading import check_choices
from orvpe.errors import InputError, unknown
from orvpe.poses.skeleton import get_layout
from orvpe.runtime.typed import Group


@dataclass(frozen=True)
class PoseFiles(Group):
    """Pose files.

    Args:
        format: name of the pose format, if it is not recognised.
        joints: layout of the source's joints, a known name or a YAML file, where the format does not say.
        fps: frames per second, where the format does not say.
        image_size: width and height in pixels, where the format does not say.
        min_confidence: a joint with a lower confidence is missing.
        max_people: keep at most that many people a clip, those who move most.
        up: the axis that points up in 3D pose files: y, -y, z, -z, x, -x or auto, which looks where the bodies of the
            whole source point; clips are turned so that y is up.
        units: units of 3D pose files: m, cm, mm, in or auto, which looks how large the bodies are.
        column: meaning of a table's columns, as label=shot or clip=video; ours are clip, label, subject, camera, split,
            person, frame, joint, and ignore.
    """

    format: str | None = None
    joints: str | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float = 0.1
    max_people: int = 2
    up: str = "auto"
    units: str = "auto"
    column: list[str] | None = None

    def check(self) -> None:
        """Refuse values that cannot be.

        Raises:
            InputError: no such axis, unit or format, nobody kept.
        """
        check_choices(self.up, self.units)
        column_pairs(self.column)
        if self.format is not None and self.format not in FORMATS:
            raise InputError(unknown("format", self.format, FORMATS))
        if self.max_people < 1:
            raise InputError(f"max_people is {self.max_people}, expected at least 1")

    def options(self, dims: int = 3, subject: str | None = None) -> Options:
        """What the readers take.

        Raises:
            InputError: no such layout, or as `check`.
        """
        self.check()
        return Options(
            layout=get_layout(self.joints) if self.joints else None,
            fps=self.fps,
            image_size=self.image_size,
            dims=dims,
            min_confidence=self.min_confidence,
            max_people=self.max_people,
            up=self.up,
            units=self.units,
            columns=column_pairs(self.column),
            subject=subject,
        )


@dataclass(frozen=True)
class PosesOrVideos(Group):
    """Pose files and videos.

    Args:
        format: name of the pose format, if it is not recognised.
        joints: of videos 'image' (2D) or 'world' (MediaPipe's 3D); of pose files the layout, where the format does not
            say.
        fps: frames per second to take of videos, or of pose files that do not say.
        image_size: width and height in pixels, where a pose format does not say.
        min_confidence: a joint with a lower confidence is missing; 0.5 in videos, 0.1 in pose files.
        max_people: keep at most that many people; when not given, 4 in videos (1 to learn from) and 2 in pose files.
        up: the axis that points up in 3D pose files: y, -y, z, -z, x, -x or auto, which looks where the bodies of the
            whole source point.
        units: units of 3D pose files: m, cm, mm, in or auto, which looks how large the bodies are.
        column: meaning of a table's columns, as label=shot or clip=video; ours are clip, label, subject, camera, split,
            person, frame, joint, and ignore.
    """

    format: str | None = None
    joints: str | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float | None = None
    max_people: int | None = None
    up: str = "auto"
    units: str = "auto"
    column: list[str] | None = None

    def pose_files(self, joints: str | None) -> PoseFiles:
        """What of it goes for pose files, whose defaults differ from those of videos."""
        least = PoseFiles()
        return PoseFiles(
            format=self.format,
            joints=joints,
            fps=self.fps,
            image_size=self.image_size,
            min_confidence=least.min_confidence if self.min_confidence is None else self.min_confidence,
            max_people=least.max_people if self.max_people is None else self.max_people,
            up=self.up,
            units=self.units,
            column=self.column,
        )

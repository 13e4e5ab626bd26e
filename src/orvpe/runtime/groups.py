"""Arguments that several commands share; each of their fields is a flag of its own."""

from __future__ import annotations

from dataclasses import dataclass

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
        up: the axis that points up in 3D pose files: y, -y, z, -z, x or -x; clips are turned so that y is up.
    """

    format: str | None = None
    joints: str | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float = 0.1
    max_people: int = 2
    up: str = "y"


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
        max_people: keep at most that many people; 2 in pose files when not given.
        up: the axis that points up in 3D pose files: y, -y, z, -z, x or -x.
    """

    format: str | None = None
    joints: str | None = None
    fps: float | None = None
    image_size: tuple[int, int] | None = None
    min_confidence: float | None = None
    max_people: int | None = None
    up: str = "y"


@dataclass(frozen=True)
class Estimator(Group):
    """Finding people in videos.

    Args:
        estimator: 'mediapipe', or 'rtmlib' where that is installed.
        weights_file: MediaPipe's .task file; fetched once and kept when not given.
    """

    estimator: str = "mediapipe"
    weights_file: str | None = None


@dataclass(frozen=True)
class Hardware(Group):
    """Hardware.

    Args:
        device: auto, cpu, cuda or mps.
        threads: CPU threads, 0 for all.
    """

    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True)
class TrainingHardware(Hardware):
    """Hardware.

    Args:
        device: auto, cpu, cuda or mps.
        threads: CPU threads, 0 for all.
        precision: 32, bf16, 16, or auto: bf16 where this machine's hardware has it, else 32.
        compile: let torch.compile make one program of the encoder; minutes at the start, faster from there on.
    """

    precision: str = "32"
    compile: bool = False


@dataclass(frozen=True)
class Resuming(Group):
    """Stopping and resuming.

    Args:
        save_every: keep a checkpoint every so many steps too, 0 for once an epoch.
        restart: begin again although the folder holds a run.
        stop_after: stop (resumably) after so many steps.
    """

    save_every: int = 0
    restart: bool = False
    stop_after: int | None = None

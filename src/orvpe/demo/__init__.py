"""``orvpe demo``: who does what in a video, whether hiding half the body changes that, and a page that shows it."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from orvpe.classify import check_video
from orvpe.demo.table import table
from orvpe.demo.told import VERSIONS, tell
from orvpe.device import pick_device
from orvpe.errors import InputError
from orvpe.model import load
from orvpe.progress import Progress
from orvpe.skeleton import unified
from orvpe.store import write_store
from orvpe.timeline import WindowOptions, with_classes
from orvpe.video.decode import camera
from orvpe.video.options import PoseOptions

WEIGHTS = "everyday-light-2d-joint"
PAGES = ("auto", "report", "serve")
_IN_THE_SAMPLE = 2  # people: looking for more takes time
_MOST_SECONDS = 60.0  # all pictures are inside the page


def demo(
    video: str | None = None,
    out: str = "demo",
    weights: str = WEIGHTS,
    page: str = "auto",
    fps: float = 15.0,
    start: float = 0.0,
    seconds: float = 20.0,
    window: float | None = 3.0,
    threshold: float = 0.5,
    max_people: int | None = None,
    estimator: str = "mediapipe",
    weights_file: str | None = None,
    port: int = 8000,
    threads: int = 0,
) -> Path:
    """Say who does what in a video, and whether hiding half of the body changes that; write a page that shows it.

    Args:
        video: a video; without one a clip of two people is fetched from a package, once.
        out: folder for index.html and people.orvpe, which holds the people's poses.
        weights: a 2D model with a classifier.
        page: 'report' writes the page; 'serve' also serves the model with these people, on 127.0.0.1; 'auto' serves
            when on a terminal.
        fps: frames per second to look at.
        start: seconds of the video to skip.
        seconds: how many to take, at most 60.
        window: seconds that are looked at at a time; what the model learned from when null.
        threshold: below that probability the label is "unsure".
        max_people: look for at most that many; 4 when not given, 2 in the clip that is fetched, where there are two.
        estimator: mediapipe, or rtmlib where that is installed.
        weights_file: MediaPipe's .task file; fetched once and kept when not given.
        port: of the served page; 0, or a port that is taken, gives a free one.
        threads: CPU threads, 0 for all.

    Returns:
        The page, index.html in the folder.

    Raises:
        InputError: no video, nobody in it, a model that does not fit, a value that cannot be.
    """
    if page not in PAGES:
        raise InputError(f"page is {page!r}, expected one of {', '.join(PAGES)}")
    if not 0 < seconds <= _MOST_SECONDS:
        raise InputError(f"seconds is {seconds:g}, expected more than 0 and at most {_MOST_SECONDS:g}")
    options = WindowOptions(window, None, threshold)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{out}: is a file, expected a folder or a new name")
    model = load(weights, pick_device("auto", threads)).for_inference()
    classes = with_classes(model, weights)
    from orvpe.demo.report import shrink, write_report
    from orvpe.demo.sample import sample_video
    from orvpe.video.people import find_people, open_video

    if video is not None and camera(video) is not None:
        raise InputError(f"{video}: is a camera; orvpe live {video} says what is before it")
    path = video if video is not None else str(sample_video())
    check_video(model, path, "image")
    people = max_people or (4 if video is not None else _IN_THE_SAMPLE)
    pose = PoseOptions(
        estimator=estimator, weights_file=weights_file, max_people=people, fps=fps, start=start, seconds=seconds,
        layout="unified" if model.layout.joints == unified.joints else "native", threads=threads,
    )  # fmt: skip
    began = time.perf_counter()
    opened = open_video(path, pose)
    with Progress(Path(path).name, opened.count, unit="frames") as progress:
        found = find_people(opened, pose, each=lambda: progress.advance(1))
        for text in found.notes:
            progress.note(f"note: {text}")
    first = {f"{found.name}-p{person.id}": person.first for person in found.people}
    answered = time.perf_counter()
    told = [tell(model, clip, first[clip.name], options) for clip in found.clips(pose.layout, pose.joints)]
    told = [person for person in told if person.spans()]
    if not told:
        raise InputError(f"{path}: nobody found for long enough in {found.frames / found.fps:.1f} s")
    written = time.perf_counter()
    pictures = [shrink(frame.image) for frame in open_video(path, pose)]
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "people.orvpe"
    write_store(store, [person.clips[VERSIONS[0]] for person in told])
    summary = table(told)
    about = f"{Path(path).name}, {found.frames / found.fps:.1f} s, {len(told)} people, model {Path(weights).name}"
    facts = {
        "classes": classes, "titles": [str(model.card.get("titles", {}).get(c, c)).replace("_", " ") for c in classes],
        "threshold": threshold, "model": Path(weights).name, "summary": summary, "about": about,
    }  # fmt: skip
    report = write_report(folder / "index.html", found, pictures, told, facts)
    print(f"{about}\n\n{summary}\n\npage:   {report}\nposes:  {store}")
    ended = time.perf_counter()
    stages = {**found.seconds, "answers": written - answered, "page": ended - written}
    rate = found.frames / (ended - began)
    spent = ", ".join(f"{stage} {taken:.1f}" for stage, taken in stages.items())
    print(f"{found.frames} frames in {ended - began:.0f} s, {rate:.1f} frames/s; seconds: {spent}")
    if page == "serve" or (page == "auto" and sys.stdin.isatty() and sys.stdout.isatty()):
        _serve(weights, str(store), port)
    return report


def _serve(weights: str, store: str, port: int) -> None:
    """The page of `orvpe serve` with these people as samples, where its extra is installed."""
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        print("install orvpe[web] to hide any part of them, with a rectangle, in `orvpe serve`")
        return
    from orvpe.web.command import free_port, serve

    print("\nNow hide any part of them, with a rectangle:")
    serve(weights, samples=store, port=free_port(port))

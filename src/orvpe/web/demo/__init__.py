"""``orvpe demo``: name the actions in a video, hide half of the body, and write a page that shows both."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from pathlib import Path

from orvpe.actions.classify import check_video
from orvpe.actions.timeline import WindowOptions, unnamed, with_classes
from orvpe.data.store import write_store
from orvpe.errors import InputError
from orvpe.models.model import Model, load
from orvpe.poses.skeleton import unified
from orvpe.runtime.device import pick_device
from orvpe.runtime.files import Together
from orvpe.runtime.lock import alone_in
from orvpe.runtime.progress import Progress
from orvpe.runtime.run import check_folder
from orvpe.runtime.typed import flat_arguments
from orvpe.video.decode import camera
from orvpe.video.options import PersonFinder, PoseOptions
from orvpe.web.demo.table import table
from orvpe.web.demo.told import VERSIONS, tell, titles_of

WEIGHTS = "everyday-light-2d-joint"
PAGES = ("auto", "report", "serve")
PAGE, PEOPLE = "index.html", "people.orvpe"
_MARK = b"<title>orvpe: who does what</title>"  # of a page that a demo wrote
_IN_THE_SAMPLE = 2  # people: looking for more takes time
_MOST_SECONDS, _MOST_FRAMES = 60.0, 1800  # all pictures are inside the page


@flat_arguments
@alone_in("out", folder=True)
def demo(
    video: str | None = None,
    out: str = "demo",
    weights: str = WEIGHTS,
    page: str = "auto",
    fps: float = 15.0,
    start: float = 0.0,
    seconds: float = 20.0,
    window: float | None = 3.0,
    threshold: float | None = None,
    risk: float | None = None,
    max_people: int | None = None,
    port: int = 8000,
    threads: int = 0,
    finder: PersonFinder = PersonFinder(),  # noqa: B008
) -> Path:
    """Name the actions of the people in a video, also with half of the body hidden; write a page that shows both.

    Args:
        video: a video; when not given, a sample with two people is downloaded once, from a package.
        out: folder for index.html and people.orvpe (the poses); those of an earlier demo are replaced.
        weights: a 2D model with a classifier.
        page: 'report' writes the page; 'serve' also serves the model with these people, on 127.0.0.1; 'auto' serves
            if it runs on a terminal.
        fps: frames per second to analyse; at most 1800 frames in total.
        start: seconds of the video to skip.
        seconds: seconds to analyse, at most 60.
        window: window length in seconds; that of the model's training clips when null.
        threshold: probability below which the label is "unsure" (or "unknown"); 0.5 without it and ``risk``.
        risk: for models of `orvpe learn`: name a class only if at most this share of the named ones is wrong, e.g. 0.1,
            and say "unknown" otherwise.
        max_people: largest number of people to look for; 4 when not given, 2 in the sample.
        port: port of the served page; a free one if it is 0 or taken.
        threads: CPU threads, 0 for all (the classifier then uses one).
        finder: how people are found in videos.

    Returns:
        The page, index.html in the folder.

    Raises:
        InputError: no video, nobody in it, a model that does not fit, a value that cannot be, files in the folder that
            no demo wrote.
    """
    if page not in PAGES:
        raise InputError(f"page is {page!r}, expected one of {', '.join(PAGES)}")
    if not 0 < seconds <= _MOST_SECONDS:
        raise InputError(f"seconds is {seconds:g}, expected more than 0 and at most {_MOST_SECONDS:g}")
    if seconds * fps > _MOST_FRAMES:
        frames = f"{seconds:g} s at {fps:g} a second are {seconds * fps:,.0f} frames"
        raise InputError(f"{frames}, expected at most {_MOST_FRAMES:,}, as all are inside the page; give less --fps")
    if max_people is not None and max_people < 1:
        raise InputError(f"max_people is {max_people}, expected at least 1")
    if not 0 <= port < 65536:
        raise InputError(f"port is {port}, expected 0 to 65535")
    options = WindowOptions(window, None, threshold, risk=risk)
    folder = Path(out)
    check_folder(folder)
    _check_own(folder)
    model = load(weights, pick_device("auto", threads or 1)).for_inference()
    classes = with_classes(model, weights)
    options = options.for_model(model)
    assert options.threshold is not None
    from orvpe.video.people import find_people, open_video
    from orvpe.web.demo.report import shrink, write_report
    from orvpe.web.demo.sample import sample_video

    if video is not None and camera(video) is not None:
        raise InputError(f"{video}: is a camera; orvpe live {video} reads it")
    path = video if video is not None else str(sample_video())
    check_video(model, path, "image")
    people = max_people or (4 if video is not None else _IN_THE_SAMPLE)
    pose = PoseOptions(
        **asdict(finder), max_people=people, fps=fps, start=start, seconds=seconds,
        layout="unified" if model.layout.joints == unified.joints else "native", threads=threads,
    )  # fmt: skip
    _check_layout(model, pose)
    began = time.perf_counter()
    opened = open_video(path, pose)
    report, store = folder / PAGE, folder / PEOPLE
    with Together() as files:  # an earlier demo stays whole until this one is
        made, poses = files.path(report), files.path(store)
        with Progress(opened.name, opened.count, unit="frames") as progress:
            found = find_people(opened, pose, each=lambda: progress.advance(1))
            for text in found.notes:
                progress.note(f"note: {text}")
            if found.short:
                progress.note(f"note: left out {found.short} seen in fewer than {pose.min_frames} frames")
        first = {f"{found.name}-p{person.id}": person.first for person in found.people}
        answered = time.perf_counter()
        told = [tell(model, clip, first[clip.name], options, start) for clip in found.clips(pose.layout, pose.joints)]
        told = [person for person in told if person.spans()]
        if not told:
            raise InputError(f"{path}: nobody found for long enough in {found.frames / found.fps:.1f} s")
        written = time.perf_counter()
        pictures = [shrink(frame.image) for frame in open_video(path, pose)]
        write_store(poses, [person.clips[VERSIONS[0]] for person in told])
        titles = titles_of(model)
        summary = table(told, titles, options.threshold)
        long = f"{found.frames / found.fps:.1f} s" + (f" from {start:g} s on" if start else "")
        count = "1 person" if len(told) == 1 else f"{len(told)} people"
        about = f"{Path(path).resolve().name}, {long}, {count}, model {Path(weights).resolve().name}"
        facts = {
            "classes": classes, "titles": [titles[c] for c in classes], "threshold": options.threshold,
            "unnamed": unnamed(model), "start": start, "summary": summary, "about": about,
        }  # fmt: skip
        write_report(made, found, pictures, told, facts)
    print(f"{about}\n\n{summary}\n\npage:   {report}\nposes:  {store}")
    ended = time.perf_counter()
    stages = {**found.seconds, "answers": written - answered, "page": ended - written}
    rate = found.frames / (ended - began)
    spent = ", ".join(f"{stage} {taken:.1f}" for stage, taken in stages.items())
    print(f"{found.frames} frames in {ended - began:.0f} s, {rate:.1f} frames/s; seconds: {spent}")
    if page == "serve" or (page == "auto" and sys.stdin.isatty() and sys.stdout.isatty()):
        _serve(weights, str(store), port)
    return report


def _check_own(folder: Path) -> None:
    """Refuse to replace files that were not written by a demo, such as a web site's index.html."""
    page, store = folder / PAGE, folder / PEOPLE
    if page.exists():
        with open(page, "rb") as file:
            if _MARK not in file.read(2000):
                raise InputError(f"{page}: exists already and was not written by orvpe demo; give another --out")
    elif store.exists():
        raise InputError(f"{store}: exists already, without a demo's {PAGE} next to it; give another --out")


def _check_layout(model: Model, pose: PoseOptions) -> None:
    """Refuse a model whose joints the estimator does not find, before the video is processed."""
    from orvpe.video.estimate import ESTIMATORS

    found = getattr(ESTIMATORS[pose.estimator], "layout", None)  # of a class, not of a function that makes one
    if pose.layout == "native" and found is not None and found.joints != model.layout.joints:
        raise InputError(
            f"{pose.estimator} finds joints of layout {found.name!r}, the model reads {model.layout.name!r}"
        )


def _serve(weights: str, store: str, port: int) -> None:
    """Run `orvpe serve` with these people as samples, if its extra is installed."""
    try:
        import uvicorn  # noqa: F401
    except ImportError:
        print("install orvpe[web] to hide any part of them, with a rectangle, in `orvpe serve`")
        return
    from orvpe.web.command import free_port, serve

    print("\nNow hide any part of them, with a rectangle:")
    serve(weights, samples=store, port=free_port(port))

"""`orvpe serve`: start and stop the server."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import webbrowser
from types import FrameType

from orvpe.errors import InputError, Interrupted
from orvpe.runtime.signals import heard_by


def serve(
    weights: str | None = None,
    store: str | None = None,
    samples: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    open: bool = False,
    max_upload: float = 64.0,
    max_frames: int = 3000,
    read_seconds: float = 300.0,
    video_seconds: float = 20.0,
    readers: int = 2,
    threads: int = 1,
) -> None:
    """Serve a model: a page that shows how hiding joints changes its answers, and an HTTP interface.

    Args:
        weights: name or folder of a model; a classifier answers with its own classes. When not given, the shipped
            encoder for the clips' dimensions.
        store: clips to search, to map and, if labelled, to train a classifier on; generated ones when not given.
        samples: store of example clips; some of ``store`` when not given.
        host: address to listen on; with any but 127.0.0.1 others can connect, without a password.
        port: port; 0 for a free one.
        open: open the page in a browser.
        max_upload: largest upload in MB.
        max_frames: longest clip, in frames.
        read_seconds: time limit for reading a file, in seconds.
        video_seconds: seconds of a video that are read, from its start.
        readers: files that are read concurrently.
        threads: CPU threads for each answer.

    Raises:
        InputError: a model, store or value that does not fit; a port that is taken; the extra is not installed.
    """
    for name, value in (("max_frames", max_frames), ("readers", readers), ("threads", threads)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1")
    for name, amount in (("max_upload", max_upload), ("read_seconds", read_seconds), ("video_seconds", video_seconds)):
        if not 0 < amount < 1e6:
            raise InputError(f"{name} is {amount:g}, expected more than 0")
    if not 0 <= port < 65536:
        raise InputError(f"port is {port}, expected 0 to 65535")
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise InputError(f"orvpe serve needs its extra; install orvpe[web] ({error})") from None
    import torch

    from orvpe.web.answers import open_answers
    from orvpe.web.app import Limits, make_app
    from orvpe.web.patience import ENDING_SECONDS, ImpatientProtocol, scratch

    torch.set_num_threads(threads)
    listening = _listen(host, port)  # first, as the rest takes a moment
    with listening, heard_by(_stop, (signal.SIGTERM,)), scratch() as folder:
        print("opening the model and the clips ...", file=sys.stderr, flush=True)
        answers = open_answers(weights, store, samples)
        limits = Limits(
            int(max_upload * 2**20), max_frames, read_seconds, video_seconds, readers,
            folder=folder,
            hosts=tuple({"127.0.0.1", "localhost", "::1", host.lower(), *_own_names(host)}),
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        clips = f"{len(answers.index):,} clips ({answers.index.source})" if answers.index is not None else "no clips"
        print(f"{answers.name}, {clips}, {len(answers.classes)} classes: {address}   (Ctrl-C ends it)", flush=True)
        if open:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        config = uvicorn.Config(
            make_app(answers, limits), http=ImpatientProtocol, log_level="warning", access_log=False,
            timeout_keep_alive=10, timeout_graceful_shutdown=ENDING_SECONDS, server_header=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.run(sockets=[listening])
        if server.should_exit:  # a process started with Ctrl-C ignored, as in the background of a script, ends alike
            raise KeyboardInterrupt


def _stop(number: int, frame: FrameType | None) -> None:
    """End with the folders cleaned up, also where uvicorn hands the signal on."""
    raise Interrupted(number, "stopped")


def _listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; clients that connect while the model is loading wait.

    Raises:
        InputError: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(2048)
    except OSError as error:
        raise InputError(f"cannot listen on {host}, port {port} ({error.strerror or error})") from None
    return listening


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """The port, or 0 (any free one) if it is taken."""
    try:
        _listen(host, wanted).close()
    except InputError:
        return 0
    return wanted


def _own_names(host: str) -> set[str]:
    """Host names of this machine, if it listens on all its addresses."""
    if host not in ("0.0.0.0", "::", ""):
        return set()
    name = socket.gethostname().lower()
    found = {name, socket.getfqdn().lower()}
    try:
        return found | {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
    except OSError:
        return found

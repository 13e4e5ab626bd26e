"""A small model and store behind a real uvicorn on a free port, for the tests of the API and of the page."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI

from helpers.small_runs import ENCODER, VIEW, make_store
from orvpe.data.generated import generated_clip
from orvpe.models.model import Model
from orvpe.poses.skeleton import UNIFIED_JOINTS, unified
from orvpe.web.answers import Answers, open_answers
from orvpe.web.app import Limits

HOST = "127.0.0.1"
MB = 1 << 20
LIMITS = Limits(upload_bytes=MB, max_frames=400, read_seconds=60)


def small_answers(folder: Path, count: int = 60, dims: int = 3) -> Answers:
    """A random encoder of 16 channels, with an index of generated clips and a classifier fitted on them."""
    torch.manual_seed(0)
    Model(ENCODER, unified, dims, VIEW, ("linear", 8)).save(folder / "small", about="a model for tests")
    return open_answers(str(folder / "small"), make_store(folder / "index.orvpe", count=count, dims=dims))


def free_socket() -> socket.socket:
    listening = socket.socket()
    listening.bind((HOST, 0))
    return listening


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The application's address while it runs in a thread."""
    listening = free_socket()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    try:
        yield f"http://{HOST}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()
        assert not thread.is_alive()


def npz_bytes(joints: np.ndarray | None = None, **more: object) -> bytes:
    """A pose file: a clip as an array, a generated one when None."""
    if joints is None:
        joints = generated_clip(9, seed=3, missing=0.0).joints
    file = io.BytesIO()
    np.savez_compressed(file, joints=joints, joint_names=np.array(UNIFIED_JOINTS), fps=30.0, **more)  # type: ignore[arg-type]
    return file.getvalue()


def send(client: httpx.Client, data: bytes, name: str = "clip.npz", **form: Any) -> httpx.Response:
    return client.post("/api/clips", files={"file": (name, data)}, data=form)


def refused(response: httpx.Response, code: int) -> str:
    """The one line of an error."""
    assert response.status_code == code, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"detail"}
    line = response.json()["detail"]
    assert isinstance(line, str)
    assert line
    assert len(line.splitlines()) == 1
    assert len(line) < 1001
    assert "/tmp" not in line
    return line

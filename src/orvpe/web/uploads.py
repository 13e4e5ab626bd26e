"""Uploads: saved to a temporary folder under a safe name, read by another process, then deleted."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.web.reading import ReadOptions, arguments, load_clips

_MAX_NAME, _END = 100, 20  # bytes; those kept from the end, where the suffix is


def safe_name(given: str | None) -> str:
    """A file name without folders, control characters or leading dots; the suffix is kept.

    Names carry meaning (NTU's ``S001C001P001R001A001.skeleton``), so what is harmless is left alone.
    """
    name = PurePosixPath((given or "").replace("\\", "/")).name
    name = re.sub(r"[^\w .()@+=-]", "_", name).strip(" .")
    if len(raw := name.encode()) > _MAX_NAME:  # file systems count bytes
        name = raw[: _MAX_NAME - _END].decode(errors="ignore") + raw[-_END:].decode(errors="ignore")
    return name or "upload"


async def read_upload(
    chunks: AsyncIterator[bytes],
    name: str | None,
    options: ReadOptions,
    seconds: float,
    within: Path | None = None,
) -> tuple[list[Clip], list[str]]:
    """The clips of an uploaded file, and notes for people.

    Args:
        chunks: its bytes.
        name: what the client calls it.
        options: how to read it.
        seconds: how long that may take.
        within: where to make the temporary folder.

    Raises:
        InputError: as `orvpe.web.reading.read_file`; it took too long, or the process that read it died.
    """
    with tempfile.TemporaryDirectory(prefix="upload-", dir=within) as folder:
        path, out = Path(folder) / "in" / safe_name(name), Path(folder) / "out.npz"
        inside = f"{path.parent}{os.sep}"  # is nobody's business
        path.parent.mkdir()
        with path.open("xb") as file:
            async for chunk in chunks:
                file.write(chunk)
        if not path.stat().st_size:
            raise InputError(f"{path.name}: empty file")
        code, said = await _run(arguments(path, out, options), seconds, path.name)
        if code == 2 and said:
            raise InputError(said.splitlines()[-1].replace(inside, ""))
        if code:
            raise InputError(f"{path.name}: cannot be read (its reader ended with code {code})")
        clips, notes = load_clips(out)
        return clips, [note.replace(inside, "") for note in notes]


async def _run(words: list[str], seconds: float, name: str) -> tuple[int, str]:
    """Exit code and stderr of a process that is ended with its time, or with the request."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,  # never written: its end shows the reader that the server is gone
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **one_thread},
    )  # fmt: skip

    async def finished() -> bytes:
        said = await process.stderr.read() if process.stderr is not None else b""
        await process.wait()
        return said

    try:
        said = await asyncio.wait_for(finished(), seconds)
    except asyncio.TimeoutError:
        raise InputError(f"{name}: reading it took longer than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace").strip()

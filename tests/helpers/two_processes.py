"""Starts two real gloo processes that run one function, and hands back what each returned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _worker(rank: int, function: Callable[..., Any], folder: str, args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(Path(folder) / "meet").as_uri(), rank=rank, world_size=2)
    try:
        torch.save(function(rank, *args), Path(folder) / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def run(function: Callable[..., Any], folder: Path, *args: Any) -> list[Any]:
    """``function(rank, *args)`` in two processes -> [what rank 0 returned, what rank 1 returned].

    ``function`` stands at the top of a module and returns tensors in plain containers.
    """
    mp.spawn(_worker, args=(function, str(folder), args), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]

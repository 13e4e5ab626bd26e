"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests are small; several processes share the cores


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets; tests that need it are skipped, visibly, where it is absent."""
    for candidate in (os.environ.get("ORVPE_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if candidate and (Path(candidate) / "nw-ucla-skeletons.zip").exists():
            return Path(candidate)
    pytest.skip("real data not here (set ORVPE_DATA)")

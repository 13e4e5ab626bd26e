"""Shared fixtures.  What they import is imported by the tests that ask for them alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    import httpx
    from helpers.refusals import Refused

    from orvpe.web.answers import Answers

torch.set_num_threads(1)  # tests are small; several processes share the cores


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets; tests that need it are skipped, visibly, where it is absent."""
    for candidate in (os.environ.get("ORVPE_DATA"), Path(__file__).parents[2] / "shared" / "data"):
        if candidate and (Path(candidate) / "nw-ucla-skeletons.zip").exists():
            return Path(candidate)
    pytest.skip("real data not here (set ORVPE_DATA)")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``answers`` puts its model, ``small``, and its clips, ``index.orvpe``."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def answers(served: Path) -> Answers:
    """What the tests of orvpe serve ask."""
    from helpers.web_server import small_answers

    return small_answers(served)


@pytest.fixture(scope="module")
def address(answers: Answers) -> Iterator[str]:
    """Where ``answers`` is served, to small files only."""
    from helpers.web_server import LIMITS, serving

    from orvpe.web.app import make_app

    with serving(make_app(answers, LIMITS)) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[httpx.Client]:
    import httpx

    with httpx.Client(base_url=address, timeout=120) as client:
        yield client


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs words that must be refused; returns the one line."""
    from helpers.refusals import must_be_refused

    return lambda *words: must_be_refused(words, tmp_path, capsys)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, a pre-trained and a fine-tuned model; tests take ``here``."""
    from helpers.refusals import make_runs

    return make_runs(tmp_path_factory.mktemp("made"))


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of ``made`` that a test may spoil."""
    from helpers.refusals import copied

    return copied(made, tmp_path)

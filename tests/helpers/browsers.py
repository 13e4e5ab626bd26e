"""A real Chromium for the tests of pages, where there is one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("ORVPE_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
if find_spec("playwright") is None:
    CHROMIUM = None


@contextmanager
def launched() -> Iterator[Any]:
    """The browser, for as long as the block lasts."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()

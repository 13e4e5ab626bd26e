"""The page of orvpe serve in a real Chromium: what a person does with it, by mouse, keyboard and dropped file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.browsers import CHROMIUM, launched
from helpers.web_server import npz_bytes, serving, small_answers

from orvpe.web.app import Limits, make_app

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs playwright and Chromium, by its name or in ORVPE_CHROMIUM"
)
torch.set_num_threads(1)
WAIT = 60_000  # ms


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    answers = small_answers(tmp_path_factory.mktemp("page"))
    with serving(make_app(answers, Limits(upload_bytes=1 << 20))) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page in a window; in the end nothing may stand in its console."""
    said: list[str] = []
    contexts = []

    def go(width: int = 1280, height: int = 800, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: said.append(r.url) if not r.url.startswith(address) else None)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        page.wait_for_function("() => document.querySelector('#similarity').textContent === '1.00'")
        return page

    yield go
    for context in contexts:
        context.close()
    # Chromium notes every answer that is an error; the page shows it, too
    assert [s for s in said if "the server responded with a status of 422" not in s] == []


def probabilities(page: Any, side: int) -> list[str]:
    return [row.query_selector_all(".values b")[side].inner_text() for row in page.query_selector_all("#actions li")]


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Between two places of the stage, given as shares of it."""
    box = page.locator("#stage").bounding_box()
    (ax, ay), (bx, by) = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end))
    page.mouse.move(ax, ay)
    page.mouse.down()
    page.mouse.move((ax + bx) / 2, (ay + by) / 2)
    page.mouse.move(bx, by)
    page.mouse.up()


def hidden_says(page: Any, text: str) -> None:
    page.wait_for_function("t => document.querySelector('#hidden').textContent.includes(t)", arg=text)


def test_a_dragged_rectangle_changes_the_answer(opened: Any) -> None:
    page = opened()
    assert page.inner_text("#hidden") == "nothing hidden"
    before = probabilities(page, 1)
    assert len(before) == 10
    assert before == probabilities(page, 0)
    drag(page, (0.2, 0.05), (0.8, 0.55))
    hidden_says(page, "% of the joints hidden")
    page.wait_for_function("() => document.querySelector('#similarity').textContent !== '1.00'")
    first = page.inner_text("#hidden")
    assert probabilities(page, 0) == before
    assert probabilities(page, 1) != before
    drag(page, (0.5, 0.3), (0.5, 0.95))  # begun inside: the rectangle itself is moved
    page.wait_for_function("t => document.querySelector('#hidden').textContent !== t", arg=first)
    page.keyboard.press("Escape")
    hidden_says(page, "nothing hidden")
    assert probabilities(page, 1) == before


def test_six_subgraphs_by_button_and_key(opened: Any) -> None:
    page = opened()
    buttons = page.locator("#parts button")
    assert buttons.count() == 6
    seen = set()
    for i, part in enumerate(("upper", "lower", "right", "left", "centre"), start=1):
        page.keyboard.press(str(i))
        pressed = page.locator("#parts button[aria-pressed=true]")
        assert pressed.get_attribute("aria-label") == f"Hide the {part} body"
        hidden_says(page, "% of the joints hidden")
        page.wait_for_timeout(150)
        seen.add(page.inner_text("#similarity"))
    assert len(seen) > 2
    page.keyboard.press("6")
    hidden_says(page, "nothing hidden")
    buttons.nth(2).click()
    hidden_says(page, "% of the joints hidden")
    buttons.nth(0).click()
    hidden_says(page, "nothing hidden")


def test_keyboard_alone(opened: Any) -> None:
    page = opened()
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Play"
    at = int(page.inner_text("#frame").split("/")[0])
    page.keyboard.press("ArrowRight")
    last = int(page.inner_text("#frame").split("/")[1])
    assert int(page.inner_text("#frame").split("/")[0]) == at % last + 1
    page.keyboard.press("r")
    hidden_says(page, "% of the joints hidden")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowUp")
    hidden_says(page, "nothing hidden")  # it has left the body
    for wanted in ("clip", "file", "stage", "play", "scrub", "turn"):  # in this order, each with a visible ring
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == wanted
        ring = "#file + .button, .choose label.button" if wanted == "file" else f"#{wanted}"
        assert page.evaluate("q => getComputedStyle(document.querySelector(q)).outlineStyle", ring) != "none", wanted


def test_every_control_has_a_name(opened: Any) -> None:
    page = opened()
    unnamed = page.evaluate("""() => [...document.querySelectorAll('button, select, input, canvas')].filter(
        e => !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))
    ).map(e => e.outerHTML)""")
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_dropped_file_is_played(opened: Any) -> None:
    page = opened()
    data = base64.b64encode(npz_bytes(name="mine")).decode()
    page.evaluate(
        """data => {
            const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], 'mine.npz'));
            const more = {bubbles: true, cancelable: true, dataTransfer: transfer};
            for (const kind of ['dragenter', 'dragover', 'drop'])
                document.body.dispatchEvent(new DragEvent(kind, more));
        }""",
        data,
    )
    page.wait_for_function("() => document.querySelector('#clip').selectedOptions[0]?.textContent === 'mine'")
    assert page.locator("#drop").is_hidden()
    assert page.locator("#error").is_hidden()
    page.wait_for_function("() => !document.querySelector('#note').textContent")


def test_a_bad_file_is_told_and_the_page_goes_on(opened: Any, tmp_path: Path) -> None:
    page = opened()
    bad = tmp_path / "notes.txt"
    bad.write_text("hello")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#error:not([hidden])")
    assert "notes.txt: no pose file of a known format" in page.inner_text("#error")
    page.keyboard.press("2")
    hidden_says(page, "% of the joints hidden")
    page.click("#error button")
    assert page.locator("#error").is_hidden()
    large = tmp_path / "large.npz"
    large.write_bytes(bytes(2 << 20))
    page.set_input_files("#file", large)
    page.wait_for_selector("#error:not([hidden])")
    assert "large.npz: 2 MB, expected at most 1 MB" in page.inner_text("#error")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [340, 700, 1280])
def test_fits_any_window_and_either_scheme(opened: Any, width: int, scheme: str) -> None:
    page = opened(width, 800, color_scheme=scheme, reduced_motion="reduce")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, background[4:-1].split(","))) / 3 > 128
    assert light == (scheme == "light")
    assert page.get_attribute("#play", "aria-label") == "Play"  # nothing moves unasked
    boxes = [page.locator(f"#{name}").bounding_box() for name in ("stage", "similarity", "map")]
    assert all(box and box["width"] > 100 and box["x"] >= 0 for box in boxes)


def test_two_dimensions_are_drawn_as_they_are(browser: Any, tmp_path: Path) -> None:
    answers = small_answers(tmp_path, count=40, dims=2)
    with serving(make_app(answers)) as address:
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        assert page.locator("#turn").is_hidden()
        drag(page, (0.01, 0.01), (0.99, 0.99))
        hidden_says(page, "100% of the joints hidden")
        page.close()

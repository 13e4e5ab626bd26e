"""Record the demo's page as an animated GIF: ``python docs/record_demo.py demo/index.html docs/images/demo.gif``.

The table between the marks ``results:demo`` of README.md is replaced by the page's, too.

Needs playwright, Pillow and a Chromium (its path in ORVPE_CHROMIUM, else ``chromium``).
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, PAGE_WIDTH, COLOURS = 760, 1120, 176
STEP = 2  # every second frame of the video
PARTS = ("none", "right", "lower", "left")  # hidden one after the other


def record(page: Page, width: int) -> list[Image.Image]:
    """Screenshots of the page while the video plays, down to the timelines."""
    box = page.locator("main section.times").first.bounding_box()
    assert box is not None
    page.set_viewport_size({"width": PAGE_WIDTH, "height": int(box["y"] + box["height"] + 8)})
    count = int(page.locator("#scrub").get_attribute("max") or 0) + 1
    images = []
    for k, part in enumerate(PARTS):
        page.locator(f"#parts button[value={part}]").click()
        page.evaluate("document.activeElement.blur()")
        for frame in range(k * count // len(PARTS), (k + 1) * count // len(PARTS), STEP):
            page.evaluate(f"goTo({frame})")
            page.wait_for_timeout(30)
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            images.append(image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS))
    return images


def save(images: list[Image.Image], path: Path) -> None:
    """Write an endless GIF with one palette for all frames."""
    some = images[:: max(1, len(images) // 4)][:4]
    strip = Image.new("RGB", (some[0].width * len(some), some[0].height))
    for k, image in enumerate(some):
        strip.paste(image, (k * some[0].width, 0))
    palette = strip.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    first, *rest = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration = [133] * len(rest) + [1500]
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0, optimize=True, disposal=1)


def update_readme(page_file: Path, readme: Path) -> None:
    """Put the page's table into the README."""
    (text,) = re.findall(r'id="data">(.*?)</script>', page_file.read_text(encoding="utf-8"), flags=re.S)
    data = json.loads(text)
    block = f"<!-- results:demo -->\n```\n{data['about']}\n\n{data['summary']}\n```\n<!-- /results:demo -->"
    old = readme.read_text(encoding="utf-8")
    new = re.sub(r"<!-- results:demo -->.*<!-- /results:demo -->", lambda _: block, old, flags=re.S)
    readme.write_text(new, encoding="utf-8")


def main(page_file: str, gif: str) -> None:
    browser_path = os.environ.get("ORVPE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": PAGE_WIDTH, "height": 760}, reduced_motion="reduce")
        page.goto(Path(page_file).resolve().as_uri())
        page.wait_for_timeout(1000)
        save(record(page, WIDTH), Path(gif))
        browser.close()
    update_readme(Path(page_file), Path(__file__).parents[1] / "README.md")


if __name__ == "__main__":
    main(*sys.argv[1:])

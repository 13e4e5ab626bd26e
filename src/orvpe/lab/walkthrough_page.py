"""Write the walkthrough's results as one self-contained page."""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import numpy as np

from orvpe.data.store import Store
from orvpe.poses.drawing import draw_skeletons, save_figure
from orvpe.runtime.draws import Draws, seeded
from orvpe.runtime.files import write_atomic
from orvpe.views.batch import collate
from orvpe.views.occlusion import SUBGRAPHS, corruption

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1e293b }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
pre { background: #f1f5f9; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; line-height: 1.45 }
img { max-width: 100%; height: auto }
"""


def draw_occlusions(store: Path, path: Path) -> None:
    """One clip as it is, and under each of the five occlusions."""
    opened = Store.open(store)
    order = np.argsort(opened.frames)
    clip = opened.clip(int(order[len(order) // 2]))
    rows = [clip.with_(label="clean", name="")]
    for part in SUBGRAPHS:
        hidden = corruption(part)(collate([clip]), Draws(seeded("cpu", 0), 1))
        rows.append(clip.with_(visible=hidden.visible[0].numpy(), label=part, name=""))
    save_figure(draw_skeletons(rows, title="What each occlusion hides"), path)


def write_page(folder: Path, about: str, table: str, gain: str, epochs: int, clips: int, commands: list[str]) -> Path:
    """Write index.html into the walkthrough's folder, its pictures inside it.

    Args:
        folder: of the walkthrough, with its pictures.
        about: the data, in words.
        table: accuracies, as text.
        gain: what pre-training brought, in words.
        epochs: of each pre-training.
        clips: that it saw.
        commands: what was run.
    """

    def picture(name: str, what: str) -> str:
        data = base64.b64encode((folder / name).read_bytes()).decode()
        return f'<img alt="{escape(what)}" src="data:image/png;base64,{data}">'

    lines = [
        "<!doctype html>", '<html lang="en"><head><meta charset="utf-8">', "<title>orvpe walkthrough</title>",
        f"<style>{_STYLE}</style></head><body>", "<h1>orvpe walkthrough</h1>", f"<p>Data: {escape(about)}.</p>",
        f"<p>Two encoders were pre-trained without labels on the {clips:,} training clips, {epochs} epochs each: one"
        " with SubG-DA, which hides a part of the body in every view, one with the temporal sub-graph alone. A linear"
        " classifier was then fitted on the frozen features of whole training clips, and tested on clean test clips and"
        " on the same clips with a part of the body hidden. A random encoder that was never trained is shown next to"
        f" them. Random to SubG-DA: {escape(gain)}.</p>",
        f"<pre>{escape(table)}</pre>", picture("occlusions.png", "accuracy under occlusion"),
        "<h2>What is hidden</h2>", picture("hidden.png", "one clip under the five occlusions"),
        "<h2>Pre-training</h2>", picture("loss.png", "loss of both pre-trainings"),
        "<h2>The data</h2>", picture("skeletons.png", "skeletons of a few clips"),
        "<h2>The commands</h2>", f"<pre>{escape(chr(10).join(commands))}</pre>", "</body></html>",
    ]  # fmt: skip
    page = folder / "index.html"
    write_atomic(page, "\n".join(lines) + "\n")
    return page

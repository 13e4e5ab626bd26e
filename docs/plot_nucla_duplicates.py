"""Plot the figure of ``nucla-duplicates.md``: ``python docs/plot_nucla_duplicates.py nucla.orvpe FIGURE.png``.

The store is made by ``orvpe ingest nw-ucla-skeletons.zip -o nucla.orvpe``.
"""

from __future__ import annotations

import sys
from collections import Counter

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from orvpe.data.duplicates import original, pairs
from orvpe.data.protocols import PROTOCOLS
from orvpe.data.store import Store

BLUE, ORANGE, GREY = "#2f5f93", "#c4622d", "#8a9099"
ACTION, SUBJECT = "a02", "s01"


def main(path: str, figure: str) -> None:
    store = Store.open(path)
    protocol = PROTOCOLS["nucla-cv"]
    info = {"label": store.labels, "camera": store.cameras, "subject": store.subjects}
    split = protocol.split(info)
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    same = original(store, train, test)
    total = Counter(store.labels[test].tolist())
    copied = Counter(store.labels[test[same >= 0]].tolist())
    for name, source in pairs(store, test, same):
        assert name.endswith("_v03")
        assert source == name.replace("_v03", "_v02")

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=[1.25, 1], layout="constrained")
    labels = list(protocol.titles)
    rows = np.arange(len(labels))
    fresh = [total[a] - copied[a] for a in labels]
    left.barh(rows, fresh, color=BLUE, label=f"only in the test: {sum(fresh)}")
    left.barh(rows, [copied[a] for a in labels], left=fresh, color=ORANGE,
              label=f"the same as a training clip of camera 2: {sum(copied.values())}")  # fmt: skip
    left.set_yticks(rows, [protocol.titles[a] for a in labels])
    left.invert_yaxis()
    left.set_xlabel("test clips (camera 3)")
    left.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1))
    joint = store.layout.index("right_wrist")
    for camera, colour, width, style in ((1, GREY, 1.5, "-"), (2, BLUE, 5.0, "-"), (3, ORANGE, 1.5, "--")):
        name = f"{ACTION}_{SUBJECT}_e00_v{camera:02d}"
        clip = store.clip(store.names.tolist().index(name))
        height = clip.joints[0, :, joint, 1] - clip.joints[0, :, store.layout.index("mid_hip"), 1]
        right.plot(height, color=colour, linewidth=width, linestyle=style, label=f"camera {camera}: {name}")
    right.set_xlabel("frame")
    right.set_ylabel("right wrist above the hips, m")
    right.set_title(f"One performance of “{protocol.titles[ACTION]}”", fontsize=10)
    right.set_ylim(-0.5, 1.2)
    right.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    plt.savefig(figure, dpi=130)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Figures: skeleton drawings.  Matplotlib is imported where it is used, and never opens a window."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orvpe.errors import InputError
from orvpe.poses.clip import Clip
from orvpe.runtime.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

LEFT, RIGHT, MIDDLE = "#c2410c", "#1d4ed8", "#475569"
_GHOST = "#cbd5e1"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure (PNG, SVG, PDF by suffix), atomically.

    Raises:
        InputError: the folder does not exist, or a suffix that matplotlib cannot write.
    """
    from matplotlib.text import Text

    path = Path(path)
    kinds = sorted(figure.canvas.get_supported_filetypes())
    kind = path.suffix.lstrip(".").lower() or "(none)"
    if kind not in kinds:
        raise InputError(f"figure {path}: suffix {kind!r}, expected one of {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise InputError(f"figure {path}: folder {path.parent} does not exist")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font lacks are drawn as boxes
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # a dollar in a label is a dollar
        figure.savefig(buffer, format=kind)
    write_atomic(path, buffer.getvalue())


def front_view(clip: Clip) -> np.ndarray:
    """(M, T, V, 2) the clip as a picture: x to the right, y upwards; NaN where a joint is missing.

    2D clips only turn their y around (pixels count downwards).  3D clips are seen from the front whatever
    their axes: up is the coordinate axis along which the head lies above the hips and the hips above the
    ankles, and right in the picture is where the person's left shoulder and hip are on average.
    """
    points = clip.to_array().astype(np.float64)
    if clip.dims == 2:
        return points * np.array([1.0, -1.0])
    up = np.zeros(3)
    for above, below in (("head", "mid_hip"), ("neck", "mid_hip"), ("hip", "ankle"), ("hip", "knee")):
        up += _mean_vector(clip, points, above, below)
    axis = int(np.abs(up).argmax()) if np.abs(up).max() > 0 else 1
    up = np.eye(3)[axis] * (np.sign(up[axis]) or 1.0)
    across = np.zeros(3)
    for joint in ("shoulder", "hip"):
        across += _mean_vector(clip, points, f"left_{joint}", f"right_{joint}")
    across -= up * (across @ up)
    if np.linalg.norm(across) < 1e-6:
        across = np.eye(3)[0 if axis != 0 else 1]
    return points @ np.stack([across / np.linalg.norm(across), up], axis=1)


def _mean_vector(clip: Clip, points: np.ndarray, head: str, tail: str) -> np.ndarray:
    """(3,) mean of head - tail where both are seen; a side-less name stands for both sides; zero if never."""
    found = np.zeros(3)
    names = clip.layout.joints
    for side in ("", "left_", "right_"):
        ends = [next((n for n in (side + j, j) if n in names), None) for j in (head, tail)]
        if ends[0] is not None and ends[1] is not None:
            difference = points[:, :, names.index(ends[0])] - points[:, :, names.index(ends[1])]  # (M, T, 3)
            seen = ~np.isnan(difference).any(axis=-1)
            found += difference[seen].mean(axis=0) if seen.any() else 0.0
    return found


def draw_frame(axes: Axes, clip: Clip, view: np.ndarray, frame: int) -> None:
    """One frame on matplotlib axes: bones left, right and middle in three colours.

    A hidden joint is a hollow ring where it was last seen (or is seen next), its bones thin and grey; a joint
    that is never seen is left out.
    """
    names, parents = clip.layout.joints, clip.layout.parent_index
    for person in range(clip.people):
        points, seen = view[person, frame], clip.visible[person, frame]
        if not seen.any():
            continue
        guess = _last_seen(view[person], clip.visible[person], frame)  # (V, 2), NaN where never seen
        for child, parent in clip.layout.edges:
            line = guess[[child, parent]]
            sure = seen[child] and seen[parent]
            if np.isnan(line).any():
                continue
            color = _colour(names[child]) if sure else _GHOST
            width = 2.4 if sure else 1.0
            axes.plot(*line.T, color=color, linewidth=width, solid_capstyle="round", zorder=3 if sure else 1)
        colours = [_colour(n) for n in names]
        # a joint whose parent this layout lacks has no bone: the dot still shows it
        dots = points[seen]
        axes.scatter(dots[:, 0], dots[:, 1], s=9, c=[colours[v] for v in np.flatnonzero(seen)], zorder=4)
        ghosts = guess[~seen & ~np.isnan(guess).any(axis=1)]
        axes.scatter(
            ghosts[:, 0],
            ghosts[:, 1],
            s=14,
            facecolors="white",
            edgecolors="#94a3b8",
            linewidths=0.9,
            zorder=4,
        )
        top = [i for i, j in enumerate(names) if j == "head" and seen[i] and seen[parents[i]] and parents[i] != i]
        for i in top:
            radius = 0.45 * float(np.linalg.norm(points[i] - points[parents[i]]))
            axes.add_artist(_circle(points[i], radius))


def _circle(centre: np.ndarray, radius: float) -> Circle:
    from matplotlib.patches import Circle

    return Circle((float(centre[0]), float(centre[1])), radius, fill=False, color=MIDDLE, linewidth=1.6, zorder=2)


def _colour(joint: str) -> str:
    return LEFT if joint.startswith("left_") else RIGHT if joint.startswith("right_") else MIDDLE


def _last_seen(view: np.ndarray, visible: np.ndarray, frame: int) -> np.ndarray:
    """(V, 2) each joint where it was last seen up to ``frame``, else where it is seen next, else NaN.

    Between then and now it is carried along with the joints that are seen at both times.
    """
    time = np.arange(len(visible))[:, None]
    before = np.where(visible & (time <= frame), time, -1).max(axis=0)
    after = np.where(visible & (time > frame), time, len(visible)).min(axis=0)
    at = np.where(before >= 0, before, np.minimum(after, len(visible) - 1))  # (V,)
    guess = view[at, np.arange(visible.shape[1])]
    for joint in np.flatnonzero(~visible[frame]):
        both = visible[frame] & visible[at[joint]]
        if both.any():
            guess[joint] += (view[frame] - view[at[joint]])[both].mean(axis=0)
    return guess


def draw_skeletons(clips: Sequence[Clip], frames: int = 6, title: str = "") -> Figure:
    """A sheet of skeletons: one row a clip, ``frames`` moments from its first to its last frame.

    Every moment of a clip has the same scale, and its own centre, so that a person who walks away stays
    in view. Left is drawn in orange, right in blue; 3D clips are turned to the front.

    Raises:
        InputError: no clip.
    """
    if not clips:
        raise InputError("draw_skeletons: no clip to draw")
    from matplotlib.lines import Line2D

    rows = len(clips)
    figure = new_figure(1.45 * frames + 1.5, 1.75 * rows + 0.75)
    grid = figure.subplots(rows, frames, squeeze=False)
    for row, clip in zip(grid, clips, strict=True):
        view = front_view(clip)
        moments = np.unique(np.linspace(0, clip.frames - 1, frames).round().astype(int))
        boxes = [_box(view[:, t]) for t in moments]
        half = 0.62 * max((max(high - low) for low, high in (b for b in boxes if b is not None)), default=0.0) or 1.0
        for axes in row:
            axes.set_axis_off()
        for axes, moment, box in zip(row, moments, boxes, strict=False):
            axes.set_aspect("equal")
            centre = np.zeros(2) if box is None else (box[0] + box[1]) / 2
            axes.set_xlim(centre[0] - half, centre[0] + half)
            axes.set_ylim(centre[1] - half, centre[1] + half)
            draw_frame(axes, clip, view, int(moment))
            when = f"{moment / clip.fps:.1f} s" if clip.fps else f"frame {moment}"
            axes.text(0.5, -0.02, when, transform=axes.transAxes, ha="center", va="top", size=7, color="#64748b")
        lines = [clip.label or "", clip.name if clip.name != clip.label else "", f"{clip.frames} frames"]
        lines += [f"{clip.people} people"] if clip.people > 1 else []
        text = "\n".join(_shorten(line) for line in lines if line)
        row[0].text(-0.08, 0.5, text, transform=row[0].transAxes, ha="right", va="center", size=8, linespacing=1.5)
    colours = (("left", LEFT), ("right", RIGHT), ("hidden, last seen", "#94a3b8"))
    handles = [
        Line2D([], [], color=c, marker="o", markersize=4, markerfacecolor="white" if n > 1 else c, label=label)
        for n, (label, c) in enumerate(colours)
    ]
    height = figure.get_figheight()
    figure.legend(handles=handles, loc="upper right", ncols=3, frameon=False, fontsize=8)
    figure.text(0.015, 1 - 0.14 / height, _shorten(title, 80), ha="left", va="top", size=10, weight="bold")
    left = 1.5 / figure.get_figwidth()
    figure.subplots_adjust(left=left, right=0.99, top=1 - 0.45 / height, bottom=0.25 / height, hspace=0.16, wspace=0.02)
    return figure


def _shorten(text: str, limit: int = 22) -> str:
    return text if len(text) <= limit else text[: limit // 2 - 1] + "…" + text[-limit // 2 :]


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Lower and upper corner of what is seen of (M, V, 2), None when that is nothing."""
    seen = points[~np.isnan(points).any(axis=-1)]
    return (seen.min(axis=0), seen.max(axis=0)) if len(seen) else None

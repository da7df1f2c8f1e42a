"""The attention figure of Show, Attend and Tell (1502.03044, figure 3): the image, then one panel per word."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ganscribe.core.files import atomic_write
from ganscribe.features.pictures import CELL_STEP, FIRST_CELL, SIZE, seen_box

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from PIL.Image import Image

COLUMNS = 6
LONG_SIDE = 320  # pixels of a panel's image: more is not seen
PANEL_INCHES = 2.2
LINE_INCHES = 0.25  # of the title
STRONG = 8 / 64  # of the attention on one cell, eight times an even spread: what is less never looks bright
EDGE = 3  # cells by which a map is extended on each side: bicubic interpolation looks two cells far


def upsample(attention: np.ndarray, width: int, height: int) -> np.ndarray:
    """Enlarge a map (64,) or (8, 8) to (height, width), smoothly (bicubic).

    Each cell's value stands at the cell's centre in the network's input; the outer ones go on to the edge.
    """
    from PIL import Image

    side = math.isqrt(attention.size)
    cells = np.pad(attention.astype(np.float32).reshape(side, side), EDGE, mode="edge")
    # Where the image begins and ends, in cells: Pillow has the centre of cell i at i + 0.5.
    start = EDGE + 0.5 - FIRST_CELL / CELL_STEP
    box = (start, start, start + SIZE / CELL_STEP, start + SIZE / CELL_STEP)
    grid = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(grid).clip(0)


def brightest(maps: np.ndarray) -> float:
    """The attention on one cell that is shown as full brightness in all panels of `maps` (words, 64)."""
    return max(float(maps.max(initial=0)), STRONG)


def as_seen(image: Image, *, crop: str) -> Image:
    """Return the part of an image that the network saw, in its own proportions, at most 320 pixels long."""
    left, top, right, bottom = seen_box(*image.size, crop=crop)
    scale = min(1.0, LONG_SIDE / max(right - left, bottom - top))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    return image.resize(size, box=(left, top, right, bottom))


def attention_figure(image: Image, words: Sequence[str], maps: np.ndarray, *, title: str = "") -> Figure:
    """Draw `image`, the part that the network saw, and for each of `words` its map of `maps` (words, 64) over it.

    The lighter a place, the more the word's context came from it; all panels have one scale, up to `brightest`.
    """
    from matplotlib.figure import Figure

    top = brightest(maps)
    image = image.convert("RGB")
    image.thumbnail((LONG_SIDE, LONG_SIDE))
    width, height = image.size
    pixels = np.asarray(image)
    rows = math.ceil((len(words) + 1) / COLUMNS)
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, 120)]
    row_inches = PANEL_INCHES * min(max(height / width, 0.4), 1.5) + 0.3  # of a panorama, of a tower: smaller
    figure = Figure(
        figsize=(PANEL_INCHES * COLUMNS, row_inches * rows + 0.3 + LINE_INCHES * len(lines)),
        dpi=80,
        layout="tight",
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axis in axes:
        axis.axis("off")
    axes[0].imshow(pixels)
    for axis, word, attention in zip(axes[1:], words, maps, strict=False):
        # Grey below, so that brightness is the map's alone.
        axis.imshow(pixels.mean(2), cmap="gray", vmin=0, vmax=255)
        axis.imshow(upsample(attention, width, height), cmap="inferno", vmin=0, vmax=top, alpha=0.6)
        axis.set_title(word, fontsize=12, parse_math=False)
    figure.suptitle("\n".join(lines), fontsize=13, parse_math=False)
    return figure


def draw_attention(
    path: str | Path,
    image: Image,
    words: Sequence[str],
    maps: np.ndarray,
    *,
    note: str,
    reference: str = "",
) -> None:
    """Write the figure of a caption to `path` (PNG): `words`, their `maps` (words, 64), a `note`, and what a
    person wrote (`reference`) where that is known."""
    title = (
        f"{' '.join(words) or '(no words)'}  [{note}; brightest: {brightest(maps):.0%} on one of 64 cells]"
    )
    title += f"\na person wrote: {reference}" if reference else ""
    save_figure(attention_figure(image, words, maps, title=title), path, description=title)


def save_figure(figure: Figure, path: str | Path, *, description: str = "") -> None:
    """Write a PNG whose bytes depend on the picture alone (no software version), atomically.

    The `description` stands in the file, for those who cannot see the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_write(path) as handle:
        FigureCanvasAgg(figure).print_png(
            handle, metadata={"Software": None} | ({"Description": description} if description else {})
        )

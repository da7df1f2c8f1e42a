"""The attention figure: the image, then one panel a word with its map over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ganscribe.runtime import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from PIL.Image import Image

COLUMNS = 6
LONG_SIDE = 320  # pixels of a panel's image: more is not seen


def upsample(attention: np.ndarray, width: int, height: int) -> np.ndarray:
    """A map (64,) or (8, 8) -> (height, width), smoothly (bicubic), 1 where attention is highest."""
    from PIL import Image

    side = math.isqrt(attention.size)
    grid = Image.fromarray(attention.astype(np.float32).reshape(side, side))
    smooth = np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    return smooth / max(float(smooth.max()), 1e-12)


def attention_figure(image: Image, words: Sequence[str], maps: np.ndarray, *, title: str = "") -> Figure:
    """`image` as the network saw its extent, and for each of `words` its map of `maps` (words, 64) over it.

    The lighter a place, the more the word's context came from it; each panel's scale is its own.
    """
    from matplotlib.figure import Figure

    image = image.convert("RGB")
    image.thumbnail((LONG_SIDE, LONG_SIDE))
    width, height = image.size
    pixels = np.asarray(image)
    rows = math.ceil((len(words) + 1) / COLUMNS)
    figure = Figure(
        figsize=(2.2 * COLUMNS, (2.2 * height / width + 0.3) * rows + 0.3), dpi=80, layout="tight"
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axis in axes:
        axis.axis("off")
    axes[0].imshow(pixels)
    for axis, word, attention in zip(axes[1:], words, maps, strict=False):
        # Grey below, so that brightness is the map's alone.
        axis.imshow(pixels.mean(2), cmap="gray", vmin=0, vmax=255)
        axis.imshow(upsample(attention, width, height), cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        axis.set_title(word, fontsize=12)
    figure.suptitle(title, fontsize=13)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a PNG whose bytes depend on the picture alone (no software version), atomically."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with atomic_write(path) as handle:
        FigureCanvasAgg(figure).print_png(handle, metadata={"Software": None})

"""Data to pictures: grids and animations, as files with deterministic bytes.

Images are uint8 tensors (N, C, H, W) with C = 1 (grey) or 3 (RGB). Small ones are enlarged by whole factors,
nearest neighbour, so that a person sees their pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganscribe.core.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

CELL_PIXELS = 80  # an image in a grid is enlarged to at least this side
GAP_PIXELS = 4
TITLE_PIXELS = 16  # the height of its letters, at the least
TITLE_SHARE = 36  # and the width of a picture over it: large grids are shown smaller
MILLISECONDS_A_FRAME = 400
WEBP_PIXELS = 16_383  # the longest side of a WebP


def _tile(images: Tensor, columns: int) -> np.ndarray:
    """A grid (H', W', 3) uint8 of `images` (N, C, H, W), row by row, white gaps between them."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"need images (N, 1 or 3, H, W), at least one, not {tuple(images.shape)}")
    pictures = images.cpu().numpy().transpose(0, 2, 3, 1)
    factor = max(1, -(-CELL_PIXELS // pictures.shape[1]))
    pictures = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, _ = pictures.shape
    rows = -(-count // columns)
    step_y, step_x = height + GAP_PIXELS, width + GAP_PIXELS
    grid = np.full((rows * step_y - GAP_PIXELS, columns * step_x - GAP_PIXELS, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * step_y, index % columns * step_x
        grid[top : top + height, left : left + width] = picture
    return grid


def _with_title(pixels: np.ndarray, title: str) -> Image.Image:
    """Return `pixels` (H, W, 3) as a picture, with a line of text above them where there is a `title`."""
    picture = Image.fromarray(pixels)
    if not title:
        return picture
    size = max(TITLE_PIXELS, picture.width // TITLE_SHARE)
    font = ImageFont.load_default(size)
    width, top = math.ceil(font.getlength(title)) + 2 * GAP_PIXELS, size + 3 * GAP_PIXELS
    whole = Image.new("RGB", (max(picture.width, width), picture.height + top), "white")
    whole.paste(picture, (0, top))
    ImageDraw.Draw(whole).text((GAP_PIXELS, GAP_PIXELS), title, fill="black", font=font)
    return whole


def save_grid(images: Tensor, path: str | Path, columns: int, *, title: str = "") -> None:
    """Write `images` (N, C, H, W) as a PNG grid, `columns` to a row (an interpolation has one strip per row)."""
    picture = _with_title(_tile(images, columns), title)
    with atomic_write(path) as handle:
        picture.save(handle, format="PNG")


def save_labelled(images: Tensor, labels: Sequence[str], path: str | Path, columns: int) -> None:
    """Write a PNG of `images` (N, C, H, W), `columns` to a row, with a label above each."""
    from matplotlib.figure import Figure

    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.6 * columns, 1.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    pictures = images.cpu().numpy().transpose(0, 2, 3, 1)
    for axes, picture, label in zip(panels, pictures, labels, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(label, fontsize=9, parse_math=False)
    with atomic_write(path) as handle:
        figure.savefig(handle, format="png", dpi=100, metadata={"Software": None})


def save_animation(frames: Sequence[Tensor], path: str | Path, columns: int) -> None:
    """Write a lossless animated WebP, each frame the grid of one tensor (N, C, H, W); it loops for ever.

    A grid that would be too high for the format has more `columns`.
    """
    step = len(_tile(frames[0][:1], 1)) + GAP_PIXELS
    columns = max(columns, -(-len(frames[0]) // ((WEBP_PIXELS + GAP_PIXELS) // step)))
    pictures = [Image.fromarray(_tile(frame, columns)) for frame in frames]
    # A second look at the end; equal neighbours would be merged, and the time with them.
    times = [MILLISECONDS_A_FRAME] * (len(pictures) - 1) + [4 * MILLISECONDS_A_FRAME]
    with atomic_write(path) as handle:
        pictures[0].save(
            handle,
            format="WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=times,
            loop=0,
            lossless=True,
        )


def save_image_rows(first: Tensor, others: Tensor, path: str | Path, *, title: str = "") -> None:
    """Write a PNG with one row per image of `first` (N, C, H, W): the image, a gap, its K `others` (N, K, C, H, W)."""
    left, right = _tile(first, 1), _tile(others.flatten(0, 1), others.shape[1])
    gap = np.full((len(left), 5 * GAP_PIXELS, 3), 255, dtype=np.uint8)
    picture = _with_title(np.hstack([left, gap, right]), title)
    with atomic_write(path) as handle:
        picture.save(handle, format="PNG")


def save_agreement(
    fids: Mapping[str, Mapping[str, float]], path: str | Path, *, labels: Mapping[str, str]
) -> None:
    """Write a PNG of every run's FID (judge: {run: FID}) by the first judge against each of the others'.

    `labels` has what stands at the point of each run.
    """
    from matplotlib.figure import Figure

    first, *others = fids or [""]
    one = fids.get(first, {})
    figure = Figure(figsize=(8 * max(1, len(others)), 5), layout="constrained")
    panels = figure.subplots(1, max(1, len(others)), squeeze=False)[0]
    if not others:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, f"{first} is the only judge" if fids else "no run to compare", ha="center")
    for axes, judge in zip(panels, others, strict=False):
        two = fids[judge]
        axes.loglog(list(one.values()), [two[run] for run in one], ".", markersize=8)
        # The names in a column of their own, in the order of the points: those of near points do not overlap.
        for place, run in enumerate(sorted(one, key=lambda run: (two[run], one[run]))):
            axes.annotate(
                labels[run],
                (one[run], two[run]),
                xytext=(1.03, (place + 0.5) / len(one)),
                textcoords="axes fraction",
                fontsize=8,
                va="center",
                arrowprops={
                    "arrowstyle": "-",
                    "color": "grey",
                    "linewidth": 0.5,
                    "shrinkB": 2,
                    "relpos": (0, 0.5),
                },
            )
        axes.set_xlabel(f"FID by {first}")
        axes.set_ylabel(f"FID by {judge}")
        axes.grid(alpha=0.3, which="both")
    with atomic_write(path) as handle:
        figure.savefig(handle, format="png", dpi=120, metadata={"Software": None})


def save_confusion(counts: Tensor, path: str | Path, class_names: Sequence[str], *, title: str = "") -> None:
    """Write a PNG of `counts` (K, K), rows = actual, columns = predicted; shaded by the share of the row."""
    from matplotlib.figure import Figure

    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = max(7.0, 0.35 * len(class_names))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    for row, column in counts.nonzero().tolist():
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = str(int(counts[row, column]))
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(class_names)), class_names, rotation=45)
    axes.set_yticks(range(len(class_names)), class_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    axes.set_title(title)
    with atomic_write(path) as handle:
        figure.savefig(handle, format="png", dpi=120, metadata={"Software": None})

"""The experiments' tables as pictures, PNG files with deterministic bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ganscribe.core.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: str | Path) -> None:
    with atomic_write(path) as handle:
        figure.savefig(handle, format="png", dpi=120, metadata={"Software": None})


def draw_gradients(table: pd.DataFrame, path: str | Path, *, columns: Mapping[str, str]) -> None:
    """Draw each column of `columns` (column: title) in one row of panels, with one panel for each run.

    The horizontal axis is the critic's steps. The critic's loss is dashed, and has an axis of its own on the right.
    Both vertical axes are logarithmic.
    """
    runs = list(dict.fromkeys(table["run"]))
    figure = _figure(4.6 * len(runs), 3.8 * len(columns))
    rows = figure.subplots(len(columns), len(runs), squeeze=False, sharey="row")
    for panels, (column, title) in zip(rows, columns.items(), strict=True):
        for axes, run in zip(panels, runs, strict=True):
            losses = axes.twinx()
            losses.set_yscale("log")
            losses.set_ylabel("critic's loss (dashed)")
            for colour, (epochs, part) in enumerate(table[table["run"] == run].groupby("epochs")):
                label = f"{epochs} epochs, {part['generator_updates'].iloc[0]:,} updates"
                line = {"color": f"C{colour}", "linewidth": 1}
                axes.plot(part["critic_step"], part[column], label=label, **line)
                losses.plot(part["critic_step"], part["critic_loss"], linestyle="--", alpha=0.6, **line)
            axes.set_yscale("log")
            axes.set_xlabel("critic steps")
            axes.set_title(run)
            axes.grid(alpha=0.3)
            axes.legend(title="generator of", fontsize=8)
        panels[0].set_ylabel(title)
    _save(figure, path)


def draw_parallel_lines(table: pd.DataFrame, path: str | Path) -> None:
    """Left the Jensen-Shannon divergence, right the Wasserstein distance, closed form and estimates."""
    table = table.sort_values("theta")
    figure = _figure(10, 4)
    left, right = figure.subplots(1, 2)
    zero = table["theta"] == 0
    left.axhline(float(table["js"].max()), color="black", linewidth=1, label="closed form (0 at theta = 0)")
    left.plot(table["theta"][zero], table["js"][zero], "ko", markersize=4)
    left.plot(table["theta"], table["js_estimate"], "x", color="C3", label="cross-entropy critic")
    left.set_title("Jensen-Shannon divergence (KL: infinite but at 0)")
    right.plot(table["theta"], table["w"], color="black", linewidth=1, label="closed form")
    right.plot(table["theta"], table["gp_estimate"], "x", color="C0", label="gradient-penalty critic")
    right.plot(
        table["theta"], table["clipped_estimate"], "+", color="C1", label="clipped critic, over its slope"
    )
    right.set_title("Wasserstein distance")
    for axes in (left, right):
        axes.set_xlabel("theta")
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def draw_tracking(table: pd.DataFrame, path: str | Path, *, labels: Mapping[str, str]) -> None:
    """Draw one column per run: above, the estimate and the FID against the step; below, one against the other.

    `labels` has what stands above each run's column.
    """
    runs = list(dict.fromkeys(table["run"]))
    figure = _figure(3.2 * len(runs), 5.6)
    for (above, below), run in zip(figure.subplots(2, len(runs), squeeze=False).T, runs, strict=True):
        part = table[table["run"] == run]
        above.plot(part["step"], part["estimate"], color="C0", marker=".")
        twin = above.twinx()
        twin.plot(part["step"], part["fid"], color="C1", marker=".")
        above.tick_params(axis="y", colors="C0")
        twin.tick_params(axis="y", colors="C1")
        title = labels[run].replace(": ", "\n")
        above.set_title(f"{title}\nestimate (blue), FID (orange)", fontsize=9)
        above.set_xlabel("generator step")
        below.locator_params(axis="x", nbins=4)
        below.scatter(part["estimate"], part["fid"], s=14, color="black")
        below.set_xlabel("critic's estimate")
        below.set_ylabel("FID")
        below.grid(alpha=0.3)
    _save(figure, path)


def draw_pictures(pictures: Mapping[str, Path], path: str | Path) -> None:
    """The pictures of `pictures` (title: file), two to a row."""
    from PIL import Image

    rows = -(-len(pictures) // 2)
    figure = _figure(10, 5.2 * rows)
    panels = figure.subplots(rows, 2, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, (title, file) in zip(panels, pictures.items(), strict=False):
        with Image.open(file) as picture:
            axes.imshow(picture.convert("RGB"), interpolation="lanczos")
        axes.set_title(title)
    _save(figure, path)


def draw_optimisers(table: pd.DataFrame, path: str | Path, *, labels: Mapping[str, str]) -> None:
    """Draw the cosine of step and negative gradient, and beside it the critic's loss, one line per optimiser.

    `labels` has what stands for each optimiser.
    """
    figure = _figure(11, 4)
    panels = figure.subplots(1, 2)
    titles = {
        "critic_cosine": "cosine of critic step and negative gradient",
        "critic_loss": "critic loss",
    }
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        for optimiser, part in table.groupby("optimiser"):
            marker = "." if len(part) < 30 else ""
            axes.plot(part["step"], part[column], label=labels[str(optimiser)], linewidth=1, marker=marker)
        axes.axhline(0, color="black", linewidth=0.5)
        axes.set_xlabel("generator step")
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)

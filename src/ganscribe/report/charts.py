"""Charts as SVG inside the page, in colours that suit light and dark pages: lines over steps, shares of classes."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#888888"
# Inches: as wide as a card of the page, so that text is shown at the size at which it is drawn.
SIZE = (3.6, 2.2)
MARKED = 30  # lines with fewer points than this show each of them
ABOVE = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2, "borderaxespad": 0}  # of the axes
WIDE = 2  # characters: names of classes that are longer are turned
Line = tuple[Sequence[float], Sequence[float]]


def _svg(draw: Callable[[Axes], None], *, alternative: str, legend: Mapping[str, Any] | None = None) -> str:
    """Return what `draw` puts on the axes it is given, as one SVG; `alternative` is for those who do not see it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {"svg.hashsalt": "ganscribe", "svg.fonttype": "none", "font.size": 8, "text.color": GREY}
    style |= {"axes.edgecolor": GREY, "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY}
    with pyplot.rc_context(style | {"text.parse_math": False, "axes.titlesize": 9}):
        figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(**(legend or {}), frameon=False, labelcolor=GREY)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    svg = stream.getvalue()
    words = html.escape(alternative)
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)


def line_chart(lines: Mapping[str, Line], *, x_label: str, title: str = "", alternative: str) -> str:
    """Return lines (name: x and y) as one SVG; `alternative` describes it to those who do not see it."""

    def draw(axes: Axes) -> None:
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, linewidth=1, marker="." if len(x) < MARKED else "")
        axes.set_xlabel(x_label)
        axes.set_title(title)

    return _svg(draw, alternative=alternative)


def curve_chart(path: Path, columns: Sequence[str] | None = None) -> str:
    """Return a chart of the columns of the CSV at `path` against its first column."""
    table = pd.read_csv(path)
    step, *others = table.columns
    chosen = [c for c in (columns or others) if c in table and c != "epoch" and table[c].notna().any()]
    points = {column: table[[step, column]].dropna() for column in chosen}
    lines = {
        name.replace("_", " "): (each[step].tolist(), each[name].tolist()) for name, each in points.items()
    }
    return line_chart(lines, x_label=step, alternative=f"{path.stem}: {', '.join(lines)} by {step}")


def class_chart(path: Path, *, run: str) -> str:
    """Return a histogram of the shares of the classes in the CSV at `path`; empty where no share is known."""
    table = pd.read_csv(path, dtype={"class": str}).dropna() if path.exists() else pd.DataFrame()
    if table.empty:
        return ""

    def draw(axes: Axes) -> None:
        axes.bar(table["class"], table["generated"], label="generated")
        axes.plot(table["class"], table["real"], "C1_", label="real", markersize=12, markeredgewidth=2)
        axes.tick_params("x", rotation=0 if table["class"].str.len().max() <= WIDE else 45)
        axes.set_ylabel("share of images")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_xlabel("class, according to the judge")

    shares = [f"{one} {share:.0%}" for one, share in zip(table["class"], table["generated"], strict=True)]
    return _svg(
        draw, legend=ABOVE, alternative=f"{run}: share of each class among its images: {', '.join(shares)}"
    )

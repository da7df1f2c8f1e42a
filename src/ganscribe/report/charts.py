"""Line charts over steps, as SVG inside the page, in colours that suit light and dark pages."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

GREY = "#888888"
# Inches: as wide as a card of the page, so that text is shown at the size at which it is drawn.
SIZE = (3.6, 2.2)
MARKED = 30  # lines with fewer points than this show each of them
Line = tuple[Sequence[float], Sequence[float]]


def line_chart(lines: Mapping[str, Line], *, x_label: str, title: str = "", alternative: str) -> str:
    """Return lines (name: x and y) as one SVG; `alternative` describes it to those who do not see it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: Any = {"svg.hashsalt": "ganscribe", "svg.fonttype": "none", "font.size": 8, "text.color": GREY}
    style |= {"axes.edgecolor": GREY, "axes.labelcolor": GREY, "xtick.color": GREY, "ytick.color": GREY}
    with pyplot.rc_context(style | {"text.parse_math": False, "axes.titlesize": 9}):
        figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
        for name, (x, y) in lines.items():
            axes.plot(x, y, label=name, linewidth=1, marker="." if len(x) < MARKED else "")
        axes.set_xlabel(x_label)
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, labelcolor=GREY)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    svg = stream.getvalue()
    words = html.escape(alternative)
    return svg[svg.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)


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

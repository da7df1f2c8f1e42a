"""charts.py: the lines and bars are those of the tables, with their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from ganscribe.report.charts import class_chart, curve_chart


def test_a_chart_draws_the_columns_that_are_asked_for(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "step,epoch,train_loss,val_loss,empty,rate\n10,1,0.5,,,3\n20,1,0.4,0.6,,3\n30,2,0.3,,,3\n"
    )
    asked = curve_chart(path, ("train_loss", "val_loss", "empty", "absent"))
    everything = curve_chart(path)
    lines = [
        {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in figure.axes[0].lines}
        for figure in figures
    ]
    losses = {"train loss": [[10, 0.5], [20, 0.4], [30, 0.3]], "val loss": [[20, 0.6]]}
    assert lines == [losses, losses | {"rate": [[10, 3], [20, 3], [30, 3]]}]
    assert {line.get_marker() for line in figures[0].axes[0].lines} == {"."}, "or a single point is not seen"
    assert pyplot.get_fignums() == []
    assert [figure.axes[0].get_xlabel() for figure in figures] == ["step", "step"]
    assert 'aria-label="mine: train loss, val loss by step"' in asked
    assert 'aria-label="mine: train loss, val loss, rate by step"' in everything


@pytest.mark.parametrize(("names", "rotation"), [(["0", "1", "9"], 0), (["$cat$", "dog", "horse"], 45)])
def test_a_histogram_has_a_bar_and_a_mark_for_each_class(
    tmp_path: Path, figures: list[Figure], names: list[str], rotation: int
) -> None:
    path = tmp_path / "classes.csv"
    made, real = [0.5, 0.0, 0.5], [0.3, 0.45, 0.25]
    rows = [f"{name},{one},{other}" for name, one, other in zip(names, made, real, strict=True)]
    path.write_text("\n".join(["class,generated,real", *rows]) + "\n")
    svg = class_chart(path, run="<mine>")
    (axes,) = figures[0].axes
    assert [bar.get_height() for bar in axes.patches] == made
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == real
    labels = axes.get_xticklabels()
    assert [label.get_text() for label in labels] == names and {label.get_rotation() for label in labels} == {
        rotation
    }
    said = (
        f"&lt;mine&gt;: share of each class among its images: {names[0]} 50%, {names[1]} 0%, {names[2]} 50%"
    )
    assert said in svg and all(f">{name}</text>" in svg for name in names), "and no mathematics"


def test_there_is_no_histogram_where_no_class_is_known(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("class,generated,real\nhorse,,\n")
    assert class_chart(tmp_path / "classes.csv", run="mine") == ""
    assert class_chart(tmp_path / "absent.csv", run="mine") == ""

"""charts.py: the lines are those of the table, with their names and the name of the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ganscribe.report.charts import curve_chart


def test_a_chart_draws_the_columns_that_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *rest, **more: (figures.append(self), save(self, *rest, **more))
    )
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
    assert [figure.axes[0].get_xlabel() for figure in figures] == ["step", "step"]
    assert 'aria-label="mine: train loss, val loss by step"' in asked
    assert 'aria-label="mine: train loss, val loss, rate by step"' in everything

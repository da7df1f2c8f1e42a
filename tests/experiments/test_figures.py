"""Every figure is a picture, with the same bytes each time, and shows the numbers of its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganscribe.experiments import figures as drawing


def gradients(path: Path) -> None:
    table = pd.DataFrame(
        {"epochs": [1, 1, 25, 25], "critic_step": [0, 10, 0, 10], "saturating_norm": [1.0, 1e-30, 2.0, 1e-3]}
    )
    table = table.assign(
        run="dcgan", critic_loss=[0.5, 0.4, 0.3, 0.2], generator_updates=table["epochs"] * 390
    )
    drawing.draw_gradients(table, path, columns={"saturating_norm": "norm"})


def parallel_lines(path: Path) -> None:
    columns = ("theta", "js", "w", "js_estimate", "gp_estimate", "clipped_estimate")
    rows = [
        [0.5, 0.7, 0.51, 0.68, 0.52, 0.53],
        [0.0, 0.0, 0.0, 0.01, 0.02, 0.03],
        [-0.5, 0.7, 0.54, 0.67, 0.55, 0.56],
    ]
    table = pd.DataFrame(rows, columns=columns)
    drawing.draw_parallel_lines(table, path)


def tracking(path: Path) -> None:
    table = pd.DataFrame({"run": ["wgan", "wgan", "gan"], "step": [1, 2, 1]})
    drawing.draw_tracking(
        table.assign(estimate=[2.0, 1.0, 3.0], fid=[9.0, 5.0, 7.0]),
        path,
        labels={"wgan": "wgan: 2 of 9 steps", "gan": "gan"},
    )


def optimisers(path: Path) -> None:
    table = pd.DataFrame({"optimiser": ["adam", "adam", "rmsprop"], "step": [1, 2, 1]})
    drawing.draw_optimisers(
        table.assign(critic_cosine=[0.5, -0.5, 0.7], critic_loss=[-1.0, -2.0, 0.0]),
        path,
        labels={"adam": "wgan_adam", "rmsprop": "wgan"},
    )


def pictures(path: Path) -> None:
    files = {}
    for name, grey in (("one", 10), ("two", 200), ("three", 90)):
        files[name] = path.with_name(f"{name}.png")
        Image.fromarray(np.full((30, 30), grey, np.uint8)).save(files[name])
    drawing.draw_pictures(files, path)


THETAS, ACROSS = [-0.5, 0.0, 0.5], [0.0, 1.0]  # a horizontal line goes across its panel
CASES: dict[Callable[[Path], None], list[list[Any]]] = {
    gradients: [  # the norms, and the losses on an axis of their own
        [
            ("1 epochs, 390 updates", [0, 10], [1.0, 1e-30]),
            ("25 epochs, 9,750 updates", [0, 10], [2.0, 1e-3]),
        ],
        [("", [0, 10], [0.5, 0.4]), ("", [0, 10], [0.3, 0.2])],
    ],
    parallel_lines: [
        [
            ("closed form (0 at theta = 0)", ACROSS, [0.7, 0.7]),
            ("", [0.0], [0.0]),
            ("cross-entropy critic", THETAS, [0.67, 0.01, 0.68]),
        ],
        [
            ("closed form", THETAS, [0.54, 0.0, 0.51]),
            ("gradient-penalty critic", THETAS, [0.55, 0.02, 0.52]),
            ("clipped critic, over its slope", THETAS, [0.56, 0.03, 0.53]),
        ],
    ],
    tracking: [  # the estimates above, one against the other below, and the FIDs on axes of their own
        [("", [1, 2], [2.0, 1.0])],
        [("", [1], [3.0])],
        [[2.0, 9.0], [1.0, 5.0]],
        [[3.0, 7.0]],
        [("", [1, 2], [9.0, 5.0])],
        [("", [1], [7.0])],
    ],
    optimisers: [
        [("wgan_adam", [1, 2], [0.5, -0.5]), ("wgan", [1], [0.7]), ("", ACROSS, [0, 0])],
        [("wgan_adam", [1, 2], [-1.0, -2.0]), ("wgan", [1], [0.0]), ("", ACROSS, [0, 0])],
    ],
    pictures: [[("one", 10)], [("two", 200)], [("three", 90)], []],
}


def shown(axes: Any) -> list[Any]:
    """The lines of a panel (label, x, y), the points of a scatter plot, and a grey picture's title and level."""
    lines = [(line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    points = [point for each in axes.collections for point in each.get_offsets().tolist()]
    images = [(axes.get_title(), int(image.get_array().mean())) for image in axes.images]
    return [("" if label.startswith("_") else label, x, y) for label, x, y in lines] + points + images


@pytest.mark.parametrize("draw", CASES)
def test_a_figure_is_a_picture_with_the_same_bytes_and_the_numbers_of_its_table(
    tmp_path: Path, draw: Callable[[Path], None], figures: list[Any]
) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert [shown(axes) for axes in figures[0].axes] == CASES[draw]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(set(picture.convert("L").tobytes())) > 10  # not blank
        assert "Software" not in picture.info

"""Every figure is a picture, with the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ganscribe.experiments import figures


def gradients(path: Path) -> None:
    table = pd.DataFrame(
        {"epochs": [1, 1, 25, 25], "critic_step": [0, 10, 0, 10], "saturating_norm": [1.0, 1e-30, 2.0, 1e-3]}
    )
    table = table.assign(run="dcgan", critic_loss=0.5, generator_updates=table["epochs"] * 390)
    figures.draw_gradients(table, path, columns={"saturating_norm": "norm"})


def parallel_lines(path: Path) -> None:
    columns = ("theta", "js", "w", "js_estimate", "gp_estimate", "clipped_estimate")
    table = pd.DataFrame([[0.5] * 6, [0.0] * 6, [-0.5] * 6], columns=columns)
    figures.draw_parallel_lines(table, path)


def tracking(path: Path) -> None:
    table = pd.DataFrame({"run": ["wgan", "wgan", "gan"], "step": [1, 2, 1]})
    figures.draw_tracking(
        table.assign(estimate=[2.0, 1.0, 3.0], fid=[9.0, 5.0, 7.0]),
        path,
        labels={"wgan": "wgan: 2 of 9 steps", "gan": "gan"},
    )


def optimisers(path: Path) -> None:
    table = pd.DataFrame({"optimiser": ["adam", "adam", "rmsprop"], "step": [1, 2, 1]})
    figures.draw_optimisers(
        table.assign(critic_cosine=[0.5, -0.5, 0.7], critic_loss=[-1.0, -2.0, 0.0]),
        path,
        labels={"adam": "wgan_adam", "rmsprop": "wgan"},
    )


def pictures(path: Path) -> None:
    files = {}
    for name, grey in (("one", 10), ("two", 200), ("three", 90)):
        files[name] = path.with_name(f"{name}.png")
        Image.fromarray(np.full((30, 30), grey, np.uint8)).save(files[name])
    figures.draw_pictures(files, path)


@pytest.mark.parametrize("draw", [gradients, parallel_lines, tracking, optimisers, pictures])
def test_a_figure_is_a_picture_with_the_same_bytes(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300
        assert len(set(picture.convert("L").tobytes())) > 10  # not blank
        assert "Software" not in picture.info

"""evaluate_classifier: its pictures show mistakes, and only these."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from ganscribe.convnets.common.evaluation import Evaluation
from ganscribe.datasets.images import Images

NAMES = ["zero", "one", "two"]


@pytest.fixture
def draw(project: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(project / "stages"))
    return runpy.run_path(str(project / "stages/evaluate_classifier.py"))["draw"]


def evaluation(probabilities: list[list[float]]) -> Evaluation:
    return Evaluation(0.5, 0.5, 1.0, 0.1, torch.eye(3, dtype=torch.int64), torch.tensor(probabilities))


def images(labels: list[int]) -> Images:
    pixels = torch.zeros(len(labels), 1, 28, 28, dtype=torch.uint8)
    return Images(pixels, torch.tensor(labels), torch.arange(len(labels)) + 100, NAMES, "mnist", "sample")


def test_mistakes_are_images_taken_for_another_class_the_worst_first(tmp_path: Path, draw: Any) -> None:
    # The third image is right, though with less probability than the first mistake gives its own class.
    said = [[0.4, 0.6, 0.0], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.9, 0.0, 0.1]]
    draw(tmp_path / "plots", images([0, 1, 2, 2]), evaluation(said), {"accuracy": 0.5}, label="lenet5")
    table = pd.read_csv(tmp_path / "plots/mistakes.csv")
    assert table.to_dict("records") == [
        {"row": 103, "actual": "two", "predicted": "zero", "probability_of_actual": pytest.approx(0.1)},
        {"row": 100, "actual": "zero", "predicted": "one", "probability_of_actual": pytest.approx(0.4)},
    ]
    with Image.open(tmp_path / "plots/mistakes.png") as picture:
        assert picture.width > 500 and picture.height < 300  # one row


def test_a_classifier_without_mistakes_has_no_picture_of_them(tmp_path: Path, draw: Any) -> None:
    draw(
        tmp_path / "plots", images([0, 1]), evaluation([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]), {}, label="lenet5"
    )
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "scores.json",
        "confusion.csv",
        "confusion.png",
    }

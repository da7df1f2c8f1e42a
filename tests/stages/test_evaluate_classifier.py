"""evaluate_classifier: the scores say on which images they were made; its pictures show mistakes, and only these."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import gans
from ganscribe import convnets
from ganscribe.convnets.common.evaluation import Evaluation
from ganscribe.core.files import write_json
from ganscribe.core.weights import save_weights
from ganscribe.datasets.images import Images, read_images
from ganscribe.datasets.prepare import write_images
from ganscribe.metrics.comparable import SAME
from parameters import copy_params

CLASSES = list("abcdefghij")


def write_test_images(seed: int) -> None:
    """As many test images of one data set, those of another seed being others."""
    write_images(
        "data/mnist/test.parquet",
        gans.pictures(30, seed=seed).numpy(),
        (torch.arange(30) % 10).to(torch.uint8).numpy(),
        range(30),
        dataset="mnist",
        classes=CLASSES,
        source="sample",
    )


def test_the_scores_say_on_which_images_they_were_made(
    project: Path, workplace: Path, load_stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    copy_params(project, workplace)
    folder = Path("models/classifiers/lenet5")
    model = convnets.build("lenet5", num_classes=10, image_shape=(1, 28, 28))
    saved = {"network": "lenet5", "options": {}, "num_classes": 10, "image_shape": [1, 28, 28]}
    save_weights(folder / "model.safetensors", model.state_dict(), saved)
    training = {"trained_steps": 3, "recipe_steps": 4, "num_parameters": 5, "flops": 6}
    write_json(folder / "training.json", training)
    write_json(folder / "run_key.json", {"family": "classifier", "name": "lenet5", "run_key": "k"})
    stage = load_stage("evaluate_classifier")

    found = []
    for seed, home in ((0, "."), (1, "zoo"), (0, ".")):
        write_test_images(seed)
        done = CliRunner().invoke(stage["main"], ["lenet5", "--home", home])
        assert done.exit_code == 0, done.output
        assert Path(home, "metrics/classifiers/lenet5.json").is_file()
        scores = json.loads(Path(home, "plots/classifiers/lenet5/scores.json").read_text())
        assert (scores["dataset"], scores["source"], scores["num_images"]) == ("mnist", "sample", 30)
        assert set(SAME["classifier"]) <= scores.keys()
        found.append(scores["data_sha256"])
    first, other, again = found
    assert first == again != other
    test = read_images("data/mnist/test.parquet")
    labelled = dataclasses.replace(test, labels=test.labels.flip(0))
    assert stage["data_sha256"](test) == first != stage["data_sha256"](labelled)


NAMES = ["zero", "one", "two"]


@pytest.fixture
def draw(load_stage: Any) -> Any:
    return load_stage("evaluate_classifier")["draw"]


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

"""prepare_images on data in MNIST's layout with other classes than ten digits, and the stages behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import gans
from ganscribe import convnets
from ganscribe.convnets.common.evaluation import evaluate_classifier
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import train_classifier
from ganscribe.datasets.images import Images, read_images
from ganscribe.drawing.plots import save_confusion
from ganscribe.metrics.gan.images import classifier_extractor, judge_images
from ganscribe.metrics.gan.scores import Scored, score_gan
from ganscribe.serving.models import Served
from ganscribe.serving.pictures import encode_png
from ganscribe.sources.acquire import acquire
from ganscribe.sources.formats import write_idx
from ganscribe.sources.images import MNIST_FOLDER
from ganscribe.training.budget import Budget
from parameters import TINY, copy_params, use_local

LETTERS = [*range(1, 27)]  # EMNIST's letters


def write_data_set(root: Path, train: list[int], test: list[int]) -> None:
    """Noise with a bright square of four pixels, whose place is the label."""
    rng = np.random.default_rng(0)
    for part, labels in (("train", train), ("t10k", test)):
        images = rng.integers(0, 60, (len(labels), 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = 4 * (label // 7), 4 * (label % 7)
            image[row : row + 4, column : column + 4] = 255
        write_idx(root / MNIST_FOLDER / f"{part}-images-idx3-ubyte", images)
        write_idx(root / MNIST_FOLDER / f"{part}-labels-idx1-ubyte", np.array(labels, np.uint8))


@pytest.fixture
def prepared(project: Path, workplace: Path, load_stage: Any) -> Any:
    """Write a data set, and have the stage prepare it; returns what it said."""
    copy_params(project, workplace)
    use_local(workplace, "mnist", "mine")

    def prepare(train: list[int], test: list[int]) -> str:
        write_data_set(workplace / "mine", train, test)
        acquire("mnist", source="local", folder="mine", destination="data/raw/mnist", scenes=1, seed=0)
        done = CliRunner().invoke(load_stage("prepare_images")["main"], ["mnist"])
        assert done.exit_code == 0, done.output
        return done.stderr

    return prepare


def test_pictures_that_the_project_draws(project: Path, workplace: Path, load_stage: Any) -> None:
    copy_params(project, workplace, TINY)
    for stage in ("download", "prepare_images"):
        done = CliRunner().invoke(load_stage(stage)["main"], ["cifar10"])
        assert done.exit_code == 0, done.output
    rows = {path.stem: len(read_images(path).images) for path in Path("data/cifar10").glob("*.parquet")}
    assert rows == {"train": 810, "val": 90, "test": 100}


@pytest.mark.parametrize("labels", [LETTERS, [0, 1, 2]], ids=len)
def test_other_classes_work_from_end_to_end(load_stage: Any, prepared: Any, labels: list[int]) -> None:
    assert prepared(labels * 24, labels * 4) == ""
    train, val, test = (read_images(f"data/mnist/{split}.parquet") for split in ("train", "val", "test"))
    recipe = ClassifierRecipe(
        network="lenet5", dataset="mnist", learning_rate=5e-3, batch_size=32, epochs=60 // len(labels) + 5
    )
    budget = Budget(seed=0, precision="fp32")
    trained = train_classifier(train, val, recipe, budget=budget, device=gans.CPU)
    save = load_stage("train_classifier")["save"]
    params = {"network": "lenet5", "options": {}}
    save(Path("models/classifiers/mine"), "mine", "key", params, train, trained)

    model = convnets.load_classifier("models/classifiers/mine/model.safetensors")
    evaluation = evaluate_classifier(model, test.images, test.labels)
    assert evaluation.accuracy > 0.9 and evaluation.confusion.shape == (len(labels),) * 2
    save_confusion(evaluation.confusion, "confusion.png", test.class_names)
    served = Served("models/classifiers/mine")
    answers = served.predict(
        pd.DataFrame({"image": [encode_png(image) for image in test.images.numpy()[: len(labels)]]})
    )
    right = [label == str(known) for label, known in zip(answers["label"], labels, strict=True)]
    assert list(answers.columns[1:]) == [str(label) for label in labels] and np.mean(right) > 0.8

    gan = gans.train(train.images, steps=2)
    samples = gan.kept_generator(torch.rand(60, 8)).mul(127).add(128).to(torch.uint8)
    assert score(model, test, samples)["modes"] <= len(labels)
    real = score(model, test, train.images)
    assert real["modes"] == len(labels) and real["kl"] < 0.1  # training images are of every class


def score(model: torch.nn.Module, test: Images, made: torch.Tensor) -> dict[str, float]:
    extractor = classifier_extractor(model)
    judged = [judge_images(images, extractor) for images in (test.images, made)]
    return score_gan(Scored(*judged, seed=0, real_labels=test.labels))


def test_absent_classes_are_said(prepared: Any) -> None:
    said = prepared([0, 1, 2, 3] * 12, [0, 1, 2, 0])
    assert said.startswith("Warning: mnist: some of the 4 classes have no images (test has none of 3).")
    assert "`classes: [0, 1, 2]`" in said


def test_a_gan_of_a_class_without_test_images_is_refused_before_it_is_trained(
    load_stage: Any, prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared([0, 1, 2, 3] * 12, [0, 1, 2, 0])
    params, block = Path("params.yaml"), "    gan:\n      objective: nonsaturating\n"
    assert block in params.read_text()
    params.write_text(params.read_text().replace(block, f"{block}      classes: [3]\n"))
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    stage = load_stage("train_gan")
    monkeypatch.setitem(
        stage["main"].callback.__wrapped__.__globals__, "train", lambda *_, **__: pytest.fail("trained")
    )
    done = CliRunner().invoke(stage["main"], ["gan"])
    assert done.exit_code == 1
    assert "test.parquet has no image of class [3]: choose from [0, 1, 2] (0, 1, 2)" in done.stderr

"""Classifier training: learns, resumes bit for bit, shifts right, refuses bad input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ganscribe.checkpoint import Checkpoint
from ganscribe.convnets import load_classifier
from ganscribe.convnets.evaluation import evaluate_classifier
from ganscribe.convnets.training import TrainedClassifier, shift_images, train_classifier
from ganscribe.runtime import save_torch

RECIPE: dict[str, Any] = {
    "network": "lenet5",
    "options": {},
    "num_classes": 4,
    "optimiser": "adam",
    "learning_rate": 2e-3,
    "betas": (0.9, 0.999),
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "batch_size": 16,
    "epochs": 4,
    "shift": 1,
    "seed": 3,
    "precision": "fp32",
    "device": torch.device("cpu"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two test processes with two threads each would wait for each other on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def corners(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images with a bright square in one of four corners: the class."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 1, 28, 28), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 4, (count,), generator=rng)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 4 + 12 * (label // 2), 4 + 12 * (label % 2)
        image[:, row : row + 8, column : column + 8] = 255
    return images, labels


def train(**changes: Any) -> TrainedClassifier:
    return train_classifier(*corners(100, 0), *corners(40, 1), **(RECIPE | changes))


def weights(trained: TrainedClassifier) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.model.state_dict().values()])


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns(optimiser: str, precision: str) -> None:
    rate = {"adam": 2e-3, "sgd": 0.05}[optimiser]
    trained = train(optimiser=optimiser, precision=precision, learning_rate=rate, epochs=12)
    assert evaluate_classifier(trained.model, *corners(100, 2)).accuracy > 0.95
    assert trained.precision == precision
    assert not trained.model.training


def test_table_and_budget() -> None:
    trained = train()
    assert [row["step"] for row in trained.history] == [6, 12, 18, 24]  # 100 // 16 updates an epoch
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4]
    assert trained.updates == 24
    capped = train(max_updates=9)
    assert [row["step"] for row in capped.history] == [6, 9]
    assert train(max_updates=500).updates == 24


class Killed(Exception):
    """Stands for SIGKILL."""


class KilledAfter:
    """A checkpoint that is saved at every step and kills the training after `saves` of them."""

    def __init__(self, directory: Path, saves: int) -> None:
        self.inner = Checkpoint(directory, every_seconds=0)
        self.saves = saves

    def load(self) -> dict[str, Any] | None:
        return self.inner.load()

    def due(self) -> bool:
        return True

    def save(self, state: dict[str, Any]) -> None:
        self.inner.save(state)
        self.saves -= 1
        if self.saves == 0:
            raise Killed


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("steps", [1, 6, 10])
def test_resumed_training_equals_unbroken(tmp_path: Path, optimiser: str, steps: int) -> None:
    options = {"optimiser": optimiser, "precision": "bf16", "epochs": 2}
    unbroken_rows: list[tuple[int, dict[str, float]]] = []
    unbroken = train(**options, log=lambda step, row: unbroken_rows.append((step, dict(row))))

    rows: list[tuple[int, dict[str, float]]] = []
    with pytest.raises(Killed):
        train(**options, checkpoint=KilledAfter(tmp_path, steps))
    torch.manual_seed(99)
    resumed = train(
        **options,
        checkpoint=KilledAfter(tmp_path, 1000),
        log=lambda step, row: rows.append((step, dict(row))),
    )
    assert torch.equal(weights(resumed), weights(unbroken))
    assert resumed.history == unbroken.history
    assert rows == unbroken_rows


def test_same_seed_same_network_other_seed_another() -> None:
    first, second, other = train(epochs=1), train(epochs=1), train(epochs=1, seed=4)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_shift_moves_each_image_by_its_own_offset() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (9, 2, 6, 5), generator=rng, dtype=torch.uint8)
    offsets = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    shifted = shift_images(images, offsets, 1)
    for image, moved, (dy, dx) in zip(images, shifted, offsets.tolist(), strict=True):
        for y in range(6):
            for x in range(5):
                y0, x0 = y + dy - 1, x + dx - 1
                inside = 0 <= y0 < 6 and 0 <= x0 < 5
                expected = image[:, y0, x0] if inside else torch.zeros(2, dtype=torch.uint8)
                assert torch.equal(moved[:, y, x], expected)


def test_saved_classifier_is_read_back(tmp_path: Path) -> None:
    trained = train(epochs=1)
    model = {
        "network": "lenet5",
        "options": {},
        "num_classes": 4,
        "image_shape": [1, 28, 28],
        "state_dict": trained.model.state_dict(),
    }
    save_torch(tmp_path / "model.pt", model)
    images, labels = corners(20, 5)
    again = evaluate_classifier(load_classifier(tmp_path / "model.pt"), images, labels)
    assert torch.equal(again.probabilities, evaluate_classifier(trained.model, images, labels).probabilities)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "lion"}, "adam or sgd"),
        ({"schedule": "staircase"}, "cosine"),
        ({"network": "lenet6"}, "lenet5"),
        ({"num_classes": 3}, r"\[0, 3\)"),
        ({"learning_rate": math.inf, "optimiser": "sgd", "momentum": 0.0}, "lower the learning rate"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(**changes)


def test_images_without_labels() -> None:
    images, labels = corners(20, 0)
    with pytest.raises(ValueError, match="one label each"):
        train_classifier(images, labels[:10], images, labels, **RECIPE)

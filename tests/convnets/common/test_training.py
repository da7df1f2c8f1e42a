"""Classifier training: learns, resumes bit for bit, refuses bad input."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ganscribe import convnets
from ganscribe.convnets.common.building import CONVNETS
from ganscribe.convnets.common.evaluation import Evaluation, evaluate_classifier
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import TrainedClassifier, train_classifier
from ganscribe.core.registry import Registry
from ganscribe.core.seeds import seed_everything
from ganscribe.datasets.images import Images
from ganscribe.training.budget import Budget
from stopping import StopAfter, reopen

RECIPE: dict[str, Any] = {
    "network": "lenet5",
    "dataset": "mnist",
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "batch_size": 16,
    "epochs": 4,
    "shift": 1,
}
BUDGET: dict[str, Any] = {"seed": 3, "precision": "fp32", "max_updates": None}
CPU = torch.device("cpu")


def corners(count: int, seed: int) -> Images:
    """Noisy images with a bright square in one of four corners: the class."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (count, 1, 28, 28), generator=rng, dtype=torch.uint8)
    labels = torch.randint(0, 4, (count,), generator=rng)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = 4 + 12 * (label // 2), 4 + 12 * (label % 2)
        image[:, row : row + 8, column : column + 8] = 255
    return Images(images, labels, torch.arange(count), list("abcd"), "mnist", "drawn")


def train(*, checkpoint: Any = None, log: Any = None, **changes: Any) -> TrainedClassifier:
    """Train on corners; `changes` of the recipe and of the budget."""
    budget = Budget(**{key: changes.pop(key, value) for key, value in BUDGET.items()})
    recipe = ClassifierRecipe(**(RECIPE | changes))
    return train_classifier(
        corners(100, 0), corners(40, 1), recipe, budget=budget, device=CPU, checkpoint=checkpoint, log=log
    )


def evaluate(model: torch.nn.Module, images: Images) -> Evaluation:
    return evaluate_classifier(model, images.images, images.labels)


def weights(trained: TrainedClassifier) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.model.state_dict().values()])


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns(optimiser: str, precision: str) -> None:
    rate = {"adam": 2e-3, "sgd": 0.05}[optimiser]
    trained = train(optimiser=optimiser, precision=precision, learning_rate=rate, epochs=12)
    assert evaluate(trained.model, corners(100, 2)).accuracy > 0.95
    assert trained.precision == precision
    assert not trained.model.training


@pytest.mark.parametrize(
    "change",
    [{"betas": (0.5, 0.9)}, {"weight_decay": 0.5}, {"shift": 0}, {"flip": True}, {"optimiser": "rmsprop"}],
)
def test_each_option_counts(change: dict[str, Any]) -> None:
    assert not torch.equal(weights(train(epochs=1)), weights(train(epochs=1, **change)))


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_momentum_is_of_sgd_alone(optimiser: str) -> None:
    trained = [train(epochs=1, optimiser=optimiser, momentum=momentum) for momentum in (0.9, 0.0)]
    assert torch.equal(*map(weights, trained))


def test_table_and_budget() -> None:
    trained = train()
    assert [row["step"] for row in trained.history] == [6, 12, 18, 24]  # 100 // 16 updates an epoch
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4]
    assert (trained.updates, trained.recipe_updates) == (24, 24)
    capped = train(max_updates=9)
    assert (capped.updates, capped.recipe_updates) == (9, 24)
    assert [row["step"] for row in capped.history] == [6, 9]
    assert train(max_updates=500).updates == 24
    part = train(epochs=1.5)
    assert [row["step"] for row in part.history] == [6, 9]
    assert train(epochs=0.01).updates == 1


def test_the_schedule_shrinks_with_a_training_that_is_cut_short() -> None:
    """At the updates 6 and 9 of 9: the rate is that of what is done before them."""
    rows = train(max_updates=9, schedule="linear", learning_rate=9e-4).history
    assert [row["learning_rate"] for row in rows] == pytest.approx([4e-4, 1e-4])


def test_a_row_has_the_mean_loss_of_its_own_updates() -> None:
    """Of weights that stand still, all rows have about the same, that of the three updates of a part too."""
    rows = train(max_updates=15, learning_rate=1e-12).history
    assert [row["step"] for row in rows] == [6, 12, 15]
    assert [row["train_loss"] for row in rows] == pytest.approx([rows[0]["val_loss"]] * 3, rel=0.1)


def without_time(row: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "seconds_an_epoch"}


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("steps", [1, 6, 10])
def test_resumed_training_equals_unbroken(tmp_path: Path, optimiser: str, steps: int) -> None:
    options = {"optimiser": optimiser, "precision": "bf16", "epochs": 2}
    unbroken_rows: list[tuple[int, dict[str, float]]] = []
    unbroken = train(**options, log=lambda step, row: unbroken_rows.append((step, without_time(row))))

    rows: list[tuple[int, dict[str, float]]] = []
    with pytest.raises(KeyboardInterrupt):
        train(**options, checkpoint=StopAfter(tmp_path, steps))
    torch.manual_seed(99)
    resumed = train(
        **options,
        checkpoint=reopen(tmp_path),
        log=lambda step, row: rows.append((step, without_time(row))),
    )
    assert torch.equal(weights(resumed), weights(unbroken))
    assert resumed.history == unbroken.history
    assert rows == unbroken_rows


def test_same_seed_same_network_other_seed_another() -> None:
    first, second, other = train(epochs=1), train(epochs=1), train(epochs=1, seed=4)
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


TWO_HEADS = """
from torch import nn

HEAD_WEIGHTS = (1.0, 0.3)


class TwoHeads(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.classifier = nn.Linear(28 * 28, num_classes)
        self.auxiliary = nn.Linear(28 * 28, num_classes)

    def forward(self, images):
        pixels = images.flatten(1)
        return (self.classifier(pixels), self.auxiliary(pixels)) if self.training else self.classifier(pixels)


def build(*, num_classes, image_shape):
    return TwoHeads(num_classes)
"""
ONE_STEP = {"network": "two_heads", "optimiser": "sgd", "momentum": 0.0, "schedule": "constant", "shift": 0}
ONE_STEP |= {"learning_rate": 0.01, "batch_size": 100, "epochs": 1}


@pytest.mark.parametrize(("decay", "bias_decay"), [("all", 0.5), ("weights", 0.0)])
def test_one_update_by_hand(
    decay: str, bias_decay: float, add_file: Callable[[Registry, str, str], None]
) -> None:
    """w - rate (head weight x gradient + decay w), the gradient of softmax and cross-entropy written out."""
    add_file(CONVNETS, "two_heads", TWO_HEADS)
    trained = train(**ONE_STEP, weight_decay=0.5, decay=decay)
    seed_everything(3)
    start = convnets.build("two_heads", num_classes=4, image_shape=(1, 28, 28))
    data = corners(100, 0)
    pixels = data.images.flatten(1).float() / 127.5 - 1
    for head, weight in (("classifier", 1.0), ("auxiliary", 0.3)):
        before, after = getattr(start, head), getattr(trained.model, head)
        wrong = weight * (before(pixels).softmax(1) - torch.eye(4)[data.labels]) / 100
        expected = before.weight - 0.01 * (wrong.T @ pixels + 0.5 * before.weight)
        torch.testing.assert_close(after.weight, expected)
        torch.testing.assert_close(after.bias, before.bias - 0.01 * (wrong.sum(0) + bias_decay * before.bias))


def test_resumed_training_with_norms_dropout_and_channels_last(tmp_path: Path) -> None:
    options = {"network": "densenet_bc", "options": {"depth": 10, "growth": 4, "dropout": 0.2}}
    options |= {"flip": True, "decay": "weights", "max_updates": 3, "precision": "bf16"}
    unbroken = train(**options)
    with pytest.raises(KeyboardInterrupt):
        train(**options, checkpoint=StopAfter(tmp_path, 2))
    resumed = train(**options, checkpoint=reopen(tmp_path))
    assert torch.equal(weights(resumed), weights(unbroken))


def test_seconds_are_logged_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second whenever it is read: before the first update, and twice in a row."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("ganscribe.convnets.common.training.time", clock)
    rows: list[dict[str, float]] = []
    trained = train(epochs=1.5, log=lambda step, row: rows.append(row))
    assert [row["seconds_an_epoch"] for row in rows] == [1, 2]  # the second row is half an epoch
    assert not any("seconds_an_epoch" in row for row in trained.history)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "made_up"}, "adam, rmsprop, sgd"),
        ({"decay": "made_up"}, "all, weights"),
        ({"schedule": "made_up"}, "cosine"),
        ({"schedule_options": {"made_up": 1}}, "warm_up"),
        ({"network": "made_up"}, "lenet5"),
        ({"options": {"made_up": 1}}, "no options"),
        ({"learning_rate": math.inf, "optimiser": "sgd", "momentum": 0.0}, "lower the learning rate"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(**changes)


NONE = torch.zeros(0, 1, 28, 28, dtype=torch.uint8)


@pytest.mark.parametrize("split", ["training", "validation"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.zeros(10)}, r"images .* one label each: got torch.uint8 \(20, 1, 28, 28\) with 10"),
        ({"images": torch.zeros(20, 1, 28, 28)}, "images must be uint8 .*: got torch.float32"),
        (
            {"images": torch.zeros(20, 28, 28, dtype=torch.uint8)},
            r"images .*: got torch.uint8 \(20, 28, 28\)",
        ),
        ({"images": NONE, "labels": torch.zeros(0)}, r"images must be .*, N > 0.* with 0 labels"),
        ({"labels": torch.full((20,), 4)}, r"labels must lie in \[0, 4\): found 4 to 4"),
        ({"labels": torch.full((20,), -1)}, r"labels must lie in \[0, 4\): found -1 to -1"),
    ],
)
def test_data_that_do_not_fit(split: str, changes: dict[str, Any], message: str) -> None:
    data = {name: corners(20, 0) for name in ("training", "validation")}
    data[split] = replace(data[split], **changes)
    with pytest.raises(ValueError, match=f"^{split} {message}"):
        train_classifier(*data.values(), ClassifierRecipe(**RECIPE), budget=Budget(seed=3), device=CPU)

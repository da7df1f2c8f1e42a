"""Scores of a classifier, against loops, scikit-learn and hand counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganscribe.convnets.common.evaluation import calibration_error, evaluate_classifier, predict_scores
from ganscribe.metrics.classifier_scores import CLASSIFIER_SCORES


def brute_force_ece(probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int) -> float:
    """Guo et al. (2017), eq. 3, one bin and one image at a time."""
    total = 0.0
    for b in range(num_bins):
        inside = []
        for row, label in zip(probabilities.double(), labels, strict=True):
            confidence = float(row.max())
            if b / num_bins < confidence <= (b + 1) / num_bins:
                inside.append((int(row.argmax()) == int(label), confidence))
        if inside:
            accuracy = sum(hit for hit, _ in inside) / len(inside)
            confidence = sum(value for _, value in inside) / len(inside)
            total += len(inside) / len(labels) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_calibration_error_equals_brute_force(num_bins: int) -> None:
    rng = torch.Generator().manual_seed(1)
    probabilities = (torch.randn(300, 5, generator=rng) * 2).softmax(1)
    labels = torch.randint(0, 5, (300,), generator=rng)
    expected = brute_force_ece(probabilities, labels, num_bins)
    assert calibration_error(probabilities, labels, num_bins) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_closed_form() -> None:
    probabilities = torch.tensor([[0.8, 0.2]] * 10)
    labels = torch.tensor([0] * 8 + [1] * 2)  # right in eight of ten: as confident as it is right
    assert calibration_error(probabilities, labels) == pytest.approx(0, abs=1e-6)
    assert calibration_error(probabilities, torch.ones(10).long()) == pytest.approx(0.8)


class Brightness(nn.Module):
    """Scores by the mean pixel: three classes, dark, grey and light."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([-4.0, 0.0, 4.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((1, 2, 3))[:, None] * self.weight


def test_evaluation_against_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 1, 1), generator=rng, dtype=torch.uint8).expand(40, 1, 28, 28)
    labels = torch.randint(0, 3, (40,), generator=rng).to(torch.uint8)
    found = evaluate_classifier(Brightness(), images, labels)
    predicted = found.probabilities.argmax(1)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert found.error == pytest.approx(1 - found.accuracy)
    assert found.nll == pytest.approx(metrics.log_loss(labels, found.probabilities), rel=1e-5)
    assert found.confusion.tolist() == metrics.confusion_matrix(labels, predicted, labels=range(3)).tolist()
    expected = brute_force_ece(found.probabilities, labels, 15)
    assert found.calibration_error == pytest.approx(expected, rel=1e-6)
    right, wrong = (evaluate_classifier(Brightness(), images, each) for each in (predicted, 2 - predicted))
    for score in CLASSIFIER_SCORES:
        if score.better:
            better = getattr(right, score.name) - getattr(wrong, score.name)
            assert (better > 0) == (score.better == "higher") and better, score.name


@pytest.mark.parametrize("labels", [[0, 3], [0, -1], [0], [0, 1, 2], []])
def test_labels_that_do_not_fit(labels: list[int]) -> None:
    images = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    found = f"{len(labels)} from {min(labels)} to {max(labels)}" if labels else "none"
    with pytest.raises(ValueError, match=rf"2 images need as many labels in \[0, 3\): got {found}"):
        evaluate_classifier(Brightness(), images, torch.tensor(labels))


def test_prediction_is_independent_of_the_batch_and_of_the_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 3)).train()
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (7, 1, 28, 28), generator=rng, dtype=torch.uint8)
    one_by_one = torch.cat([predict_scores(model, image[None]) for image in images])
    torch.testing.assert_close(predict_scores(model, images, batch_size=3), one_by_one)
    assert model.training


def test_nll_of_a_sure_mistake_is_finite() -> None:
    model = Brightness()
    model.weight.data *= 1000
    images = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    assert math.isfinite(evaluate_classifier(model, images, torch.tensor([0])).nll)

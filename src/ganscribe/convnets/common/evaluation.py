"""What a trained classifier says, how often it is right, how well it is calibrated, what it costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from ganscribe.core.devices import autocast
from ganscribe.datasets.pixels import scale_images


@dataclass(frozen=True)
class Evaluation:
    """A classifier's scores on N labelled images of K classes.

    `confusion` (K, K) counts rows = actual, columns = predicted; `probabilities` (N, K) float32.
    """

    accuracy: float
    error: float
    nll: float
    calibration_error: float
    confusion: torch.Tensor
    probabilities: torch.Tensor


@torch.no_grad()
def predict_scores(
    model: nn.Module, images: torch.Tensor, *, batch_size: int = 250, precision: str = "fp32"
) -> torch.Tensor:
    """Class scores (N, K), float32, of uint8 images (N, C, H, W), in evaluation mode.

    `precision` is that of the matrix products: fp32 or bf16.
    """
    was_training = model.training
    model.eval()
    with autocast(precision, images.device):
        scores = torch.cat([model(scale_images(batch)).float() for batch in images.split(batch_size)])
    model.train(was_training)
    return scores


def predict_probabilities(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Class probabilities (N, K) in float32 of uint8 images (N, C, H, W), in evaluation mode."""
    return predict_scores(model, images).softmax(1)


def calibration_error(probabilities: torch.Tensor, labels: torch.Tensor, num_bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 1706.04599, eq. 3): |accuracy - confidence| over equal bins.

    `probabilities` (N, K), `labels` (N,); bin b holds confidences in (b / num_bins, (b + 1) / num_bins].
    """
    confidence, predicted = probabilities.double().max(1)
    bins = (confidence * num_bins).ceil().long().sub(1).clamp(0, num_bins - 1)
    gaps = (predicted == labels).double() - confidence
    gap_sums = torch.zeros(num_bins, dtype=torch.float64).index_add_(0, bins, gaps)
    return gap_sums.abs().sum().item() / len(labels)


def evaluate_classifier(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, device: torch.device | str = "cpu"
) -> Evaluation:
    """Score `model` on uint8 images (N, C, H, W) and their labels (N,), in float32 on `device`."""
    labels = labels.long()
    scores = predict_scores(model.to(device), images.to(device)).cpu()
    num_classes = scores.shape[1]
    if len(images) != len(labels) or not 0 <= labels.min() <= labels.max() < num_classes:
        found = f"{len(labels)} from {int(labels.min())} to {int(labels.max())}" if len(labels) else "none"
        raise ValueError(f"{len(images)} images need as many labels in [0, {num_classes}): got {found}")
    predicted = scores.argmax(1)
    num_errors = int((predicted != labels).sum())
    confusion = torch.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return Evaluation(
        accuracy=(len(labels) - num_errors) / len(labels),
        error=num_errors / len(labels),
        nll=F.cross_entropy(scores.double(), labels).item(),
        calibration_error=calibration_error(scores.softmax(1), labels),
        confusion=confusion.reshape(num_classes, num_classes),
        probabilities=scores.softmax(1),
    )

"""Mean and standard deviation of the features that a captioner is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData, FeatureReader
from ganscribe.captioning.model import Captioner
from ganscribe.execution.progress import progress
from ganscribe.training import workers

AT_ONCE = 32  # images in memory
EPSILON = 1e-5  # added to the variance, as in batch norm (1502.03167): a channel may be dead


def feature_statistics(features: FeatureReader, image_ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return mean (P, C) and standard deviation (C,), float32, of the features (P, C) of `image_ids`.

    The mean is of each position by itself: zero padding makes the features of a random network differ between the
    border and the middle by more than what an object changes, and attention would settle on the border. The deviation
    is from these means, over all positions, sqrt(variance + 1e-5). In float64, and by the update of Chan, Golub and
    LeVeque (1979), which loses no digits to a mean that is large beside the deviation.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    with progress(len(image_ids), "feature statistics", "image") as bar:
        for start in range(0, len(image_ids), AT_ONCE):
            batch = image_ids[start : start + AT_ONCE]
            values = features(batch).double()
            added, own_mean = len(values), values.mean(0)
            own_squares = values.sub_(own_mean).square_().sum(0)
            count, difference = count + added, own_mean - mean
            mean = mean + difference * (added / count)
            squares = squares + own_squares + difference.square() * (added * (count - added) / count)
            bar.update(len(batch))
    return mean.float(), (squares.mean(0) / count + EPSILON).sqrt().float()


def set_statistics(model: Captioner, data: CaptionerData) -> None:
    """Give a model that standardises its features the statistics of the training images, each counted once."""
    image_ids = sorted(set(data.train.image_ids))
    mean, std = workers.from_first(lambda: feature_statistics(data.features, image_ids))
    model.feature_mean.copy_(mean)
    model.feature_std.copy_(std)

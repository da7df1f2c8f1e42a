"""LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition"), as used today."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ganscribe.convnets.common.layers import Classifier, pad_to_32

CHANNELS_LAST = False


class LeNet5(Classifier):
    """LeNet-5 with ReLU, max pooling and full connections; 61,706 parameters for one channel, ten classes.

    | layer | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 6 5x5, ReLU, maxpool 2 | (6, 14, 14) |
    | conv 16 5x5, ReLU, maxpool 2 | (16, 5, 5) |
    | FC 120, ReLU, FC 84, ReLU | (84,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.classifier = nn.Linear(84, num_classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 84), after its ReLU."""
        x = F.max_pool2d(F.relu(self.conv1(pad_to_32(images))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return F.relu(self.fc2(x))


def build(*, num_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """Return a LeNet-5; it has no options."""
    return LeNet5(image_shape[0], num_classes)

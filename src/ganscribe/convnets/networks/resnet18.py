"""ResNet-18 (He et al. 2015, 1512.03385, table 1), torchvision's, with a stem for 32 pixels."""

from __future__ import annotations

import torch
from torch import nn

from ganscribe.convnets.common.layers import Classifier, pad_to_32


class ResNet18(Classifier):
    """ResNet-18 whose stem keeps the image's size; projection shortcuts where the width changes (option B).

    | layer | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 64 3x3, norm, ReLU (no maxpool) | (64, 32, 32) |
    | two blocks of two 3x3 convolutions, 64 | (64, 32, 32) |
    | two blocks, 128, the first with stride 2 | (128, 16, 16) |
    | two blocks, 256, the first with stride 2 | (256, 8, 8) |
    | two blocks, 512, the first with stride 2 | (512, 4, 4) |
    | global average pooling | (512,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        from torchvision.models import resnet18

        super().__init__()
        self.body = resnet18(weights=None)
        self.body.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.body.conv1.weight, mode="fan_out", nonlinearity="relu")  # as the others
        self.body.maxpool, self.body.fc = nn.Identity(), nn.Identity()
        self.classifier = nn.Linear(512, num_classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 512), averages of ReLUs."""
        features: torch.Tensor = self.body(pad_to_32(images))
        return features


def build(*, num_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """Return a ResNet-18; it has no options."""
    return ResNet18(image_shape[0], num_classes)

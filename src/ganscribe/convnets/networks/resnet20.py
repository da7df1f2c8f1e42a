"""ResNet-20 (He et al. 2015, 1512.03385, section 4.2): the form for CIFAR-10, n = 3."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from ganscribe.convnets.common.layers import Classifier, initialise, pad_to_32


class Residual(nn.Module):
    """Two 3x3 convolutions beside a parameter-free shortcut (option A).

    Where the width doubles, the shortcut takes every second pixel and is filled up with zero channels.
    """

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.stride = 1 if channels == filters else 2
        self.extra = filters - channels
        self.conv1 = nn.Conv2d(channels, filters, 3, stride=self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        shortcut = maps
        if self.stride == 2:
            shortcut = F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.extra))
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(maps)))))
        return F.relu(inner + shortcut)


class ResNet20(Classifier):
    """ResNet-20 for 32 pixels; 0.27M parameters.

    | layer | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 16 3x3, norm, ReLU | (16, 32, 32) |
    | three blocks of two 3x3 convolutions, 16 | (16, 32, 32) |
    | three blocks, 32, the first with stride 2 | (32, 16, 16) |
    | three blocks, 64, the first with stride 2 | (64, 8, 8) |
    | global average pooling | (64,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        self.blocks = nn.Sequential(*(Residual(before, after) for before, after in pairwise(widths)))
        self.classifier = nn.Linear(64, num_classes)
        initialise(self)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 64), averages of ReLUs."""
        maps = self.blocks(F.relu(self.norm(self.stem(pad_to_32(images)))))
        return maps.mean((2, 3))


def build(*, num_classes: int, image_shape: tuple[int, ...]) -> nn.Module:
    """Return a ResNet-20; it has no options."""
    return ResNet20(image_shape[0], num_classes)

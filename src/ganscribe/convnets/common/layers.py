"""What several networks are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import nn


class Classifier(nn.Module, ABC):
    """A network that ends in one linear layer, `classifier`: (N, C, H, W) -> scores (N, num_classes)."""

    classifier: nn.Linear

    @abstractmethod
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, features)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images))


class PlainNetwork(Classifier):
    """Convolutions, then hidden linear layers, then the classifier: nothing runs past anything else."""

    convolutions: nn.Sequential
    hidden: nn.Sequential

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, features)."""
        features: torch.Tensor = self.hidden(self.convolutions(pad_to_32(images)).flatten(1))
        return features


def pad_to_32(images: torch.Tensor) -> torch.Tensor:
    """Zero padding of (N, C, 28, 28) to (N, C, 32, 32); images of 32 pixels stay as they are."""
    return F.pad(images, [(32 - images.shape[-1]) // 2] * 4)


def conv_norm_relu(channels: int, filters: int, size: int) -> nn.Sequential:
    """A convolution that keeps the image's size, without bias, then batch norm and ReLU."""
    convolution = nn.Conv2d(channels, filters, size, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU(inplace=True))


def norm_relu_conv(channels: int, filters: int, size: int) -> nn.Sequential:
    """Batch norm and ReLU, then a convolution that keeps the image's size, without bias."""
    convolution = nn.Conv2d(channels, filters, size, padding=size // 2, bias=False)
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), convolution)


@torch.no_grad()
def initialise(model: nn.Module) -> None:
    """He et al. 2015 (1502.01852), eq. 10, for every convolution and hidden linear layer; zero biases.

    The last linear layer, `classifier`, keeps torch's own.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and name != "classifier"):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class VGG(PlainNetwork):
    """VGG (Simonyan and Zisserman 2014, 1409.1556) for 32 pixels, with batch norm; no convolution has a bias.

    | layer, with a, b, c, d, e of `column` | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | a times conv 64 3x3, norm, ReLU; maxpool 2 | (64, 16, 16) |
    | b times conv 128 3x3, norm, ReLU; maxpool 2 | (128, 8, 8) |
    | c times conv 256 3x3, norm, ReLU; maxpool 2 | (256, 4, 4) |
    | d times conv 512 3x3, norm, ReLU; maxpool 2 | (512, 2, 2) |
    | e times conv 512 3x3, norm, ReLU; maxpool 2 | (512, 1, 1) |
    | FC 512, ReLU, dropout, FC 512, ReLU, dropout | (512,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int, *, column: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for filters, count in zip((64, 128, 256, 512, 512), column, strict=True):
            for _ in range(count):
                layers.append(conv_norm_relu(channels, filters, 3))
                channels = filters
            layers.append(nn.MaxPool2d(2))
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(512, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        self.classifier = nn.Linear(512, num_classes)
        initialise(self)

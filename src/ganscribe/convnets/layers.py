"""What several networks of the zoo are made of."""

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

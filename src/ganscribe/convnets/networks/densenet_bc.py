"""DenseNet-BC (Huang et al. 2016, 1608.06993, section 3): bottlenecks of 4k and compression of 0.5."""

from __future__ import annotations

import torch
from torch import nn

from ganscribe.convnets.common.layers import Classifier, initialise, norm_relu_conv, pad_to_32


class DenseLayer(nn.Module):
    """norm-ReLU-conv 4k 1x1, norm-ReLU-conv k 3x3, beside its input."""

    def __init__(self, channels: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.new = nn.Sequential(
            norm_relu_conv(channels, 4 * growth, 1),
            nn.Dropout(dropout),
            norm_relu_conv(4 * growth, growth, 3),
            nn.Dropout(dropout),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([maps, self.new(maps)], dim=1)


class DenseNetBC(Classifier):
    """DenseNet-BC for 32 pixels with n `layers` in each block, `growth` k, depth L = 6n + 4.

    L = 100 and k = 12 give 0.8M parameters.

    | layer | output for L = 100, k = 12 |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 2k 3x3 | (24, 32, 32) |
    | n times: norm, ReLU, conv 4k 1x1, norm, ReLU, conv k 3x3, concatenated | (216, 32, 32) |
    | norm, ReLU, conv to half the channels 1x1, average pooling 2 | (108, 16, 16) |
    | n times the same | (300, 16, 16) |
    | norm, ReLU, conv to half the channels 1x1, average pooling 2 | (150, 8, 8) |
    | n times the same | (342, 8, 8) |
    | norm, ReLU, global average pooling | (342,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int, *, layers: int, growth: int, dropout: float) -> None:
        super().__init__()
        blocks: list[nn.Module] = [nn.Conv2d(channels, 2 * growth, 3, padding=1, bias=False)]
        channels = 2 * growth
        for block in range(3):
            if block:
                blocks += [norm_relu_conv(channels, channels // 2, 1), nn.Dropout(dropout), nn.AvgPool2d(2)]
                channels //= 2
            for _ in range(layers):
                blocks.append(DenseLayer(channels, growth, dropout))
                channels += growth
        self.blocks = nn.Sequential(*blocks, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 342) for L = 100, averages of ReLUs."""
        maps: torch.Tensor = self.blocks(pad_to_32(images))
        return maps.mean((2, 3))


def build(
    *,
    num_classes: int,
    image_shape: tuple[int, ...],
    depth: int = 100,
    growth: int = 12,
    dropout: float = 0.0,
) -> nn.Module:
    """Return a DenseNet-BC of `depth` L with `growth` k.

    `dropout` comes after each convolution but the first: 0.2 in the paper where no augmentation is used.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth {depth} of densenet_bc must be 6n + 4 with n >= 1")
    return DenseNetBC(image_shape[0], num_classes, layers=(depth - 4) // 6, growth=growth, dropout=dropout)

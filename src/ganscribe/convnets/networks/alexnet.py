"""AlexNet (Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks")."""

from __future__ import annotations

from torch import nn

from ganscribe.convnets.common.layers import PlainNetwork, initialise


class AlexNet(PlainNetwork):
    """AlexNet for 32 pixels in its two branches of 2012, which meet only in the 1st and 3rd convolution.

    | layer | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 64 3x3, ReLU, maxpool 2 | (64, 16, 16) |
    | conv 192 3x3 in two groups, ReLU, maxpool 2 | (192, 8, 8) |
    | conv 384 3x3, ReLU | (384, 8, 8) |
    | conv 256 3x3 in two groups, ReLU | (256, 8, 8) |
    | conv 256 3x3 in two groups, ReLU, maxpool 2 | (256, 4, 4) |
    | dropout, FC 1024, ReLU, dropout, FC 1024, ReLU | (1024,) |
    | FC num_classes | (num_classes,) |
    """

    def __init__(self, channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for filters, groups, is_pooled in (
            (64, 1, True),
            (192, 2, True),
            (384, 1, False),
            (256, 2, False),
            (256, 2, True),
        ):
            layers += [nn.Conv2d(channels, filters, 3, padding=1, groups=groups), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(2)] if is_pooled else []
            channels = filters
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 4 * 4, 1024),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(1024, num_classes)
        initialise(self)


def build(*, num_classes: int, image_shape: tuple[int, ...], dropout: float = 0.5) -> nn.Module:
    """Return an AlexNet; `dropout` of the inputs of both hidden linear layers."""
    return AlexNet(image_shape[0], num_classes, dropout=dropout)

"""VGG (Simonyan and Zisserman 2014, 1409.1556), columns A and D of its table 1, with batch norm."""

from __future__ import annotations

from torch import nn

from ganscribe.convnets.layers import PlainNetwork, conv_norm_relu, initialise

WIDTHS = (64, 128, 256, 512, 512)
# 3x3 convolutions before each maxpool
COLUMN_A = (1, 1, 2, 2, 2)
COLUMN_D = (2, 2, 3, 3, 3)


class VGG(PlainNetwork):
    """VGG-11 (column A) or VGG-16 (column D) for 32 pixels.

    | layer | A | D | output |
    |---|---|---|---|
    | zero padding of 28 pixels to 32 | | | (C, 32, 32) |
    | conv 64 3x3, norm, ReLU; maxpool 2 | once | twice | (64, 16, 16) |
    | conv 128 3x3, norm, ReLU; maxpool 2 | once | twice | (128, 8, 8) |
    | conv 256 3x3, norm, ReLU; maxpool 2 | twice | 3 times | (256, 4, 4) |
    | conv 512 3x3, norm, ReLU; maxpool 2 | twice | 3 times | (512, 2, 2) |
    | conv 512 3x3, norm, ReLU; maxpool 2 | twice | 3 times | (512, 1, 1) |
    | FC 512, ReLU, dropout, FC 512, ReLU, dropout | | | (512,) |
    | FC num_classes | | | (num_classes,) |

    Convolutions have no bias: batch norm would take it out again.
    """

    def __init__(
        self, *, num_classes: int, image_shape: tuple[int, ...], column: tuple[int, ...], dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = image_shape[0]
        for filters, count in zip(WIDTHS, column, strict=True):
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


def build_vgg11(*, num_classes: int, image_shape: tuple[int, ...], dropout: float = 0.5) -> VGG:
    """Column A."""
    return VGG(num_classes=num_classes, image_shape=image_shape, column=COLUMN_A, dropout=dropout)


def build_vgg16(*, num_classes: int, image_shape: tuple[int, ...], dropout: float = 0.5) -> VGG:
    """Column D."""
    return VGG(num_classes=num_classes, image_shape=image_shape, column=COLUMN_D, dropout=dropout)

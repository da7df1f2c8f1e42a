"""GoogLeNet (Szegedy et al. 2014, 1409.4842), table 1 from inception 3a on, with batch norm."""

from __future__ import annotations

import torch
from torch import nn

from ganscribe.convnets.common.layers import conv_norm_relu, initialise, pad_to_32

# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection: the columns of the paper's table.
BLOCKS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED_AFTER = ("3b", "4e")
AUXILIARY_AFTER = ("4a", "4d")
HEAD_WEIGHTS = (1.0, 0.3, 0.3)  # of the class scores and of the two auxiliary heads in the training loss


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 5x5; maxpool 3x3 and 1x1."""

    def __init__(self, channels: int, columns: tuple[int, ...]) -> None:
        super().__init__()
        one, three_reduced, three, five_reduced, five, pooled = columns
        self.branches = nn.ModuleList(
            [
                conv_norm_relu(channels, one, 1),
                nn.Sequential(
                    conv_norm_relu(channels, three_reduced, 1), conv_norm_relu(three_reduced, three, 3)
                ),
                nn.Sequential(
                    conv_norm_relu(channels, five_reduced, 1), conv_norm_relu(five_reduced, five, 5)
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv_norm_relu(channels, pooled, 1)),
            ]
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


def _auxiliary_head(channels: int, num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool2d(5, stride=3),
        conv_norm_relu(channels, 128, 1),
        nn.Flatten(),
        nn.Linear(128 * 4 * 4, 1024),
        nn.ReLU(inplace=True),
        nn.Dropout(0.7),
        nn.Linear(1024, num_classes),
    )


class GoogLeNet(nn.Module):
    """GoogLeNet for 32 pixels; every convolution without bias, followed by batch norm and ReLU.

    | layer | output |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 192 3x3 | (192, 32, 32) |
    | inception 3a, 3b; maxpool 3x3 stride 2 | (480, 16, 16) |
    | inception 4a, 4b, 4c, 4d, 4e; maxpool 3x3 stride 2 | (832, 8, 8) |
    | inception 5a, 5b | (1024, 8, 8) |
    | global average pooling, dropout | (1024,) |
    | FC num_classes | (num_classes,) |

    Auxiliary heads after 4a and 4d, in training only: average pooling 5x5 stride 3 (4 x 4), conv 128 1x1,
    FC 1024, ReLU, dropout 0.7, FC num_classes.
    """

    def __init__(self, channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.stem = conv_norm_relu(channels, 192, 3)
        self.blocks, self.heads = nn.ModuleDict(), nn.ModuleDict()
        channels = 192
        for name, columns in BLOCKS.items():
            self.blocks[name] = Inception(channels, columns)
            channels = columns[0] + columns[2] + columns[4] + columns[5]
            if name in AUXILIARY_AFTER:
                self.heads[name] = _auxiliary_head(channels, num_classes)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        initialise(self)

    def _run(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The features (N, 1024), and in training the auxiliary heads' class scores."""
        maps, auxiliary = self.stem(pad_to_32(images)), []
        for name, block in self.blocks.items():
            maps = block(maps)
            if self.training and name in self.heads:
                auxiliary.append(self.heads[name](maps))
            if name in POOLED_AFTER:
                maps = self.pool(maps)
        return self.dropout(maps.mean((2, 3))), auxiliary

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 1024), averages of ReLUs."""
        return self._run(images)[0]

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Class scores; in training those of the auxiliary heads too, in the order of `HEAD_WEIGHTS`."""
        features, auxiliary = self._run(images)
        scores: torch.Tensor = self.classifier(features)
        return (scores, *auxiliary) if self.training else scores


def build(*, num_classes: int, image_shape: tuple[int, ...], dropout: float = 0.4) -> nn.Module:
    """Return a GoogLeNet; `dropout` of the input of its last linear layer, 0.4 in the paper."""
    return GoogLeNet(image_shape[0], num_classes, dropout=dropout)

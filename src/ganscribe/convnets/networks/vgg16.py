"""VGG-16 (Simonyan and Zisserman 2014, 1409.1556): column D of table 1, with batch norm."""

from __future__ import annotations

from torch import nn

from ganscribe.convnets.common.layers import VGG

COLUMN = (2, 2, 3, 3, 3)  # 3x3 convolutions before each maxpool


def build(*, num_classes: int, image_shape: tuple[int, ...], dropout: float = 0.5) -> nn.Module:
    """Return a VGG-16; `dropout` of the outputs of both hidden linear layers."""
    return VGG(image_shape[0], num_classes, column=COLUMN, dropout=dropout)

"""CliqueNet (Yang et al. 2018, 1802.10419): in a block each layer is updated from all others, in turn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ganscribe.convnets.common.layers import Classifier, norm_relu_conv, pad_to_32

STEM_FILTERS = 64


def _filters(count: int, filters: int, channels: int, size: int, fan_in: int) -> nn.ParameterList:
    """`count` MSRA-initialised tensors (filters, channels, size, size): He et al. 2015, eq. 10."""
    shape, std = (filters, channels, size, size), (2 / fan_in) ** 0.5
    return nn.ParameterList(nn.Parameter(torch.randn(shape) * std) for _ in range(count))


def _norms(channels: list[int]) -> nn.ModuleList:
    return nn.ModuleList(nn.BatchNorm2d(count) for count in channels)


class CliqueBlock(nn.Module):
    """A block of `layers` layers with `filters` k filters each; sections 3.1 and 3.2, equations 1 and 2.

    Layer j holds W_0j, `input_filters[j]` (k, channels, s, s), and the W_ij of all other layers i in order,
    side by side: `pair_filters[j]` (k, (layers - 1) k, s, s). Both stages use them. Without `bottleneck` they
    are 3x3; with it they are 1x1, and each layer has a 3x3 convolution after it, the same in both stages.
    Every layer has batch norms of its own in each stage.
    """

    def __init__(self, channels: int, *, filters: int, layers: int, bottleneck: bool, dropout: float) -> None:
        super().__init__()
        self.filters, self.layers, self.dropout = filters, layers, dropout
        self.size = 1 if bottleneck else 3

        area = self.size**2
        self.input_filters = _filters(layers, filters, channels, self.size, channels * area)
        # MSRA with the fan-in of one W_ij alone, however many lie side by side.
        self.pair_filters = _filters(layers, filters, (layers - 1) * filters, self.size, filters * area)
        self.norms_1 = _norms([channels + j * filters for j in range(layers)])
        self.norms_2 = _norms([(layers - 1) * filters] * layers)
        count = layers if bottleneck else 0
        self.last_filters = _filters(count, filters, filters, 3, filters * 9)
        self.last_norms_1, self.last_norms_2 = _norms([filters] * count), _norms([filters] * count)

    def _update(
        self, j: int, inputs: list[torch.Tensor], weight: torch.Tensor, norm: nn.Module, last: nn.ModuleList
    ) -> torch.Tensor:
        """BN-ReLU-conv-dropout, with a bottleneck twice: layer j's new value (N, k, H, W)."""
        maps = F.conv2d(F.relu(norm(torch.cat(inputs, dim=1))), weight, padding=self.size // 2)
        maps = F.dropout(maps, self.dropout, self.training)
        if last:
            maps = F.conv2d(F.relu(last[j](maps)), self.last_filters[j], padding=1)
            maps = F.dropout(maps, self.dropout, self.training)
        return maps

    def forward(self, block_input: torch.Tensor) -> torch.Tensor:
        """X0 (N, channels, H, W) -> the outputs of stage II, layer by layer (N, layers k, H, W)."""
        values: list[torch.Tensor] = []
        for j in range(self.layers):  # stage I: from X0 and the layers before
            weight = torch.cat([self.input_filters[j], self.pair_filters[j][:, : j * self.filters]], dim=1)
            values.append(self._update(j, [block_input, *values], weight, self.norms_1[j], self.last_norms_1))
        for j in range(self.layers):  # stage II: from the newest version of every other layer
            others = values[:j] + values[j + 1 :]
            values[j] = self._update(j, others, self.pair_filters[j], self.norms_2[j], self.last_norms_2)
        return torch.cat(values, dim=1)


class Attention(nn.Module):
    """Channel-wise scaling of the attentional transition: pooling, FC C/2, ReLU, FC C, sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, channels // 2),
            nn.ReLU(inplace=True),
            nn.Linear(channels // 2, channels),
            nn.Sigmoid(),
        )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.gate(maps.mean((2, 3)))[:, :, None, None]


class CliqueNet(Classifier):
    """CliqueNet for 32 pixels: `k` filters in each layer, `layers` in each of the three blocks.

    | layer | output for k = 36, T = 12 |
    |---|---|
    | zero padding of 28 pixels to 32 | (C, 32, 32) |
    | conv 64 3x3 | X0 of block 1: (64, 32, 32) |
    | clique block of T/3 layers | stage II: (144, 32, 32) |
    | of stage II: norm, ReLU, conv 144 1x1, dropout, (A: attention), average pooling 2 | (144, 16, 16) |
    | clique block, transition | (144, 8, 8) |
    | clique block | (144, 8, 8) |
    | of [X0, stage II] of each block: (C: norm, ReLU, conv to half 1x1), norm, ReLU, pooling | (784,) |
    | FC num_classes | (num_classes,) |

    No convolution has a bias. Filters start as MSRA's, the last layer as Xavier's.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        k: int,
        layers: int,
        attentional_transition: bool,
        compression: bool,
        bottleneck: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, STEM_FILTERS, 3, padding=1, bias=False)
        width, channels, num_features = layers * k, STEM_FILTERS, 0
        self.blocks, self.transitions, self.readouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for block in range(3):
            self.blocks.append(
                CliqueBlock(channels, filters=k, layers=layers, bottleneck=bottleneck, dropout=dropout)
            )
            read = channels + width
            halved = [norm_relu_conv(read, read // 2, 1), nn.Dropout(dropout)] if compression else []
            read = read // 2 if compression else read
            self.readouts.append(nn.Sequential(*halved, nn.BatchNorm2d(read), nn.ReLU(inplace=True)))
            num_features += read
            if block < 2:
                attention = [Attention(width)] if attentional_transition else []
                self.transitions.append(
                    nn.Sequential(
                        norm_relu_conv(width, width, 1), nn.Dropout(dropout), *attention, nn.AvgPool2d(2)
                    )
                )
            channels = width
        self.classifier = nn.Linear(num_features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the last linear layer: (N, C, H, W) -> (N, 784) by default, averages of ReLUs."""
        maps, pooled = self.stem(pad_to_32(images)), []
        for index, block in enumerate(self.blocks):
            refined = block(maps)
            pooled.append(self.readouts[index](torch.cat([maps, refined], dim=1)).mean((2, 3)))
            if index < len(self.transitions):
                maps = self.transitions[index](refined)
        return torch.cat(pooled, dim=1)


def build(
    *,
    num_classes: int,
    image_shape: tuple[int, ...],
    k: int = 36,
    T: int = 12,
    attentional_transition: bool = False,
    compression: bool = False,
    bottleneck: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """Return a CliqueNet with `k` filters in each layer and `T` layers in the three blocks together.

    `attentional_transition` is A, `compression` C, `bottleneck` B of the paper (then T counts the 1x1
    convolutions too, so that a block has T/6 layers); `dropout` is 0.2 where no augmentation is used.
    """
    multiple = 6 if bottleneck else 3
    if T % multiple or T // multiple < 2:
        raise ValueError(f"T {T} of cliquenet must be a multiple of {multiple}, at least {2 * multiple}")
    return CliqueNet(
        image_shape[0],
        num_classes,
        k=k,
        layers=T // multiple,
        attentional_transition=attentional_transition,
        compression=compression,
        bottleneck=bottleneck,
        dropout=dropout,
    )

"""Networks written out once more, layer by layer, as functions of the weights in the order in which a network has them.

Counts say nothing of a layer without parameters: which pooling, where a ReLU, before or after the norm.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gans
from ganscribe import convnets


class Weights:
    """Takes a network's weights one after another; a layer's input comes first, the name says what follows it."""

    def __init__(self, model: nn.Module) -> None:
        state = model.state_dict().items()
        self.values = [value for key, value in state if not key.endswith("num_batches_tracked")][::-1]

    def _take(self, count: int) -> list[Tensor]:
        return [self.values.pop() for _ in range(count)]

    def conv(
        self, maps: Tensor, *, bias: bool = False, stride: int = 1, groups: int = 1, is_padded: bool = True
    ) -> Tensor:
        """A convolution of odd size, padded so that stride 1 keeps the maps' size, or not at all."""
        weight, *biases = self._take(1 + bias)
        padding = weight.shape[-1] // 2 if is_padded else 0
        return F.conv2d(maps, weight, *biases, stride=stride, padding=padding, groups=groups)

    def conv_transpose(self, maps: Tensor, *, stride: int = 2, padding: int = 0) -> Tensor:
        """A transposed convolution, which has biases."""
        return F.conv_transpose2d(maps, *self._take(2), stride=stride, padding=padding)

    def norm(self, maps: Tensor) -> Tensor:
        """Batch norm by running statistics."""
        weight, bias, mean, variance = self._take(4)
        return F.batch_norm(maps, mean, variance, weight, bias)

    def conv_norm_relu(self, maps: Tensor, *, stride: int = 1) -> Tensor:
        return F.relu(self.norm(self.conv(maps, stride=stride)))

    def norm_relu_conv(self, maps: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(maps)))

    def linear(self, values: Tensor) -> Tensor:
        return F.linear(values, *self._take(2))

    def linear_relu(self, values: Tensor) -> Tensor:
        return F.relu(self.linear(values))


def vgg(column: list[list[int]], weights: Weights, maps: Tensor) -> Tensor:
    """The features of a column of the paper's table 1."""
    for widths in column:
        for _ in widths:
            maps = weights.conv_norm_relu(maps)
        maps = F.max_pool2d(maps, 2)
    return weights.linear_relu(weights.linear_relu(maps.flatten(1)))


Written = Callable[[Weights, Tensor], Tensor]


def check(network: nn.Module, compute: Callable[[Tensor], Tensor], inputs: Tensor, written: Written) -> None:
    """Compare what `compute`, a part of `network`, makes of `inputs` in evaluation mode with what `written` does."""
    for module in network.eval().modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                nn.init.uniform_(values, low, low + 1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.no_grad():
        expected = written(Weights(network), inputs)
        torch.testing.assert_close(compute(inputs), expected, rtol=1e-4, atol=1e-4)


def check_features(name: str, features: Written) -> None:
    """Compare what the network `name` gives its last linear layer with `features` of 32 x 32 pixels."""
    torch.manual_seed(0)
    model = convnets.build(name, num_classes=10, image_shape=(3, 32, 32))
    check(model, model.features, torch.randn(2, 3, 32, 32), features)


def check_pair(name: str, generator: Written, discriminator: Written) -> None:
    """Compare the images and the scores of the GAN networks `name`, of 28 x 28 pixels."""
    inputs = {"generator": torch.randn(3, gans.NOISE), "discriminator": torch.randn(3, *gans.MNIST)}
    for part, written in (("generator", generator), ("discriminator", discriminator)):
        network = gans.build(name, part)
        check(network, network, inputs[part], written)

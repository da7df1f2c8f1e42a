"""The DCGAN whose critic has batch norm is the DCGAN except for that, and has it after the listed layers."""

from __future__ import annotations

import gans
from ganscribe.training.cost import count_parameters

# (inputs, outputs, kernel area) of every layer with weights and biases, and the widths of batch norms.
LAYERS = [(1, 32, 25), (32, 64, 25), (4 * 4 * 64, 1024, 1), (1024, 1, 1)]
NORMS = [64, 1024]


def test_parameter_counts_are_the_layer_list_s() -> None:
    found = count_parameters(gans.build("dcgan_bn", "discriminator"))
    assert found == gans.layer_parameters(LAYERS, NORMS) == 1102721 + 2 * (64 + 1024)
    assert count_parameters(gans.build("dcgan_bn", "generator")) == 6580801


def test_the_norms_stand_between_a_layer_and_its_leaky_relu() -> None:
    kinds = [type(layer).__name__ for layer in gans.build("dcgan_bn", "discriminator").children()]
    assert kinds == [
        *("Conv2d", "LeakyReLU", "MaxPool2d"),
        *("Conv2d", "BatchNorm2d", "LeakyReLU", "MaxPool2d", "Flatten"),
        *("Linear", "BatchNorm1d", "LeakyReLU", "Linear", "Flatten"),
    ]
    plain = [type(layer).__name__ for layer in gans.build("dcgan", "discriminator").children()]
    assert [kind for kind in kinds if not kind.startswith("BatchNorm")] == plain


def test_it_starts_as_the_dcgan_does() -> None:
    for part in ("generator", "discriminator"):
        ours, plain = (
            [value for value in gans.build(name, part).parameters() if value.ndim > 1]
            for name in ("dcgan_bn", "dcgan")
        )
        assert gans.same(ours, plain)

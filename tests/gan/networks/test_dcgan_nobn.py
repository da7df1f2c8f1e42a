"""The DCGAN without batch norm is the DCGAN except for that."""

from __future__ import annotations

import gans
from ganscribe.training.cost import count_parameters


def test_only_the_batch_norm_is_missing() -> None:
    for part in ("generator", "discriminator"):
        kinds = [
            [type(layer).__name__ for layer in gans.build(name, part).children()]
            for name in ("dcgan", "dcgan_nobn")
        ]
        assert [kind for kind in kinds[0] if not kind.startswith("BatchNorm")] == kinds[1]


def test_parameter_counts_are_the_dcgan_s_less_those_of_its_norms() -> None:
    layers = [(gans.NOISE, 1024, 1), (1024, 7 * 7 * 128, 1), (128, 64, 16), (64, 1, 16)]
    assert count_parameters(gans.build("dcgan_nobn", "generator")) == gans.layer_parameters(layers, [])
    assert count_parameters(gans.build("dcgan_nobn", "discriminator")) == 1102721

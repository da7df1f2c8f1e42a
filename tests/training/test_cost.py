"""What a network costs, counted by hand."""

from __future__ import annotations

from torch import nn

from ganscribe.training.cost import count_flops, count_parameters

NETWORK = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 4, 5))


def test_parameters_that_train_are_counted() -> None:
    assert count_parameters(NETWORK) == 3 * (2 * 9 + 1) + 5 * (48 + 1)
    frozen = nn.Linear(7, 2)
    frozen.weight.requires_grad_(False)
    assert count_parameters(frozen) == 2


def test_a_multiplication_and_its_addition_are_two_operations() -> None:
    convolution, linear = 4 * 4 * 3 * 2 * 9, 48 * 5
    assert count_flops(NETWORK, (2, 6, 6)) == 2 * (convolution + linear)

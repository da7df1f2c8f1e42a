"""The clipped critic against Arjovsky et al. 2017, and its warm-up against the authors' code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganscribe.gan.common.objective import plan_updates
from ganscribe.gan.objectives import build_objective
from scores import FAKE, REAL, critic_loss, generator_loss


def test_losses_are_equation_2_of_arjovsky() -> None:
    loss = critic_loss("wgan")
    assert loss == pytest.approx(FAKE.mean() - REAL.mean(), rel=1e-9)
    assert build_objective("wgan").estimates["wasserstein_estimate"](loss) == -loss
    assert generator_loss("wgan") == pytest.approx(-FAKE.mean(), rel=1e-9)


def test_the_clamp_bounds_every_parameter_and_moves_no_other() -> None:
    network = nn.Linear(3, 2)
    values = torch.tensor([[0.5, -0.02, 0.009], [-0.009, 0.01, -7.0]])
    with torch.no_grad():
        network.weight.copy_(values)
        network.bias.copy_(torch.tensor([0.02, 0.0]))
    build_objective("wgan").constrain(network)
    assert torch.equal(network.weight, torch.tensor([[0.01, -0.01, 0.009], [-0.009, 0.01, -0.01]]))
    assert torch.equal(network.bias, torch.tensor([0.01, 0.0]))
    build_objective("wgan", clip=0.005).constrain(network)
    assert network.weight.abs().max().item() == pytest.approx(0.005)


def test_the_critic_is_trained_longer_at_first_and_at_each_500th_step() -> None:
    plan = plan_updates(build_objective("wgan"), steps=3000, critic_steps=5, max_updates=None)
    assert plan[:25] == [100] * 25
    assert [step for step in range(25, 3000) if plan[step] == 100] == [500, 1000, 1500, 2000, 2500]
    assert set(plan[25:]) == {5, 100} and len(plan) == 3000


def test_a_cap_shortens_the_warm_up() -> None:
    plan = plan_updates(build_objective("wgan"), steps=3000, critic_steps=5, max_updates=1785)  # a tenth
    assert 1700 < sum(plan) <= 1785
    assert plan[:4] == [10, 10, 10, 5] and plan[50] == plan[100] == 10 and plan[51] == 5

"""The gradient penalty against critics whose gradients are known: Gulrajani et al. 2017, equation 3."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganscribe.gan.common.objective import plan_updates
from ganscribe.gan.objectives import build_objective
from ganscribe.gan.objectives.wgan_gp import gradient_norm_penalty
from scores import critic_loss, generator_loss, half_square, linear_critic


def test_losses_are_the_clipped_critic_s() -> None:
    assert critic_loss("wgan_gp") == critic_loss("wgan")
    assert generator_loss("wgan_gp") == generator_loss("wgan")
    assert list(build_objective("wgan_gp").estimates) == ["wasserstein_estimate"]


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    real, fake = torch.randn(5, 1, 3, 3), torch.randn(5, 1, 3, 3)
    for penalty in (gradient_norm_penalty, build_objective("wgan_gp").penalty):
        value = penalty(linear_critic, real, fake, torch.Generator())
        assert value.item() == pytest.approx(10 * (0.5 * 3 - 1) ** 2, rel=1e-6)
    lighter = build_objective("wgan_gp", gradient_penalty=2.0).penalty
    assert float(lighter(linear_critic, real, fake, torch.Generator())) == pytest.approx(0.5, rel=1e-6)


def test_the_penalty_is_taken_between_real_and_generated_one_mixture_for_each_image() -> None:
    real, fake = torch.ones(4000, 1, 2, 2), torch.zeros(4000, 1, 2, 2)
    seen: list[Tensor] = []

    def watched(images: Tensor) -> Tensor:
        seen.append(images.detach().flatten(1))
        return half_square(images)

    penalty = gradient_norm_penalty(watched, real, fake, torch.Generator().manual_seed(0))
    mixtures = seen[0]
    assert (mixtures == mixtures[:, :1]).all() and mixtures.min() >= 0 and mixtures.max() <= 1
    # |x_hat| = 2 e with e uniform in [0, 1]: E (2e - 1)^2 = 1/3
    assert penalty.item() == pytest.approx(10 / 3, rel=0.05)


def test_the_penalty_s_gradient_reaches_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.randn(4, 1, 1, 1)
    gradient_norm_penalty(lambda x: weight * x.flatten(1).sum(1), real, real, torch.Generator()).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * 10 * (3 - 1), rel=1e-6)  # d/dw 10 (w - 1)^2


def test_the_critic_s_weights_are_free_and_it_needs_no_warm_up() -> None:
    objective, network = build_objective("wgan_gp"), torch.nn.Linear(3, 1)
    before = network.weight.clone()
    objective.constrain(network)
    assert torch.equal(network.weight, before)
    assert plan_updates(objective, steps=9, critic_steps=5, max_updates=None) == [5] * 9

"""The Wasserstein GAN with gradient penalty: Gulrajani et al. 2017 (1704.00028)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ganscribe.gan.common.losses import (
    WASSERSTEIN_ESTIMATES,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from ganscribe.gan.common.objective import Critic, Objective
from ganscribe.training import workers

GRADIENT_PENALTY = 10.0  # Gulrajani et al. 2017, algorithm 1


def gradient_norm_penalty(
    critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator, weight: float = GRADIENT_PENALTY
) -> Tensor:
    """weight E (||grad f(x_hat)||_2 - 1)^2 for (N, ...) images, Gulrajani et al. 2017 (1704.00028), eq. 3.

    x_hat = e x + (1 - e) G(z), with one e for each image, uniform in [0, 1).
    """
    shape = (workers.count() * len(real),) + (1,) * (real.ndim - 1)
    mixture = workers.share(torch.rand(shape, generator=rng, device=real.device))
    between = torch.lerp(fake, real, mixture).requires_grad_(True)
    # In the run's precision and without compilation: double backward does not compile.
    (gradient,) = torch.autograd.grad(critic(between).float().sum(), between, create_graph=True)
    return weight * (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()


def build(*, gradient_penalty: float = GRADIENT_PENALTY) -> Objective:
    """Build the objective. `gradient_penalty`: the weight of the penalty, lambda."""
    if gradient_penalty <= 0:
        raise ValueError(f"gradient_penalty {gradient_penalty} must be above 0")
    return Objective(
        wasserstein_critic_loss,
        wasserstein_generator_loss,
        penalty=partial(gradient_norm_penalty, weight=gradient_penalty),
        estimates=WASSERSTEIN_ESTIMATES,
    )

"""Least squares: Mao et al. 2016 (1611.04076), equation 9."""

from __future__ import annotations

from torch import Tensor

from ganscribe.gan.common.losses import penalty_of
from ganscribe.gan.common.objective import Objective


def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (real_scores - 1).square().mean() + 0.5 * fake_scores.square().mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """1/2 E (D(G(z)) - 1)^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (fake_scores - 1).square().mean()


def build(*, r1_penalty: float = 0.0, r2_penalty: float = 0.0) -> Objective:
    """Build the objective. `r1_penalty`, `r2_penalty`: see `penalty_of`."""
    return Objective(critic_loss, generator_loss, penalty=penalty_of(r1_penalty, r2_penalty))

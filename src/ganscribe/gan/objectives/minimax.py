"""The minimax game of Goodfellow et al. 2014 (1406.2661), equation 1, whose generator's loss saturates."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn.functional import softplus

from ganscribe.gan.common.losses import (
    BCE_ESTIMATES,
    bce_critic_loss,
    check_share,
    instance_noise_of,
    penalty_of,
)
from ganscribe.gan.common.objective import Objective


def generator_loss(fake_scores: Tensor) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1: saturates where D is sure."""
    return -softplus(fake_scores).mean()


def build(
    *,
    label_smoothing: float = 0.0,
    instance_noise: float = 0.0,
    r1_penalty: float = 0.0,
    r2_penalty: float = 0.0,
) -> Objective:
    """Build the objective.

    `label_smoothing` s: the critic's target for real images is 1 - s (Salimans et al. 2016, 1606.03498);
    `instance_noise`: see `annealed_noise`; `r1_penalty`, `r2_penalty`: see `penalty_of`.
    """
    check_share("label_smoothing", label_smoothing)
    return Objective(
        partial(bce_critic_loss, label_smoothing=label_smoothing),
        generator_loss,
        penalty=penalty_of(r1_penalty, r2_penalty),
        perturb=instance_noise_of(instance_noise),
        estimates=BCE_ESTIMATES,
    )

"""The "-log D" trick of Goodfellow et al. 2014 (1406.2661), section 3: a loss that does not saturate."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ganscribe.gan.common.losses import (
    BCE_ESTIMATES,
    bce_critic_loss,
    check_share,
    instance_noise_of,
    penalty_of,
)
from ganscribe.gan.common.objective import Objective


def generator_loss(fake_scores: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(G(z)), Goodfellow et al. 2014 (1406.2661), section 3.

    With `label_smoothing` s the target is 1 - s instead of 1, as some tutorials have it.
    """
    targets = torch.full_like(fake_scores, 1.0 - label_smoothing)
    return binary_cross_entropy_with_logits(fake_scores, targets)


def build(
    *,
    label_smoothing: float = 0.0,
    generator_smoothing: float = 0.0,
    instance_noise: float = 0.0,
    r1_penalty: float = 0.0,
    r2_penalty: float = 0.0,
) -> Objective:
    """Build the objective.

    `label_smoothing` s: the critic's target for real images is 1 - s (Salimans et al. 2016, 1606.03498);
    `generator_smoothing`: the generator's target likewise; `instance_noise`: see `annealed_noise`;
    `r1_penalty`, `r2_penalty`: see `penalty_of`.
    """
    check_share("label_smoothing", label_smoothing)
    check_share("generator_smoothing", generator_smoothing)
    return Objective(
        partial(bce_critic_loss, label_smoothing=label_smoothing),
        partial(generator_loss, label_smoothing=generator_smoothing),
        penalty=penalty_of(r1_penalty, r2_penalty),
        perturb=instance_noise_of(instance_noise),
        estimates=BCE_ESTIMATES,
    )

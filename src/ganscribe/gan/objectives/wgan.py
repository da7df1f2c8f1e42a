"""The Wasserstein GAN with a clipped critic: Arjovsky et al. 2017 (1701.07875)."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from ganscribe.gan.common.losses import (
    WASSERSTEIN_ESTIMATES,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from ganscribe.gan.common.objective import Objective

CLIP = 0.01  # Arjovsky et al. 2017, algorithm 1
WARM_UP_STEPS, WARM_UP_EVERY, WARM_UP_UPDATES = 25, 500, 100


@torch.no_grad()
def clamp_parameters(critic: nn.Module, clip: float = CLIP) -> None:
    """Clamp the critic's parameters to [-clip, clip], Arjovsky et al. 2017 (1701.07875), algorithm 1."""
    for weight in critic.parameters():
        weight.clamp_(-clip, clip)


def warm_up_steps(step: int, critic_steps: int, share: float) -> int:
    """100 critic updates before each of the first 25 generator steps and of every 500th, else `critic_steps`.

    So does the authors' code of Arjovsky et al. 2017 (1701.07875): the critic is first brought near its
    optimum. All three numbers shrink with `share`, the part of the full budget that the run may use.
    """
    every = max(1, round(WARM_UP_EVERY * share))
    if step < WARM_UP_STEPS * share or step % every == 0:
        return max(critic_steps, round(WARM_UP_UPDATES * share))
    return critic_steps


def build(*, clip: float = CLIP) -> Objective:
    """Build the objective. `clip`: the bound of the critic's parameters."""
    if clip <= 0:
        raise ValueError(f"clip {clip} must be above 0")
    return Objective(
        wasserstein_critic_loss,
        wasserstein_generator_loss,
        constrain=partial(clamp_parameters, clip=clip),
        critic_steps=warm_up_steps,
        estimates=WASSERSTEIN_ESTIMATES,
    )

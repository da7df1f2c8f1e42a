"""Relativistic pairing: Jolicoeur-Martineau 2018 (1807.00734), section 4.1.

With R1 and R2 it is the loss of R3GAN, Huang et al. 2024 (2501.05441), section 2.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ganscribe.gan.common.losses import penalty_of
from ganscribe.gan.common.objective import Objective


def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E softplus(-(D(x) - D(G(z)))), Jolicoeur-Martineau 2018 (1807.00734), section 4.1; log 2 for a blind D.

    The real image of a row is paired with the generated one of the same row.
    """
    return softplus(fake_scores - real_scores).mean()


def generator_loss(fake_scores: Tensor, real_scores: Tensor) -> Tensor:
    """E softplus(-(D(G(z)) - D(x))) over pairs by rows, Jolicoeur-Martineau 2018 (1807.00734), section 4.1."""
    return softplus(real_scores - fake_scores).mean()


def build(*, r1_penalty: float = 0.0, r2_penalty: float = 0.0) -> Objective:
    """Build the objective. `r1_penalty`, `r2_penalty`: see `penalty_of`."""
    return Objective(
        critic_loss, generator_loss, generator_sees_real=True, penalty=penalty_of(r1_penalty, r2_penalty)
    )

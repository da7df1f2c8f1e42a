"""The hinge loss: Lim and Ye 2017 (1705.02894); Miyato et al. 2018 (1802.05957), equations 16 and 17."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ganscribe.gan.common.losses import penalty_of
from ganscribe.gan.common.objective import Objective


def critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))), Miyato et al. 2018 (1802.05957), eq. 16 with its sign turned."""
    return relu(1 - real_scores).mean() + relu(1 + fake_scores).mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """-E D(G(z)), Miyato et al. 2018 (1802.05957), eq. 17."""
    return -fake_scores.mean()


def build(*, r1_penalty: float = 0.0, r2_penalty: float = 0.0) -> Objective:
    """Build the objective. `r1_penalty`, `r2_penalty`: see `penalty_of`."""
    return Objective(critic_loss, generator_loss, penalty=penalty_of(r1_penalty, r2_penalty))

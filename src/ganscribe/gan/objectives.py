"""What the two players minimise, as data: one `Objective` a name, chosen by the run's parameters.

Scores are raw network outputs, shape (N,) or (N, 1), without a sigmoid. Losses are means over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

Critic = Callable[[Tensor], Tensor]


def no_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """No penalty on the critic: zero."""
    return torch.zeros((), device=real.device)


def no_constraint(critic: nn.Module) -> None:
    """No constraint on the critic's parameters."""


def constant_steps(step: int, critic_steps: int, share: float) -> int:
    """The same number of critic updates before every generator update."""
    return critic_steps


@dataclass(frozen=True)
class Objective:
    """A two-player objective. The training loop calls all of it and asks for none of it by name.

    `critic_loss(real_scores, fake_scores)` and `generator_loss(fake_scores)` return scalars;
    `penalty(critic, real, fake, rng)` is added to the critic's loss; `constrain(critic)` runs after each of
    its updates; `critic_steps(step, critic_steps, share)` is the number of its updates before generator step
    `step` (from 0), `share` the part of the full budget that the run may use; `estimates` are the distances
    that the critic's loss (without the penalty) stands for.
    """

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    penalty: Callable[[Critic, Tensor, Tensor, torch.Generator], Tensor] = no_penalty
    constrain: Callable[[nn.Module], None] = no_constraint
    critic_steps: Callable[[int, int, float], int] = constant_steps
    estimates: Mapping[str, Callable[[float], float]] = field(default_factory=dict)


def bce_critic_loss(real_scores: Tensor, fake_scores: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1; 2 log 2 for a blind D.

    With `label_smoothing` s the real images' target is 1 - s instead of 1 (Salimans et al. 2016, 1606.03498).
    """
    targets = torch.full_like(real_scores, 1.0 - label_smoothing)
    return binary_cross_entropy_with_logits(real_scores, targets) + softplus(fake_scores).mean()


def nonsaturating_generator_loss(fake_scores: Tensor) -> Tensor:
    """-E log D(G(z)), the "-log D" trick of Goodfellow et al. 2014 (1406.2661), section 3."""
    return softplus(-fake_scores).mean()


def minimax_generator_loss(fake_scores: Tensor) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1: saturates where D is sure."""
    return -softplus(fake_scores).mean()


def lsgan_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (real_scores - 1).square().mean() + 0.5 * fake_scores.square().mean()


def lsgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """1/2 E (D(G(z)) - 1)^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (fake_scores - 1).square().mean()


def jensen_shannon_estimate(critic_loss: float) -> float:
    """log 2 - (D loss) / 2: the Jensen-Shannon divergence, in nats, that an optimal D's loss stands for."""
    return math.log(2) - critic_loss / 2


BCE_ESTIMATES = {"jsd_estimate": jensen_shannon_estimate}

OBJECTIVES = {
    "nonsaturating": Objective(bce_critic_loss, nonsaturating_generator_loss, estimates=BCE_ESTIMATES),
    "minimax": Objective(bce_critic_loss, minimax_generator_loss, estimates=BCE_ESTIMATES),
    "lsgan": Objective(lsgan_critic_loss, lsgan_generator_loss),
}


def build_objective(name: str, *, label_smoothing: float = 0.0) -> Objective:
    """The objective `name`, its real target lowered by `label_smoothing`.

    Raises ValueError for an unknown name, and for smoothing on an objective without cross-entropy.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective {name!r} is unknown: choose one of {', '.join(sorted(OBJECTIVES))}")
    objective = OBJECTIVES[name]
    if label_smoothing == 0:
        return objective
    if objective.critic_loss is not bce_critic_loss:
        raise ValueError(
            f"label_smoothing {label_smoothing} has no meaning for the objective {name!r}: set it to 0 "
            "or choose nonsaturating or minimax"
        )
    return replace(objective, critic_loss=partial(bce_critic_loss, label_smoothing=label_smoothing))


def plan_updates(
    objective: Objective, *, steps: int, critic_steps: int, max_updates: int | None
) -> list[int]:
    """The number of critic updates before each generator step, one entry a generator step.

    `max_updates` caps the updates of either network: where the full plan has more, the objective learns
    which share of it fits (so that a warm-up shrinks with it) and the plan ends where the cap is reached.
    """
    full = [objective.critic_steps(step, critic_steps, 1.0) for step in range(steps)]
    if max_updates is None or max(steps, sum(full)) <= max_updates:
        return full
    share = max_updates / max(steps, sum(full))
    plan: list[int] = []
    left = max_updates
    for step in range(min(steps, max_updates)):
        updates = objective.critic_steps(step, critic_steps, share)
        if updates > left:
            break
        plan.append(updates)
        left -= updates
    if not plan:
        raise ValueError(
            f"max_updates {max_updates} is less than the {critic_steps} critic updates of one step: raise it"
        )
    return plan

"""What the training loop asks of an objective, and objectives by name.

An objective is a file of `ganscribe.gan.objectives` with a function `build`, whose keyword arguments are the
objective's own options. Scores are raw network outputs, of shape (N,) or (N, 1), without a sigmoid. Losses are
means over the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from ganscribe.core.registry import Registry
from ganscribe.gan.common.networks import mixes_batch

OBJECTIVES = Registry("ganscribe.gan.objectives", "objective")

Critic = Callable[[Tensor], Tensor]


def no_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """No penalty on the critic: zero."""
    return torch.zeros((), device=real.device)


def no_constraint(critic: nn.Module) -> None:
    """No constraint on the critic's parameters."""


def no_perturbation(images: Tensor, progress: Tensor | float, rng: torch.Generator) -> Tensor:
    """The images as they are."""
    return images


def constant_steps(step: int, critic_steps: int, share: float) -> int:
    """The same number of critic updates before every generator update."""
    return critic_steps


@dataclass(frozen=True)
class Objective:
    """A two-player objective. The training loop calls all of it and asks for none of it by name.

    `critic_loss(real_scores, fake_scores)` and `generator_loss(fake_scores)` return scalars. With
    `generator_sees_real` the latter is called with the scores of real images too, as
    `generator_loss(fake_scores, real_scores)`; they are the images of the step's last critic update.
    `penalty(critic, real, fake, rng)` is added to the critic's loss; `constrain(critic)` runs after each of
    its updates; `perturb(images, progress, rng)` changes real and generated images alike before the critic
    sees them, `progress` from 0 to 1 over the run; `critic_steps(step, critic_steps, share)` is the number of
    critic updates before generator step `step` (from 0), `share` the part of the full budget that the run may
    use; `estimates` are the distances that the critic's loss (without the penalty) stands for.
    """

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[..., Tensor]
    generator_sees_real: bool = False
    penalty: Callable[[Critic, Tensor, Tensor, torch.Generator], Tensor] = no_penalty
    constrain: Callable[[nn.Module], None] = no_constraint
    perturb: Callable[[Tensor, Tensor | float, torch.Generator], Tensor] = no_perturbation
    critic_steps: Callable[[int, int, float], int] = constant_steps
    estimates: Mapping[str, Callable[[float], float]] = field(default_factory=dict)


def build_objective(name: str, **options: Any) -> Objective:
    """Build the objective `name` with its own `options`; those that are not given have the paper's value.

    Raises ValueError for an unknown name, with those that exist, for an option that the objective does not
    have, with those that it has, for a value that the option cannot have, and for losses that are no scalars.
    """
    try:
        objective = OBJECTIVES.call(name, "build", options=options)
    except TypeError as error:
        raise ValueError(f"objective {name!r} does not take the options {options}: {error}") from error
    _check_losses(name, objective)
    return cast(Objective, objective)


def _check_losses(name: str, objective: Any) -> None:
    """Raise ValueError where training could not go backward from a loss; it would end in torch's words."""
    if not isinstance(objective, Objective):
        raise ValueError(f"objective {name!r}: build returned {objective!r}: return an Objective")
    scores = [torch.ones(2, 1, requires_grad=True) for _ in range(2)]
    calls = {"critic_loss": scores, "generator_loss": scores[: 1 + objective.generator_sees_real]}
    for loss, given in calls.items():
        try:
            value = getattr(objective, loss)(*given)
            flat = getattr(objective, loss)(*(each.flatten() for each in given))
        except (TypeError, IndexError, RuntimeError) as error:
            is_call = loss == "generator_loss" and isinstance(error, TypeError)
            hint = ", see generator_sees_real" if is_call else ""
            raise ValueError(
                f"objective {name!r}: {loss} cannot take what training gives it{hint}: {error}"
            ) from error
        for one in (value, flat):
            if not isinstance(one, Tensor) or one.ndim or not one.requires_grad or not _depends(one, given):
                raise ValueError(
                    f"objective {name!r}: {loss} returned {one!r}: return the mean over the batch, a tensor without"
                    " dimensions that has a gradient"
                )


def _depends(loss: Tensor, scores: list[Tensor]) -> bool:
    """Return whether a gradient of `loss` reaches any of the `scores`."""
    found = torch.autograd.grad(loss, scores, allow_unused=True)
    return any(each is not None for each in found)


def check_combination(objective: Objective, critic: nn.Module) -> None:
    """Raise ValueError where the objective cannot work with the critic."""
    if objective.penalty is not no_penalty and mixes_batch(critic):
        raise ValueError(
            "a gradient penalty needs a critic without batch norm: it bounds each image's own gradient, and "
            "batch norm makes one image's score depend on all of its batch (Gulrajani et al. 2017, "
            "1704.00028, section 4): choose networks whose critic has none, such as mlp or dcgan"
        )


def plan_updates(
    objective: Objective, *, steps: int, critic_steps: int, max_updates: int | None
) -> list[int]:
    """Return the number of critic updates before each generator step, one entry for each generator step.

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

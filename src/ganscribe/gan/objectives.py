"""What the two players minimise, as data: one `Objective` a name, chosen by the run's parameters.

Scores are raw network outputs, shape (N,) or (N, 1), without a sigmoid. Losses are means over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ganscribe.gan.networks import mixes_batch
from ganscribe.training import workers

CLIP = 0.01  # Arjovsky et al. 2017, algorithm 1
GRADIENT_PENALTY = 10.0  # Gulrajani et al. 2017, algorithm 1
WARM_UP_STEPS, WARM_UP_EVERY, WARM_UP_UPDATES = 25, 500, 100

Critic = Callable[[Tensor], Tensor]


def no_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """No penalty on the critic: zero."""
    return torch.zeros((), device=real.device)


def no_constraint(critic: nn.Module) -> None:
    """No constraint on the critic's parameters."""


def no_perturbation(images: Tensor, progress: float, rng: torch.Generator) -> Tensor:
    """The images as they are."""
    return images


def constant_steps(step: int, critic_steps: int, share: float) -> int:
    """The same number of critic updates before every generator update."""
    return critic_steps


def warm_up_steps(step: int, critic_steps: int, share: float) -> int:
    """100 critic updates before each of the first 25 generator steps and of every 500th, else `critic_steps`.

    So does the authors' code of Arjovsky et al. 2017 (1701.07875): the critic is first brought near its
    optimum. All three numbers shrink with `share`, the part of the full budget that the run may use.
    """
    every = max(1, round(WARM_UP_EVERY * share))
    if step < WARM_UP_STEPS * share or step % every == 0:
        return max(critic_steps, round(WARM_UP_UPDATES * share))
    return critic_steps


@dataclass(frozen=True)
class Objective:
    """A two-player objective. The training loop calls all of it and asks for none of it by name.

    `critic_loss(real_scores, fake_scores)` and `generator_loss(fake_scores)` return scalars;
    `penalty(critic, real, fake, rng)` is added to the critic's loss; `constrain(critic)` runs after each of
    its updates; `perturb(images, progress, rng)` changes real and generated images alike before the critic
    sees them, `progress` from 0 to 1 over the run; `critic_steps(step, critic_steps, share)` is the number of
    critic updates before generator step `step` (from 0), `share` the part of the full budget that the run may
    use; `estimates` are the distances that the critic's loss (without the penalty) stands for.
    """

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    penalty: Callable[[Critic, Tensor, Tensor, torch.Generator], Tensor] = no_penalty
    constrain: Callable[[nn.Module], None] = no_constraint
    perturb: Callable[[Tensor, float, torch.Generator], Tensor] = no_perturbation
    critic_steps: Callable[[int, int, float], int] = constant_steps
    estimates: Mapping[str, Callable[[float], float]] = field(default_factory=dict)


def bce_critic_loss(real_scores: Tensor, fake_scores: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1; 2 log 2 for a blind D.

    With `label_smoothing` s the real images' target is 1 - s instead of 1 (Salimans et al. 2016, 1606.03498).
    """
    targets = torch.full_like(real_scores, 1.0 - label_smoothing)
    return binary_cross_entropy_with_logits(real_scores, targets) + softplus(fake_scores).mean()


def nonsaturating_generator_loss(fake_scores: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(G(z)), the "-log D" trick of Goodfellow et al. 2014 (1406.2661), section 3.

    With `label_smoothing` s the target is 1 - s instead of 1, as some tutorials have it.
    """
    targets = torch.full_like(fake_scores, 1.0 - label_smoothing)
    return binary_cross_entropy_with_logits(fake_scores, targets)


def minimax_generator_loss(fake_scores: Tensor) -> Tensor:
    """E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1: saturates where D is sure."""
    return -softplus(fake_scores).mean()


def lsgan_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (real_scores - 1).square().mean() + 0.5 * fake_scores.square().mean()


def lsgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """1/2 E (D(G(z)) - 1)^2, Mao et al. 2016 (1611.04076), eq. 9."""
    return 0.5 * (fake_scores - 1).square().mean()


def wasserstein_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E f(G(z)) - E f(x), Arjovsky et al. 2017 (1701.07875), eq. 2 with its sign turned."""
    return fake_scores.mean() - real_scores.mean()


def wasserstein_generator_loss(fake_scores: Tensor) -> Tensor:
    """-E f(G(z)), Arjovsky et al. 2017 (1701.07875), theorem 3."""
    return -fake_scores.mean()


@torch.no_grad()
def clamp_parameters(critic: nn.Module, clip: float = CLIP) -> None:
    """Clamp the critic's parameters to [-clip, clip], Arjovsky et al. 2017 (1701.07875), algorithm 1."""
    for weight in critic.parameters():
        weight.clamp_(-clip, clip)


def gradient_norm_penalty(
    critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator, weight: float = GRADIENT_PENALTY
) -> Tensor:
    """weight E (||grad f(x_hat)||_2 - 1)^2 for (N, ...) images, Gulrajani et al. 2017 (1704.00028), eq. 3.

    x_hat = e x + (1 - e) G(z), with e uniform in [0, 1), one an image.
    """
    shape = (workers.count() * len(real),) + (1,) * (real.ndim - 1)
    mixture = workers.share(torch.rand(shape, generator=rng, device=real.device))
    between = torch.lerp(fake, real, mixture).requires_grad_(True)
    # In the run's precision and without compilation: double backward does not compile.
    (gradient,) = torch.autograd.grad(critic(between).float().sum(), between, create_graph=True)
    return weight * (gradient.float().flatten(1).norm(dim=1) - 1).square().mean()


def real_gradient_penalty(
    critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator, weight: float
) -> Tensor:
    """R1: weight / 2 E ||grad f(x)||_2^2 on real (N, ...) images, Mescheder et al. 2018 (1801.04406), eq. 9.

    Where the generator has reached the data it is least for a flat critic: training comes to rest there.
    """
    images = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).float().sum(), images, create_graph=True)
    return weight / 2 * gradient.float().flatten(1).square().sum(dim=1).mean()


def annealed_noise(images: Tensor, progress: float, rng: torch.Generator, std: float) -> Tensor:
    """`images` plus Gaussian noise of standard deviation std (1 - progress).

    The interim remedy of Arjovsky & Bottou 2017 (1701.04862), section 3: noise gives both distributions the
    same support. It falls linearly to nothing over the run.
    """
    shape = (workers.count() * len(images), *images.shape[1:])
    noise = workers.share(torch.randn(shape, generator=rng, device=images.device))
    return images + noise.mul_(std * (1 - progress)).contiguous(memory_format=torch.channels_last)


def wasserstein_estimate(critic_loss: float) -> float:
    """-(critic loss): the Wasserstein-1 distance, up to the critic's Lipschitz constant."""
    return -critic_loss


def jensen_shannon_estimate(critic_loss: float) -> float:
    """log 2 - (D loss) / 2: the Jensen-Shannon divergence, in nats, that an optimal D's loss stands for."""
    return math.log(2) - critic_loss / 2


BCE_ESTIMATES = {"jsd_estimate": jensen_shannon_estimate}

WASSERSTEIN_ESTIMATES = {"wasserstein_estimate": wasserstein_estimate}

OBJECTIVES = {
    "nonsaturating": Objective(bce_critic_loss, nonsaturating_generator_loss, estimates=BCE_ESTIMATES),
    "minimax": Objective(bce_critic_loss, minimax_generator_loss, estimates=BCE_ESTIMATES),
    "lsgan": Objective(lsgan_critic_loss, lsgan_generator_loss),
    "wgan": Objective(
        wasserstein_critic_loss,
        wasserstein_generator_loss,
        constrain=clamp_parameters,
        critic_steps=warm_up_steps,
        estimates=WASSERSTEIN_ESTIMATES,
    ),
    "wgan_gp": Objective(
        wasserstein_critic_loss,
        wasserstein_generator_loss,
        penalty=gradient_norm_penalty,
        estimates=WASSERSTEIN_ESTIMATES,
    ),
}


def _refuse(name: str, options: Mapping[str, float | None], choose: str) -> None:
    """ValueError for an option that is set though it has no meaning for the objective `name`."""
    for option, value in options.items():
        if value:
            raise ValueError(
                f"{option} {value} has no meaning for the objective {name!r}: remove it or choose {choose}"
            )


def build_objective(
    name: str,
    *,
    label_smoothing: float = 0.0,
    generator_smoothing: float = 0.0,
    instance_noise: float = 0.0,
    clip: float | None = None,
    gradient_penalty: float | None = None,
    r1_penalty: float = 0.0,
) -> Objective:
    """The objective `name` with its modifiers; None: the paper's value.

    `label_smoothing` and `generator_smoothing` lower the real target of the critic and of the generator,
    `instance_noise` is the standard deviation of `annealed_noise` at the start, `clip` bounds the parameters
    of a `wgan` critic, `gradient_penalty` weighs the penalty of `wgan_gp`, `r1_penalty` one on real images,
    for any objective but the Wasserstein ones. Raises ValueError for an unknown name, and for a modifier
    that has no meaning for the objective.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"objective {name!r} is unknown: choose one of {', '.join(sorted(OBJECTIVES))}")
    objective = OBJECTIVES[name]
    if objective.critic_loss is not bce_critic_loss:
        bce_only = {"label_smoothing": label_smoothing, "instance_noise": instance_noise}
        _refuse(name, bce_only, "nonsaturating or minimax")
    if objective.generator_loss is not nonsaturating_generator_loss:
        _refuse(name, {"generator_smoothing": generator_smoothing}, "nonsaturating")
    if objective.constrain is not clamp_parameters:
        _refuse(name, {"clip": clip}, "wgan")
    if objective.penalty is no_penalty:
        _refuse(name, {"gradient_penalty": gradient_penalty}, "wgan_gp")
    if objective.critic_loss is wasserstein_critic_loss:  # held to its slope by clamp or penalty already
        _refuse(name, {"r1_penalty": r1_penalty}, "nonsaturating, minimax or lsgan")

    changes: dict[str, Any] = {}
    if label_smoothing:
        changes["critic_loss"] = partial(bce_critic_loss, label_smoothing=label_smoothing)
    if generator_smoothing:
        changes["generator_loss"] = partial(nonsaturating_generator_loss, label_smoothing=generator_smoothing)
    if instance_noise:
        changes["perturb"] = partial(annealed_noise, std=instance_noise)
    if clip is not None:
        changes["constrain"] = partial(clamp_parameters, clip=clip)
    if gradient_penalty is not None:
        changes["penalty"] = partial(gradient_norm_penalty, weight=gradient_penalty)
    if r1_penalty:
        changes["penalty"] = partial(real_gradient_penalty, weight=r1_penalty)
    return replace(objective, **changes)


def check_combination(objective: Objective, critic: nn.Module) -> None:
    """Raises ValueError where the objective cannot work with the critic."""
    if objective.penalty is not no_penalty and mixes_batch(critic):
        raise ValueError(
            "a gradient penalty needs a critic without batch norm: it bounds each image's own gradient, and "
            "batch norm makes one image's score depend on all of its batch (Gulrajani et al. 2017, "
            "1704.00028, section 4): choose networks mlp, dcgan or dcgan_nobn"
        )


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

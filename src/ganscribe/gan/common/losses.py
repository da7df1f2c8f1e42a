"""What several objectives are made of: cross-entropy, Wasserstein, penalties, instance noise, estimates."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from ganscribe.gan.common.objective import Critic, no_penalty, no_perturbation
from ganscribe.training import workers


def bce_critic_loss(real_scores: Tensor, fake_scores: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), Goodfellow et al. 2014 (1406.2661), eq. 1; 2 log 2 for a blind D.

    With `label_smoothing` s the real images' target is 1 - s instead of 1 (Salimans et al. 2016, 1606.03498).
    """
    targets = torch.full_like(real_scores, 1.0 - label_smoothing)
    return binary_cross_entropy_with_logits(real_scores, targets) + softplus(fake_scores).mean()


def wasserstein_critic_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E f(G(z)) - E f(x), Arjovsky et al. 2017 (1701.07875), eq. 2 with its sign turned."""
    return fake_scores.mean() - real_scores.mean()


def wasserstein_generator_loss(fake_scores: Tensor) -> Tensor:
    """-E f(G(z)), Arjovsky et al. 2017 (1701.07875), theorem 3."""
    return -fake_scores.mean()


def squared_gradient(critic: Critic, images: Tensor, weight: float) -> Tensor:
    """weight / 2 E ||grad f(x)||_2^2 on `images` (N, ...)."""
    images = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).float().sum(), images, create_graph=True)
    return weight / 2 * gradient.float().flatten(1).square().sum(dim=1).mean()


def gradient_penalties(
    critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator, r1: float = 0.0, r2: float = 0.0
) -> Tensor:
    """R1 + R2: r1 / 2 E ||grad f(x)||_2^2 + r2 / 2 E ||grad f(G(z))||_2^2 on `real` and `fake` (N, ...) images.

    Mescheder et al. 2018 (1801.04406), eq. 9 and 10. Where the generator has reached the data, both are least for
    a flat critic: training comes to rest there.
    """
    parts = [
        squared_gradient(critic, images, weight) for images, weight in ((real, r1), (fake, r2)) if weight
    ]
    return torch.stack(parts).sum()


def penalty_of(
    r1_penalty: float, r2_penalty: float
) -> Callable[[Critic, Tensor, Tensor, torch.Generator], Tensor]:
    """Return the penalty of the options `r1_penalty` and `r2_penalty`: the weights gamma of R1 and R2, 0 for none.

    See `gradient_penalties`. Raises ValueError for a negative weight.
    """
    for name, weight in (("r1_penalty", r1_penalty), ("r2_penalty", r2_penalty)):
        if weight < 0:
            raise ValueError(f"{name} {weight} must not be negative")
    if not (r1_penalty or r2_penalty):
        return no_penalty
    return partial(gradient_penalties, r1=r1_penalty, r2=r2_penalty)


def annealed_noise(images: Tensor, progress: Tensor | float, rng: torch.Generator, std: float) -> Tensor:
    """`images` plus Gaussian noise of standard deviation std (1 - progress).

    The interim remedy of Arjovsky and Bottou 2017 (1701.04862), section 3: noise gives both distributions the
    same support. It falls linearly to nothing over the run.
    """
    shape = (workers.count() * len(images), *images.shape[1:])
    noise = workers.share(torch.randn(shape, generator=rng, device=images.device))
    return images + noise.mul_(std * (1 - progress)).contiguous(memory_format=torch.channels_last)


def instance_noise_of(std: float) -> Callable[[Tensor, Tensor | float, torch.Generator], Tensor]:
    """Return `annealed_noise` that starts with the standard deviation `std`; 0 is none."""
    if std < 0:
        raise ValueError(f"instance_noise {std} must not be negative")
    return partial(annealed_noise, std=std) if std else no_perturbation


def check_share(name: str, value: float) -> None:
    """Raise ValueError where the option `name` is not a part of a whole."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} {value} must lie between 0 and 1")


def wasserstein_estimate(critic_loss: float) -> float:
    """-(critic loss): the Wasserstein-1 distance, up to the critic's Lipschitz constant."""
    return -critic_loss


def jensen_shannon_estimate(critic_loss: float) -> float:
    """log 2 - (D loss) / 2: the Jensen-Shannon divergence, in nats, that an optimal D's loss stands for."""
    return math.log(2) - critic_loss / 2


BCE_ESTIMATES = {"jsd_estimate": jensen_shannon_estimate}
WASSERSTEIN_ESTIMATES = {"wasserstein_estimate": wasserstein_estimate}

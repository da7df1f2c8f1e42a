"""One update of a critic or a generator, and the critic's loss on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cosine_similarity

from ganscribe.datasets.pixels import to_signed
from ganscribe.gan.common.networks import mixes_batch
from ganscribe.gan.common.objective import Objective
from ganscribe.gan.common.state import TrainedGan
from ganscribe.training import workers

Cast = Callable[[], AbstractContextManager[Any]]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def update_critic(
    gan: TrainedGan,
    objective: Objective,
    real: Tensor,
    noise: Tensor,
    cast: Cast,
    *,
    done: Tensor | float = 0.0,
    watch: bool = False,
    penalty_weight: float = 1.0,
) -> Tensor:
    """Update the critic once on `real` (N, C, H, W) and as many generated images; its loss, detached.

    The images come without gradient from the generator in training mode. `done` is the part of the run that
    is over. The loss that is returned is without the penalty. `watch` leaves the cosine between the
    optimiser's step and the negative gradient in `gan.cosine`. `penalty_weight`: of the objective's penalty, which is
    not computed for 0.
    """
    critic = gan.discriminator
    with cast():
        with torch.no_grad():
            fake = gan.generator(noise).to(real.dtype)
        real, fake = (objective.perturb(images, done, gan.noise_rng) for images in (real, fake))
        if mixes_batch(critic):
            real_scores, fake_scores = critic(real).float(), critic(fake).float()
        else:  # one pass is faster, and the same
            real_scores, fake_scores = critic(torch.cat([real, fake])).float().chunk(2)
        penalty = objective.penalty(critic, real, fake, gan.noise_rng) if penalty_weight else None
    loss = objective.critic_loss(real_scores, fake_scores)
    gan.critic_optimiser.zero_grad()
    (loss if penalty is None else loss + penalty_weight * penalty).backward()
    weights = list(critic.parameters())
    workers.mean_gradients(weights)
    before = _joined(weights) if watch else None
    gan.critic_optimiser.step()
    if before is not None:
        gradient = _joined([weight.grad for weight in weights if weight.grad is not None])
        gan.cosine.copy_(cosine_similarity(_joined(weights) - before, -gradient, dim=0, eps=1e-30))
    objective.constrain(critic)
    return workers.mean(loss.detach())


def update_generator(
    gan: TrainedGan,
    objective: Objective,
    noise: Tensor,
    cast: Cast,
    *,
    real: Tensor | None = None,
    done: Tensor | float = 0.0,
    is_first: bool = False,
) -> Tensor:
    """Update the generator, and its average, once from `noise` (N, noise_dim); its loss, detached.

    `real` (N, C, H, W) are images for an objective whose generator sees real ones, None for any other. `is_first`:
    of the training, where its average begins.
    """
    gan.discriminator.requires_grad_(False)  # its own gradients would be thrown away
    with cast():
        images = objective.perturb(gan.generator(noise), done, gan.noise_rng)
        scores = [gan.discriminator(images).float()]
        if real is not None:
            with torch.no_grad():
                real = objective.perturb(real, done, gan.noise_rng)
                scores.append(gan.discriminator(real).float())
    loss = objective.generator_loss(*scores)
    gan.generator_optimiser.zero_grad()
    loss.backward()
    workers.mean_gradients(list(gan.generator.parameters()))
    gan.generator_optimiser.step()
    gan.discriminator.requires_grad_(True)
    if gan.average is not None:
        gan.average.update(gan.generator, is_first=is_first)
    return workers.mean(loss.detach())


def _untouched(network: nn.Module, inputs: Tensor) -> Tensor:
    """The output of `network` in its present mode, its buffers (running statistics) left as they are."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, buffers, (inputs,))


@torch.no_grad()
def held_out_loss(
    gan: TrainedGan,
    objective: Objective,
    held_out: Tensor,
    noise: Tensor,
    rng: torch.Generator,
    *,
    batch_size: int,
    done: float,
) -> float:
    """The critic's loss (without the penalty) on `held_out` (N, C, H, W) uint8 and images of `noise` (N, Z).

    In batches and in training mode as in training, in float32; nothing is changed. `rng` is for `perturb`,
    and its seed that of dropout, which leaves torch's own stream where it was.
    """
    scores = []
    device = noise.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(rng.initial_seed())
        for images, latent in zip(held_out.split(batch_size), noise.split(batch_size), strict=True):
            images, latent = workers.share(images), workers.share(latent)
            pair = (to_signed(images.to(device)), _untouched(gan.generator, latent))
            seen = [objective.perturb(part, done, rng) for part in pair]
            scores.append([_untouched(gan.discriminator, part) for part in seen])
    real_scores, fake_scores = (torch.cat(parts) for parts in zip(*scores, strict=True))
    return float(workers.mean(objective.critic_loss(real_scores, fake_scores), len(real_scores)))

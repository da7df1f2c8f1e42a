"""The one training loop of the GAN family: a run is objective x networks x data x budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganscribe.checkpoint import Checkpoint
from ganscribe.gan.networks import mixes_batch, to_signed
from ganscribe.gan.objectives import Objective, build_objective, plan_updates
from ganscribe.gan.sampling import generate, noise_source
from ganscribe.gan.state import TrainedGan, start_training
from ganscribe.runtime import autocast, progress, random_stream, resolve_precision

GRID_IMAGES = 16

Cast = Callable[[], AbstractContextManager[Any]]


def batches(images: Tensor, *, batch_size: int, shuffle: bool, seed: int, first: int) -> Iterator[Tensor]:
    """Endless batches (batch_size, C, H, W) of `images` uint8 as float32 in [-1, 1], from number `first` on.

    A fresh permutation an epoch, drawn from the epoch's number, so that a resumed run needs no state for it;
    a last partial batch is dropped. `shuffle=False` gives the images' own order.
    """
    per_epoch = len(images) // batch_size
    epoch, start = divmod(first, per_epoch)
    while True:
        order = torch.arange(len(images))
        if shuffle:
            order = torch.randperm(len(images), generator=random_stream(seed, "gan", "order", epoch))
        order = order.to(images.device)
        for batch in range(start, per_epoch):
            rows = order[batch * batch_size : (batch + 1) * batch_size]
            yield to_signed(images[rows]).contiguous(memory_format=torch.channels_last)
        epoch, start = epoch + 1, 0


def update_critic(gan: TrainedGan, objective: Objective, real: Tensor, noise: Tensor, cast: Cast) -> Tensor:
    """Update the critic once on `real` (N, C, H, W) and as many generated images; its loss, detached.

    The images come without gradient from the generator in training mode. The loss that is returned is without
    the penalty.
    """
    critic = gan.discriminator
    with cast():
        with torch.no_grad():
            fake = gan.generator(noise).to(real.dtype)
        if mixes_batch(critic):
            real_scores, fake_scores = critic(real).float(), critic(fake).float()
        else:  # one pass is faster, and the same
            real_scores, fake_scores = critic(torch.cat([real, fake])).float().chunk(2)
    loss = objective.critic_loss(real_scores, fake_scores)
    total = loss + objective.penalty(critic, real, fake, gan.noise_rng)
    gan.critic_optimiser.zero_grad()
    total.backward()
    gan.critic_optimiser.step()
    objective.constrain(critic)
    return loss.detach()


def update_generator(gan: TrainedGan, objective: Objective, noise: Tensor, cast: Cast) -> Tensor:
    """Update the generator once from `noise` (N, noise_dim); its loss, detached."""
    gan.discriminator.requires_grad_(False)  # its own gradients would be thrown away
    with cast():
        scores = gan.discriminator(gan.generator(noise)).float()
    loss = objective.generator_loss(scores)
    gan.generator_optimiser.zero_grad()
    loss.backward()
    gan.generator_optimiser.step()
    gan.discriminator.requires_grad_(True)
    return loss.detach()


def _record(
    gan: TrainedGan, objective: Objective, *, critic_updates: int, updates: int, epoch: float
) -> None:
    """Append the losses' means since the last row: the one place where the host waits for the device."""
    critic_sum, generator_sum = gan.sums.tolist()
    gan.sums.zero_()
    critic_loss, generator_loss = critic_sum / critic_updates, generator_sum / updates
    if not (math.isfinite(critic_loss) and math.isfinite(generator_loss)):
        raise ValueError(
            f"the losses are not finite at step {gan.step} (critic {critic_loss}, "
            f"generator {generator_loss}): lower learning_rate"
        )
    estimates = {name: estimate(critic_loss) for name, estimate in objective.estimates.items()}
    losses = {"critic_loss": critic_loss, "generator_loss": generator_loss}
    gan.history.append({"step": gan.step, "epoch": epoch, **losses, **estimates})


def train_gan(
    images: Tensor,
    *,
    objective: str,
    networks: str,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float],
    batch_size: int,
    noise_dim: int,
    noise: str,
    steps: int,
    critic_steps: int = 1,
    label_smoothing: float = 0.0,
    shuffle: bool = True,
    sample_every: int,
    log_every: int,
    snapshots: int,
    seed: int,
    precision: str,
    device: torch.device,
    max_updates: int | None = None,
    checkpoint: Checkpoint | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedGan:
    """Train a generator against a critic on `images` (N, C, H, W) uint8: Goodfellow et al. 2014, algorithm 1.

    A step is `critic_steps` updates of the critic, then one of the generator, each with fresh noise, both
    networks in training mode. `steps`, `sample_every` and `log_every` count generator updates; `max_updates`
    caps the updates of either network. Steps 0 and last have a grid, the last has a row and a snapshot.
    `log(step, row)` is called for every row, the restored ones of a resumed training first; that training
    ends bit for bit where an unbroken one does. ValueError: unknown name, fewer images than a batch.
    """
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images are less than one batch of {batch_size}: lower batch_size")
    rules = build_objective(objective, label_smoothing=label_smoothing)
    draw = noise_source(noise)
    plan = plan_updates(rules, steps=steps, critic_steps=critic_steps, max_updates=max_updates)
    kept = {round(len(plan) * part / snapshots) for part in range(1, snapshots + 1)}

    channels, height, width = images.shape[1:]
    gan = start_training(
        networks,
        noise_dim=noise_dim,
        image_shape=(channels, height, width),
        optimiser=optimiser,
        learning_rate=learning_rate,
        betas=betas,
        seed=seed,
        precision=resolve_precision(precision, device),
        device=device,
    )
    grid_noise = draw((GRID_IMAGES, noise_dim), random_stream(seed, "gan", "grid"))
    state = checkpoint.load() if checkpoint else None
    if state:
        gan.load_state_dict(state)
    else:
        gan.grids.append((0, generate(gan.generator, grid_noise)))
    if log:
        for row in gan.history:
            log(int(row["step"]), row)

    real = batches(
        images.to(device), batch_size=batch_size, shuffle=shuffle, seed=seed, first=gan.critic_updates
    )
    cast = partial(autocast, gan.precision, device)
    with progress(len(plan), f"{objective}, {networks}", "step", initial=gan.step) as bar:
        for step in range(gan.step + 1, len(plan) + 1):
            for _ in range(plan[step - 1]):
                latent = draw((batch_size, noise_dim), gan.noise_rng)
                gan.sums[0] += update_critic(gan, rules, next(real), latent, cast)
            latent = draw((batch_size, noise_dim), gan.noise_rng)
            gan.sums[1] += update_generator(gan, rules, latent, cast)
            gan.step, gan.critic_updates = step, gan.critic_updates + plan[step - 1]

            last = step == len(plan)
            if step % log_every == 0 or last:
                since = int(gan.history[-1]["step"]) if gan.history else 0
                epoch = gan.critic_updates / (len(images) // batch_size)
                _record(gan, rules, critic_updates=sum(plan[since:step]), updates=step - since, epoch=epoch)
                if log:
                    log(step, gan.history[-1])
            if step % sample_every == 0 or last:
                gan.grids.append((step, generate(gan.generator, grid_noise)))
            if step in kept:
                weights = {key: value.cpu().clone() for key, value in gan.generator.state_dict().items()}
                gan.snapshots.append((step, weights))
            bar.update()
            if checkpoint and checkpoint.due():
                checkpoint.save(gan.state_dict())
    return gan

"""The one training loop of the GAN family: a run is objective x networks x data x budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median

import torch
from torch import Tensor

from ganscribe.core.devices import autocast, resolve_precision
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.pixels import to_signed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.gan.objectives import (
    Objective,
    build_objective,
    check_combination,
    plan_updates,
)
from ganscribe.gan.sampling import generate, noise_source
from ganscribe.gan.state import TrainedGan, start_training
from ganscribe.gan.updates import held_out_loss, update_critic, update_generator
from ganscribe.training import workers
from ganscribe.training.schedules import find_schedule

HELD_OUT_IMAGES = 512  # at most so many for an estimate on held-out images
MEDIAN_ROWS = 5  # rows of the table under the median filter of the estimates


def batches(images: Tensor, *, batch_size: int, shuffle: bool, seed: int, first: int) -> Iterator[Tensor]:
    """Endless batches (batch_size, C, H, W) of `images` uint8 as float32 in [-1, 1], from number `first` on.

    A fresh permutation an epoch, drawn from the epoch's number, so that a resumed run needs no state for it;
    a last partial batch is dropped. `shuffle=False` gives the images' own order. Of several workers each
    has its share of every batch.
    """
    per_epoch = len(images) // batch_size
    epoch, start = divmod(first, per_epoch)
    while True:
        order = torch.arange(len(images))
        if shuffle:
            order = torch.randperm(len(images), generator=random_stream(seed, "gan", "order", epoch))
        order = order.to(images.device)
        for batch in range(start, per_epoch):
            rows = workers.share(order[batch * batch_size : (batch + 1) * batch_size])
            yield to_signed(images[rows]).contiguous(memory_format=torch.channels_last)
        epoch, start = epoch + 1, 0


def _record(
    gan: TrainedGan,
    objective: Objective,
    *,
    critic_updates: int,
    updates: int,
    epoch: float,
    held_out: float | None,
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
    row: dict[str, float] = {"step": gan.step, "epoch": epoch}
    row |= {"critic_loss": critic_loss, "generator_loss": generator_loss}
    row |= {"critic_cosine": float(gan.cosine)} if gan.cosine is not None else {}
    for name, estimate in objective.estimates.items():
        row[name] = estimate(critic_loss)
        if held_out is not None:
            row[f"{name}_held_out"] = estimate(held_out)
    for name in [key for key in row if key.startswith(tuple(objective.estimates))]:
        window = [past[name] for past in gan.history[1 - MEDIAN_ROWS :]]
        row[f"{name}_median"] = median([*window, row[name]])
    gan.history.append(row)


def train_gan(
    images: Tensor,
    *,
    objective: str,
    networks: str,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float] | None,
    batch_size: int,
    noise_dim: int,
    noise: str,
    steps: int,
    critic_steps: int = 1,
    label_smoothing: float = 0.0,
    generator_smoothing: float = 0.0,
    instance_noise: float = 0.0,
    clip: float | None = None,
    gradient_penalty: float | None = None,
    r1_penalty: float = 0.0,
    generator_first: bool = False,
    ema_decay: float = 0.0,
    schedule: str = "constant",
    shuffle: bool = True,
    sample_every: int,
    grid_images: int = 16,
    log_every: int,
    snapshots: int,
    snapshot_steps: Sequence[int] | None = None,
    seed: int,
    precision: str,
    device: torch.device,
    held_out: Tensor | None = None,
    max_updates: int | None = None,
    checkpoint: Checkpoint | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedGan:
    """Train a generator against a critic on `images` (N, C, H, W) uint8: Goodfellow et al. 2014, algorithm 1.

    A step is `critic_steps` updates of the critic (Wasserstein: `warm_up_steps`), then one of the generator,
    each with fresh noise, both networks in training mode; `generator_first` turns the order and gives both
    the same noise. `steps`, `sample_every` and `log_every` count generator updates; `max_updates` caps the
    updates of either network, and the schedules, `snapshot_steps` and `instance_noise` shrink with it. Steps
    0 and last have a grid; `snapshots` generators are kept, evenly spaced up to the last, or those at
    `snapshot_steps`, each with a row.

    A row of the history: step, epoch (of the critic's real images), the losses' means since the row before,
    critic_cosine (see TrainedGan), and for each estimate of the objective: on the training images, on up to
    512 `held_out` images, and the median of both over the last five rows. `log(step, row)` is called for
    every row, the restored ones of a resumed training first; that training ends bit for bit where an unbroken
    one does. ValueError: unknown name, a combination that cannot work, fewer images than a batch.
    """
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images are less than one batch of {batch_size}: lower batch_size")
    workers.check_batch(batch_size)
    rules = build_objective(
        objective,
        label_smoothing=label_smoothing,
        generator_smoothing=generator_smoothing,
        instance_noise=instance_noise,
        clip=clip,
        gradient_penalty=gradient_penalty,
        r1_penalty=r1_penalty,
    )
    draw, factor = noise_source(noise), find_schedule(schedule)
    plan = plan_updates(rules, steps=steps, critic_steps=critic_steps, max_updates=max_updates)
    if generator_first and max(plan) > 1:
        raise ValueError(
            "generator_first needs one critic update a step: set critic_steps to 1, or remove it"
        )
    kept = {round(len(plan) * part / snapshots) for part in range(1, snapshots + 1)}
    if snapshot_steps is not None:
        kept = {max(1, round(len(plan) * step / steps)) for step in snapshot_steps}

    channels, height, width = images.shape[1:]
    gan = start_training(
        networks,
        noise_dim=noise_dim,
        image_shape=(channels, height, width),
        optimiser=optimiser,
        learning_rate=learning_rate,
        betas=betas,
        ema_decay=ema_decay,
        seed=seed,
        precision=resolve_precision(precision, device),
        device=device,
    )
    check_combination(rules, gan.discriminator)
    grid_noise = draw((grid_images, noise_dim), random_stream(seed, "gan", "grid"))
    state = checkpoint.load() if checkpoint else None
    if state:
        gan.load_state_dict(state)
    else:
        gan.grids.append((0, generate(gan.kept_generator, grid_noise)))
    workers.seed_own(seed, "gan", gan.step)
    if log:
        for row in gan.history:
            log(int(row["step"]), row)
    if held_out is not None and rules.estimates:
        order = torch.randperm(len(held_out), generator=random_stream(seed, "gan", "held out"))
        most = min(len(held_out), HELD_OUT_IMAGES)
        held_out = held_out[order[: most // batch_size * batch_size or most]]  # whole batches, as in training

    real = batches(
        images.to(device), batch_size=batch_size, shuffle=shuffle, seed=seed, first=gan.critic_updates
    )
    cast = partial(autocast, gan.precision, device)

    def fresh_noise() -> Tensor:
        return workers.share(draw((batch_size, noise_dim), gan.noise_rng))

    with progress(len(plan), f"{objective}, {networks}", "step", initial=gan.step) as bar:
        for step in range(gan.step + 1, len(plan) + 1):
            last, done = step == len(plan), (step - 1) / len(plan)
            has_row = step % log_every == 0 or step in kept or last
            gan.set_learning_rate(learning_rate * factor(done))
            latent = fresh_noise()
            if generator_first:
                gan.sums[1] += update_generator(gan, rules, latent, cast, done=done)
            for update in range(plan[step - 1]):
                watch = has_row and update == plan[step - 1] - 1
                gan.sums[0] += update_critic(gan, rules, next(real), latent, cast, done=done, watch=watch)
                if not generator_first:
                    latent = fresh_noise()
            if not generator_first:
                gan.sums[1] += update_generator(gan, rules, latent, cast, done=done)
            gan.step, gan.critic_updates = step, gan.critic_updates + plan[step - 1]

            if has_row:
                since = int(gan.history[-1]["step"]) if gan.history else 0
                unseen = None
                if held_out is not None and rules.estimates:
                    rng = random_stream(seed, "gan", "held out", step, device=device)
                    latent = draw((len(held_out), noise_dim), rng)
                    unseen = held_out_loss(
                        gan, rules, held_out, latent, rng, batch_size=batch_size, done=done
                    )
                _record(
                    gan,
                    rules,
                    critic_updates=sum(plan[since:step]),
                    updates=step - since,
                    epoch=gan.critic_updates / (len(images) // batch_size),
                    held_out=unseen,
                )
                if log:
                    log(step, gan.history[-1])
            if step % sample_every == 0 or last:
                gan.grids.append((step, generate(gan.kept_generator, grid_noise)))
            if step in kept:
                weights = gan.kept_generator.state_dict()
                copies = {key: value.cpu().clone() for key, value in weights.items()}
                gan.snapshots.append((step, copies))
            bar.update()
            if checkpoint and checkpoint.due(last=last):
                checkpoint.save(gan.state_dict())
    return gan

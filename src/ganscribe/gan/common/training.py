"""The one training loop of the GAN family."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor

from ganscribe.core.seeds import random_stream
from ganscribe.datasets.pixels import to_signed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.gan.common.networks import ImageShape
from ganscribe.gan.common.objective import check_combination
from ganscribe.gan.common.plan import Plan, plan_training
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.sampling import noise_source
from ganscribe.gan.common.state import TrainedGan, start_training
from ganscribe.gan.common.updates import held_out_loss, update_critic, update_generator
from ganscribe.training import workers
from ganscribe.training.budget import Budget
from ganscribe.training.optimisers import set_learning_rate
from ganscribe.training.state import Log, Row, replay
from ganscribe.training.steps import Step, tensors_of

HELD_OUT_IMAGES = 256  # at most so many for an estimate on held-out images
MEDIAN_ROWS = 5  # rows of the table under the median filter of the estimates


def batches(
    count: int, *, batch_size: int, shuffle: bool, seed: int, first: int, device: torch.device
) -> Iterator[Tensor]:
    """Endless batches of rows (batch_size,) of `count` images, from number `first` on, on `device`.

    Each epoch is a fresh permutation, drawn from the epoch's number, so that a resumed run needs no state for
    it; a last partial batch is dropped. `shuffle=False` gives the images' own order. Of several workers each
    has its share of every batch.
    """
    per_epoch = count // batch_size
    epoch, start = divmod(first, per_epoch)
    while True:
        order = torch.arange(count)
        if shuffle:
            order = torch.randperm(count, generator=random_stream(seed, "gan", "order", epoch))
        order = order.to(device)
        for batch in range(start, per_epoch):
            yield workers.share(order[batch * batch_size : (batch + 1) * batch_size])
        epoch, start = epoch + 1, 0


def take(images: Tensor, rows: Tensor) -> Tensor:
    """Return those `rows` of `images` uint8 as float32 in [-1, 1], channels last."""
    return to_signed(images[rows]).contiguous(memory_format=torch.channels_last)


def _start(plan: Plan, image_shape: ImageShape, checkpoint: Checkpoint | None) -> TrainedGan:
    """Return a fresh training, or the one that the checkpoint holds."""
    gan = start_training(
        plan.recipe,
        image_shape=image_shape,
        seed=plan.budget.seed,
        precision=plan.precision,
        device=plan.device,
    )
    check_combination(plan.objective, gan.discriminator)
    state = checkpoint.load() if checkpoint else None
    if state:
        gan.load_state_dict(state)
    else:
        plan.settle(gan)
        gan.grids.append(plan.grid(gan))
    return gan


def _choose_held_out(held_out: Tensor | None, plan: Plan) -> Tensor | None:
    """Return the images of the estimates, in whole batches as in training, where there is an estimate."""
    if held_out is None or not plan.objective.estimates:
        return None
    batch_size, most = plan.recipe.batch_size, min(len(held_out), HELD_OUT_IMAGES)
    rng = random_stream(plan.budget.seed, "gan", "held out")
    return held_out[torch.randperm(len(held_out), generator=rng)[: most // batch_size * batch_size or most]]


class Updates:
    """The steps of a run: each draws its own noise, and adds its loss to the sums."""

    def __init__(self, gan: TrainedGan, plan: Plan, images: Tensor) -> None:
        self.gan, self.plan, self.images = gan, plan, images
        average = [gan.average.module] if gan.average is not None else []

        def changed() -> Iterator[Tensor]:
            networks = (gan.generator, gan.discriminator, *average)
            return tensors_of(*networks, gan.generator_optimiser, gan.critic_optimiser, gan.sums, gan.cosine)

        def step(function: Callable[..., None]) -> Step:
            return Step(function, device=plan.device, changed=changed, generators=[gan.noise_rng])

        self.critic, self.generator, self.both = step(self._critic), step(self._generator), step(self._both)

    def _critic(self, rows: Tensor, done: Tensor, *, watch: bool, penalty_weight: float) -> None:
        noise = self.plan.noise(self.gan)
        self._update_critic(rows, noise, done, watch=watch, penalty_weight=penalty_weight)

    def _generator(self, rows: Tensor, done: Tensor, *, is_first: bool) -> None:
        noise = self.plan.noise(self.gan)
        self._update_generator(rows, noise, done, is_first=is_first)

    def _both(
        self, rows: Tensor, done: Tensor, *, watch: bool, penalty_weight: float, is_first: bool
    ) -> None:
        """The generator first, and the critic on the same noise."""
        noise = self.plan.noise(self.gan)
        self._update_generator(rows, noise, done, is_first=is_first)
        self._update_critic(rows, noise, done, watch=watch, penalty_weight=penalty_weight)

    def _update_critic(
        self, rows: Tensor, noise: Tensor, done: Tensor, *, watch: bool, penalty_weight: float
    ) -> None:
        real, plan = take(self.images, rows), self.plan
        self.gan.sums[0] += update_critic(
            self.gan,
            plan.objective,
            real,
            noise,
            plan.cast,
            done=done,
            watch=watch,
            penalty_weight=penalty_weight,
        )

    def _update_generator(self, rows: Tensor, noise: Tensor, done: Tensor, *, is_first: bool) -> None:
        plan = self.plan
        real = take(self.images, rows) if plan.objective.generator_sees_real else None
        self.gan.sums[1] += update_generator(
            self.gan, plan.objective, noise, plan.cast, real=real, done=done, is_first=is_first
        )

    def take_step(self, rows: Iterator[Tensor]) -> None:
        """Take one step of the run: the critic's updates, then the generator's, or the other way round."""
        gan, plan, recipe = self.gan, self.plan, self.plan.recipe
        step, is_first = gan.step + 1, gan.step == 0
        updates, has_row = plan.updates[step - 1], plan.has_row(step)
        # At every step: a checkpoint has the first worker's random state alone.
        workers.seed_own(plan.budget.seed, "gan", gan.step)
        rate = recipe.learning_rate * plan.factor(plan.done(step))
        set_learning_rate(rate, gan.generator_optimiser, gan.critic_optimiser)
        done = torch.full((), plan.done(step), dtype=torch.float64, device=plan.device)
        if recipe.generator_first:
            weight = plan.penalty_weight(gan.critic_updates)
            self.both(next(rows), done, watch=has_row, penalty_weight=weight, is_first=is_first)
        else:
            for update in range(updates):
                batch = next(rows)
                weight = plan.penalty_weight(gan.critic_updates + update)
                self.critic(batch, done, watch=has_row and update == updates - 1, penalty_weight=weight)
            self.generator(batch, done, is_first=is_first)
        gan.step, gan.critic_updates = step, gan.critic_updates + updates


def _estimate_held_out(gan: TrainedGan, plan: Plan, held_out: Tensor | None) -> float | None:
    """Return the critic's loss on images that it was not trained on, and on noise of this step's own."""
    if held_out is None:
        return None
    rng = random_stream(plan.budget.seed, "gan", "held out", gan.step, device=plan.device)
    noise = noise_source(plan.recipe.noise)((len(held_out), plan.recipe.noise_dim), rng)
    return held_out_loss(
        gan,
        plan.objective,
        held_out,
        noise,
        rng,
        batch_size=plan.recipe.batch_size,
        done=plan.done(gan.step),
    )


def _record(gan: TrainedGan, plan: Plan, held_out: float | None) -> Row:
    """Append the losses' means since the last row: the one place where the host waits for the device."""
    since = int(gan.history[-1]["step"]) if gan.history else 0
    critic_sum, generator_sum = gan.sums.tolist()
    gan.sums.zero_()
    critic_loss = critic_sum / sum(plan.updates[since : gan.step])
    generator_loss = generator_sum / (gan.step - since)
    if not (math.isfinite(critic_loss) and math.isfinite(generator_loss)):
        raise ValueError(
            f"the losses are not finite at step {gan.step} (critic {critic_loss}, "
            f"generator {generator_loss}): lower learning_rate"
        )
    row: Row = {"step": gan.step, "epoch": gan.critic_updates / plan.per_epoch}
    row |= {"critic_loss": critic_loss, "generator_loss": generator_loss}
    row |= {"critic_cosine": float(gan.cosine)}
    estimates = plan.objective.estimates
    for name, estimate in estimates.items():
        row[name] = estimate(critic_loss)
        if held_out is not None:
            row[f"{name}_held_out"] = estimate(held_out)
    for name in [key for key in row if key.startswith(tuple(estimates))]:
        window = [past[name] for past in gan.history[1 - MEDIAN_ROWS :]]
        row[f"{name}_median"] = median([*window, row[name]])
    gan.history.append(row)
    return row


def train_gan(
    images: Tensor,
    recipe: GanRecipe,
    *,
    budget: Budget,
    device: torch.device,
    held_out: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    log: Log | None = None,
) -> TrainedGan:
    """Train a generator against a critic on `images` (N, C, H, W) uint8: Goodfellow et al. 2014, algorithm 1.

    A step is `critic_steps` updates of the critic (more where the objective asks for a warm-up), then one of
    the generator, each with fresh noise, both networks in training mode. The budget's `max_updates` caps the
    updates of either network; schedules, snapshots and `instance_noise` shrink with it. The first and the last
    step have a grid, and every snapshot has a row.

    A row of the history: step, epoch (of the critic's real images), the losses' means since the row before,
    critic_cosine (see TrainedGan), and for each estimate of the objective: on the training images, on up to
    256 `held_out` images, and the median of both over the last five rows. `log(step, row)` is called for
    every row, the restored ones of a resumed training first; that training ends bit for bit where an unbroken
    one does. Raises ValueError for an unknown name or option, a combination that cannot work, and fewer images
    than a batch.
    """
    plan = plan_training(images, recipe, budget, device)
    channels, height, width = images.shape[1:]
    gan = _start(plan, (channels, height, width), checkpoint)
    replay(gan.history, log)
    held_out = _choose_held_out(held_out, plan)
    updates, last = Updates(gan, plan, images.to(device)), len(plan.updates)
    rows = batches(
        len(images),
        batch_size=recipe.batch_size,
        shuffle=recipe.shuffle,
        seed=budget.seed,
        first=gan.critic_updates,
        device=device,
    )
    with progress(last, f"{recipe.objective}, {recipe.networks}", "step", initial=gan.step) as bar:
        while gan.step < last:
            updates.take_step(rows)
            if plan.has_row(gan.step):
                row = _record(gan, plan, _estimate_held_out(gan, plan, held_out))
                if log:
                    log(gan.step, row)
            has_grid = gan.step % recipe.sample_every == 0 or gan.step == last
            if has_grid or gan.step in plan.kept:
                plan.settle(gan)
            if has_grid:
                gan.grids.append(plan.grid(gan))
            if gan.step in plan.kept:
                gan.keep_snapshot()
            bar.update()
            if checkpoint and checkpoint.due(last=gan.step == last):
                checkpoint.save(gan.state_dict())
    return gan

"""What a training of a GAN does, settled before its first step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ganscribe.core.devices import autocast, resolve_precision
from ganscribe.core.seeds import random_stream
from ganscribe.gan.common.objective import Objective, build_objective, no_penalty, plan_updates
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.sampling import generate, noise_source
from ganscribe.gan.common.state import TrainedGan
from ganscribe.gan.common.updates import Cast
from ganscribe.training import workers
from ganscribe.training.budget import Budget
from ganscribe.training.schedules import Schedule, build_schedule

NORM_BATCHES = 50  # of noise, for the statistics of an averaged generator


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is settled before the first step: `updates` of the critic before each of the generator's.

    `kept` are the steps after which a generator is kept; `per_epoch` are the critic's updates in an epoch.
    """

    recipe: GanRecipe
    budget: Budget
    objective: Objective
    device: torch.device
    updates: list[int]
    kept: frozenset[int]
    factor: Schedule
    cast: Cast
    precision: str
    per_epoch: int

    def done(self, step: int) -> float:
        """The part of the run that is over before `step`."""
        return (step - 1) / len(self.updates)

    def has_row(self, step: int) -> bool:
        """Whether the table has a row for `step`."""
        return step % self.budget.log_every == 0 or step in self.kept or step == len(self.updates)

    def penalty_weight(self, critic_updates: int) -> float:
        """What the penalty weighs in the critic's update after `critic_updates` others; 0: it is left out."""
        every = self.recipe.penalty_every
        return float(every) if critic_updates % every == 0 else 0.0

    def noise(self, gan: TrainedGan) -> Tensor:
        """A fresh batch of noise, (batch_size, noise_dim), of this worker its share."""
        shape = (self.recipe.batch_size, self.recipe.noise_dim)
        return workers.share(noise_source(self.recipe.noise)(shape, gan.noise_rng))

    def settle(self, gan: TrainedGan) -> None:
        """Make the kept generator one to draw from: the average needs statistics of its own."""
        if gan.average is None:
            return
        shape = (self.recipe.batch_size, self.recipe.noise_dim)
        rng, draw = random_stream(self.budget.seed, "gan", "norms"), noise_source(self.recipe.noise)
        batches = (workers.share(draw(shape, rng)).to(self.device) for _ in range(NORM_BATCHES))
        with self.cast():
            gan.average.measure_norms(batches)

    def grid(self, gan: TrainedGan) -> tuple[int, Tensor]:
        """The step, and the samples from the noise that is the same at every step."""
        shape = (self.recipe.grid_images, self.recipe.noise_dim)
        rng = random_stream(self.budget.seed, "gan", "grid")
        return gan.step, generate(gan.kept_generator, noise_source(self.recipe.noise)(shape, rng))


def plan_training(images: Tensor, recipe: GanRecipe, budget: Budget, device: torch.device) -> Plan:
    """Settle what a run does, and refuse what cannot work: see `train_gan`."""
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"{len(images)} images are less than one batch of {recipe.batch_size}: lower batch_size"
        )
    workers.check_batch(recipe.batch_size)
    objective = build_objective(recipe.objective, **recipe.objective_options)
    updates = plan_updates(
        objective, steps=recipe.steps, critic_steps=recipe.critic_steps, max_updates=budget.max_updates
    )
    if recipe.generator_first and max(updates) > 1:
        raise ValueError(
            "generator_first needs one critic update a step: set critic_steps to 1, or remove it"
        )
    if recipe.penalty_every > 1 and objective.penalty is no_penalty:
        raise ValueError(
            f"penalty_every {recipe.penalty_every} needs an objective with a gradient penalty: give it one in"
            " objective_options (such as r1_penalty), or remove penalty_every"
        )
    steps = len(updates)
    kept = {round(steps * part / recipe.snapshots) for part in range(1, recipe.snapshots + 1)}
    if recipe.snapshot_steps is not None:
        kept = {max(1, round(steps * step / recipe.steps)) for step in recipe.snapshot_steps}
    precision = resolve_precision(budget.precision, device)
    return Plan(
        recipe=recipe,
        budget=budget,
        objective=objective,
        device=device,
        updates=updates,
        kept=frozenset(kept),
        factor=build_schedule(recipe.schedule, recipe.steps, recipe.schedule_options),
        cast=partial(autocast, precision, device),
        precision=precision,
        per_epoch=len(images) // recipe.batch_size,
    )

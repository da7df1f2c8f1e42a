"""GAN trainings: as CS231n's assignment 3 and the papers' authors write them, beside `train_gan`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.training import train_gan
from ganscribe.gan.networks import build_discriminator, build_generator
from ganscribe.training.budget import Budget
from samples import PICTURE_SHAPE, draw_pictures
from timing import Row, Setting, Spans, Work, alike
from tutorial import read_batches, start_as_tutorial

RECIPES = {
    "gan": GanRecipe(objective="nonsaturating", networks="mlp", dataset="mnist", steps=3900),
    "dcgan": GanRecipe(objective="nonsaturating", networks="dcgan", dataset="mnist", steps=1950),
    "dcgan_deep": GanRecipe(
        objective="nonsaturating", networks="dcgan_deep", dataset="mnist", betas=(0.4, 0.999),
        batch_size=64, noise_dim=100, steps=3905,
    ),
    "wgan": GanRecipe(
        objective="wgan", networks="dcgan", dataset="mnist", optimiser="rmsprop", learning_rate=5e-5,
        batch_size=64, noise_dim=100, noise="normal", steps=3000, critic_steps=5,
    ),
    "wgan_gp": GanRecipe(
        objective="wgan_gp", networks="dcgan", dataset="mnist", learning_rate=1e-4, betas=(0.5, 0.9),
        batch_size=64, noise_dim=100, noise="normal", steps=3000, critic_steps=5,
    ),
}  # fmt: skip
# Updates of the critic; few where each takes long, so that all rows together take minutes.
CPU_SPANS: dict[str, Spans] = {
    "gan": alike(5, 105),
    "dcgan": alike(3, 18),
    "dcgan_deep": alike(2, 8),
    "wgan": alike(5, 35),
    "wgan_gp": alike(5, 25),
}
CLIP, GRADIENT_PENALTY = 0.01, 10.0


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Gulrajani et al. 2017 (1704.00028), equation 3."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return GRADIENT_PENALTY * ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()


def critic_loss(objective: str, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """What the critic minimises."""
    on_real, on_fake = critic(real), critic(fake)
    if objective == "nonsaturating":
        return bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    loss = on_fake.mean() - on_real.mean()
    return loss + gradient_penalty(critic, real, fake) if objective == "wgan_gp" else loss


def generator_loss(objective: str, on_fake: Tensor) -> Tensor:
    """What the generator minimises."""
    return bce(on_fake, torch.ones_like(on_fake)) if objective == "nonsaturating" else -on_fake.mean()


def build_optimiser(recipe: GanRecipe, network: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimiser as torch makes it unless told otherwise."""
    if recipe.optimiser == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=recipe.learning_rate)
    return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, betas=recipe.betas)


def train_as_tutorial(
    updates: int, *, recipe: GanRecipe, pictures: tuple[Tensor, Tensor], device: torch.device
) -> int:
    """Update the critic so often, in float32, with `.item()` of every loss."""
    start_as_tutorial()
    generator = build_generator(recipe.networks, noise_dim=recipe.noise_dim, image_shape=PICTURE_SHAPE).to(
        device
    )
    critic = build_discriminator(recipe.networks, image_shape=PICTURE_SHAPE).to(device)
    of_generator, of_critic = build_optimiser(recipe, generator), build_optimiser(recipe, critic)

    def draw() -> Tensor:
        shape = (recipe.batch_size, recipe.noise_dim)
        if recipe.noise == "normal":
            return generator(torch.randn(shape, device=device))
        return generator(torch.rand(shape, device=device) * 2 - 1)

    batches = islice(read_batches(*pictures, batch_size=recipe.batch_size), updates)
    for update, (real, _) in enumerate(batches, 1):
        of_critic.zero_grad()
        loss = critic_loss(recipe.objective, critic, 2 * (real.to(device) - 0.5), draw().detach())
        loss.backward()
        of_critic.step()
        if recipe.objective == "wgan":
            for weight in critic.parameters():
                weight.data.clamp_(-CLIP, CLIP)
        loss.item()
        if update % recipe.critic_steps == 0:
            of_generator.zero_grad()
            loss = generator_loss(recipe.objective, critic(draw()))
            loss.backward()
            of_generator.step()
            loss.item()
    return updates


def train_as_here(
    updates: int, precision: str, *, recipe: GanRecipe, pictures: tuple[Tensor, Tensor], device: torch.device
) -> int:
    """Train by the recipe, as far as so many updates of the critic; a snapshot only at the end."""
    recipe = replace(recipe, snapshots=1)
    budget = Budget(seed=0, precision=precision, max_updates=updates)
    return train_gan(pictures[0], recipe, budget=budget, device=device).critic_updates


def measure(name: str, setting: Setting) -> Row:
    """The row of a recipe: a step, or an update of the critic with its share of the generator's."""
    recipe = RECIPES[name]
    given: dict[str, Any] = {"recipe": recipe, "pictures": draw_pictures(), "device": setting.device}
    what = "step" if recipe.critic_steps == 1 else "critic update"
    work = Work(
        name=f"`{name}` {what} (batch {recipe.batch_size})",
        tutorial=partial(train_as_tutorial, **given),
        ours=partial(train_as_here, **given),
        cpu=CPU_SPANS[name],
    )
    return setting.measure(work)


ROWS: dict[str, Callable[[Setting], Row]] = {name: partial(measure, name) for name in RECIPES}

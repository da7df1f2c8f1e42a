"""What a GAN's training holds: both networks, both optimisers, the noise, and what was seen on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.core.seeds import random_stream, seed_everything
from ganscribe.core.weights import SUFFIX
from ganscribe.gan.common.networks import ImageShape, build_discriminator, build_generator, check_pair
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.sampling import save_network
from ganscribe.training import workers
from ganscribe.training.average import MovingAverage
from ganscribe.training.optimisers import build_optimiser, restore_optimiser
from ganscribe.training.state import Row, random_states, restore_random_states

_RECORDS = ("step", "critic_updates", "history", "grids", "snapshots")
_NETWORKS = ("generator", "discriminator")
_OPTIMISERS = ("generator_optimiser", "critic_optimiser")


@dataclass
class TrainedGan:
    """A GAN in training, and at its end the result.

    `history`: rows as in `train_gan`. `grids`: (step, (16, C, H, W) uint8), all from the same noise.
    `snapshots`: (step, the kept generator's state_dict). `sums`: (2,) losses of critic and generator since
    the last row. `cosine`: (), between the last watched step of the critic's optimiser and the negative
    gradient. `average`: the moving average of the generator, where one is made.
    """

    recipe: GanRecipe
    image_shape: ImageShape
    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    noise_rng: torch.Generator
    sums: Tensor
    cosine: Tensor
    precision: str
    average: MovingAverage | None = None
    step: int = 0
    critic_updates: int = 0
    history: list[Row] = field(default_factory=list)
    grids: list[tuple[int, Tensor]] = field(default_factory=list)
    snapshots: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    @property
    def kept_generator(self) -> nn.Module:
        """The generator that is drawn from and saved: the average, where there is one."""
        return self.average.module if self.average is not None else self.generator

    def keep_snapshot(self) -> None:
        """Keep a copy of the generator's weights."""
        weights = self.kept_generator.state_dict()
        self.snapshots.append((self.step, {key: value.cpu().clone() for key, value in weights.items()}))

    def save(self, folder: Path) -> None:
        """Write the generator, the discriminator and the snapshots into `folder`.

        `sampling.load_generator` reads the generators.
        """
        weights = {
            f"generator{SUFFIX}": self.kept_generator.state_dict(),
            f"discriminator{SUFFIX}": self.discriminator.state_dict(),
            **{f"snapshots/step-{step:06d}{SUFFIX}": state_dict for step, state_dict in self.snapshots},
        }
        for file, state_dict in weights.items():
            save_network(
                folder / file,
                state_dict,
                networks=self.recipe.networks,
                noise_dim=self.recipe.noise_dim,
                noise=self.recipe.noise,
                image_shape=self.image_shape,
                network_options=self.recipe.network_options,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on: tensors, numbers and containers of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in (*_RECORDS, "sums")}
        state |= {name: getattr(self, name).state_dict() for name in (*_NETWORKS, *_OPTIMISERS)}
        state["average"] = self.average.module.state_dict() if self.average is not None else {}
        state["random"] = random_states(self.noise_rng.device, noise=self.noise_rng)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _RECORDS:
            setattr(self, name, state[name])
        self.sums.copy_(state["sums"])
        for name in _NETWORKS:
            getattr(self, name).load_state_dict(state[name])
        for name in _OPTIMISERS:
            restore_optimiser(getattr(self, name), state[name])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        restore_random_states(state["random"], self.noise_rng.device, noise=self.noise_rng)


def start_training(
    recipe: GanRecipe, *, image_shape: ImageShape, seed: int, precision: str, device: torch.device
) -> TrainedGan:
    """Return fresh networks and optimisers of `recipe`, seeded (torch's global generator included).

    `precision` is bf16 or fp32. Raises ValueError for an unknown name or option.
    """
    seed_everything(seed)
    options = recipe.network_options
    generator = build_generator(
        recipe.networks, noise_dim=recipe.noise_dim, image_shape=image_shape, **options
    )
    critic = build_discriminator(recipe.networks, image_shape=image_shape, **options)
    check_pair(recipe.networks, generator, critic, noise_dim=recipe.noise_dim, image_shape=image_shape)
    for network in (generator, critic):
        workers.share_norms(network)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # convolutions on the CPU are a fifth faster
    average = MovingAverage(generator, recipe.ema_decay) if recipe.ema_decay else None
    generator_optimiser, critic_optimiser = (
        build_optimiser(
            recipe.optimiser,
            network.parameters(),
            learning_rate=recipe.learning_rate,
            device=device,
            betas=recipe.betas,
        )
        for network in (generator, critic)
    )
    return TrainedGan(
        recipe,
        image_shape,
        generator,
        critic,
        generator_optimiser=generator_optimiser,
        critic_optimiser=critic_optimiser,
        noise_rng=random_stream(seed, "gan", "noise", device=device),
        sums=torch.zeros(2, device=device),
        cosine=torch.full((), torch.nan, device=device),
        precision=precision,
        average=average,
    )

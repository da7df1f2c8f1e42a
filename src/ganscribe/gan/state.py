"""What a GAN's training holds: both networks, both optimisers, the noise, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.gan.networks import ImageShape, build_discriminator, build_generator
from ganscribe.runtime import random_stream, seed_everything

# Fused: one kernel for all parameters (RMSprop has none). Betas are Adam's alone.
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights, rate, betas: torch.optim.Adam(weights, lr=rate, betas=betas, fused=True),
    "rmsprop": lambda weights, rate, betas: torch.optim.RMSprop(weights, lr=rate),
    "sgd": lambda weights, rate, betas: torch.optim.SGD(weights, lr=rate, fused=True),
}

_RECORDS = ("step", "critic_updates", "history", "grids", "snapshots")


@dataclass
class TrainedGan:
    """A GAN in training, and at its end the result.

    `history`: rows of step, epoch, critic_loss, generator_loss and the objective's estimates, each the mean
    since the row before. `grids`: (step, (16, C, H, W) uint8), all from the same noise. `snapshots`: (step,
    the generator's state_dict). `sums`: (2,) losses of critic and generator since the last row.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    noise_rng: torch.Generator
    sums: Tensor
    precision: str
    step: int = 0
    critic_updates: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    grids: list[tuple[int, Tensor]] = field(default_factory=list)
    snapshots: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors, numbers and containers of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in (*_RECORDS, "sums")}
        for name in ("generator", "discriminator", "generator_optimiser", "critic_optimiser"):
            state[name] = getattr(self, name).state_dict()
        state["random"] = {"noise": self.noise_rng.get_state(), "cpu": torch.get_rng_state()}
        if self.noise_rng.device.type == "cuda":
            state["random"]["cuda"] = torch.cuda.get_rng_state(self.noise_rng.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` gave."""
        for name in _RECORDS:
            setattr(self, name, state[name])
        self.sums.copy_(state["sums"])
        for name in ("generator", "discriminator", "generator_optimiser", "critic_optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.noise_rng.set_state(state["random"]["noise"])
        torch.set_rng_state(state["random"]["cpu"])
        if "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.noise_rng.device)


def start_training(
    networks: str,
    *,
    noise_dim: int,
    image_shape: ImageShape,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float],
    seed: int,
    precision: str,
    device: torch.device,
) -> TrainedGan:
    """Fresh networks and optimisers, seeded (torch's global generator included). ValueError: unknown name."""
    if optimiser not in OPTIMISERS:
        raise ValueError(f"optimiser {optimiser!r} is unknown: choose one of {', '.join(sorted(OPTIMISERS))}")
    seed_everything(seed)
    generator = build_generator(networks, noise_dim=noise_dim, image_shape=image_shape)
    critic = build_discriminator(networks, image_shape=image_shape)
    for network in (generator, critic):
        network.to(device)
        network.to(memory_format=torch.channels_last)  # convolutions on the CPU are a fifth faster
    return TrainedGan(
        generator.train(),
        critic.train(),
        generator_optimiser=OPTIMISERS[optimiser](generator.parameters(), learning_rate, betas),
        critic_optimiser=OPTIMISERS[optimiser](critic.parameters(), learning_rate, betas),
        noise_rng=random_stream(seed, "gan", "noise", device=device),
        sums=torch.zeros(2, device=device),
        precision=precision,
    )

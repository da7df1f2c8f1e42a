"""What a GAN's training holds: both networks, both optimisers, the noise, and what was seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ganscribe.core.seeds import random_stream, seed_everything
from ganscribe.gan.networks import ImageShape, build_discriminator, build_generator
from ganscribe.training import workers

# Fused: one kernel for all parameters (RMSprop has none). Betas are Adam's alone.
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda weights, rate, betas: torch.optim.Adam(weights, lr=rate, betas=betas, fused=True),
    "rmsprop": lambda weights, rate, betas: torch.optim.RMSprop(weights, lr=rate),
    "sgd": lambda weights, rate, betas: torch.optim.SGD(weights, lr=rate, fused=True),
}

_RECORDS = ("step", "critic_updates", "history", "grids", "snapshots")
_PARTS = ("generator", "discriminator", "generator_optimiser", "critic_optimiser")


@dataclass
class TrainedGan:
    """A GAN in training, and at its end the result.

    `history`: rows as in `train_gan`. `grids`: (step, (16, C, H, W) uint8), all from the same noise.
    `snapshots`: (step, the kept generator's state_dict). `sums`: (2,) losses of critic and generator since
    the last row. `average`: the exponential moving average of the generator, where one is made. `cosine`:
    between the last watched step of the critic's optimiser and the negative gradient.
    """

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    noise_rng: torch.Generator
    sums: Tensor
    precision: str
    average: AveragedModel | None = None
    cosine: Tensor | None = None
    step: int = 0
    critic_updates: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    grids: list[tuple[int, Tensor]] = field(default_factory=list)
    snapshots: list[tuple[int, dict[str, Tensor]]] = field(default_factory=list)

    @property
    def kept_generator(self) -> nn.Module:
        """The generator that is drawn from and saved: the average, where there is one."""
        return self.average.module if self.average is not None else self.generator

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of both optimisers."""
        for optimiser in (self.generator_optimiser, self.critic_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors, numbers and containers of them."""
        state: dict[str, Any] = {name: getattr(self, name) for name in (*_RECORDS, "sums")}
        for name in _PARTS + (("average",) if self.average is not None else ()):
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
        for name in _PARTS + (("average",) if self.average is not None else ()):
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
    betas: tuple[float, float] | None,
    ema_decay: float,
    seed: int,
    precision: str,
    device: torch.device,
) -> TrainedGan:
    """Fresh networks and optimisers, seeded (torch's global generator included).

    `ema_decay` 0: no average. ValueError: unknown name, Adam without betas, a decay outside [0, 1).
    """
    if optimiser not in OPTIMISERS:
        raise ValueError(f"optimiser {optimiser!r} is unknown: choose one of {', '.join(sorted(OPTIMISERS))}")
    if optimiser == "adam" and betas is None:
        raise ValueError("optimiser 'adam' needs betas: add them, such as [0.5, 0.999]")
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay {ema_decay} must be at least 0 (no average) and less than 1")
    seed_everything(seed)
    generator = build_generator(networks, noise_dim=noise_dim, image_shape=image_shape)
    critic = build_discriminator(networks, image_shape=image_shape)
    for network in (generator, critic):
        workers.share_norms(network)
        network.to(device)
        network.to(memory_format=torch.channels_last)  # convolutions on the CPU are a fifth faster
    average = None
    if ema_decay:
        average = AveragedModel(
            generator.train(), multi_avg_fn=get_ema_multi_avg_fn(ema_decay), use_buffers=True
        )
    return TrainedGan(
        generator.train(),
        critic.train(),
        generator_optimiser=OPTIMISERS[optimiser](generator.parameters(), learning_rate, betas),
        critic_optimiser=OPTIMISERS[optimiser](critic.parameters(), learning_rate, betas),
        noise_rng=random_stream(seed, "gan", "noise", device=device),
        sums=torch.zeros(2, device=device),
        precision=precision,
        average=average,
    )

"""Tiny GANs: pictures of noise, recipes, trainings of a second."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.sampling import save_network
from ganscribe.gan.common.state import TrainedGan
from ganscribe.gan.common.training import train_gan
from ganscribe.gan.networks import build_discriminator, build_generator
from ganscribe.training.budget import Budget
from ganscribe.training.state import Log

CPU = torch.device("cpu")
MNIST = (1, 28, 28)
NOISE = 4  # of networks that are built alone: CS231n's own test noise dimension
SETTINGS: dict[str, Any] = {
    "objective": "nonsaturating", "networks": "mlp", "dataset": "mnist", "batch_size": 16, "noise_dim": 8,
    "steps": 12, "sample_every": 50, "snapshots": 2,
    "seed": 3, "precision": "fp32", "log_every": 2,
}  # fmt: skip


def pictures(count: int = 70, seed: int = 0) -> Tensor:
    """Noise of the shape of digits, (count, 1, 28, 28) uint8."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *MNIST), generator=rng, dtype=torch.uint8)


def recipe_and_budget(**changes: Any) -> tuple[GanRecipe, Budget]:
    """Return the recipe and the budget of `SETTINGS`, with `changes` to either."""
    settings = SETTINGS | changes
    names = {each.name for each in fields(Budget)} & set(settings)
    budget = Budget(**{name: settings.pop(name) for name in names})
    return GanRecipe(**settings), budget


def train(
    images: Tensor | None = None,
    *,
    device: torch.device = CPU,
    held_out: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    log: Log | None = None,
    **changes: Any,
) -> TrainedGan:
    """Train on `pictures()` or other images, with `changes` to the recipe and the budget of `SETTINGS`."""
    recipe, budget = recipe_and_budget(**changes)
    return train_gan(
        pictures() if images is None else images,
        recipe,
        budget=budget,
        device=device,
        held_out=held_out,
        checkpoint=checkpoint,
        log=log,
    )


def weights(gan: TrainedGan) -> list[Tensor]:
    """Copies of all that both networks hold, running statistics among it."""
    networks = (gan.generator, gan.discriminator)
    return [value.clone() for network in networks for value in network.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """Whether two lists hold the same tensors, bit for bit."""
    return all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def build(name: str, part: str, image_shape: tuple[int, int, int] = MNIST, **options: Any) -> nn.Module:
    """One of the pair `name`, `part` being generator or discriminator; the generator takes NOISE numbers."""
    torch.manual_seed(0)
    if part == "generator":
        return build_generator(name, noise_dim=NOISE, image_shape=image_shape, **options)
    return build_discriminator(name, image_shape=image_shape, **options)


def layer_parameters(layers: list[tuple[int, int, int]], norms: list[int]) -> int:
    """Count the parameters of layers (inputs, outputs, kernel area) with biases, and of norms by their widths."""
    return sum(inputs * outputs * area + outputs for inputs, outputs, area in layers) + 2 * sum(norms)


def save_generator(path: str | Path, *, noise: str = "uniform", seed: int = 0) -> None:
    """Write an untrained generator, `mlp` of NOISE numbers."""
    torch.manual_seed(seed)
    network = build_generator("mlp", noise_dim=NOISE, image_shape=MNIST)
    save_network(
        path,
        network.state_dict(),
        networks="mlp",
        noise_dim=NOISE,
        noise=noise,
        image_shape=MNIST,
    )

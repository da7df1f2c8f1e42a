"""Noise in, pictures out: samples of a trained generator, and the files that generators are kept in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganscribe.core.seeds import random_stream
from ganscribe.core.weights import load_weights, save_weights
from ganscribe.datasets.pixels import to_uint8
from ganscribe.gan.common.networks import ImageShape, build_generator

SAMPLE_BATCH = 256


def uniform_noise(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Uniform noise in [-1, 1), on the generator's device.

    CS231n's third assignment, where some runs come from, says uniform noise too, but its code adds two such numbers up.
    """
    return torch.rand(shape, generator=rng, device=rng.device).mul_(2).sub_(1)


def normal_noise(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Standard normal noise, on the generator's device."""
    return torch.randn(shape, generator=rng, device=rng.device)


NOISES: dict[str, Callable[[tuple[int, ...], torch.Generator], Tensor]] = {
    "uniform": uniform_noise,
    "normal": normal_noise,
}


def noise_source(name: str) -> Callable[[tuple[int, ...], torch.Generator], Tensor]:
    """The function that draws noise of kind `name`; ValueError for an unknown one."""
    if name not in NOISES:
        raise ValueError(f"noise {name!r} is unknown: choose one of {', '.join(sorted(NOISES))}")
    return NOISES[name]


@torch.no_grad()
def generate(generator: nn.Module, noise: Tensor) -> Tensor:
    """Images (N, C, H, W) uint8 of `noise` (N, noise_dim), generator in evaluation mode, float32.

    Every pass has the same batch size (the last is padded), so that an image's bytes depend on its own
    noise alone, not on how many were asked for.
    """
    was_training = generator.training
    generator.eval()
    device = next(generator.parameters()).device
    images = []
    for batch in noise.split(SAMPLE_BATCH):
        padded = torch.zeros(SAMPLE_BATCH, noise.shape[1], device=device)
        padded[: len(batch)] = batch.to(device)
        images.append(to_uint8(generator(padded)[: len(batch)]).contiguous())
    generator.train(was_training)
    return torch.cat(images).cpu()


def sample_noise(count: int, noise_dim: int, noise: str, seed: int) -> Tensor:
    """The noise (count, noise_dim) of `sample_images`, row i the same for every count.

    It is drawn on the CPU, in whole batches (torch draws the last few of an odd number of normal values in
    another way).
    """
    if count < 1:
        raise ValueError(f"count {count}: ask for at least one image")
    rows = -(-count // SAMPLE_BATCH) * SAMPLE_BATCH
    return noise_source(noise)((rows, noise_dim), random_stream(seed, "gan", "samples"))[:count]


def sample_images(
    generator: nn.Module, count: int, *, noise_dim: int, noise: str, seed: int, device: torch.device
) -> Tensor:
    """`count` images (N, C, H, W) uint8 of `generator`, rounded, on the CPU; the same for the same seed.

    Image i is the same for every count. On another device some of its pixels may differ by one level.
    """
    return generate(generator.to(device), sample_noise(count, noise_dim, noise, seed))


def interpolate_images(
    generator: nn.Module, *, rows: int, columns: int, noise_dim: int, noise: str, seed: int
) -> Tensor:
    """Images (rows * columns, C, H, W) uint8: in each row, `columns` steps on a line between two noises."""
    ends = noise_source(noise)((2, rows, 1, noise_dim), random_stream(seed, "gan", "interpolation"))
    steps = torch.linspace(0, 1, columns)[:, None]  # (columns, 1)
    return generate(generator, torch.lerp(ends[0], ends[1], steps).flatten(0, 1))


@dataclass(frozen=True)
class SavedGenerator:
    """A generator read from a file, in evaluation mode, with what it takes to sample from it."""

    network: nn.Module
    networks: str
    noise_dim: int
    noise: str
    image_shape: ImageShape

    def sample(self, count: int, *, seed: int, device: torch.device) -> Tensor:
        """`count` of its images, as `sample_images` has it."""
        return sample_images(
            self.network, count, noise_dim=self.noise_dim, noise=self.noise, seed=seed, device=device
        )

    def between(self, count: int, *, seed: int, position: float) -> Tensor:
        """`count` images at `position` (0 to 1) on the straight way from the noise of `seed`, whose images
        are those of `sample`, to the noise of `seed + 1`."""
        ends = [sample_noise(count, self.noise_dim, self.noise, seed + step) for step in (0, 1)]
        return generate(self.network, torch.lerp(ends[0], ends[1], position))


def save_network(
    path: str | Path,
    state_dict: dict[str, Tensor],
    *,
    networks: str,
    noise_dim: int,
    noise: str,
    image_shape: ImageShape,
    network_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a generator or discriminator, with what it takes to build it again, as deterministic bytes."""
    settings: dict[str, Any] = {
        "networks": networks,
        "noise_dim": noise_dim,
        "noise": noise,
        "image_shape": list(image_shape),
    }
    if network_options:
        settings["network_options"] = dict(network_options)
    save_weights(path, state_dict, settings)


def load_generator(path: str | Path) -> SavedGenerator:
    """Read a generator that `save_network` wrote. Raises ValueError for any other file."""
    problem = f"{path} is damaged, or not a saved generator"
    try:
        weights, saved = load_weights(path)
        channels, height, width = saved["image_shape"]
        settings = (saved["networks"], saved["noise_dim"], saved["noise"])
        network = build_generator(
            settings[0],
            noise_dim=settings[1],
            image_shape=(channels, height, width),
            **saved.get("network_options", {}),
        )
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(problem) from error
    return SavedGenerator(network.eval(), *settings, (channels, height, width))

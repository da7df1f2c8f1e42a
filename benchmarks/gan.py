"""A GAN step: the course's way (CS231n, assignment 3) beside this project's, taking turns in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ganscribe.core.devices import choose_device, resolve_precision
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.state import start_training
from ganscribe.gan.common.training import Updates, batches, plan_training
from ganscribe.gan.networks import build_discriminator, build_generator
from ganscribe.training.budget import Budget

BATCH_SIZE, NOISE_DIM, IMAGE_SHAPE = 128, 96, (1, 28, 28)
TURNS = 5
STEPS_A_TURN = {"mlp": 20, "dcgan": 4}


class Pictures(Dataset[Tensor]):
    """torchvision's MNIST as a tutorial reads it: a PIL image and ToTensor for every picture."""

    def __init__(self, images: Tensor) -> None:
        from torchvision.transforms import ToTensor

        self.images, self.transform = images[:, 0], ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[index].numpy(), mode="L"))


def tutorial_steps(images: Tensor, networks: str, device: torch.device) -> Iterator[None]:
    """Endless steps as the course writes them: a per-image loader, float32, `.item()` in every step."""
    generator = build_generator(networks, noise_dim=NOISE_DIM, image_shape=IMAGE_SHAPE).to(device)
    critic = build_discriminator(networks, image_shape=IMAGE_SHAPE).to(device)
    players = [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (generator, critic)]
    bce = torch.nn.BCEWithLogitsLoss()
    ones = torch.ones(BATCH_SIZE, device=device)
    while True:
        for real in DataLoader(Pictures(images), batch_size=BATCH_SIZE, shuffle=True, drop_last=True):
            players[1].zero_grad()
            fake = generator(torch.rand(BATCH_SIZE, NOISE_DIM, device=device) * 2 - 1).detach()
            loss = bce(critic(2 * (real.to(device) - 0.5)), ones) + bce(critic(fake), 0 * ones)
            loss.backward()
            players[1].step()
            loss.item()

            players[0].zero_grad()
            fake = generator(torch.rand(BATCH_SIZE, NOISE_DIM, device=device) * 2 - 1)
            loss = bce(critic(fake), ones)
            loss.backward()
            players[0].step()
            loss.item()
            yield


def our_steps(images: Tensor, networks: str, device: torch.device) -> Iterator[None]:
    """Endless steps of `train_gan`'s loop, with the precision that it chooses on this device."""
    recipe = GanRecipe(
        objective="nonsaturating",
        networks=networks,
        dataset="mnist",
        batch_size=BATCH_SIZE,
        noise_dim=NOISE_DIM,
        steps=10**6,
    )
    precision = resolve_precision("auto", device)
    gan = start_training(recipe, image_shape=IMAGE_SHAPE, seed=0, precision=precision, device=device)
    plan = plan_training(images, recipe, Budget(seed=0), device)
    updates = Updates(gan, plan, images.to(device))
    rows = batches(len(images), batch_size=BATCH_SIZE, shuffle=True, seed=0, first=0, device=device)
    while True:
        updates.take_step(rows)
        yield


def milliseconds(steps: Iterator[None], count: int, device: torch.device) -> float:
    """The mean time of a step over `count` steps."""
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    wait()
    return 1000 * (time.perf_counter() - start) / count


def rows() -> list[dict[str, Any]]:
    """One row a network: the median over turns of the time of a step, in milliseconds, and their ratio."""
    device = choose_device()
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20000, *IMAGE_SHAPE), generator=rng, dtype=torch.uint8)
    table = []
    for networks, count in STEPS_A_TURN.items():
        ways = [tutorial_steps(images, networks, device), our_steps(images, networks, device)]
        for steps in ways:
            milliseconds(steps, 2, device)  # warm up
        turns = [[milliseconds(steps, count, device) for steps in ways] for _ in range(TURNS)]
        tutorial, ours = (statistics.median(times) for times in zip(*turns, strict=True))
        work = f"GAN step ({networks}, batch {BATCH_SIZE})"
        table.append(
            {"work": work, "tutorial": tutorial, "ours": ours, "ratio": tutorial / ours, "unit": "ms"}
        )
    return table

"""Classifier trainings: a tutorial's loop beside `train_classifier`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.convnets.common.building import build
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import train_classifier
from ganscribe.datasets.images import Images
from ganscribe.training.budget import Budget
from samples import NUM_CLASSES, PICTURE_SHAPE, draw_pictures
from timing import Row, Setting, Spans, Work, alike
from tutorial import read_batches, start_as_tutorial

VAL_IMAGES = 100


def residual(network: str) -> ClassifierRecipe:
    """Return the recipe that the deep networks share."""
    return ClassifierRecipe(
        network=network, dataset="mnist", optimiser="sgd", learning_rate=0.1, weight_decay=1e-4,
        schedule="step", batch_size=64, epochs=10, shift=1,
    )  # fmt: skip


RECIPES = {
    "lenet5": ClassifierRecipe(network="lenet5", dataset="mnist", learning_rate=3e-3, epochs=10, shift=1),
    "resnet20": residual("resnet20"),
    "cliquenet": residual("cliquenet"),
    "densenet_bc": residual("densenet_bc"),
}
CPU_SPANS: dict[str, Spans] = {
    "lenet5": alike(5, 105),
    "resnet20": alike(3, 23),
    "cliquenet": alike(1, 3),
    "densenet_bc": alike(1, 3),
}
CARD_ONLY = ("cliquenet", "densenet_bc")  # on a CPU only where asked for by name


def train_as_tutorial(
    updates: int, *, recipe: ClassifierRecipe, pictures: tuple[Tensor, Tensor], device: torch.device
) -> int:
    """Update so often, in float32, with `.item()` of every loss; the images are not even shifted."""
    start_as_tutorial()
    model = build(recipe.network, num_classes=NUM_CLASSES, image_shape=PICTURE_SHAPE)
    model = model.to(memory_format=torch.contiguous_format).to(device).train()
    weights, rate = model.parameters(), recipe.learning_rate
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.Adam(weights, lr=rate)
    for images, labels in islice(read_batches(*pictures, batch_size=recipe.batch_size), updates):
        optimiser.zero_grad()
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        loss.backward()
        optimiser.step()
        loss.item()
    return updates


def train_as_here(
    updates: int,
    precision: str,
    *,
    recipe: ClassifierRecipe,
    pictures: tuple[Tensor, Tensor],
    device: torch.device,
) -> int:
    """Train by the recipe, as far as so many updates."""
    names = [str(label) for label in range(NUM_CLASSES)]
    train, val = (
        Images(images, labels, torch.arange(len(images)), names, "mnist", "random")
        for images, labels in (pictures, [part[:VAL_IMAGES] for part in pictures])
    )
    budget = Budget(seed=0, precision=precision, max_updates=updates)
    return train_classifier(train, val, recipe, budget=budget, device=device).updates


def measure(name: str, setting: Setting) -> Row:
    """The row of a network."""
    recipe = RECIPES[name]
    given: dict[str, Any] = {"recipe": recipe, "pictures": draw_pictures(), "device": setting.device}
    work = Work(
        name=f"`{name}` step (batch {recipe.batch_size})",
        tutorial=partial(train_as_tutorial, **given),
        ours=partial(train_as_here, **given),
        cpu=CPU_SPANS[name],
    )
    return setting.measure(work)


ROWS: dict[str, Callable[[Setting], Row]] = {name: partial(measure, name) for name in RECIPES}

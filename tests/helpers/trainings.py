"""Short trainings with every kind of step, for a GPU and for what stands in for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import gans
from ganscribe.captioning.dataset import CaptionerData, CaptionSet
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.training import train_captioner
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import train_classifier
from ganscribe.datasets.images import Images
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.training.budget import Budget
from stopping import StopAfter, reopen

CUDA = torch.device("cuda")

GANS: dict[str, dict[str, Any]] = {
    "mlp": {"networks": "mlp"},
    "mlp, generator first": {"networks": "mlp", "generator_first": True},
    "minimax, instance noise": {
        "objective": "minimax",
        "objective_options": {"instance_noise": 0.5},
        "critic_steps": 2,
    },
    "deep, smoothed, generator first": {
        "networks": "dcgan_deep",
        "objective_options": {"label_smoothing": 0.1, "generator_smoothing": 0.1},
        "generator_first": True,
    },
    "least squares": {"objective": "lsgan", "noise": "normal", "shuffle": False},
    "clipped critic": {
        "objective": "wgan",
        "networks": "dcgan_nobn",
        "optimiser": "rmsprop",
        "learning_rate": 5e-5,
        "critic_steps": 3,
    },
    "gradient penalty": {"objective": "wgan_gp", "critic_steps": 2, "betas": (0.5, 0.9)},
    "R1, average, linear": {
        "objective_options": {"r1_penalty": 1.0},
        "ema_decay": 0.9,
        "schedule": "linear",
    },
    "hinge, spectral norm": {
        "objective": "hinge",
        "networks": "dcgan_sn",
        "noise": "normal",
        "critic_steps": 2,
    },
    "relativistic, R1 and R2": {
        "objective": "relativistic",
        "objective_options": {"r1_penalty": 1.0, "r2_penalty": 1.0},
        "penalty_every": 2,
        "betas": (0.0, 0.99),
        "schedule": "linear",
    },
    "relativistic, spectral norm, generator first": {
        "objective": "relativistic",
        "objective_options": {"r1_penalty": 0.5},
        "networks": "dcgan_sn",
        "generator_first": True,
    },
    "batch norm in both, linear": {"networks": "dcgan_bn", "schedule": "linear"},
    "SGD, warm-up": {"optimiser": "sgd", "schedule": "cosine", "schedule_options": {"warm_up": 3}},
}
CONVNETS: dict[str, dict[str, Any]] = {
    "lenet5": {"shift": 1},
    "alexnet": {"optimiser": "sgd", "learning_rate": 0.01, "shift": 2, "flip": True},
    "vgg11": {"optimiser": "sgd", "learning_rate": 0.01, "decay": "weights", "weight_decay": 5e-4},
    "googlenet": {"optimiser": "sgd", "learning_rate": 0.05},
    "resnet18": {"schedule": "step"},
    "resnet20": {"optimiser": "sgd", "learning_rate": 0.1, "weight_decay": 1e-4},
    "densenet_bc": {"options": {"depth": 22, "dropout": 0.2}, "optimiser": "sgd", "learning_rate": 0.1},
    "cliquenet": {"options": {"k": 8, "T": 6, "dropout": 0.2}, "optimiser": "rmsprop"},
}


CAPTIONERS: dict[str, dict[str, Any]] = {
    "tutorial": {},
    "best": {"dropout": 0.5, "label_smoothing": 0.1, "schedule": "cosine", "standardise": True},
    "every option": {
        "gate": True,
        "standardise": True,
        "dropout": 0.3,
        "clip_norm": 0.1,
        "label_smoothing": 0.1,
        "doubly_stochastic": 1.0,
        "scheduled_sampling": 0.5,
        "optimiser": "rmsprop",
    },
}


@dataclass(frozen=True)
class Outcome:
    """What a training leaves: its table, and every tensor of its networks."""

    history: list[dict[str, float]]
    tensors: list[torch.Tensor]


def gan(
    name: str, *, device: torch.device = CUDA, precision: str = "bf16", checkpoint: Checkpoint | None = None
) -> Outcome:
    """Train the GAN `name` of the table for some steps."""
    shared = {"networks": "dcgan", "batch_size": 32, "noise_dim": 16, "steps": 9, "sample_every": 4}
    # A clipped critic would have a hundred updates in each of the first steps; on a card it may.
    budget = {"precision": precision, "max_updates": None if device == CUDA else 12}
    trained = gans.train(
        gans.pictures(200), device=device, held_out=gans.pictures(70), checkpoint=checkpoint,
        **(shared | budget | GANS[name]),
    )  # fmt: skip
    networks = (trained.generator, trained.discriminator, trained.kept_generator)
    return Outcome(trained.history, [each.cpu() for one in networks for each in one.state_dict().values()])


def convnet(
    name: str, *, device: torch.device = CUDA, precision: str = "bf16", checkpoint: Checkpoint | None = None
) -> Outcome:
    """Train the convnet `name` of the table for some epochs of three updates."""
    images, labels = gans.pictures(100), torch.arange(100) % 10
    data = Images(images, labels, torch.arange(100), [str(digit) for digit in range(10)], "mnist", "sample")
    recipe = ClassifierRecipe(network=name, dataset="mnist", batch_size=32, epochs=2.5, **CONVNETS[name])
    trained = train_classifier(
        data, data, recipe, budget=Budget(seed=3, precision=precision), device=device, checkpoint=checkpoint
    )
    return Outcome(trained.history, [each.cpu() for each in trained.model.state_dict().values()])


def captioner(
    name: str, *, device: torch.device = CUDA, precision: str = "bf16", checkpoint: Checkpoint | None = None
) -> Outcome:
    """Train the captioner `name` of the table for some epochs of three updates, the last of them smaller."""
    rng = torch.Generator().manual_seed(0)
    features = torch.rand(12, 64, 32, generator=rng).half()
    tokens = torch.randint(4, 30, (20, 21), generator=rng)
    lengths = torch.randint(4, 22, (20, 1), generator=rng)
    tokens = tokens * (torch.arange(21) < lengths)
    ids = (torch.arange(20) % 12).tolist()
    data = CaptionerData(
        train=CaptionSet(ids, tokens),
        val=CaptionSet(ids[:5], tokens[:5]),
        features=lambda wanted: features[torch.tensor(list(wanted))],
        vocabulary_size=30,
        feature_dim=32,
        longest=21,
    )
    sizes = {"embedding_dim": 16, "units": 24, "encoder_dim": 16, "batch_size": 8}
    recipe = CaptionerRecipe(epochs=3, **sizes, **CAPTIONERS[name])
    budget = Budget(seed=3, precision=precision, log_every=2)
    trained = train_captioner(data, recipe, budget=budget, device=device, checkpoint=checkpoint)
    return Outcome(trained.history, [each.cpu() for each in trained.model.state_dict().values()])


def resumed(train: Callable[..., Outcome], name: str, folder: Path, *, stop_at: int) -> Outcome:
    """Train until `stop_at`, then continue from there with new objects."""
    with pytest.raises(KeyboardInterrupt):
        train(name, checkpoint=StopAfter(folder, stop_at))
    return train(name, checkpoint=reopen(folder))

"""Every run of params.yaml: its recipe is its source's, and it trains."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from ganscribe import config
from ganscribe.gan.common.state import start_training
from ganscribe.gan.common.training import train_gan
from ganscribe.gan.networks import NETWORKS
from ganscribe.gan.objectives import OBJECTIVES

# Spec section 2, the table of runs: objective, networks, optimiser, rate, betas, batch, z, noise, steps.
SOURCES: dict[str, tuple[Any, ...]] = {
    "gan": ("nonsaturating", "mlp", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 3900),
    "gan_minimax": ("minimax", "mlp", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 3900),
    "lsgan": ("lsgan", "mlp", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 3900),
    "dcgan": ("nonsaturating", "dcgan", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 1950),
    "gan_nobn": ("nonsaturating", "dcgan_nobn", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 1950),
    "gan_noise": ("minimax", "dcgan", "adam", 1e-3, (0.5, 0.999), 128, 96, "uniform", 1950),
    "dcgan_smooth": ("nonsaturating", "dcgan_deep", "adam", 1e-3, (0.4, 0.999), 64, 100, "uniform", 3905),
    "dcgan_horse": ("nonsaturating", "dcgan_deep", "adam", 1e-3, (0.4, 0.999), 64, 100, "uniform", 3850),
    "wgan": ("wgan", "dcgan", "rmsprop", 5e-5, None, 64, 100, "normal", 3000),
    "wgan_mlp": ("wgan", "mlp", "rmsprop", 5e-5, None, 64, 100, "normal", 3000),
    "wgan_nobn": ("wgan", "dcgan_nobn", "rmsprop", 5e-5, None, 64, 100, "normal", 3000),
    "wgan_adam": ("wgan", "dcgan", "adam", 5e-5, (0.9, 0.999), 64, 100, "normal", 3000),
    "wgan_gp": ("wgan_gp", "dcgan", "adam", 1e-4, (0.5, 0.9), 64, 100, "normal", 3000),
}
KEYS = (
    "objective",
    "networks",
    "optimiser",
    "learning_rate",
    "betas",
    "batch_size",
    "noise_dim",
    "noise",
    "steps",
)
SMOOTH = {
    "label_smoothing": 0.1,
    "generator_smoothing": 0.1,
    "generator_first": True,
    "sample_every": 100,
}
# What the table says beside those columns; every other option is off.
FURTHER: dict[str, dict[str, Any]] = {
    "gan_noise": {"instance_noise": 0.5, "critic_steps": 5},
    "dcgan_smooth": SMOOTH | {"grid_images": 25},
    "dcgan_horse": SMOOTH
    | {"grid_images": 15, "dataset": "cifar10", "classes": [7], "splits": ["train", "val"]},
    **{run: {"critic_steps": 5} for run in SOURCES if run.startswith("wgan")},
}
PLAIN = {
    "dataset": "mnist",
    "splits": ["train"],
    "classes": None,
    "critic_steps": 1,
    "shuffle": True,
    "label_smoothing": 0.0,
    "generator_smoothing": 0.0,
    "instance_noise": 0.0,
    "clip": None,  # the paper's 0.01
    "gradient_penalty": None,  # the paper's 10
    "r1_penalty": 0.0,
    "generator_first": False,
    "ema_decay": 0.0,
    "schedule": "constant",
    "grid_images": 16,
    "sample_every": 250,
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_recipe_is_the_source_s(project: Path, name: str) -> None:
    recipe = asdict(config.load("gan", name, project))
    assert tuple(recipe[key] for key in KEYS) == SOURCES[name]
    assert {key: recipe[key] for key in PLAIN} == PLAIN | FURTHER.get(name, {})


def test_no_run_is_missing(project: Path) -> None:
    assert set(SOURCES) <= set(config.read(project)[0].gan.runs)


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32)])
def test_objectives_networks_and_data_sets_combine(image_shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (8, *image_shape), dtype=torch.uint8)
    objectives = list(OBJECTIVES) if image_shape[0] == 1 else ["wgan"]  # no objective sees the shape
    for objective in objectives:
        for networks in NETWORKS:
            if (objective, networks) == ("wgan_gp", "dcgan_deep"):
                continue  # refused: tests/gan/test_training.py
            gan = train_gan(
                images,
                objective=objective,
                networks=networks,
                optimiser="rmsprop",
                learning_rate=1e-4,
                betas=None,
                batch_size=4,
                noise_dim=8,
                noise="normal",
                steps=1,
                sample_every=1,
                grid_images=2,
                log_every=1,
                snapshots=1,
                seed=0,
                precision="fp32",
                device=torch.device("cpu"),
                max_updates=1,
            )
            assert gan.grids[-1][1].shape == (2, *image_shape), (objective, networks)


def test_every_run_trains(project: Path) -> None:
    """Both networks move, and the numbers are finite, after one step of every recipe."""
    for name, recipe in config.read(project)[0].gan.runs.items():
        settings = asdict(recipe) | {"batch_size": 4, "snapshots": 1}
        shape = (1, 28, 28) if settings.pop("dataset") == "mnist" else (3, 32, 32)
        for key in ("splits", "classes"):
            del settings[key]
        rng = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (12, *shape), generator=rng, dtype=torch.uint8)
        gan = train_gan(
            images,
            **settings,
            held_out=images[:6],
            log_every=1,
            seed=0,
            precision="fp32",
            device=torch.device("cpu"),
            max_updates=6,
        )
        assert gan.grids[-1][1].shape == (settings["grid_images"], *shape), name
        fresh = start_training(
            recipe.networks,
            noise_dim=recipe.noise_dim,
            image_shape=shape,
            optimiser=recipe.optimiser,
            learning_rate=recipe.learning_rate,
            betas=recipe.betas,
            ema_decay=0.0,
            seed=0,
            precision="fp32",
            device=torch.device("cpu"),
        )
        for part in ("generator", "discriminator"):  # weights: running statistics would move anyway
            pairs = zip(getattr(gan, part).parameters(), getattr(fresh, part).parameters(), strict=True)
            assert any(not torch.equal(now, then) for now, then in pairs), (name, part)
        assert all(math.isfinite(value) for row in gan.history for value in row.values()), name

"""The recipe: its defaults, what is refused; and the runs of params.yaml, whose recipes are their sources'."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import gans
from ganscribe import config
from ganscribe.gan.common.networks import NETWORKS, mixes_batch
from ganscribe.gan.common.objective import OBJECTIVES, build_objective, no_penalty
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.state import start_training
from ganscribe.gan.common.training import train_gan
from ganscribe.training.budget import Budget

GIVEN: dict[str, Any] = {"objective": "wgan", "networks": "mlp", "dataset": "mnist", "steps": 30}
DEFAULTS: dict[str, Any] = {
    "objective_options": {},  # the papers' own
    "network_options": {},
    "splits": ("train",),
    "classes": None,
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "betas": (0.5, 0.999),
    "schedule": "constant",
    "schedule_options": {},
    "batch_size": 128,
    "shuffle": True,
    "noise_dim": 96,
    "noise": "uniform",
    "critic_steps": 1,
    "penalty_every": 1,
    "generator_first": False,
    "ema_decay": 0.0,
    "sample_every": 250,
    "grid_images": 16,
    "snapshots": 4,
    "snapshot_steps": None,
}
# The table of runs: objective, networks, optimiser, rate, betas, batch, noise, kind of noise, steps.
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
    "sngan": ("hinge", "dcgan_sn", "adam", 2e-4, (0.5, 0.999), 64, 100, "normal", 3000),
    "r3gan": ("relativistic", "dcgan", "adam", 1e-3, (0.0, 0.99), 128, 96, "uniform", 1950),
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
    "objective_options": {"label_smoothing": 0.1, "generator_smoothing": 0.1},
    "generator_first": True,
    "sample_every": 100,
}
# What the table says beside those columns; every other option is off.
FURTHER: dict[str, dict[str, Any]] = {
    "gan": {"snapshots": 8},
    "gan_noise": {"objective_options": {"instance_noise": 0.5}, "critic_steps": 5},
    "dcgan_smooth": SMOOTH | {"grid_images": 25},
    "dcgan_horse": SMOOTH
    | {"grid_images": 15, "dataset": "cifar10", "classes": (7,), "splits": ("train", "val")},
    "r3gan": {"objective_options": {"r1_penalty": 1.0, "r2_penalty": 1.0}, "schedule": "linear"},
    **{run: {"critic_steps": 5, "snapshots": 8} for run in SOURCES if run.startswith("wgan")},
}
ADAPTER = TypeAdapter(GanRecipe)


def test_the_defaults() -> None:
    """A changed default would change every run whose block does not name it."""
    assert asdict(GanRecipe(**GIVEN)) == GIVEN | DEFAULTS
    with pytest.raises(TypeError, match="steps"):
        GanRecipe(objective="wgan", networks="mlp", dataset="mnist")
    assert GanRecipe(objective="wgan", networks="mlp", steps=30).dataset is None, (
        "whoever has images needs no name"
    )


def test_what_must_be_given_is_enough_and_everything_may_be() -> None:
    assert ADAPTER.validate_json(json.dumps(GIVEN)) == GanRecipe(**GIVEN)
    full = DEFAULTS | GIVEN | {"classes": [7, 3], "snapshot_steps": [1, 30], "learning_rate": 1}
    found = ADAPTER.validate_json(json.dumps(full))
    assert found == GanRecipe(**full | {"classes": (7, 3), "snapshot_steps": (1, 30), "learning_rate": 1.0})


@pytest.mark.parametrize(
    "change",
    [
        {"made_up": 1},
        {"label_smoothing": 0.1},  # belongs in objective_options
        {"objective": 5},
        {"objective_options": ["clip"]},
        {"network_options": None},
        {"dataset": "made_up"},
        {"optimiser": "made_up"},
        {"schedule": "made_up"},
        {"noise": "made_up"},
        {"learning_rate": 0.0},
        {"learning_rate": "1e-3"},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"batch_size": True},
        {"noise_dim": 0},
        {"steps": 0},
        {"critic_steps": 0},
        {"ema_decay": 1.0},
        {"ema_decay": -0.1},
        {"shuffle": 1},
        {"generator_first": "yes"},
        {"grid_images": 0},
        {"snapshots": 0},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    """Read a recipe as config does, from JSON."""
    with pytest.raises(ValidationError) as error:
        ADAPTER.validate_json(json.dumps(GIVEN | change))
    assert [problem["loc"] for problem in error.value.errors()] == [tuple(change)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"splits": ["made_up"]}, ("splits", 0)),
        ({"classes": [7, "horse"]}, ("classes", 1)),
        ({"betas": [0.5]}, ("betas", 1)),
        ({"betas": [0.5, float("nan")]}, ("betas", 1)),
        ({"snapshot_steps": [5, 0]}, ("snapshot_steps", 1)),
    ],
    ids=str,
)
def test_what_cannot_be_in_a_list_is_refused(change: dict[str, Any], place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as error:
        ADAPTER.validate_json(json.dumps(GIVEN | change))
    assert [problem["loc"] for problem in error.value.errors()] == [place]


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_recipe_is_the_source_s(project: Path, name: str) -> None:
    recipe = asdict(config.load("gan", name, project).recipe)
    expected = dict(zip(KEYS, SOURCES[name], strict=True))
    if expected["betas"] is None:  # the optimiser has none
        expected["betas"] = recipe["betas"]
    assert recipe == {"dataset": "mnist"} | DEFAULTS | expected | FURTHER.get(name, {})


def test_no_run_is_missing(project: Path) -> None:
    assert set(SOURCES) <= set(config.read(project)[0].gan.runs)


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 32, 32)])
def test_objectives_networks_and_data_sets_combine(
    small_samples: None, image_shape: tuple[int, int, int]
) -> None:
    images = torch.randint(0, 256, (8, *image_shape), dtype=torch.uint8)
    objectives = OBJECTIVES.names() if image_shape[0] == 1 else ["wgan"]  # no objective sees the shape
    for objective in objectives:
        for networks in NETWORKS.names():
            if build_objective(objective).penalty is not no_penalty and mixes_batch(
                gans.build(networks, "discriminator")
            ):
                continue  # refused: test_objective.py
            gan = gans.train(
                images,
                objective=objective,
                networks=networks,
                optimiser="rmsprop",
                learning_rate=1e-4,
                batch_size=4,
                noise="normal",
                steps=1,
                sample_every=1,
                grid_images=2,
                max_updates=1,
            )
            assert gan.grids[-1][1].shape == (2, *image_shape), (objective, networks)


def test_every_run_trains(small_samples: None, project: Path) -> None:
    """Both networks move, and the numbers are finite, after one step of every recipe."""
    params, scale = config.read(project)
    for name in params.gan.runs:
        recipe = replace(config.select(params, scale, "gan", name).recipe, batch_size=4, snapshots=1)
        shape = (1, 28, 28) if recipe.dataset == "mnist" else (3, 32, 32)
        rng = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (12, *shape), generator=rng, dtype=torch.uint8)
        budget = Budget(seed=0, precision="fp32", log_every=1, max_updates=6)
        gan = train_gan(images, recipe, budget=budget, device=gans.CPU, held_out=images[:6])
        assert gan.grids[-1][1].shape == (recipe.grid_images, *shape), name
        fresh = start_training(recipe, image_shape=shape, seed=0, precision="fp32", device=gans.CPU)
        for part in ("generator", "discriminator"):  # weights: running statistics would move anyway
            pairs = zip(getattr(gan, part).parameters(), getattr(fresh, part).parameters(), strict=True)
            assert any(not torch.equal(now, then) for now, then in pairs), (name, part)
        assert all(math.isfinite(value) for row in gan.history for value in row.values()), name

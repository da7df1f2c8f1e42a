"""train_gan: what it leaves of a training is enough to build the networks again, and to know how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import gans
from ganscribe.config.stages import GanRun
from ganscribe.core.weights import load_weights
from ganscribe.gan.common.sampling import load_generator

pytestmark = pytest.mark.usefixtures("small_samples")


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_networks_are_saved_with_their_options_and_recipe(
    load_stage: Any, tmp_path: Path, ema_decay: float
) -> None:
    stage = load_stage("train_gan")
    changes: dict[str, Any] = {
        "networks": "dcgan_deep",
        "network_options": {"dropout": 0.35},
        "ema_decay": ema_decay,
    }
    recipe, budget = gans.recipe_and_budget(**changes, steps=2, noise="normal")
    gan = gans.train(**changes, steps=2, noise="normal")
    identity = {"family": "gan", "name": "mine", "run_key": "k"}
    run, folder = GanRun(recipe=recipe, budget=budget), tmp_path / "mine"
    stage["save_models"](folder, identity, run, 70, gan)

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    kept = {"generator.safetensors", "snapshots/step-000001.safetensors", "snapshots/step-000002.safetensors"}
    assert files == kept | {"discriminator.safetensors", "training.json", "run_key.json"}
    for file in kept:
        saved = load_generator(folder / file)
        assert (saved.noise_dim, saved.noise, saved.image_shape) == (8, "normal", gans.MNIST)
        assert {layer.p for layer in saved.network.modules() if isinstance(layer, nn.Dropout)} == {0.35}
    generator = load_generator(folder / "generator.safetensors").network.state_dict()
    assert gans.same(list(generator.values()), list(gan.kept_generator.state_dict().values()))
    critic, saved_facts = load_weights(folder / "discriminator.safetensors")
    assert saved_facts["network_options"] == {"dropout": 0.35}
    assert gans.same(
        [critic[name] for name in gan.discriminator.state_dict()],
        list(gan.discriminator.state_dict().values()),
    )

    facts = json.loads((folder / "training.json").read_text())
    assert facts["recipe"].items() >= {**changes, "steps": 2, "seed": 3, "max_updates": None}.items()
    assert (facts["generator_updates"], facts["critic_updates"], facts["num_images"]) == (2, 2, 70)
    assert (facts["trained_steps"], facts["recipe_steps"]) == (2, 2)
    sizes = [
        sum(each.numel() for each in net.parameters()) for net in (gan.kept_generator, gan.discriminator)
    ]
    assert [facts["generator_parameters"], facts["critic_parameters"]] == sizes
    assert json.loads((folder / "run_key.json").read_text()) == identity

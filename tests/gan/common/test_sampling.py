"""Noise, samples and the files that generators are kept in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gans
from ganscribe.core.seeds import random_stream
from ganscribe.core.weights import load_facts, load_weights, save_weights
from ganscribe.gan.common.sampling import (
    SAMPLE_BATCH,
    generate,
    interpolate_images,
    load_generator,
    noise_source,
    sample_images,
    sample_noise,
    save_network,
)

NO_WEIGHTS: dict[str, Any] = {"state_dict": {}}
SAVED: dict[str, Any] = {"noise_dim": gans.NOISE, "noise": "normal", "image_shape": gans.MNIST}


def test_uniform_noise_is_uniform_and_normal_noise_normal() -> None:
    from scipy.stats import kstest

    draws = {
        name: noise_source(name)((20000,), torch.Generator().manual_seed(0)).numpy()
        for name in ("uniform", "normal")
    }
    assert kstest(draws["uniform"], "uniform", args=(-1, 2)).pvalue > 0.01
    assert kstest(draws["normal"], "norm").pvalue > 0.01
    with pytest.raises(ValueError, match="noise 'made_up' is unknown: choose one of normal, uniform"):
        noise_source("made_up")


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_noise_does_not_depend_on_how_much_was_asked_for(noise: str) -> None:
    many = sample_noise(SAMPLE_BATCH + 7, 3, noise, seed=1)
    assert torch.equal(many[:5], sample_noise(5, 3, noise, seed=1))
    with pytest.raises(ValueError, match="count 0: ask for at least one image"):
        sample_noise(0, 3, noise, seed=1)


def test_a_sample_does_not_depend_on_how_many_were_asked_for() -> None:
    gan = gans.train(networks="dcgan", steps=2)
    settings: dict[str, Any] = {"noise_dim": 8, "noise": "uniform", "seed": 1, "device": gans.CPU}
    many = sample_images(gan.generator, SAMPLE_BATCH + 20, **settings)
    few = sample_images(gan.generator, 20, **settings)
    assert many.shape == (SAMPLE_BATCH + 20, 1, 28, 28) and many.dtype == torch.uint8
    assert torch.equal(many[:20], few)
    assert gan.generator.training  # left as it was found


def test_a_row_of_an_interpolation_goes_from_one_noise_to_another() -> None:
    gan = gans.train(steps=2)
    strip = interpolate_images(gan.generator, rows=3, columns=9, noise_dim=8, noise="uniform", seed=0)
    assert strip.shape == (27, 1, 28, 28)
    first, last = 2 * torch.rand(2, 3, 8, generator=random_stream(0, "gan", "interpolation")) - 1
    for column in range(9):
        expected = generate(gan.generator, first + (last - first) * column / 8)
        assert (strip[column::9].int() - expected.int()).abs().max() <= 1  # rounded another way


def test_a_saved_generator_comes_back(tmp_path: Path) -> None:
    gan = gans.train(networks="dcgan", steps=2)
    settings: dict[str, Any] = {
        "networks": "dcgan",
        "noise_dim": 8,
        "noise": "uniform",
        "image_shape": (1, 28, 28),
    }
    for name in ("a.safetensors", "b.safetensors"):
        save_network(tmp_path / name, gan.generator.state_dict(), **settings)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_generator(tmp_path / "a.safetensors")
    assert (loaded.networks, loaded.noise_dim, loaded.noise) == ("dcgan", 8, "uniform")
    assert loaded.image_shape == (1, 28, 28) and not loaded.network.training
    sampling: dict[str, Any] = {"noise_dim": 8, "noise": "uniform", "seed": 0, "device": gans.CPU}
    difference = (
        sample_images(loaded.network, 8, **sampling).int() - sample_images(gan.generator, 8, **sampling).int()
    )
    assert difference.abs().max() <= 1  # another memory layout adds in another order
    images = loaded.sample(3, seed=5, device=gans.CPU)
    assert torch.equal(loaded.between(3, seed=5, position=0.0), images)
    assert torch.equal(loaded.between(3, seed=5, position=1.0), loaded.sample(3, seed=6, device=gans.CPU))


def test_the_networks_own_options_are_kept_with_them(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    options: dict[str, Any] = {"dropout": 0.35}
    network = gans.build("dcgan_deep", "generator", **options)
    save_network(path, network.state_dict(), networks="dcgan_deep", network_options=options, **SAVED)
    assert load_facts(path)["network_options"] == options
    loaded = load_generator(path).network
    assert {layer.p for layer in loaded.modules() if isinstance(layer, nn.Dropout)} == {0.35}
    assert gans.same(list(loaded.state_dict().values()), list(network.state_dict().values()))


def test_a_file_without_options_is_read_as_before_there_were_any(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    weights = gans.build("dcgan_deep", "generator").state_dict()
    save_network(path, weights, networks="dcgan_deep", network_options={}, **SAVED)
    assert set(load_facts(path)) == {"networks", "noise_dim", "noise", "image_shape"}
    loaded = load_generator(path).network
    assert {layer.p for layer in loaded.modules() if isinstance(layer, nn.Dropout)} == {0.2}


@pytest.mark.parametrize(
    "changes",
    [
        {"networks": "made_up"},
        {"networks": "../common/layers"},
        {"networks": 5},
        {"network_options": {"dropout": 0.1}},  # an mlp has none
        {"network_options": ["dropout"]},
        {"noise_dim": 5},  # the weights are of 4
        {"image_shape": [1, 28]},
        NO_WEIGHTS,
    ],
    ids=str,
)
def test_other_files_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    gans.save_generator(tmp_path / "whole.safetensors")
    assert load_generator(tmp_path / "whole.safetensors").networks == "mlp"
    weights, facts = load_weights(tmp_path / "whole.safetensors")
    save_weights(tmp_path / "other.safetensors", {} if changes == NO_WEIGHTS else weights, facts | changes)
    with pytest.raises(ValueError, match=r"other\.safetensors is damaged, or not a saved generator"):
        load_generator(tmp_path / "other.safetensors")


def test_files_that_hold_no_generator_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("no zip")
    for name in ("other", "text"):
        with pytest.raises(ValueError, match=rf"{name}\.safetensors is damaged, or not a saved generator"):
            load_generator(tmp_path / f"{name}.safetensors")

"""The gradient measurement: against brute force, where float32 underflows, and what it leaves unchanged."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import gans
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.experiments.gradients import (
    LOSSES,
    GradientStatistics,
    Measurement,
    freeze,
    gradient_statistics,
    measure_gradients,
    measured_steps,
)
from ganscribe.gan.networks import build_generator
from stopping import StopAfter, reopen

pytestmark = pytest.mark.usefixtures("small_samples")

SETTINGS: dict[str, Any] = {"critic_steps": 12, "measure_every": 4, "num_batches": 3, "seed": 1}


def generators(*epochs: int) -> dict[int, nn.Module]:
    torch.manual_seed(0)
    return {
        number: build_generator("mlp", noise_dim=gans.NOISE, image_shape=(1, 28, 28)) for number in epochs
    }


def measure(
    models: dict[int, nn.Module],
    images: torch.Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    recipe: dict[str, Any] | None = None,
    **changes: Any,
) -> list[dict[str, float]]:
    """Measure with changes to `SETTINGS`, and to the recipe of all tests."""
    chosen, _ = gans.recipe_and_budget(**({"noise_dim": gans.NOISE} | (recipe or {})))
    images = gans.pictures(40) if images is None else images
    settings = Measurement(**(SETTINGS | changes))
    return measure_gradients(models, images, chosen, settings, device=gans.CPU, checkpoint=checkpoint)


def test_statistics_are_those_of_brute_force_in_float64() -> None:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 5))
    critic = nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(), nn.Linear(6, 1), nn.Flatten(0))
    noises = [torch.randn(7, 3) for _ in range(4)]
    ours = gradient_statistics(generator, [critic(generator(noise)) for noise in noises])

    exact_generator, exact_critic = copy.deepcopy(generator).double(), copy.deepcopy(critic).double()
    losses = {
        "saturating": lambda scores: torch.log1p(-torch.sigmoid(scores)).mean(),
        "nonsaturating": lambda scores: -torch.nn.functional.logsigmoid(scores).mean(),
    }
    for name, loss in losses.items():
        gradients = []
        for noise in noises:
            value = loss(exact_critic(exact_generator(noise.double())))
            parts = torch.autograd.grad(value, list(exact_generator.parameters()))
            gradients.append(torch.cat([part.flatten() for part in parts]))
        stacked = torch.stack(gradients)
        assert ours[name].norm == pytest.approx(float(stacked.norm(dim=1).mean()), rel=1e-4)
        variance = (stacked - stacked.mean(0)).square().sum(1).mean()
        assert ours[name].variance == pytest.approx(float(variance), rel=1e-3)


def test_a_gradient_below_float32_is_measured() -> None:
    """G(z) = a z, f(x) = x - b: d/da log(1 - D) = -E sigmoid(a z - b) z, about e^-b E e^(az) z, b = 200."""
    generator, critic = nn.Linear(1, 1, bias=False), nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    with torch.no_grad():
        generator.weight.fill_(0.5)
        critic[0].weight.fill_(1.0)
        critic[0].bias.fill_(-200.0)
    noise = torch.linspace(0, 1, 9)[:, None]
    found = gradient_statistics(generator, [critic(generator(each)) for each in (noise, noise + 1)])
    norms = [
        math.exp(-200) * float((torch.exp(0.5 * part.double()) * part.double()).mean())
        for part in (noise, noise + 1)
    ]
    assert found["saturating"].norm == pytest.approx(sum(norms) / 2, rel=1e-4)
    assert found["saturating"].variance == pytest.approx(((norms[1] - norms[0]) / 2) ** 2, rel=1e-4)
    assert found["nonsaturating"].norm == pytest.approx(1.0, rel=1e-5)  # E z: 0.5 and 1.5


def test_a_frozen_generator_normalises_by_the_batch_and_keeps_its_statistics() -> None:
    torch.manual_seed(0)
    generator = build_generator("dcgan", noise_dim=4, image_shape=(1, 28, 28))
    frozen = freeze(generator.eval())
    before = {key: value.clone() for key, value in frozen.state_dict().items()}
    noise = torch.rand(8, 4)
    made = frozen(noise)
    assert all(torch.equal(before[key], value) for key, value in frozen.state_dict().items())
    assert torch.equal(made, copy.deepcopy(generator).train()(noise))
    assert not torch.allclose(made, generator(noise), atol=1e-3)  # which is not what evaluation mode gives


def test_steps_are_dense_at_the_start_and_end_with_the_last() -> None:
    assert measured_steps(60, 25) == [0, 1, 5, 10, 25, 50, 60]
    assert measured_steps(3, 25) == [0, 1, 3]


def test_rows_and_what_stays_as_it_was() -> None:
    models = generators(25, 1)
    before = copy.deepcopy(models)
    rows = measure(models)
    assert [(row["epochs"], row["critic_step"]) for row in rows] == [
        (epochs, step) for epochs in (1, 25) for step in (0, 1, 4, 5, 8, 10, 12)
    ]
    for epochs, model in models.items():
        for ours, theirs in zip(model.parameters(), before[epochs].parameters(), strict=True):
            assert torch.equal(ours, theirs)
    assert rows[6]["critic_loss"] < rows[0]["critic_loss"]
    assert measure(models) == rows
    one, other = measure({1: models[1], 25: models[1]}, critic_steps=0)
    assert one["critic_loss"] != other["critic_loss"], "each has a critic and noise of its own"


def test_each_measurement_has_as_many_batches_of_fresh_noise_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.Tensor] = []

    def note(generator: nn.Module, scored: Iterable[torch.Tensor]) -> dict[str, GradientStatistics]:
        scores = list(scored)
        seen.append(torch.stack([each.detach() for each in scores]))
        return gradient_statistics(generator, scores)

    monkeypatch.setattr("ganscribe.experiments.gradients.gradient_statistics", note)
    # A critic that stands still scores the same noise alike.
    rows = measure(generators(1, 10), critic_steps=1, recipe={"learning_rate": 1e-30})
    assert [each.shape for each in seen] == [(3, 16)] * 4
    for critic in (seen[:2], seen[2:]):
        assert len(torch.cat(critic).unique(dim=0)) == 6
    assert all(row[f"{loss}_variance"] > 0 for row in rows for loss in LOSSES)


def test_the_recipe_decides_how_the_critic_is_trained() -> None:
    rows = measure(generators(1))
    assert measure(generators(1), recipe={"learning_rate": 3e-3})[-1] != rows[-1]
    # Options of the generator's own training change nothing.
    others = {"ema_decay": 0.9, "objective": "lsgan", "steps": 999, "snapshots": 7, "critic_steps": 5}
    assert measure(generators(1), recipe=others) == rows


@pytest.mark.parametrize(
    "networks", ["mlp", "dcgan_sn", "dcgan_deep"]
)  # singular vectors; dropout, batch norm
def test_measuring_does_not_change_the_critic_s_training(networks: str) -> None:
    often, seldom = (
        measure(generators(1), recipe={"networks": networks}, measure_every=every) for every in (4, 100)
    )
    assert often[-1] == seldom[-1] and len(seldom) < len(often)


@pytest.mark.parametrize(
    "saves", [5, 12, 13, 15, 24]
)  # within the first model, around its end, at the second's
def test_a_resumed_measurement_ends_as_an_unbroken_one(tmp_path: Path, saves: int) -> None:
    whole = measure(generators(1, 10))
    with pytest.raises(KeyboardInterrupt):
        measure(generators(1, 10), checkpoint=StopAfter(tmp_path, saves))
    assert measure(generators(1, 10), checkpoint=reopen(tmp_path)) == whole


def test_the_saturating_gradient_vanishes_where_the_critic_can_be_sure() -> None:
    """Theorem 2.4 of 1701.04862 on images that no generator's noise hits: white squares."""
    white = torch.full((40, 1, 28, 28), 255, dtype=torch.uint8)
    rows = measure(generators(1), white, critic_steps=100)
    assert rows[-1]["saturating_norm"] < rows[0]["saturating_norm"] / 10
    assert rows[-1]["nonsaturating_norm"] > rows[0]["nonsaturating_norm"]


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="10 images are less than one batch of 16: lower batch_size"):
        measure(generators(1), gans.pictures(10))
    with pytest.raises(ValueError, match="GAN network 'made_up' is unknown"):
        measure(generators(1), recipe={"networks": "made_up"})

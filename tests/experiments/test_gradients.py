"""The gradient measurement: against brute force, where float32 underflows, and what it leaves unchanged."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.experiments.gradients import freeze, gradient_statistics, measure_gradients, measured_steps
from ganscribe.gan.networks import build_generator

SETTINGS: dict[str, Any] = {
    "networks": "mlp",
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "betas": (0.5, 0.999),
    "batch_size": 16,
    "noise_dim": 4,
    "noise": "uniform",
    "critic_steps": 12,
    "measure_every": 4,
    "num_batches": 3,
    "seed": 1,
    "device": torch.device("cpu"),
}


def images(count: int = 40) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 28, 28), generator=rng, dtype=torch.uint8)


def generators(*epochs: int) -> dict[int, nn.Module]:
    torch.manual_seed(0)
    return {number: build_generator("mlp", noise_dim=4, image_shape=(1, 28, 28)) for number in epochs}


class StopAfter(Checkpoint):
    """A checkpoint that saves at one update and stops there, as a kill right after a save would."""

    def __init__(self, directory: Path, updates: int) -> None:
        super().__init__(directory, every_seconds=math.inf)
        self.calls, self.updates = 0, updates

    def due(self, *, last: bool = False) -> bool:
        self.calls += 1
        return self.calls == self.updates

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        raise KeyboardInterrupt


def test_statistics_are_those_of_brute_force_in_float64() -> None:
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 5))
    critic = nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(), nn.Linear(6, 1), nn.Flatten(0))
    noises = [torch.randn(7, 3) for _ in range(4)]
    ours = gradient_statistics(generator, critic, noises)

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
    found = gradient_statistics(generator, critic, [noise, noise + 1])
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
    models = generators(1, 25)
    before = copy.deepcopy(models)
    rows = measure_gradients(models, images(), **SETTINGS)
    assert [(row["epochs"], row["critic_step"]) for row in rows] == [
        (epochs, step) for epochs in (1, 25) for step in (0, 1, 4, 5, 8, 10, 12)
    ]
    for epochs, model in models.items():
        for ours, theirs in zip(model.parameters(), before[epochs].parameters(), strict=True):
            assert torch.equal(ours, theirs)
    assert rows[6]["critic_loss"] < rows[0]["critic_loss"]
    assert measure_gradients(models, images(), **SETTINGS) == rows


def test_measuring_does_not_change_the_critic_s_training() -> None:
    often = measure_gradients(generators(1), images(), **SETTINGS)
    seldom = measure_gradients(generators(1), images(), **{**SETTINGS, "measure_every": 100})
    assert often[-1] == seldom[-1] and len(seldom) < len(often)


@pytest.mark.parametrize("updates", [5, 12, 15])  # within the first model, at its end, in the second
def test_a_resumed_measurement_ends_as_an_unbroken_one(tmp_path: Path, updates: int) -> None:
    whole = measure_gradients(generators(1, 10), images(), **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        measure_gradients(generators(1, 10), images(), **SETTINGS, checkpoint=StopAfter(tmp_path, updates))
    again = Checkpoint(tmp_path, every_seconds=math.inf)
    assert measure_gradients(generators(1, 10), images(), **SETTINGS, checkpoint=again) == whole


def test_the_saturating_gradient_vanishes_where_the_critic_can_be_sure() -> None:
    """Theorem 2.4 of 1701.04862 on images that no generator's noise hits: white squares."""
    white = torch.full((40, 1, 28, 28), 255, dtype=torch.uint8)
    rows = measure_gradients(generators(1), white, **{**SETTINGS, "critic_steps": 100})
    assert rows[-1]["saturating_norm"] < rows[0]["saturating_norm"] / 10
    assert rows[-1]["nonsaturating_norm"] > rows[0]["nonsaturating_norm"]


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="10 images are less than one batch of 16: lower batch_size"):
        measure_gradients(generators(1), images(10), **SETTINGS)

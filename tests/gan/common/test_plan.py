"""What is settled before a GAN's first step: rows, snapshots, grids, and the cap on updates."""

from __future__ import annotations

import pytest
import torch

from gans import pictures, train
from ganscribe.core.devices import autocast
from ganscribe.core.seeds import random_stream
from ganscribe.gan.common.losses import annealed_noise
from ganscribe.gan.common.sampling import generate
from ganscribe.training.average import MovingAverage


def test_rows_grids_and_snapshots_come_when_they_should() -> None:
    logged: list[tuple[int, dict[str, float]]] = []
    gan = train(steps=13, sample_every=5, log_every=4, log=lambda step, row: logged.append((step, row)))
    assert [row["step"] for row in gan.history] == [4, 6, 8, 12, 13]  # every fourth, the snapshots, the last
    assert [step for step, _ in logged] == [4, 6, 8, 12, 13] and logged[0][1] == gan.history[0]
    assert [step for step, _ in gan.grids] == [0, 5, 10, 13]
    assert [step for step, _ in gan.snapshots] == [6, 13]
    assert gan.grids[0][1].shape == (16, 1, 28, 28) and gan.grids[0][1].dtype == torch.uint8
    assert gan.history[-1]["epoch"] == 13 / 4  # 70 images are 4 batches of 16
    final = gan.generator.state_dict()
    first, last = (
        all(torch.equal(final[key], value) for key, value in kept.items()) for _, kept in gan.snapshots
    )
    assert last and not first, "a snapshot stays as it was"


def test_snapshots_at_given_steps_shrink_with_the_cap() -> None:
    assert [step for step, _ in train(snapshot_steps=(1, 5, 12)).snapshots] == [1, 5, 12]
    assert [step for step, _ in train(snapshot_steps=(1, 4, 12), max_updates=6).snapshots] == [1, 2, 6]


def test_a_grid_has_as_many_images_as_asked_from_the_same_noise_at_every_step() -> None:
    gan = train(steps=2, grid_images=25, sample_every=1, learning_rate=1e-30, noise="normal")
    expected = generate(gan.generator, torch.randn(25, 8, generator=random_stream(3, "gan", "grid")))
    assert expected.shape == (25, 1, 28, 28)
    assert len(gan.grids) == 3 and all(torch.equal(grid, expected) for _, grid in gan.grids)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_average_s_statistics_are_measured_in_the_run_s_precision(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        MovingAverage,
        "measure_norms",
        lambda average, inputs: seen.append(average.module[0](next(iter(inputs))).dtype),
    )
    train(networks="dcgan", steps=1, ema_decay=0.5, precision=precision)
    with autocast(precision, torch.device("cpu")):
        expected = torch.nn.Linear(1, 1)(torch.zeros(1, 1)).dtype
    assert seen == [expected] * 2


def test_all_images_have_the_instance_noise_of_their_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real and the generated ones of the critic, the generator's own, and those that are held out."""
    seen: list[float] = []

    def note(
        images: torch.Tensor, progress: torch.Tensor | float, *rest: object, **options: float
    ) -> torch.Tensor:
        seen.append(float(progress))
        return annealed_noise(images, progress, *rest, **options)

    monkeypatch.setattr("ganscribe.gan.common.losses.annealed_noise", note)
    train(steps=4, log_every=4, snapshots=1, objective_options={"instance_noise": 0.3}, held_out=pictures(16))
    assert seen == [0.0] * 3 + [0.25] * 3 + [0.5] * 3 + [0.75] * 5

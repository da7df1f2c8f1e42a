"""What is settled before a GAN's first step: rows, snapshots, grids, and the cap on updates."""

from __future__ import annotations

import torch

from gans import train


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
    assert all(torch.equal(final[key], value) for key, value in gan.snapshots[-1][1].items())


def test_the_cap_counts_updates_of_either_network() -> None:
    assert train(max_updates=5).step == 5
    gan = train(critic_steps=3, max_updates=10)
    assert (gan.step, gan.critic_updates) == (3, 9)


def test_snapshots_at_given_steps_shrink_with_the_cap() -> None:
    assert [step for step, _ in train(snapshot_steps=(1, 5, 12)).snapshots] == [1, 5, 12]
    assert [step for step, _ in train(snapshot_steps=(1, 4, 12), max_updates=6).snapshots] == [1, 2, 6]


def test_a_grid_has_as_many_images_as_asked() -> None:
    assert train(steps=1, grid_images=25).grids[0][1].shape == (25, 1, 28, 28)

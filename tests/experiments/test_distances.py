"""Parallel lines: closed forms against discretised distances, critics against their known optima."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ganscribe.experiments import distances
from ganscribe.experiments.distances import (
    closed_forms,
    critic_distances,
    joining_slope,
    measure_distances,
    segment,
)
from stopping import StopAfter, reopen


@pytest.mark.parametrize("theta", [-0.7, 0.0, 0.25])
def test_closed_forms_against_points_on_a_grid(theta: float) -> None:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist, jensenshannon
    from scipy.stats import entropy

    heights = torch.linspace(0, 1, 40)
    first, second = segment(0.0, heights).numpy(), segment(theta, heights).numpy()
    costs = cdist(first, second)
    assigned = costs[linear_sum_assignment(costs)].mean()
    places = np.unique(np.concatenate([first, second]), axis=0)
    masses = [
        np.array([(points == place).all(1).sum() for place in places]) / 40 for points in (first, second)
    ]
    found = closed_forms(theta)
    assert found["w"] == pytest.approx(assigned, abs=1e-6)
    assert found["js"] == pytest.approx(jensenshannon(*masses) ** 2, abs=1e-12)
    assert found["tv"] == pytest.approx(np.abs(masses[0] - masses[1]).sum() / 2)
    assert found["kl"] == entropy(*masses)


def test_joining_slope_of_a_plane_is_its_slope_along_theta() -> None:
    plane = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with torch.no_grad():
        plane[0].weight.copy_(torch.tensor([[-3.0, 7.0]]))
    assert joining_slope(plane, 0.5) == pytest.approx(3.0)


@pytest.mark.parametrize(("factor", "distance"), [(-1.0, 0.25), (0.0, 0.0)])
def test_estimates_are_means_over_the_middles_of_a_grid(
    factor: float, distance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A critic f(x, z) = -x z, instead of a trained one: E f(P_0) - E f(P_theta) = theta / 2, its largest slope 1."""

    class Product(nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return factor * points[:, 0] * points[:, 1]

    monkeypatch.setattr(distances, "train_critic", lambda *rest, **options: Product())
    found = critic_distances(0.5, critic_steps=1, seed=0)
    for name in ("gp_estimate", "clipped_raw", "clipped_estimate"):
        assert found[name] == pytest.approx(distance, rel=1e-6)


def test_critics_find_what_they_stand_for() -> None:
    """With penalty weight 10 the best slope is 1 + theta / 20: max over s of s theta - 10 (s - 1)^2."""
    theta = 0.8
    found = critic_distances(theta, critic_steps=400, seed=0)
    assert found["gp_estimate"] == pytest.approx(theta * (1 + theta / 20), rel=0.03)
    assert found["clipped_estimate"] == pytest.approx(theta, rel=0.02)
    assert 0 < found["clipped_raw"] < 0.01  # the clamp's own scale
    assert found["js_estimate"] == pytest.approx(math.log(2), abs=0.01)


def test_critics_find_nothing_between_equal_distributions() -> None:
    found = critic_distances(0.0, critic_steps=50, seed=0)
    assert -0.01 < found.pop("js_estimate") <= 0  # a critic short of its optimum underestimates
    assert all(abs(value) < 1e-6 for value in found.values())


def test_a_resumed_measurement_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    thetas = [-0.5, 0.0, 0.5]
    whole = measure_distances(thetas, critic_steps=5, seed=0)
    for _ in thetas:
        with pytest.raises(KeyboardInterrupt):
            measure_distances(thetas, critic_steps=5, seed=0, checkpoint=StopAfter(tmp_path, 1))
    again = measure_distances(thetas, critic_steps=5, seed=0, checkpoint=reopen(tmp_path))
    assert again == whole
    assert [row["theta"] for row in whole] == thetas and whole[0]["w"] == 0.5

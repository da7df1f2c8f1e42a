"""Relativistic pairing against Jolicoeur-Martineau's section 4.1, and R3GAN's loss against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganscribe.gan.objectives import build_objective
from scores import FAKE, REAL, critic_loss, generator_loss, log_sigmoid

NAME = "relativistic"


def test_losses_are_those_of_section_4_1() -> None:
    assert critic_loss(NAME) == pytest.approx(-log_sigmoid(REAL - FAKE).mean(), rel=1e-9)
    assert generator_loss(NAME) == pytest.approx(-log_sigmoid(FAKE - REAL).mean(), rel=1e-9)


def test_the_players_lose_what_the_other_one_would_with_the_sets_exchanged() -> None:
    objective, real, fake = build_objective(NAME), torch.from_numpy(REAL), torch.from_numpy(FAKE)
    assert objective.generator_sees_real
    assert torch.equal(objective.generator_loss(fake, real), objective.critic_loss(fake, real))
    blind = torch.zeros(8)
    assert objective.critic_loss(blind, blind).item() == pytest.approx(math.log(2))


def test_only_the_difference_of_a_pair_counts() -> None:
    objective, real, fake = build_objective(NAME), torch.from_numpy(REAL), torch.from_numpy(FAKE)
    shift = torch.tensor([5.0, -2.0, 0.25, 7.0])
    for loss, scores in ((objective.critic_loss, (real, fake)), (objective.generator_loss, (fake, real))):
        moved = (score + shift for score in scores)
        assert float(loss(*moved)) == pytest.approx(float(loss(*scores)), rel=1e-9)
    assert objective.critic_loss(real, fake) != objective.critic_loss(real, fake.flip(0)), "pairs are rows"


def test_with_both_penalties_it_is_the_loss_of_r3gan() -> None:
    """Huang et al. 2024, section 2: the pairs' loss, and R1 and R2 by finite differences in float64."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5), nn.Softplus(), nn.Linear(5, 1), nn.Flatten(0)
    ).double()
    real, fake = (torch.randn(4, 1, 2, 3, dtype=torch.float64) for _ in range(2))
    objective, gamma, step = build_objective(NAME, r1_penalty=0.8, r2_penalty=0.3), (0.8, 0.3), 1e-6

    def squared_slope(images: Tensor) -> float:
        slopes = torch.zeros(6, 4, dtype=torch.float64)
        for pixel in range(6):
            nudge = torch.zeros(6, dtype=torch.float64)
            nudge[pixel] = step
            nudge = nudge.view(1, 1, 2, 3)
            slopes[pixel] = (critic(images + nudge) - critic(images - nudge)).detach() / (2 * step)
        return float(slopes.square().sum(0).mean())

    with torch.no_grad():
        scores = critic(real), critic(fake)
    found = objective.critic_loss(*scores) + objective.penalty(critic, real, fake, torch.Generator())
    pairs = -log_sigmoid((scores[0] - scores[1]).numpy()).mean()
    expected = pairs + gamma[0] / 2 * squared_slope(real) + gamma[1] / 2 * squared_slope(fake)
    assert found.item() == pytest.approx(expected, rel=1e-6)

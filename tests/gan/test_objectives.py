"""The objectives against their closed forms, computed in float64 by numpy from the papers' equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ganscribe.gan.objectives import (
    OBJECTIVES,
    Objective,
    build_objective,
    jensen_shannon_estimate,
    plan_updates,
)

REAL = np.array([2.0, -1.0, 0.5, 30.0])
FAKE = np.array([-3.0, 0.25, 1.0, -40.0])


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


def critic(name: str, **options: float) -> float:
    objective = build_objective(name, **options)
    return float(objective.critic_loss(torch.from_numpy(REAL), torch.from_numpy(FAKE)))


def generator(name: str) -> float:
    return float(OBJECTIVES[name].generator_loss(torch.from_numpy(FAKE)))


@pytest.mark.parametrize("name", ["nonsaturating", "minimax"])
def test_bce_critic_is_equation_1_of_goodfellow(name: str) -> None:
    expected = -np.log(sigmoid(REAL)).mean() - np.log1p(-sigmoid(FAKE)).mean()
    assert critic(name) == pytest.approx(expected, rel=1e-9)


def test_label_smoothing_lowers_the_real_target_alone() -> None:
    probability = np.clip(sigmoid(REAL), 0, 1 - 1e-15)
    log_other = -REAL - np.log1p(np.exp(-REAL))  # log(1 - sigmoid), exact for large scores
    real = -(0.9 * np.log(probability) + 0.1 * log_other).mean()
    assert critic("minimax", label_smoothing=0.1) == pytest.approx(real - np.log1p(-sigmoid(FAKE)).mean())


def test_generator_losses() -> None:
    assert generator("nonsaturating") == pytest.approx(-np.log(sigmoid(FAKE)).mean(), rel=1e-9)
    assert generator("minimax") == pytest.approx(np.log1p(-sigmoid(FAKE)).mean(), rel=1e-9)
    assert generator("lsgan") == pytest.approx(0.5 * ((FAKE - 1) ** 2).mean(), rel=1e-9)


def test_lsgan_critic_is_equation_9_of_mao() -> None:
    expected = 0.5 * ((REAL - 1) ** 2).mean() + 0.5 * (FAKE**2).mean()
    assert critic("lsgan") == pytest.approx(expected, rel=1e-9)


def test_minimax_gradient_vanishes_where_the_critic_is_sure_and_nonsaturating_does_not() -> None:
    gradients = {}
    for name in ("minimax", "nonsaturating"):
        scores = torch.tensor([-20.0], requires_grad=True)
        OBJECTIVES[name].generator_loss(scores).backward()
        gradients[name] = scores.grad.item()
    # d/ds log(1 - sigmoid(s)) = -sigmoid(s); d/ds -log sigmoid(s) = sigmoid(s) - 1
    assert gradients["minimax"] == pytest.approx(-1 / (1 + math.exp(20)), rel=1e-5)
    assert gradients["nonsaturating"] == pytest.approx(-1, rel=1e-6)


def test_optimal_critic_gives_the_jensen_shannon_divergence() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
    middle = (p + q) / 2
    divergence = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    best = torch.from_numpy(np.log(p / q))  # the score whose sigmoid is p / (p + q)
    counts = torch.tensor([10, 10, 10])
    real = best.repeat_interleave(torch.tensor([5, 3, 2]))
    fake = best.repeat_interleave(torch.tensor([1, 1, 8]))
    assert counts.sum() == 30 and len(real) == len(fake) == 10
    loss = float(OBJECTIVES["nonsaturating"].critic_loss(real, fake))
    assert jensen_shannon_estimate(loss) == pytest.approx(divergence, rel=1e-9)


def test_a_blind_critic_stands_for_no_divergence() -> None:
    blind = torch.zeros(8)
    loss = float(OBJECTIVES["minimax"].critic_loss(blind, blind))
    assert OBJECTIVES["minimax"].estimates["jsd_estimate"](loss) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_critic_loss_falls_when_the_critic_is_right(name: str) -> None:
    good, bad = torch.full((4,), 0.9), torch.full((4,), 0.1)
    assert OBJECTIVES[name].critic_loss(good, bad) < OBJECTIVES[name].critic_loss(bad, good)


def test_shapes_n_and_n_by_1_give_the_same_loss() -> None:
    for objective in OBJECTIVES.values():
        flat = objective.critic_loss(torch.from_numpy(REAL), torch.from_numpy(FAKE))
        tall = objective.critic_loss(torch.from_numpy(REAL)[:, None], torch.from_numpy(FAKE)[:, None])
        assert flat.shape == () and torch.equal(flat, tall)


def test_unknown_names_and_meaningless_smoothing_are_refused() -> None:
    with pytest.raises(ValueError, match="'hinge' is unknown: choose one of lsgan, minimax, nonsaturating"):
        build_objective("hinge")
    with pytest.raises(ValueError, match=r"label_smoothing 0\.1 has no meaning for the objective 'lsgan'"):
        build_objective("lsgan", label_smoothing=0.1)


def warm_up(step: int, critic_steps: int, share: float) -> int:
    return 100 if step < 25 * share or step % 500 == 0 else critic_steps


def test_plan_caps_the_updates_of_either_network() -> None:
    game = OBJECTIVES["lsgan"]
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=None) == [1] * 5
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=3) == [1] * 3
    assert plan_updates(game, steps=5, critic_steps=5, max_updates=13) == [5, 5]
    with pytest.raises(ValueError, match="max_updates 3 is less than the 5 critic updates"):
        plan_updates(game, steps=5, critic_steps=5, max_updates=3)


def test_a_cap_shortens_a_warm_up() -> None:
    game = Objective(torch.sub, torch.mean, critic_steps=warm_up)
    full = plan_updates(game, steps=3000, critic_steps=5, max_updates=None)
    assert full[:26] == [100] * 25 + [5] and full[500] == 100
    capped = plan_updates(game, steps=3000, critic_steps=5, max_updates=1500)
    assert sum(capped) <= 1500 and 1 <= capped.count(100) < 5

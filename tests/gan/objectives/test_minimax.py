"""The minimax game against Goodfellow et al.'s equation 1."""

from __future__ import annotations

import math

import pytest
import torch

from ganscribe.gan.objectives import build_objective
from scores import FAKE, REAL, critic_loss, generator_loss, log_sigmoid


def test_losses_are_equation_1_of_goodfellow() -> None:
    expected = -log_sigmoid(REAL).mean() - log_sigmoid(-FAKE).mean()
    assert critic_loss("minimax") == pytest.approx(expected, rel=1e-9)
    assert generator_loss("minimax") == pytest.approx(log_sigmoid(-FAKE).mean(), rel=1e-9)


def test_label_smoothing_lowers_the_real_target_alone() -> None:
    real = -(0.9 * log_sigmoid(REAL) + 0.1 * log_sigmoid(-REAL)).mean()
    smoothed = critic_loss("minimax", label_smoothing=0.1)
    assert smoothed == pytest.approx(real - log_sigmoid(-FAKE).mean(), rel=1e-9)
    assert generator_loss("minimax", label_smoothing=0.1) == generator_loss("minimax")


def test_the_generator_s_gradient_vanishes_where_the_critic_is_sure() -> None:
    scores = torch.tensor([-20.0], requires_grad=True)
    build_objective("minimax").generator_loss(scores).backward()
    assert scores.grad is not None  # d/ds log(1 - sigmoid(s)) = -sigmoid(s)
    assert scores.grad.item() == pytest.approx(-1 / (1 + math.exp(20)), rel=1e-5)


def test_a_blind_critic_stands_for_no_divergence() -> None:
    objective, blind = build_objective("minimax"), torch.zeros(8)
    loss = float(objective.critic_loss(blind, blind))
    assert list(objective.estimates) == ["jsd_estimate"]
    assert objective.estimates["jsd_estimate"](loss) == pytest.approx(0, abs=1e-7)

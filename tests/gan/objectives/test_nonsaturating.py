"""The "-log D" trick against Goodfellow et al.'s section 3."""

from __future__ import annotations

import pytest
import torch

from ganscribe.gan.objectives import build_objective
from scores import FAKE, critic_loss, generator_loss, log_sigmoid


def test_the_critic_s_loss_is_the_minimax_game_s() -> None:
    assert critic_loss("nonsaturating") == critic_loss("minimax")
    smoothed = critic_loss("nonsaturating", label_smoothing=0.1)
    assert smoothed == critic_loss("minimax", label_smoothing=0.1) != critic_loss("minimax")


def test_the_generator_s_loss_is_minus_log_d() -> None:
    assert generator_loss("nonsaturating") == pytest.approx(-log_sigmoid(FAKE).mean(), rel=1e-9)


def test_generator_smoothing_lowers_the_generator_s_target() -> None:
    expected = -(0.9 * log_sigmoid(FAKE) + 0.1 * log_sigmoid(-FAKE)).mean()
    assert generator_loss("nonsaturating", generator_smoothing=0.1) == pytest.approx(expected, rel=1e-9)
    assert critic_loss("nonsaturating", generator_smoothing=0.1) == critic_loss("minimax")


def test_the_generator_s_gradient_stays_where_the_critic_is_sure() -> None:
    scores = torch.tensor([-20.0], requires_grad=True)
    build_objective("nonsaturating").generator_loss(scores).backward()
    assert scores.grad is not None  # d/ds -log sigmoid(s) = sigmoid(s) - 1
    assert scores.grad.item() == pytest.approx(-1, rel=1e-6)


def test_its_loss_stands_for_the_jensen_shannon_divergence() -> None:
    assert list(build_objective("nonsaturating").estimates) == ["jsd_estimate"]

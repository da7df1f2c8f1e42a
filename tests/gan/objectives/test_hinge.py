"""The hinge loss against Miyato et al.'s equations 16 and 17."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganscribe.gan.objectives import build_objective
from scores import FAKE, REAL, critic_loss, generator_loss


def test_losses_are_equations_16_and_17_of_miyato() -> None:
    expected = -np.minimum(0, -1 + REAL).mean() - np.minimum(0, -1 - FAKE).mean()
    assert critic_loss("hinge") == pytest.approx(expected, rel=1e-9)
    assert generator_loss("hinge") == pytest.approx(-FAKE.mean(), rel=1e-9)


def test_an_image_beyond_the_margin_no_longer_counts() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    build_objective("hinge").critic_loss(real, fake).backward()
    assert real.grad is not None and real.grad.tolist() == [0.0, -0.5]
    assert fake.grad is not None and fake.grad.tolist() == [0.0, 0.5]


def test_a_blind_critic_loses_two_and_nothing_is_estimated() -> None:
    objective, blind = build_objective("hinge"), torch.zeros(8)
    assert objective.critic_loss(blind, blind).item() == 2
    assert not objective.estimates and not objective.generator_sees_real

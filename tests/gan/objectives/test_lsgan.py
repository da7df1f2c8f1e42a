"""Least squares against Mao et al.'s equation 9."""

from __future__ import annotations

import pytest

from scores import FAKE, REAL, critic_loss, generator_loss


def test_losses_are_equation_9_of_mao() -> None:
    expected = 0.5 * ((REAL - 1) ** 2).mean() + 0.5 * (FAKE**2).mean()
    assert critic_loss("lsgan") == pytest.approx(expected, rel=1e-9)
    assert generator_loss("lsgan") == pytest.approx(0.5 * ((FAKE - 1) ** 2).mean(), rel=1e-9)

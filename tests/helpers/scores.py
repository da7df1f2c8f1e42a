"""Scores of made-up critics, for the objectives' closed forms in numpy's float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganscribe.gan.objectives import build_objective

REAL = np.array([2.0, -1.0, 0.5, 30.0])
FAKE = np.array([-3.0, 0.25, 1.0, -40.0])


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


def log_sigmoid(scores: np.ndarray) -> np.ndarray:
    """log sigmoid(s), exact for large scores; log(1 - sigmoid(s)) is that of -s."""
    return -np.logaddexp(0, -scores)


def critic_loss(name: str, **options: float) -> float:
    """What the critic of an objective loses on REAL and FAKE."""
    objective = build_objective(name, **options)
    return float(objective.critic_loss(torch.from_numpy(REAL), torch.from_numpy(FAKE)))


def generator_loss(name: str, **options: float) -> float:
    """What the generator of an objective loses on FAKE."""
    return float(build_objective(name, **options).generator_loss(torch.from_numpy(FAKE)))


def linear_critic(images: Tensor) -> Tensor:
    """f(x) = 0.5 sum x: its gradient is 0.5 everywhere, of length 0.5 sqrt(pixels)."""
    return 0.5 * images.flatten(1).sum(1)


def half_square(images: Tensor) -> Tensor:
    """f(x) = |x|^2 / 2: its gradient is x."""
    return 0.5 * images.flatten(1).square().sum(1)

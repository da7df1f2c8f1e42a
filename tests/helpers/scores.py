"""Scores of made-up critics, for the objectives' closed forms in numpy's float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganscribe.gan.objectives import Objective, build_objective

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
    """What the generator of an objective loses on FAKE, beside REAL where it sees real images."""
    objective = build_objective(name, **options)
    return float(loss_of_generator(objective, torch.from_numpy(FAKE), real=torch.from_numpy(REAL)))


def loss_of_generator(objective: Objective, fake: Tensor, *, real: Tensor) -> Tensor:
    """What the generator loses by these scores, those of `real` images being shown to it only where it sees them."""
    return objective.generator_loss(fake, *([real] if objective.generator_sees_real else []))


def linear_critic(images: Tensor) -> Tensor:
    """f(x) = 0.5 sum x: its gradient is 0.5 everywhere, of length 0.5 sqrt(pixels)."""
    return 0.5 * images.flatten(1).sum(1)


def half_square(images: Tensor) -> Tensor:
    """f(x) = |x|^2 / 2: its gradient is x."""
    return 0.5 * images.flatten(1).square().sum(1)

"""What objectives are made of, against closed forms in float64; the losses have the tests of their objectives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganscribe.gan.common.losses import (
    annealed_noise,
    bce_critic_loss,
    gradient_penalties,
    jensen_shannon_estimate,
)
from ganscribe.gan.common.objective import no_penalty, no_perturbation
from ganscribe.gan.objectives import build_objective
from scores import half_square

PENALISED = ("nonsaturating", "minimax", "lsgan", "hinge", "relativistic")


def test_optimal_critic_gives_the_jensen_shannon_divergence() -> None:
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.1, 0.8])
    middle = (p + q) / 2
    divergence = 0.5 * (p * np.log(p / middle)).sum() + 0.5 * (q * np.log(q / middle)).sum()
    best = torch.from_numpy(np.log(p / q))  # the score whose sigmoid is p / (p + q)
    real = best.repeat_interleave(torch.tensor([5, 3, 2]))
    fake = best.repeat_interleave(torch.tensor([1, 1, 8]))
    assert len(real) == len(fake) == 10
    loss = float(bce_critic_loss(real, fake))
    assert jensen_shannon_estimate(loss) == pytest.approx(divergence, rel=1e-9)


@pytest.mark.parametrize("name", PENALISED)
def test_the_r1_penalty_is_taken_on_real_images_alone_and_r2_on_generated_ones(name: str) -> None:
    real, fake = torch.full((5, 1, 2, 2), 3.0), torch.full((5, 1, 2, 2), -2.0)
    r1, r2 = 0.5 / 2 * 4 * 3**2, 0.8 / 2 * 4 * 2**2  # the gradient is x: |x|^2 = 4 * 9 and 4 * 4
    for options, expected in (
        ({"r1_penalty": 0.5}, r1),
        ({"r2_penalty": 0.8}, r2),
        ({"r1_penalty": 0.5, "r2_penalty": 0.8}, r1 + r2),
    ):
        value = build_objective(name, **options).penalty(half_square, real, fake, torch.Generator())
        assert value.shape == () and value.item() == pytest.approx(expected, rel=1e-6)
    assert build_objective(name).penalty is no_penalty


def test_the_penalties_are_those_of_brute_force_in_float64() -> None:
    """Each pixel of each image nudged by itself, against the double backward pass."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0)).double()
    real, fake = (torch.randn(3, 1, 2, 2, dtype=torch.float64) for _ in range(2))
    expected, step = 0.0, 1e-6
    for images, weight in ((real, 0.7), (fake, 1.9)):
        for number, pixel in product(range(3), range(4)):
            nudge = torch.zeros_like(images)
            nudge[number].view(-1)[pixel] = step
            slope = (network(images + nudge) - network(images - nudge))[number].item() / (2 * step)
            expected += weight / 2 * slope**2 / 3
    found = gradient_penalties(network, real, fake, torch.Generator(), r1=0.7, r2=1.9)
    assert found.item() == pytest.approx(expected, rel=1e-7)


def test_the_penalties_gradients_reach_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.randn(4, 1, 1, 1)

    def critic(images: Tensor) -> Tensor:
        return weight * images.flatten(1).sum(1)

    gradient_penalties(critic, images, images, torch.Generator(), r1=0.5, r2=0.25).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx((0.5 + 0.25) * 3)  # d/dw (0.5 + 0.25) / 2 w^2


def test_the_instance_noise_falls_linearly_to_nothing() -> None:
    images = torch.full((200, 1, 16, 16), 0.25)
    for progress, std in ((0.0, 0.5), (0.5, 0.25), (0.9, 0.05)):
        noise = annealed_noise(images, progress, torch.Generator().manual_seed(1), std=0.5) - images
        assert noise.std().item() == pytest.approx(std, rel=0.02)
        assert abs(noise.mean().item()) < 0.01
    assert torch.equal(annealed_noise(images, 1.0, torch.Generator(), std=0.5), images)


@pytest.mark.parametrize("name", ["minimax", "nonsaturating"])
def test_instance_noise_is_off_unless_it_is_asked_for(name: str) -> None:
    images = torch.zeros(50, 1, 16, 16)
    assert build_objective(name).perturb is no_perturbation
    noisy = build_objective(name, instance_noise=0.3).perturb(images, 0.0, torch.Generator().manual_seed(1))
    assert noisy.std().item() == pytest.approx(0.3, rel=0.02)

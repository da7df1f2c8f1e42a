"""The objectives against their closed forms, computed in float64 by numpy from the papers' equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganscribe.gan.networks import build_discriminator
from ganscribe.gan.objectives import (
    OBJECTIVES,
    annealed_noise,
    build_objective,
    check_combination,
    clamp_parameters,
    gradient_norm_penalty,
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
    for name in ("wgan", "wgan_gp"):
        assert generator(name) == pytest.approx(-FAKE.mean(), rel=1e-9)


def test_generator_smoothing_lowers_the_generator_s_target() -> None:
    log_other = -FAKE - np.log1p(np.exp(-FAKE))  # log(1 - sigmoid)
    log_real = -np.log1p(np.exp(-FAKE))  # log sigmoid
    expected = -(0.9 * log_real + 0.1 * log_other).mean()
    smooth = build_objective("nonsaturating", generator_smoothing=0.1)
    assert float(smooth.generator_loss(torch.from_numpy(FAKE))) == pytest.approx(expected, rel=1e-9)
    assert float(smooth.critic_loss(torch.from_numpy(REAL), torch.from_numpy(FAKE))) == critic("minimax")


@pytest.mark.parametrize("name", ["wgan", "wgan_gp"])
def test_wasserstein_critic_is_equation_2_of_arjovsky(name: str) -> None:
    assert critic(name) == pytest.approx(FAKE.mean() - REAL.mean(), rel=1e-9)
    assert OBJECTIVES[name].estimates["wasserstein_estimate"](critic(name)) == pytest.approx(
        REAL.mean() - FAKE.mean(), rel=1e-9
    )


def test_the_clamp_bounds_every_parameter_and_moves_no_other() -> None:
    network = nn.Linear(3, 2)
    values = torch.tensor([[0.5, -0.02, 0.009], [-0.009, 0.01, -7.0]])
    with torch.no_grad():
        network.weight.copy_(values)
        network.bias.copy_(torch.tensor([0.02, 0.0]))
    clamp_parameters(network)
    assert torch.equal(network.weight, torch.tensor([[0.01, -0.01, 0.009], [-0.009, 0.01, -0.01]]))
    assert torch.equal(network.bias, torch.tensor([0.01, 0.0]))
    build_objective("wgan", clip=0.005).constrain(network)
    assert network.weight.abs().max().item() == pytest.approx(0.005)


def linear_critic(images: Tensor) -> Tensor:
    """f(x) = 0.5 sum x: its gradient is 0.5 everywhere, of length 0.5 sqrt(pixels)."""
    return 0.5 * images.flatten(1).sum(1)


def half_square(images: Tensor) -> Tensor:
    """f(x) = |x|^2 / 2: its gradient is x."""
    return 0.5 * images.flatten(1).square().sum(1)


def test_the_penalty_of_a_linear_critic_is_known() -> None:
    real, fake = torch.randn(5, 1, 3, 3), torch.randn(5, 1, 3, 3)
    penalty = gradient_norm_penalty(linear_critic, real, fake, torch.Generator())
    assert penalty.item() == pytest.approx(10 * (0.5 * 3 - 1) ** 2, rel=1e-6)
    lighter = build_objective("wgan_gp", gradient_penalty=2.0).penalty
    assert float(lighter(linear_critic, real, fake, torch.Generator())) == pytest.approx(0.5, rel=1e-6)


def test_the_penalty_is_taken_between_real_and_generated_one_mixture_an_image() -> None:
    real, fake = torch.ones(4000, 1, 2, 2), torch.zeros(4000, 1, 2, 2)
    seen: list[Tensor] = []

    def watched(images: Tensor) -> Tensor:
        seen.append(images.detach().flatten(1))
        return half_square(images)

    penalty = gradient_norm_penalty(watched, real, fake, torch.Generator().manual_seed(0))
    mixtures = seen[0]
    assert (mixtures == mixtures[:, :1]).all() and mixtures.min() >= 0 and mixtures.max() <= 1
    # |x_hat| = 2 e with e uniform in [0, 1]: E (2e - 1)^2 = 1/3
    assert penalty.item() == pytest.approx(10 / 3, rel=0.05)


def test_the_penalty_s_gradient_reaches_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.randn(4, 1, 1, 1)
    gradient_norm_penalty(lambda x: weight * x.flatten(1).sum(1), real, real, torch.Generator()).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * 10 * (3 - 1), rel=1e-6)  # d/dw 10 (w - 1)^2


def test_the_r1_penalty_is_taken_on_real_images_alone() -> None:
    real, fake = torch.full((5, 1, 2, 2), 3.0), torch.randn(5, 1, 2, 2)
    penalty = build_objective("nonsaturating", r1_penalty=0.5).penalty
    value = penalty(half_square, real, fake, torch.Generator()).item()
    assert value == pytest.approx(0.5 / 2 * 4 * 3.0**2)  # the gradient is x, of four pixels


def test_the_r1_penalty_s_gradient_reaches_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.randn(4, 1, 1, 1)
    penalty = build_objective("lsgan", r1_penalty=0.5).penalty
    penalty(lambda x: weight * x.flatten(1).sum(1), real, real, torch.Generator()).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(0.5 * 3)  # d/dw 0.5 / 2 w^2


def test_the_instance_noise_falls_linearly_to_nothing() -> None:
    images = torch.full((200, 1, 16, 16), 0.25)
    for progress, std in ((0.0, 0.5), (0.5, 0.25), (0.9, 0.05)):
        noise = annealed_noise(images, progress, torch.Generator().manual_seed(1), std=0.5) - images
        assert noise.std().item() == pytest.approx(std, rel=0.02)
        assert abs(noise.mean().item()) < 0.01
    assert torch.equal(annealed_noise(images, 1.0, torch.Generator(), std=0.5), images)
    assert build_objective("minimax").perturb(images, 0.0, torch.Generator()) is images


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


def test_unknown_names_are_refused() -> None:
    known = "lsgan, minimax, nonsaturating, wgan, wgan_gp"
    with pytest.raises(ValueError, match=f"'hinge' is unknown: choose one of {known}"):
        build_objective("hinge")


@pytest.mark.parametrize(
    ("name", "option", "remedy"),
    [
        ("lsgan", {"label_smoothing": 0.1}, "nonsaturating or minimax"),
        ("wgan", {"instance_noise": 0.5}, "nonsaturating or minimax"),
        ("minimax", {"generator_smoothing": 0.1}, "nonsaturating"),
        ("wgan_gp", {"clip": 0.01}, "wgan"),
        ("wgan", {"gradient_penalty": 10.0}, "wgan_gp"),
        ("wgan_gp", {"r1_penalty": 0.5}, "nonsaturating, minimax or lsgan"),
    ],
)
def test_a_modifier_without_a_meaning_is_refused(name: str, option: dict[str, float], remedy: str) -> None:
    ((key, value),) = option.items()
    message = f"{key} {value} has no meaning for the objective '{name}': remove it or choose {remedy}"
    with pytest.raises(ValueError, match=message):
        build_objective(name, **option)


def test_a_gradient_penalty_with_a_batch_normed_critic_is_refused() -> None:
    for networks in ("mlp", "dcgan", "dcgan_nobn"):
        check_combination(OBJECTIVES["wgan_gp"], build_discriminator(networks, image_shape=(1, 28, 28)))
    deep = build_discriminator("dcgan_deep", image_shape=(1, 28, 28))
    check_combination(OBJECTIVES["wgan"], deep)
    with pytest.raises(ValueError, match="a gradient penalty needs a critic without batch norm"):
        check_combination(OBJECTIVES["wgan_gp"], deep)
    with pytest.raises(ValueError, match="a gradient penalty needs a critic without batch norm"):
        check_combination(build_objective("nonsaturating", r1_penalty=0.5), deep)


def test_the_wasserstein_critic_is_trained_longer_at_first_and_at_each_500th_step() -> None:
    plan = plan_updates(OBJECTIVES["wgan"], steps=3000, critic_steps=5, max_updates=None)
    assert plan[:25] == [100] * 25
    assert [step for step in range(25, 3000) if plan[step] == 100] == [500, 1000, 1500, 2000, 2500]
    assert set(plan[25:]) == {5, 100} and len(plan) == 3000
    assert plan_updates(OBJECTIVES["wgan_gp"], steps=9, critic_steps=5, max_updates=None) == [5] * 9


def test_a_cap_shortens_the_wasserstein_warm_up() -> None:
    plan = plan_updates(OBJECTIVES["wgan"], steps=3000, critic_steps=5, max_updates=1785)  # a tenth
    assert 1700 < sum(plan) <= 1785
    assert plan[:4] == [10, 10, 10, 5] and plan[50] == plan[100] == 10 and plan[51] == 5


def test_plan_caps_the_updates_of_either_network() -> None:
    game = OBJECTIVES["lsgan"]
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=None) == [1] * 5
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=3) == [1] * 3
    assert plan_updates(game, steps=5, critic_steps=5, max_updates=13) == [5, 5]
    with pytest.raises(ValueError, match="max_updates 3 is less than the 5 critic updates"):
        plan_updates(game, steps=5, critic_steps=5, max_updates=3)

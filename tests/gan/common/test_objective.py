"""Objectives by name: what all of them promise, what is refused, how many updates their critics get."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import gans
from ganscribe.core.registry import Registry
from ganscribe.gan.common.objective import OBJECTIVES, check_combination, plan_updates
from ganscribe.gan.objectives import Objective, build_objective
from scores import FAKE, REAL, loss_of_generator

MADE_UP = """
from ganscribe.gan.common.objective import Objective


def build(*, margin: float = 1.0) -> Objective:
    return Objective(lambda real, fake: (margin - real).mean() + fake.mean(), lambda fake: -fake.mean())
"""


def test_the_seven_of_the_papers_are_there() -> None:
    papers = {"hinge", "lsgan", "minimax", "nonsaturating", "relativistic", "wgan", "wgan_gp"}
    assert set(OBJECTIVES.names()) >= papers


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_critic_loss_falls_when_the_critic_is_right(name: str) -> None:
    good, bad = torch.full((4,), 0.9), torch.full((4,), 0.1)
    objective = build_objective(name)
    assert isinstance(objective, Objective)
    assert objective.critic_loss(good, bad) < objective.critic_loss(bad, good)
    middle = torch.full((4,), 0.5)
    losses = [loss_of_generator(objective, fake, real=middle) for fake in (good, bad)]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_shapes_n_and_n_by_1_give_the_same_loss(name: str) -> None:
    objective, real, fake = build_objective(name), torch.from_numpy(REAL), torch.from_numpy(FAKE)
    flat, tall = objective.critic_loss(real, fake), objective.critic_loss(real[:, None], fake[:, None])
    assert flat.shape == () and torch.equal(flat, tall)
    flat = loss_of_generator(objective, fake, real=real)
    tall = loss_of_generator(objective, fake[:, None], real=real[:, None])
    assert flat.shape == () and torch.equal(flat, tall)


def test_what_an_objective_does_not_say_changes_nothing() -> None:
    objective = Objective(lambda real, fake: fake.mean(), lambda fake: fake.mean())
    network, images = torch.nn.Linear(3, 1), torch.rand(2, 3)
    before = network.weight.clone()
    objective.constrain(network)
    assert torch.equal(network.weight, before)
    assert objective.perturb(images, 0.5, torch.Generator()) is images
    assert objective.penalty(network, images, images, torch.Generator()).item() == 0
    assert [objective.critic_steps(step, 5, 0.1) for step in (0, 500)] == [5, 5]
    assert objective.estimates == {}


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("lsgan", "label_smoothing", "r1_penalty, r2_penalty"),
        ("hinge", "margin", "r1_penalty, r2_penalty"),
        ("relativistic", "label_smoothing", "r1_penalty, r2_penalty"),
        ("wgan", "label_smoothing", "clip"),
        ("wgan", "instance_noise", "clip"),
        ("wgan", "gradient_penalty", "clip"),
        ("minimax", "generator_smoothing", "instance_noise, label_smoothing, r1_penalty, r2_penalty"),
        ("wgan_gp", "clip", "gradient_penalty"),
        ("wgan_gp", "r1_penalty", "gradient_penalty"),
        ("wgan", "r2_penalty", "clip"),
        (
            "nonsaturating",
            "made_up",
            "generator_smoothing, instance_noise, label_smoothing, r1_penalty, r2_penalty",
        ),
    ],
)
def test_an_option_of_another_objective_is_refused(name: str, option: str, known: str) -> None:
    message = f"^objective '{name}' has no option '{option}': it takes {known}$"
    with pytest.raises(ValueError, match=message):
        build_objective(name, **{option: 0.1})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("minimax", {"label_smoothing": 1.5}, "label_smoothing 1.5 must lie between 0 and 1"),
        ("nonsaturating", {"generator_smoothing": -0.1}, "generator_smoothing -0.1 must lie between 0 and 1"),
        ("nonsaturating", {"label_smoothing": float("nan")}, "label_smoothing nan must lie between"),
        ("minimax", {"instance_noise": -0.5}, "instance_noise -0.5 must not be negative"),
        ("lsgan", {"r1_penalty": -1.0}, "r1_penalty -1.0 must not be negative"),
        ("hinge", {"r2_penalty": -0.5}, "r2_penalty -0.5 must not be negative"),
        ("wgan", {"clip": 0.0}, "clip 0.0 must be above 0"),
        ("wgan_gp", {"gradient_penalty": 0.0}, "gradient_penalty 0.0 must be above 0"),
        ("wgan", {"clip": "little"}, "^objective 'wgan' does not take the options .*'little'"),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_objective(name, **options)


def test_a_file_more_is_an_objective_more(add_file: Callable[[Registry, str, str], None]) -> None:
    before = OBJECTIVES.names()
    add_file(OBJECTIVES, "made_up", MADE_UP)
    assert OBJECTIVES.names() == sorted([*before, "made_up"])
    real, fake = torch.tensor([3.0]), torch.tensor([1.0])
    assert build_objective("made_up", margin=2.0).critic_loss(real, fake) == 0.0
    with pytest.raises(ValueError, match="'made_up' has no option 'clip': it takes margin"):
        build_objective("made_up", clip=0.1)
    gan = gans.train(objective="made_up", objective_options={"margin": 0.5}, steps=2)
    assert list(gan.history[0]) == ["step", "epoch", "critic_loss", "generator_loss", "critic_cosine"]
    assert build_objective("wgan").critic_loss(real, fake) == -2.0  # the others are still there


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "build returned None: return an Objective"),
        (
            "Objective(lambda real, fake: 0.5, lambda fake: -fake.mean())",
            "critic_loss returned 0.5: return the mean",
        ),
        (
            "Objective(lambda real, fake: fake - real, lambda fake: -fake.mean())",
            r"critic_loss returned tensor\(\[\[",
        ),
        (
            "Objective(lambda real, fake: fake.mean(), lambda fake: -fake.detach().mean())",
            r"generator_loss returned tensor\(-1\.\): .* that has a gradient",
        ),
        (
            "Objective(lambda real, fake: fake.mean(), lambda fake, real: (real - fake).mean())",
            "generator_loss cannot take what training gives it, see generator_sees_real: .*'real'",
        ),
        (
            "Objective(lambda real, fake: (fake[:, 0] - real[:, 0]).mean(), lambda fake: -fake.mean())",
            "critic_loss cannot take what training gives it: too many indices",
        ),
        (
            "Objective(lambda real, fake: fake.new_zeros(()).requires_grad_(), lambda fake: -fake.mean())",
            r"critic_loss returned tensor\(0\., requires_grad=True\): .* that has a gradient",
        ),
    ],
)
def test_losses_that_nothing_can_learn_from_are_refused(
    add_file: Callable[[Registry, str, str], None], returned: str, message: str
) -> None:
    source = "from ganscribe.gan.common.objective import Objective\n\n\ndef build():\n    return " + returned
    add_file(OBJECTIVES, "made_up", source)
    with pytest.raises(ValueError, match=f"^objective 'made_up': {message}"):
        build_objective("made_up")


def test_a_gradient_penalty_with_a_batch_normed_critic_is_refused() -> None:
    for networks in ("mlp", "dcgan", "dcgan_nobn", "dcgan_sn"):
        check_combination(build_objective("wgan_gp"), gans.build(networks, "discriminator"))
    penalised = [build_objective("wgan_gp")]
    penalised += [build_objective("nonsaturating", **{f"{name}_penalty": 0.5}) for name in ("r1", "r2")]
    for networks in ("dcgan_deep", "dcgan_bn"):
        critic = gans.build(networks, "discriminator")
        check_combination(build_objective("wgan"), critic)
        check_combination(build_objective("nonsaturating", r1_penalty=0.0, r2_penalty=0.0), critic)
        for objective in penalised:
            with pytest.raises(ValueError, match="a gradient penalty needs a critic without batch norm"):
                check_combination(objective, critic)


def test_plan_caps_the_updates_of_either_network() -> None:
    game = build_objective("lsgan")
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=None) == [1] * 5
    assert plan_updates(game, steps=5, critic_steps=1, max_updates=3) == [1] * 3
    assert plan_updates(game, steps=5, critic_steps=5, max_updates=13) == [5, 5]
    with pytest.raises(ValueError, match="max_updates 3 is less than the 5 critic updates"):
        plan_updates(game, steps=5, critic_steps=5, max_updates=3)

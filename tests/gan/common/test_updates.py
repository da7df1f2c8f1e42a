"""Single updates and the loop's options against plain PyTorch, and against what they must leave alone."""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

import pytest
import torch

import gans
from gans import pictures, same, train, weights
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.pixels import to_signed
from ganscribe.gan.common.state import TrainedGan, start_training
from ganscribe.gan.common.training import batches, take
from ganscribe.gan.common.updates import held_out_loss, update_critic, update_generator
from ganscribe.gan.objectives import build_objective

pytestmark = pytest.mark.usefixtures("small_samples")


def start(networks: str = "mlp", **changes: Any) -> TrainedGan:
    settings = {"networks": networks, "optimiser": "sgd", "learning_rate": 0.05} | changes
    recipe, _ = gans.recipe_and_budget(**settings)
    return start_training(recipe, image_shape=gans.MNIST, seed=0, precision="fp32", device=gans.CPU)


def cosine_of(gan: TrainedGan, objective: str) -> float:
    real = to_signed(pictures(16))
    game = build_objective(objective)
    update_critic(gan, game, real, torch.randn(16, 8), contextlib.nullcontext, watch=True)
    return gan.cosine.item()


@pytest.mark.parametrize("objective", ["nonsaturating", "wgan", "wgan_gp"])
def test_a_gradient_descent_step_has_cosine_one_also_before_a_clamp(objective: str) -> None:
    assert cosine_of(start("dcgan"), objective) == pytest.approx(1, abs=1e-3)


def test_adam_s_first_step_has_the_cosine_of_the_gradient_s_signs() -> None:
    """Adam's first step is -rate * sign(gradient): its cosine is |g|_1 / (|g|_2 sqrt(n))."""
    gan = start(optimiser="adam", betas=(0.9, 0.999), learning_rate=1e-4)
    cosine = cosine_of(gan, "nonsaturating")
    slopes = [weight.grad for weight in gan.discriminator.parameters()]
    gradient = torch.cat([slope.flatten() for slope in slopes if slope is not None])
    moved = gradient[gradient != 0]
    assert cosine == pytest.approx((moved.norm(1) / (moved.norm() * len(moved) ** 0.5)).item(), rel=0.01)


def test_the_clamp_holds_after_every_update() -> None:
    gan = train(objective="wgan", optimiser="rmsprop", max_updates=30)
    assert max(weight.abs().max().item() for weight in gan.discriminator.parameters()) <= 0.01 + 1e-9
    assert max(weight.abs().max().item() for weight in gan.generator.parameters()) > 0.02


def test_generator_first_updates_it_first_and_gives_both_the_same_noise() -> None:
    """One step in plain PyTorch: G by stock Adam, then D on the images of the new G, on the same noise."""
    smoothing = {"label_smoothing": 0.1, "generator_smoothing": 0.1}
    gan = train(steps=1, generator_first=True, objective_options=smoothing)
    fresh = train(steps=1, learning_rate=1e-30, log_every=1)  # the same start, not moved
    generator, critic = fresh.generator, fresh.discriminator
    order = batches(70, batch_size=16, shuffle=True, seed=3, first=0, device=gans.CPU)
    real = take(pictures(), next(order))
    noise = torch.rand(16, 8, generator=random_stream(3, "gan", "noise")) * 2 - 1
    bce = torch.nn.BCEWithLogitsLoss()
    rates: dict[str, Any] = {"lr": 1e-3, "betas": (0.5, 0.999)}

    optimiser = torch.optim.Adam(generator.parameters(), **rates)
    loss = bce(critic(generator(noise)), torch.full((16,), 0.9))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    optimiser = torch.optim.Adam(critic.parameters(), **rates)
    with torch.no_grad():
        fake = generator(noise)
    critic_loss = bce(critic(real), torch.full((16,), 0.9)) + bce(critic(fake), torch.zeros(16))
    assert gan.history[0]["generator_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert gan.history[0]["critic_loss"] == pytest.approx(critic_loss.item(), rel=1e-5)


@pytest.mark.parametrize("networks", ["mlp", "dcgan_bn"])
@pytest.mark.parametrize("generator_first", [False, True])
def test_a_generator_that_sees_real_images_sees_those_of_the_critic_s_last_update(
    networks: str, generator_first: bool
) -> None:
    """A step of relativistic pairing in plain PyTorch, by stock Adam, with a pass for each set of images."""
    changes: dict[str, Any] = {
        "networks": networks,
        "objective": "relativistic",
        "generator_first": generator_first,
        "critic_steps": 1 if generator_first else 2,
    }
    gan = train(steps=1, **changes)
    fresh = train(steps=1, learning_rate=1e-30, log_every=1, **changes)  # the same start, not moved
    generator, critic = fresh.generator, fresh.discriminator
    order = batches(70, batch_size=16, shuffle=True, seed=3, first=0, device=gans.CPU)
    rng = random_stream(3, "gan", "noise")
    optimisers = {
        network: torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.999))
        for network in (generator, critic)
    }
    critic_losses, generator_losses = [], []

    def update(network: torch.nn.Module, noise: torch.Tensor, sign: int, losses: list[float]) -> None:
        loss = -torch.nn.functional.logsigmoid(sign * (critic(real) - critic(generator(noise)))).mean()
        optimisers[network].zero_grad()
        loss.backward()
        optimisers[network].step()
        losses.append(loss.item())

    noise = torch.rand(16, 8, generator=rng) * 2 - 1
    if generator_first:
        real = take(pictures(), next(order))
        update(generator, noise, -1, generator_losses)
        update(critic, noise, 1, critic_losses)
    else:
        for _ in range(2):
            real = take(pictures(), next(order))
            update(critic, noise, 1, critic_losses)
            noise = torch.rand(16, 8, generator=rng) * 2 - 1
        update(generator, noise, -1, generator_losses)
    assert gan.history[0]["critic_loss"] == pytest.approx(statistics.mean(critic_losses), rel=1e-4)
    assert gan.history[0]["generator_loss"] == pytest.approx(generator_losses[0], rel=1e-4)


def test_the_average_is_exponential() -> None:
    gan = start(ema_decay=0.9)
    expected = [weight.detach().clone() for weight in gan.generator.parameters()]
    for update in range(3):
        noise, game = torch.randn(16, 8), build_objective("lsgan")
        update_generator(gan, game, noise, contextlib.nullcontext, is_first=update == 0)
        now = [weight.detach() for weight in gan.generator.parameters()]
        if update == 0:  # the average starts at the first trained weights
            expected = [weight.clone() for weight in now]
        else:
            expected = [0.9 * old + 0.1 * new for old, new in zip(expected, now, strict=True)]
    for ours, theirs in zip(gan.kept_generator.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    plain = start()
    assert gan.kept_generator is not gan.generator and plain.kept_generator is plain.generator


def test_the_average_does_not_change_the_training() -> None:
    plain, averaged = train(steps=4), train(steps=4, ema_decay=0.5)
    assert same(weights(plain), weights(averaged))
    assert not torch.equal(plain.grids[-1][1], averaged.grids[-1][1])


@pytest.mark.parametrize(
    ("changes", "factor"),  # at the last of four steps, of which 3 / 4 are done
    [
        ({}, 1.0),
        ({"schedule": "linear"}, 0.25),
        ({"schedule": "step", "schedule_options": {"at": [0.75], "factor": 0.3}}, 0.3),
        ({"steps": 40, "max_updates": 4, "schedule_options": {"warm_up": 39}}, 31 / 39),  # 30 of 40 done
    ],
    ids=["constant", "linear", "step", "a warm-up that is cut short"],
)
def test_the_learning_rate_follows_the_schedule(changes: dict[str, Any], factor: float) -> None:
    gan = train(**({"steps": 4, "learning_rate": 0.01} | changes))
    assert gan.step == 4
    for optimiser in (gan.generator_optimiser, gan.critic_optimiser):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(0.01 * factor)


@pytest.mark.parametrize(
    ("networks", "objective"),  # dcgan_deep has dropout, and batch norm, which wgan_gp does not take
    [
        ("mlp", "wgan_gp"),
        ("dcgan", "wgan_gp"),
        ("mlp", "minimax"),
        ("dcgan_deep", "minimax"),
        ("dcgan_sn", "minimax"),  # the singular vectors move with every forward pass in training
    ],
)
def test_the_held_out_images_change_nothing(networks: str, objective: str) -> None:
    settings: dict[str, Any] = {"networks": networks, "objective": objective, "steps": 3}
    assert same(weights(train(**settings)), weights(train(**settings, held_out=pictures(40))))


def test_the_held_out_loss_is_that_of_the_critic_in_training_mode() -> None:
    gan, objective = start("dcgan"), build_objective("wgan")
    held_out, noise = pictures(40), torch.randn(40, 8)
    before = weights(gan)
    settings: dict[str, Any] = {"batch_size": 16, "done": 0.0}
    loss = held_out_loss(gan, objective, held_out, noise, torch.Generator(), **settings)
    assert same(before, weights(gan)) and gan.generator.training
    with torch.no_grad():  # batch norm by batches, as in training
        fake = torch.cat([gan.discriminator(gan.generator(part)) for part in noise.split(16)])
        real = gan.discriminator(to_signed(held_out))
    assert loss == pytest.approx((fake.mean() - real.mean()).item(), rel=1e-4)


@pytest.mark.parametrize(("count", "chosen"), [(300, 256), (40, 32), (10, 10)])
def test_an_estimate_is_on_held_out_images_of_all_in_whole_batches_and_on_noise_of_its_own(
    count: int, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(
        gan: TrainedGan, objective: Any, held_out: torch.Tensor, noise: torch.Tensor, *rest: Any, **more: Any
    ) -> float:
        seen.append((held_out, noise))
        return 0.0

    monkeypatch.setattr("ganscribe.gan.common.training.held_out_loss", note)
    images = pictures(count, seed=1)
    train(steps=4, held_out=images)
    (first, noise), (second, other) = seen
    numbers = {image.numpy().tobytes(): number for number, image in enumerate(images)}
    found = [numbers[image.numpy().tobytes()] for image in first]
    assert len(found) == len(set(found)) == len(noise) == chosen and found != list(range(chosen))
    assert torch.equal(first, second) and not torch.equal(noise, other)


def test_a_row_has_the_mean_losses_of_its_own_updates() -> None:
    each, rows = (train(steps=8, critic_steps=2, log_every=every, snapshots=1).history for every in (1, 3))
    assert [row["step"] for row in rows] == [3, 6, 8]
    for row, part in zip(rows, (each[:3], each[3:6], each[6:]), strict=True):
        for name in ("critic_loss", "generator_loss"):
            assert row[name] == pytest.approx(statistics.mean(one[name] for one in part), rel=1e-5)


def test_rows_hold_the_estimates_and_their_medians_over_five_rows() -> None:
    gan = train(objective="wgan_gp", steps=16, held_out=pictures(30))
    assert [row["step"] for row in gan.history] == list(range(2, 17, 2))
    for name in ("wasserstein_estimate", "wasserstein_estimate_held_out"):
        values = [row[name] for row in gan.history]
        medians = [row[f"{name}_median"] for row in gan.history]
        assert medians[6] == statistics.median(values[2:7])
        assert medians[1] == statistics.median(values[:2])
    assert all(row["wasserstein_estimate"] == -row["critic_loss"] for row in gan.history)
    assert "jsd_estimate_held_out_median" in train(steps=2, held_out=pictures(30)).history[0]
    assert list(train(objective="lsgan", steps=2, held_out=pictures(30)).history[0]) == [
        "step",
        "epoch",
        "critic_loss",
        "generator_loss",
        "critic_cosine",
    ]


def test_a_penalty_counts_as_often_as_it_weighs() -> None:
    """A step of gradient descent is linear in the penalty's weight."""
    moved = {}
    for weight in (0.0, 1.0, 4.0):
        gan, noise = start(), torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
        game, real = build_objective("hinge", r1_penalty=2.0), to_signed(pictures(16))
        before = [each.detach().clone() for each in gan.discriminator.parameters()]
        update_critic(gan, game, real, noise, contextlib.nullcontext, penalty_weight=weight)
        after = gan.discriminator.parameters()
        moved[weight] = torch.cat([(b - a).flatten() for a, b in zip(before, after, strict=True)])
    by_penalty = moved[1.0] - moved[0.0]
    assert by_penalty.abs().max() > 1e-4
    torch.testing.assert_close(moved[4.0] - moved[0.0], 4 * by_penalty, rtol=1e-4, atol=1e-6)


def test_every_third_update_has_the_penalty_threefold(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def note(*arguments: Any, penalty_weight: float, **options: Any) -> torch.Tensor:
        seen.append(penalty_weight)
        return update_critic(*arguments, penalty_weight=penalty_weight, **options)

    monkeypatch.setattr("ganscribe.gan.common.training.update_critic", note)
    penalised = {"objective_options": {"r1_penalty": 1.0}, "penalty_every": 3}
    train(steps=4, critic_steps=2, **penalised)
    assert seen == [3, 0, 0, 3, 0, 0, 3, 0]
    seen.clear()
    train(steps=4, generator_first=True, **penalised)
    assert seen == [3, 0, 0, 3]
    seen.clear()
    train(steps=2)
    assert seen == [1, 1]


def test_the_penalty_is_alike_in_both_precisions() -> None:
    """On the same critic and images, bfloat16's penalty is within its rounding of float32's."""
    gan = start("dcgan", optimiser="adam", betas=(0.5, 0.9), learning_rate=1e-3)
    objective = build_objective("wgan_gp")
    real, fake = to_signed(pictures(32)), to_signed(pictures(64)[32:])
    for _ in range(20):
        update_critic(gan, objective, real, torch.randn(32, 8), contextlib.nullcontext)
    exact = objective.penalty(gan.discriminator, real, fake, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = objective.penalty(gan.discriminator, real, fake, torch.Generator().manual_seed(0))
    assert rounded.item() == pytest.approx(exact.item(), rel=0.05, abs=0.02)


def test_an_averaged_generator_is_drawn_from_with_its_own_statistics() -> None:
    """Batch norm's mean is that of the averaged layer's outputs, both in the grids and in what is kept."""
    gan = train(networks="dcgan", steps=3, ema_decay=0.5, learning_rate=0.02, noise="normal")
    rng = random_stream(gans.SETTINGS["seed"], "gan", "norms")
    batches = [torch.randn(gan.recipe.batch_size, gan.recipe.noise_dim, generator=rng) for _ in range(50)]
    assert [step for step, _ in gan.snapshots] == [2, 3]  # without a grid, and with one
    for _, kept in gan.snapshots:
        linear = torch.stack([batch @ kept["0.weight"].T + kept["0.bias"] for batch in batches])
        expected = linear.relu().mean((0, 1))
        torch.testing.assert_close(kept["2.running_mean"], expected, atol=1e-4, rtol=1e-3)
    assert same(list(kept.values()), list(gan.kept_generator.state_dict().values()))

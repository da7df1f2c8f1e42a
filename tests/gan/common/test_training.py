"""The training loop: what it promises about data order, budgets, resuming and precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import gans
from gans import pictures, same, weights
from ganscribe.core.seeds import random_stream
from ganscribe.datasets.pixels import to_signed
from ganscribe.gan.common.state import TrainedGan
from ganscribe.gan.common.training import batches, take
from stopping import StopAfter, reopen

pytestmark = pytest.mark.usefixtures("small_samples")


def train(images: torch.Tensor | None = None, **changes: Any) -> TrainedGan:
    return gans.train(images, **({"sample_every": 5, "log_every": 4} | changes))


def rows(count: int, batch_size: int, first: int = 0, *, shuffle: bool = True) -> Iterator[torch.Tensor]:
    return batches(count, batch_size=batch_size, shuffle=shuffle, seed=0, first=first, device=gans.CPU)


def test_batches_are_a_fresh_permutation_in_each_epoch_without_the_partial_batch() -> None:
    stream = rows(10, 3)
    seen = torch.cat([next(stream) for _ in range(6)]).tolist()
    first, second = seen[:9], seen[9:]
    assert len(set(first)) == len(set(second)) == 9 and first != second
    late, stream = rows(10, 3, first=4), rows(10, 3)
    for _ in range(4):
        next(stream)
    assert all(torch.equal(next(late), next(stream)) for _ in range(5))


def test_batches_without_shuffling_keep_the_order() -> None:
    stream = rows(7, 3, shuffle=False)
    assert torch.cat([next(stream) for _ in range(3)]).tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


def test_what_is_taken_is_signed_and_in_the_order_of_the_rows() -> None:
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1)
    assert torch.equal(take(images, torch.tensor([4, 1])), to_signed(images[[4, 1]]))


def test_one_step_is_the_textbook_s() -> None:
    """One step in plain PyTorch: separate passes, stock Adam, no fusing, against the loop's."""
    gan = train(steps=1)
    torch.manual_seed(0)
    fresh = train(steps=1, learning_rate=1e-30)  # the same start, not moved
    generator, critic = fresh.generator, fresh.discriminator
    rng = random_stream(3, "gan", "noise")
    order = batches(70, batch_size=16, shuffle=True, seed=3, first=0, device=gans.CPU)
    real = take(pictures(), next(order))
    bce = torch.nn.BCEWithLogitsLoss()
    optimiser = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    fake = generator(torch.rand(16, 8, generator=rng) * 2 - 1).detach()
    loss = bce(critic(real), torch.ones(16)) + bce(critic(fake), torch.zeros(16))
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    generator_loss = bce(critic(generator(torch.rand(16, 8, generator=rng) * 2 - 1)), torch.ones(16))
    optimiser.zero_grad()
    generator_loss.backward()
    optimiser.step()
    row = gan.history[0]
    assert row["critic_loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert row["generator_loss"] == pytest.approx(generator_loss.item(), rel=1e-5)
    assert row["jsd_estimate"] == pytest.approx(math.log(2) - loss.item() / 2, abs=1e-5)
    for ours, textbook in zip(weights(gan), weights(fresh), strict=True):
        torch.testing.assert_close(ours, textbook, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "lsgan", "critic_steps": 2, "schedule_options": {"warm_up": 3}},
        {
            "networks": "dcgan",
            "objective": "minimax",
            "objective_options": {"instance_noise": 0.5},
            "precision": "bf16",
        },
        {"objective": "wgan_gp", "schedule": "linear", "critic_steps": 2},
        {"objective": "wgan", "optimiser": "rmsprop", "ema_decay": 0.9, "max_updates": 60},
        {
            "networks": "dcgan_deep",
            "network_options": {"dropout": 0.4},
            "generator_first": True,
            "objective_options": {"label_smoothing": 0.1},
        },
        {"networks": "dcgan_sn", "objective": "hinge", "critic_steps": 2},
        {
            "networks": "dcgan_bn",
            "objective": "relativistic",
            "schedule": "linear",
            "precision": "bf16",
        },
        {
            "objective": "relativistic",
            "objective_options": {"r1_penalty": 1.0, "r2_penalty": 1.0},
            "penalty_every": 3,
        },
    ],
    ids=lambda changes: changes.get("objective", "nonsaturating"),
)
def test_a_resumed_training_ends_bit_for_bit_as_an_unbroken_one(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    changes = {"steps": 7, "held_out": pictures(20), **changes}
    whole = train(**changes)
    with pytest.raises(KeyboardInterrupt):
        train(**changes, checkpoint=StopAfter(tmp_path, 5))  # step 5: between two rows of the table
    steps: list[int] = []
    resumed = train(**changes, checkpoint=reopen(tmp_path), log=lambda step, row: steps.append(step))
    assert same(weights(whole), weights(resumed))
    kept = [list(gan.kept_generator.state_dict().values()) for gan in (whole, resumed)]
    assert same(*kept)
    assert resumed.history == whole.history and steps == [4, 7]
    assert [step for step, _ in resumed.grids] == [step for step, _ in whole.grids]
    assert all(torch.equal(a[1], b[1]) for a, b in zip(whole.grids, resumed.grids, strict=True))
    assert [step for step, _ in resumed.snapshots] == [step for step, _ in whole.snapshots]


def test_the_seed_decides() -> None:
    first, again, other = train(steps=3), train(steps=3), train(steps=3, seed=4)
    assert same(weights(first), weights(again))
    assert not torch.equal(weights(first)[0], weights(other)[0])


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop", "sgd"])
def test_every_optimiser_moves_both_networks(optimiser: str) -> None:
    still = train(steps=1, optimiser="sgd", learning_rate=1e-30)
    moved = train(steps=1, optimiser=optimiser)
    for network in ("generator", "discriminator"):
        pairs = zip(getattr(still, network).parameters(), getattr(moved, network).parameters(), strict=True)
        assert all(not torch.equal(a, b) for a, b in pairs)


def test_both_precisions_learn_alike() -> None:
    """On a one-image data set both lower the distance to that image, and by about as much."""
    image = torch.full((1, 1, 28, 28), 30, dtype=torch.uint8)
    image[:, :, 8:20, 8:20] = 220
    errors = {}
    for precision in ("fp32", "bf16"):
        gan = train(image.repeat(32, 1, 1, 1), precision=precision, steps=100)
        error = [
            (grid.float() - image.float()).abs().mean().item() for _, grid in (gan.grids[0], gan.grids[-1])
        ]
        assert gan.precision == precision and error[1] < 0.7 * error[0]
        errors[precision] = error[1]
    assert abs(errors["fp32"] - errors["bf16"]) < 25  # grey levels, of 255


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_one_loss_that_is_not_finite_is_enough_to_stop(player: str, monkeypatch: pytest.MonkeyPatch) -> None:
    update = f"ganscribe.gan.common.training.update_{player}"
    monkeypatch.setattr(update, lambda *rest, **options: torch.tensor(math.nan))
    with pytest.raises(ValueError, match=rf"losses are not finite at step 4 \(.*{player} nan"):
        train()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 71}, "70 images are less than one batch of 71"),
        ({"optimiser": "made_up"}, "optimiser 'made_up' is unknown"),
        ({"noise": "made_up"}, "noise 'made_up' is unknown: choose one of normal, uniform"),
        ({"precision": "made_up"}, "precision 'made_up' is unknown"),
        ({"schedule": "made_up"}, "schedule 'made_up' is unknown"),
        (
            {"schedule_options": {"made_up": 1}},
            "schedule 'constant' has no option 'made_up': it takes warm_up",
        ),
        ({"schedule_options": {"warm_up": 12}}, "warm_up 12 must be a number of steps below 12"),
        ({"objective": "made_up"}, "objective 'made_up' is unknown"),
        ({"networks": "made_up"}, "GAN network 'made_up' is unknown"),
        ({"generator_first": True, "critic_steps": 2}, "generator_first needs one critic update a step"),
        ({"penalty_every": 4}, "penalty_every 4 needs an objective with a gradient penalty"),
        ({"objective": "wgan_gp", "networks": "dcgan_deep"}, "needs a critic without batch norm"),
        (
            {"objective": "wgan", "objective_options": {"label_smoothing": 0.1}},
            "objective 'wgan' has no option 'label_smoothing': it takes clip",
        ),
        ({"network_options": {"dropout": 0.1}}, "'mlp' has no option 'dropout': it has no options"),
        ({"objective": "lsgan", "optimiser": "sgd", "learning_rate": 1e9}, "losses are not finite at step"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(**changes)

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from captioners import CPU, SIZES, features_of, tiny_captions, tiny_data, tiny_features, train
from ganscribe.captioning.dataset import CaptionSet, pad
from ganscribe.captioning.loss import BatchLoss, mean_loss, token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.training import batches
from ganscribe.training.optimisers import set_learning_rate
from stopping import StopAfter, reopen


def test_history_has_the_losses_of_the_formulas() -> None:
    rows: list[tuple[int, dict[str, float]]] = []
    trained = train(epochs=1, learning_rate=1e-12, log=lambda step, row: rows.append((step, row)))
    assert [step for step, _ in rows] == [2, 4, 5] and [row for _, row in rows] == trained.history
    assert [row["epoch"] for row in trained.history] == [0.4, 0.8, 1.0]
    # With weights that stand still, every loss follows from the model and the whole set.
    captions, model = tiny_captions(), trained.model
    order = (captions.tokens != 0).sum(1).argsort(descending=True)
    scores, following, _ = model(
        tiny_features([captions.image_ids[row] for row in order.tolist()]), captions.tokens[order]
    )
    words = F.cross_entropy(scores, following, reduction="none")
    (epoch,) = trained.epochs()
    assert epoch["train_loss"] == pytest.approx(float(words.mean().detach()), rel=1e-5)
    last = trained.history[-1]  # of the last batch, which has two captions
    means = [row["tutorial_loss"] for row in trained.history]
    assert epoch["tutorial_loss"] == pytest.approx((2 * means[0] + 2 * means[1] + means[2]) / 5)
    # tutorial_loss = sum over steps of the batch's mean, pads counted, over the longest of the set
    sums = [row["tutorial_loss"] * 6 * batch for row, batch in zip(trained.history, (10, 10, 2), strict=True)]
    assert sum(sums) == pytest.approx(float(words.sum().detach()), rel=1e-5)
    val = mean_loss(model, tiny_captions(7), tiny_features, batch_size=3, precision="fp32", device=CPU)
    assert last["val_loss"] == pytest.approx(val) and "val_loss" not in trained.history[0]


def test_it_learns_what_the_images_show() -> None:
    trained = train(epochs=40)
    epochs = trained.epochs()
    assert epochs[0]["train_loss"] > 1.2 and epochs[-1]["train_loss"] < 0.5
    shuffled = mean_loss(
        trained.model,
        tiny_captions(),
        lambda ids: tiny_features([image_id + 1 for image_id in ids]),
        batch_size=5,
        precision="fp32",
        device=CPU,
    )
    assert shuffled > 2 * epochs[-1]["train_loss"]  # the wrong images' features do not help


def test_both_precisions_reach_the_same_loss() -> None:
    losses = [train(epochs=12, precision=precision).epochs()[-1] for precision in ("fp32", "bf16")]
    assert losses[0]["val_loss"] == pytest.approx(losses[1]["val_loss"], rel=0.1)


@pytest.mark.parametrize(
    "changes", [{"precision": "fp32"}, {"precision": "bf16"}, {"optimiser": "rmsprop"}, {"optimiser": "sgd"}]
)
def test_a_resumed_training_ends_bit_for_bit_where_an_unbroken_one_does(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    whole = train(**changes)
    for stop in (3, 4):  # within an epoch; then again after four more steps, within another
        with pytest.raises(KeyboardInterrupt):
            train(**changes, checkpoint=StopAfter(tmp_path, stop))
    rows: list[int] = []
    resumed = train(**changes, checkpoint=reopen(tmp_path), log=lambda step, row: rows.append(step))
    assert resumed.history == whole.history and rows == [int(row["step"]) for row in whole.history]
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name


ALL_OPTIONS = {
    "gate": True,
    "standardise": True,
    "dropout": 0.3,
    "schedule": "cosine",
    "schedule_options": {"warm_up": 3},
    "clip_norm": 0.5,
    "label_smoothing": 0.1,
    "doubly_stochastic": 0.5,
    "scheduled_sampling": 0.5,
    "epochs": 6,
    "early_stopping": 2,
}


def scripted(scores: Sequence[float], seen: list[float]) -> Callable[[Captioner, str], float]:
    """Return a validation score that takes the next number of a list at each call, whichever process calls it."""

    def score(model: Captioner, precision: str) -> float:
        assert model.training
        seen.append(scores[len(seen)])
        return seen[-1]

    return score


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop", [3, 14, 20])  # within an epoch; after the best; at the last step of all
def test_a_resumed_training_ends_bit_for_bit_with_every_option_on(
    tmp_path: Path, precision: str, stop: int
) -> None:
    scores, seen = [0.1, 0.4, 0.3, 0.2, 0.9], []
    data = tiny_data(val_cider=scripted(scores, seen))
    whole = train(tiny_data(val_cider=scripted(scores, [])), precision=precision, **ALL_OPTIONS)
    assert whole.step == 20 and whole.kept_step == 10  # five steps an epoch, stopped after the fourth
    with pytest.raises(KeyboardInterrupt):
        train(data, precision=precision, checkpoint=StopAfter(tmp_path, stop), **ALL_OPTIONS)
    resumed = train(data, precision=precision, checkpoint=reopen(tmp_path), **ALL_OPTIONS)
    assert seen == scores[:4] and resumed.history == whole.history and resumed.kept_step == 10
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name


def test_early_stopping_keeps_the_best_epochs_weights() -> None:
    seen: list[float] = []
    watched = tiny_data(val_cider=scripted([0.2, 0.5, 0.5, 0.1, 0.3, 9], seen))
    stopped = train(watched, epochs=9, early_stopping=3)
    assert len(seen) == 5 and stopped.step == 25 and stopped.kept_step == 10  # the first of two equals
    assert [row["val_cider"] for row in stopped.epochs()] == seen
    short = train(epochs=2)
    for name, weights in short.model.state_dict().items():
        assert torch.equal(weights, stopped.model.state_dict()[name]), name
    never = train(tiny_data(val_cider=scripted([0.2, 0.5], [])), epochs=2, early_stopping=3)
    assert never.kept_step == never.step == 10
    assert "val_cider" not in train(tiny_data(val_cider=scripted([], [])), epochs=1).history[-1]
    with pytest.raises(ValueError, match=r"second share of captions\.split"):
        train(early_stopping=3)


def test_every_option_changes_the_training_and_reports_plain_cross_entropy() -> None:
    sizes = {"embedding_dim", "units", "encoder_dim", "batch_size", "optimiser", "learning_rate"}
    named = {each.name for each in fields(CaptionerRecipe)}
    assert named - sizes == set(ALL_OPTIONS), "give every option that may be off in ALL_OPTIONS"
    plain = train(epochs=1).model.state_dict()
    for name, value in ALL_OPTIONS.items():
        if name not in ("epochs", "early_stopping", "gate", "standardise"):
            trained = train(epochs=1, **{name: value}).model.state_dict()
            assert not all(torch.equal(weights, plain[key]) for key, weights in trained.items()), name
    for name in ("gate", "standardise"):
        assert set(train(epochs=1, **{name: True}).model.state_dict()) > set(plain)
    smoothed = train(epochs=1, learning_rate=1e-12, label_smoothing=0.5, doubly_stochastic=9.0)
    still = train(epochs=1, learning_rate=1e-12)
    assert [row["train_loss"] for row in smoothed.history] == pytest.approx(
        [row["train_loss"] for row in still.history]
    )


def test_the_cap_ends_within_an_epoch_and_the_order_of_epochs_differs() -> None:
    trained = train(max_updates=7)
    assert trained.step == 7 and trained.epochs()[-1]["epoch"] == pytest.approx(1.4)
    captions = tiny_captions()
    stream = batches(captions, batch_size=5, seed=0, first=0)
    epochs = [[image for _ in range(5) for image in next(stream)[0]] for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == captions.image_ids and epochs[0] != epochs[1]
    later = batches(captions, batch_size=5, seed=0, first=7)
    third = [next(batches(captions, batch_size=5, seed=0, first=7))[0], next(later)[0]]
    assert third[0] == third[1] == epochs[1][10:15]


def test_a_batch_mixes_captions_of_every_part_of_the_data_and_asks_for_its_own_images_alone() -> None:
    captions, asked = tiny_captions(640), []
    stream = batches(captions, batch_size=64, seed=0, first=0)
    for _ in range(10):  # of ten runs of 64 neighbours, which a shard would hold, each batch has most
        parts = {(image_id - 100) // 64 for image_id in next(stream)[0]}
        assert len(parts) >= 9

    def reader(image_ids: Sequence[int]) -> Tensor:
        asked.append(list(image_ids))
        return tiny_features(image_ids)

    data = tiny_data(train=captions, val=tiny_captions(0), features=reader)
    train(data, batch_size=64, epochs=1, log_every=10)
    assert [len(image_ids) for image_ids in asked] == [64] * 10  # one batch of features at a time
    assert sorted(image_id for image_ids in asked for image_id in image_ids) == captions.image_ids


def test_nothing_to_train_on_is_named() -> None:
    with pytest.raises(ValueError, match="no training captions"):
        train(tiny_data(train=CaptionSet([], pad([]))))


def test_a_training_that_runs_away_is_named() -> None:
    with pytest.raises(ValueError, match=r"the loss is not finite at step 2 \(.*\): lower learning_rate"):
        train(optimiser="sgd", learning_rate=1e30)


def test_an_unknown_optimiser_or_schedule_is_named() -> None:
    with pytest.raises(ValueError, match="optimiser 'adamw' is unknown"):
        train(optimiser="adamw")
    with pytest.raises(ValueError, match="schedule 'exponential' is unknown"):
        train(schedule="exponential")
    with pytest.raises(ValueError, match="schedule 'cosine' has no option 'at'"):
        train(schedule="cosine", schedule_options={"at": [0.5]})


@pytest.mark.parametrize(("optimiser", "learning_rate"), [("rmsprop", 1e-2), ("sgd", 0.5)])
def test_other_optimisers_learn_too(optimiser: str, learning_rate: float) -> None:
    epochs = train(epochs=10, optimiser=optimiser, learning_rate=learning_rate).epochs()
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"] - 0.2


def test_a_clipped_step_of_gradient_descent_is_as_long_as_the_bound() -> None:
    before, after = (
        train(optimiser="sgd", learning_rate=rate, clip_norm=0.01, max_updates=1).model.state_dict()
        for rate in (1e-30, 0.5)
    )
    steps = torch.cat([(after[name] - weights).flatten() for name, weights in before.items()])
    assert float(steps.norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_a_warm_up_is_of_the_whole_recipe() -> None:
    """A recipe of fifteen steps has room for a warm-up of ten, even if a scale trains only three steps."""
    assert train(max_updates=3, schedule_options={"warm_up": 10}).step == 3
    with pytest.raises(ValueError, match=r"schedule_options\.warm_up 15 must be .* below 15"):
        train(schedule_options={"warm_up": 15})


def test_a_step_has_random_numbers_of_its_own_and_the_rate_of_its_part_of_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The schedule shrinks with a training of four of its fifteen steps."""
    rates, seeds = [], []

    def note(rate: float, *optimisers: torch.optim.Optimizer) -> None:
        rates.append(rate)
        seeds.append(torch.initial_seed())
        set_learning_rate(rate, *optimisers)

    monkeypatch.setattr("ganscribe.captioning.training.set_learning_rate", note)
    train(max_updates=4, schedule="linear", learning_rate=0.1)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025]) and len(set(seeds)) == 4


def test_own_words_come_more_often_from_step_to_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0 in a straight line, which ends at the recipe's probability and is of this training's length."""
    found: list[float] = []

    def note(*arguments: Any, own_words: float, **options: Any) -> BatchLoss:
        found.append(own_words)
        return token_loss(*arguments, own_words=own_words, **options)

    monkeypatch.setattr("ganscribe.captioning.updates.token_loss", note)
    train(max_updates=4, scheduled_sampling=0.8)
    assert found == pytest.approx([0.0, 0.2, 0.4, 0.6])


def test_the_same_seed_gives_the_same_model_and_another_does_not() -> None:
    one, same, other = train(epochs=1), train(epochs=1), train(epochs=1, seed=1)
    assert one.history == same.history != other.history
    first, second = (
        train(seed=seed, learning_rate=1e-12, max_updates=1).model.output.weight for seed in (0, 1)
    )
    assert (first - second).abs().max() > 0.1, "a seed has weights of its own to begin with"
    assert isinstance(one.model, Captioner)


def test_schedule_clipping_and_smoothing_are_those_of_a_plain_loop() -> None:
    """torch's own parts in a loop of eight lines, on batches in the order of the training."""
    rows = [[2, *[4 + image % 5] * (1 + image % 4), 3] for image in range(13)]
    captions = CaptionSet(list(range(13)), pad(rows))
    sizes = {name: SIZES[name] for name in ("embedding_dim", "units", "encoder_dim")}
    data = tiny_data(
        train=captions, val=tiny_captions(0), features=features_of, vocabulary_size=11, feature_dim=10
    )
    options = {
        "learning_rate": 0.02, "schedule": "cosine", "schedule_options": {"warm_up": 3}, "clip_norm": 0.1,
        "label_smoothing": 0.2,
    }  # fmt: skip
    trained = train(data, **sizes, **options, epochs=2, seed=3, log_every=50)
    start = train(data, **sizes, learning_rate=1e-30, epochs=1, seed=3, log_every=50)
    model, untrained = start.model, copy.deepcopy(start.model)
    stream = batches(captions, batch_size=5, seed=3, first=0)
    optimiser = torch.optim.Adam(model.parameters())
    norms = []
    for step in range(6):
        image_ids, tokens = next(stream)
        scores, words, _ = model(features_of(image_ids), tokens)
        optimiser.zero_grad()
        F.cross_entropy(scores, words, label_smoothing=0.2).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)))
        optimiser.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / 6))
        optimiser.step()
    assert min(norms) > 0.1
    # Not the weights: Adam makes whole steps of gradients that are nothing but rounding.
    image_ids, tokens = captions.batch(torch.arange(13))
    before, found, expected = (
        one(features_of(image_ids), tokens)[0] for one in (untrained, trained.model, model)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (before - expected).abs().mean() > 0.1

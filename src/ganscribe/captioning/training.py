"""Training the captioner: teacher forcing on batches of captions, whatever image they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData, CaptionSet
from ganscribe.captioning.loss import mean_loss
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.standardisation import set_statistics
from ganscribe.captioning.state import TrainedCaptioner, start_training
from ganscribe.captioning.updates import choose_updates
from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.training import workers
from ganscribe.training.budget import Budget
from ganscribe.training.optimisers import set_learning_rate
from ganscribe.training.schedules import build_schedule, linear
from ganscribe.training.state import Log, Row, replay


def train_captioner(
    data: CaptionerData,
    recipe: CaptionerRecipe,
    *,
    budget: Budget,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    log: Log | None = None,
) -> TrainedCaptioner:
    """Train a captioner by teacher forcing on the mean cross-entropy of words (Xu et al. 2015, section 4).

    `log(step, row)` is called for every row of the history. A training that goes on from a checkpoint calls
    it for the restored rows first, and ends bit for bit where an unbroken one does. The losses in rows are
    plain cross-entropy, whatever the recipe adds to it; see `TrainedCaptioner` for the columns. Raises
    ValueError where there are no captions, or where early stopping has nothing to go by.
    """
    _check(data, recipe)
    per_epoch = math.ceil(len(data.train) / recipe.batch_size)
    whole = recipe.epochs * per_epoch
    steps = min(whole, budget.max_updates or whole)
    factor = build_schedule(recipe.schedule, whole, recipe.schedule_options)
    trained = start_training(data, recipe, budget=budget, device=device)
    state = checkpoint.load() if checkpoint else None
    if state:
        trained.load_state_dict(state)
    elif recipe.standardise:
        set_statistics(trained.model, data)
    replay(trained.history, log)

    update = choose_updates(trained, data, recipe, device)
    stream = batches(data.train, batch_size=recipe.batch_size, seed=budget.seed, first=trained.step)
    with progress(steps, "captioner", "step", initial=trained.step) as bar:
        while not trained.is_over(steps, recipe.early_stopping):
            image_ids, tokens = next(stream)
            done = trained.step / steps
            _seed_step(budget.seed, trained.step + 1)
            set_learning_rate(recipe.learning_rate * factor(done), trained.optimiser)
            update(image_ids, tokens, 1 - linear(done))
            trained.step += 1
            ends_epoch = trained.step % per_epoch == 0 or trained.step == steps
            if trained.step % budget.log_every == 0 or ends_epoch:
                row = trained.record(epoch=trained.step / per_epoch, ends_epoch=ends_epoch)
                if ends_epoch:
                    row |= _validate(trained, data, recipe, device)
                trained.add_row(row)
                if log:
                    log(trained.step, row)
            bar.update()
            last = trained.is_over(steps, recipe.early_stopping)
            if checkpoint and checkpoint.due(last=last):
                checkpoint.save(trained.state_dict())
    if trained.kept is not None:
        trained.model.load_state_dict(trained.kept)
    return trained


def _check(data: CaptionerData, recipe: CaptionerRecipe) -> None:
    """Raise ValueError for data that `recipe` cannot be trained on."""
    if len(data.train) == 0:
        raise ValueError("there are no training captions: raise the first share of captions.split")
    if recipe.early_stopping is not None and data.val_cider is None:
        raise ValueError(
            "early_stopping goes by the captions of validation images, and there are none: raise the second"
            " share of captions.split, or remove early_stopping"
        )


def batches(
    captions: CaptionSet, *, batch_size: int, seed: int, first: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield batches (image ids, tokens) without end, from number `first` on.

    The last batch of an epoch may be smaller. Each epoch has a permutation of its own, drawn from the epoch's
    number, so that a resumed training needs no state for it.
    """
    per_epoch = math.ceil(len(captions) / batch_size)
    epoch, start = divmod(first, per_epoch)
    while True:
        order = torch.randperm(len(captions), generator=random_stream(seed, "captioner", "order", epoch))
        for rows in order.split(batch_size)[start:]:
            yield captions.batch(rows)
        epoch, start = epoch + 1, 0


def _seed_step(seed: int, step: int) -> None:
    """Seed dropout and the coins of scheduled sampling by the step's number, which needs no state either."""
    torch.manual_seed(stream_seed(seed, "captioner", "step", step))
    workers.seed_own(seed, "captioner", "step", step)


def _validate(
    trained: TrainedCaptioner, data: CaptionerData, recipe: CaptionerRecipe, device: torch.device
) -> Row:
    """Return `val_loss` where there are validation captions, and `val_cider` where training may stop early."""

    def loss() -> float:
        return mean_loss(
            trained.model,
            data.val,
            data.features,
            batch_size=recipe.batch_size,
            precision=trained.precision,
            device=device,
        )

    row: Row = {}
    if len(data.val):
        row["val_loss"] = workers.from_first(loss)
    score = data.val_cider
    if recipe.early_stopping is not None and score is not None:
        row["val_cider"] = workers.from_first(lambda: score(trained.model, trained.precision))
    return row

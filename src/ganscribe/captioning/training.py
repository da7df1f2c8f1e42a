"""Training the captioner: teacher forcing on batches of captions, whatever image they belong to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.loss import mean_loss, staged, token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.state import TrainedCaptioner, start_training
from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.training import workers
from ganscribe.training.schedules import find_schedule


def batches(
    captions: CaptionSet, *, batch_size: int, seed: int, first: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Endless batches (image ids, tokens) from number `first` on; the last of an epoch may be smaller.

    A fresh permutation an epoch, drawn from the epoch's number, so that a resumed run needs no state for it.
    """
    per_epoch = math.ceil(len(captions) / batch_size)
    epoch, start = divmod(first, per_epoch)
    while True:
        order = torch.randperm(len(captions), generator=random_stream(seed, "captioner", "order", epoch))
        for rows in order.split(batch_size)[start:]:
            yield captions.batch(rows)
        epoch, start = epoch + 1, 0


def _update(
    trained: TrainedCaptioner,
    objective: Tensor,
    *,
    words: int,
    learning_rate: float,
    clip_norm: float | None,
) -> None:
    """One step of the optimiser on the objective a word."""
    for group in trained.optimiser.param_groups:
        group["lr"] = learning_rate
    trained.optimiser.zero_grad()
    (objective / words).backward()
    workers.sum_gradients(trained.model.parameters())
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(trained.model.parameters(), clip_norm)
    trained.optimiser.step()


def _check(train: CaptionSet, optimiser: str, early_stopping: int | None, val_cider: object) -> None:
    if len(train) == 0:
        raise ValueError("there are no training captions: raise the first share of captions.split")
    if optimiser != "adam":
        raise ValueError(f"optimiser {optimiser!r} is unknown: use adam")
    if early_stopping is not None and val_cider is None:
        raise ValueError(
            "early_stopping goes by the captions of validation images, and there are none: raise the second"
            " share of captions.split, or remove early_stopping"
        )


def train_captioner(
    train: CaptionSet,
    val: CaptionSet,
    features: FeatureReader,
    *,
    vocabulary_size: int,
    embedding_dim: int,
    units: int,
    feature_dim: int,
    encoder_dim: int,
    longest: int,
    optimiser: str,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    log_every: int,
    seed: int,
    precision: str,
    device: torch.device,
    gate: bool = False,
    dropout: float = 0.0,
    schedule: str = "constant",
    clip_norm: float | None = None,
    label_smoothing: float = 0.0,
    doubly_stochastic: float = 0.0,
    scheduled_sampling: float = 0.0,
    early_stopping: int | None = None,
    val_cider: Callable[[Captioner, str], float] | None = None,
    max_updates: int | None = None,
    checkpoint: Checkpoint | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedCaptioner:
    """Train a captioner by teacher forcing on the cross-entropy a word (Show, Attend and Tell, section 4).

    `tutorial_loss` is that of TensorFlow's tutorial: the sum over time steps of the mean over the batch, pads
    in the denominator, over `longest`, the tokens of the longest caption of the whole data set. `max_updates`
    caps the updates. `log(step, row)` is called for every row of the history, the restored ones of a resumed
    training first; that training ends bit for bit where an unbroken one does. ValueError: no captions.

    All losses in rows are plain cross-entropy. The options: `gate`, `dropout` (see `Captioner`); `schedule`
    of the learning rate; `clip_norm`, the gradient's largest norm; `label_smoothing` and `doubly_stochastic`,
    lambda of 1502.03044, equation 14 (see `token_loss`); `scheduled_sampling`, the probability of own words
    at the end, which it reaches from 0 in a straight line (1506.03099, section 2.4); `early_stopping`, the
    epochs to go on without a better `val_cider(model, precision)`: the best epoch's weights are the result.
    """
    _check(train, optimiser, early_stopping, val_cider)
    factor, ramp = find_schedule(schedule), find_schedule("linear")
    options = {
        "vocabulary_size": vocabulary_size,
        "embedding_dim": embedding_dim,
        "units": units,
        "feature_dim": feature_dim,
        "encoder_dim": encoder_dim,
        "gate": gate,
        "dropout": dropout,
    }
    trained = start_training(
        options, learning_rate=learning_rate, seed=seed, precision=precision, device=device
    )
    state = checkpoint.load() if checkpoint else None
    if state:
        trained.load_state_dict(state)
    if log:
        for row in trained.history:
            log(int(row["step"]), row)

    per_epoch = math.ceil(len(train) / batch_size)
    steps = min(epochs * per_epoch, max_updates or epochs * per_epoch)
    read = staged(features, precision=trained.precision, device=device)
    data = batches(train, batch_size=batch_size, seed=seed, first=trained.step)
    validate = partial(
        mean_loss,
        trained.model,
        val,
        features,
        batch_size=batch_size,
        precision=trained.precision,
        device=device,
    )
    with progress(steps, "captioner", "step", initial=trained.step) as bar:
        for step in range(trained.step + 1, steps + 1):
            if early_stopping is not None and trained.is_over(early_stopping):
                break
            image_ids, tokens = next(data)
            done = (step - 1) / steps
            torch.manual_seed(stream_seed(seed, "captioner", "step", step))  # of dropout and coins
            workers.seed_own(seed, "captioner", "step", step)
            loss = token_loss(
                trained.model,
                read(workers.share(image_ids)),
                workers.share(tokens),
                precision=trained.precision,
                label_smoothing=label_smoothing,
                doubly_stochastic=doubly_stochastic,
                own_words=scheduled_sampling * (1 - ramp(done)),
            )
            words = int((tokens[:, 1:] != 0).sum())
            _update(
                trained,
                loss.objective,
                words=words,
                learning_rate=learning_rate * factor(done),
                clip_norm=clip_norm,
            )

            trained.step = step
            cross_entropy = workers.total(loss.cross_entropy)
            trained.sums[:, 0] += cross_entropy
            trained.sums[:, 1] += words
            trained.sums[:, 2] += cross_entropy / (len(tokens) * longest)
            trained.sums[:, 3] += 1
            ends_epoch = step % per_epoch == 0 or step == steps
            if step % log_every == 0 or ends_epoch:
                row = trained.record(epoch=step / per_epoch, ends_epoch=ends_epoch)
                trained.history.append(row)
                if ends_epoch and len(val):
                    row["val_loss"] = workers.from_first(validate)
                if ends_epoch and early_stopping is not None and val_cider is not None:
                    row["val_cider"] = workers.from_first(lambda: val_cider(trained.model, trained.precision))
                    trained.keep_best()
                if log:
                    log(step, row)
            bar.update()
            last = step == steps or (early_stopping is not None and trained.is_over(early_stopping))
            if checkpoint and checkpoint.due(last=last):
                checkpoint.save(trained.state_dict())
    if trained.kept is not None:
        trained.model.load_state_dict(trained.kept)
    return trained

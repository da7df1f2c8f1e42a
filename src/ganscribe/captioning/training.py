"""Training the captioner: teacher forcing on batches of captions, whatever image they belong to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.loss import mean_loss, staged, token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.checkpoint import Checkpoint
from ganscribe.runtime import progress, random_stream, resolve_precision, seed_everything


@dataclass
class TrainedCaptioner:
    """A captioner in training, with everything that a resumed training needs.

    A row of `history` has step, epoch, and since the row before: train_loss (a word) and tutorial_loss. Rows
    at an epoch's end also have epoch_train_loss, epoch_tutorial_loss and, where there is a validation set,
    val_loss. `sums` (2, 4) run over the batches since the last row and since the epoch's start: loss, words,
    tutorial loss, batches.
    """

    options: dict[str, int]  # the arguments of `Captioner`
    model: Captioner
    optimiser: torch.optim.Adam
    precision: str
    sums: Tensor
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """For `Checkpoint.save`."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sums": self.sums,
            "step": self.step,
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.sums.copy_(state["sums"])
        self.step, self.history = state["step"], state["history"]

    def epochs(self) -> list[dict[str, float]]:
        """One row an epoch, for a table: step, epoch, train_loss, tutorial_loss, val_loss."""
        return [
            {
                "step": row["step"],
                "epoch": row["epoch"],
                "train_loss": row["epoch_train_loss"],
                "tutorial_loss": row["epoch_tutorial_loss"],
            }
            | ({"val_loss": row["val_loss"]} if "val_loss" in row else {})
            for row in self.history
            if "epoch_train_loss" in row
        ]


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


def _start(
    options: dict[str, int], *, learning_rate: float, seed: int, precision: str, device: torch.device
) -> TrainedCaptioner:
    seed_everything(seed)
    model = Captioner(**options).to(device)
    # An epsilon of 1e-8 on a loss a word is Keras's 1e-7 on the tutorial's loss, about 11 times that.
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    sums = torch.zeros(2, 4, dtype=torch.float64, device=device)
    return TrainedCaptioner(options, model, optimiser, resolve_precision(precision, device), sums)


def _record(trained: TrainedCaptioner, *, epoch: float, ends_epoch: bool) -> dict[str, float]:
    """The row of this step: the one place where the host waits for the device."""
    (loss, words, tutorial, count), since_start = trained.sums.tolist()
    trained.sums[0].zero_()
    if not math.isfinite(loss):
        raise ValueError(f"the loss is not finite at step {trained.step} ({loss}): lower learning_rate")
    row = {
        "step": trained.step,
        "epoch": epoch,
        "train_loss": loss / words,
        "tutorial_loss": tutorial / count,
    }
    if ends_epoch:
        loss, words, tutorial, count = since_start
        trained.sums[1].zero_()
        row |= {"epoch_train_loss": loss / words, "epoch_tutorial_loss": tutorial / count}
    return row


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
    max_updates: int | None = None,
    checkpoint: Checkpoint | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedCaptioner:
    """Train a captioner by teacher forcing on the cross-entropy a word (Show, Attend and Tell, section 4).

    `tutorial_loss` is that of TensorFlow's tutorial: the sum over time steps of the mean over the batch, pads
    in the denominator, over `longest`, the tokens of the longest caption of the whole data set. `max_updates`
    caps the updates. `log(step, row)` is called for every row of the history, the restored ones of a resumed
    training first; that training ends bit for bit where an unbroken one does. ValueError: no captions.
    """
    if len(train) == 0:
        raise ValueError("there are no training captions: raise the first share of captions.split")
    if optimiser != "adam":
        raise ValueError(f"optimiser {optimiser!r} is unknown: use adam")
    options = {
        "vocabulary_size": vocabulary_size,
        "embedding_dim": embedding_dim,
        "units": units,
        "feature_dim": feature_dim,
        "encoder_dim": encoder_dim,
    }
    trained = _start(options, learning_rate=learning_rate, seed=seed, precision=precision, device=device)
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
    with progress(steps, "captioner", "step", initial=trained.step) as bar:
        for step in range(trained.step + 1, steps + 1):
            image_ids, tokens = next(data)
            loss, words = token_loss(trained.model, read(image_ids), tokens, precision=trained.precision)
            trained.optimiser.zero_grad()
            (loss / words).backward()
            trained.optimiser.step()

            detached = loss.detach()
            trained.step = step
            trained.sums[:, 0] += detached
            trained.sums[:, 1] += words
            trained.sums[:, 2] += detached / (len(tokens) * longest)
            trained.sums[:, 3] += 1
            ends_epoch = step % per_epoch == 0 or step == steps
            if step % log_every == 0 or ends_epoch:
                row = _record(trained, epoch=step / per_epoch, ends_epoch=ends_epoch)
                if ends_epoch and len(val):
                    row["val_loss"] = mean_loss(
                        trained.model,
                        val,
                        features,
                        batch_size=batch_size,
                        precision=trained.precision,
                        device=device,
                    )
                trained.history.append(row)
                if log:
                    log(step, row)
            bar.update()
            if checkpoint and checkpoint.due():
                checkpoint.save(trained.state_dict())
    return trained

"""What a captioner's training holds, and what of it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.core.devices import resolve_precision
from ganscribe.core.seeds import seed_everything
from ganscribe.training.budget import Budget
from ganscribe.training.optimisers import build_optimiser, restore_optimiser
from ganscribe.training.state import Row


@dataclass
class TrainedCaptioner:
    """A captioner in training, with everything that a resumed training needs.

    A row of `history` has `step`, `epoch` and, since the row before, `train_loss`, which is the mean over
    words, and `tutorial_loss`, that of TensorFlow's tutorial: the sum over time steps of the mean over the
    batch, pads counted, divided by the longest caption of the data set. A row at an epoch's end also has
    `epoch_train_loss` and `epoch_tutorial_loss`, `val_loss` where there is a validation set, and `val_cider`
    where training may stop early.

    `options` are the arguments of `Captioner`. `kept` holds the weights of the epoch with the best val_cider
    so far. `sums` (2, 4) run over the batches since the last row and since the epoch's start: loss, words,
    tutorial loss, batches.
    """

    options: dict[str, Any]
    model: Captioner
    optimiser: torch.optim.Optimizer
    precision: str
    sums: Tensor
    step: int = 0
    history: list[Row] = field(default_factory=list)
    kept: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state for `Checkpoint.save`."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sums": self.sums,
            "step": self.step,
            "history": self.history,
            "kept": self.kept,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        restore_optimiser(self.optimiser, state["optimiser"])
        self.sums.copy_(state["sums"])
        self.step, self.history, self.kept = state["step"], state["history"], state["kept"]

    def epochs(self) -> list[Row]:
        """Return one row per epoch, for a table: step, epoch, train_loss, tutorial_loss, val_loss, val_cider."""
        return [
            {
                "step": row["step"],
                "epoch": row["epoch"],
                "train_loss": row["epoch_train_loss"],
                "tutorial_loss": row["epoch_tutorial_loss"],
            }
            | {name: row[name] for name in ("val_loss", "val_cider") if name in row}
            for row in self.history
            if "epoch_train_loss" in row
        ]

    def add(self, cross_entropy: Tensor, *, words: int | Tensor, positions: int) -> None:
        """Add up the losses of a batch with so many words, and so many positions, pads included."""
        self.sums[:, 0] += cross_entropy
        self.sums[:, 1] += words
        self.sums[:, 2] += cross_entropy / positions
        self.sums[:, 3] += 1

    def record(self, *, epoch: float, ends_epoch: bool) -> Row:
        """Return the row of this step: the one place where the host waits for the device."""
        (loss, words, tutorial, count), since_start = self.sums.tolist()
        self.sums[0].zero_()
        if not math.isfinite(loss):
            raise ValueError(f"the loss is not finite at step {self.step} ({loss}): lower learning_rate")
        row = {
            "step": self.step,
            "epoch": epoch,
            "train_loss": loss / words,
            "tutorial_loss": tutorial / count,
        }
        if ends_epoch:
            loss, words, tutorial, count = since_start
            self.sums[1].zero_()
            row |= {"epoch_train_loss": loss / words, "epoch_tutorial_loss": tutorial / count}
        return row

    def add_row(self, row: Row) -> None:
        """Take `row` into the history, and keep a copy of the weights if its val_cider is the best so far."""
        self.history.append(row)
        if "val_cider" in row and self.kept_step == self.step:
            self.kept = {name: weights.clone() for name, weights in self.model.state_dict().items()}

    @property
    def kept_step(self) -> int:
        """The step of the weights that are kept: that of the first best val_cider, or the last."""
        scored = [row for row in self.history if "val_cider" in row]
        return int(max(scored, key=lambda row: row["val_cider"])["step"]) if scored else self.step

    def is_over(self, steps: int, patience: int | None) -> bool:
        """Return whether all `steps` are done, or the last `patience` epochs brought no better val_cider."""
        if self.step >= steps or patience is None:
            return self.step >= steps
        scored = [int(row["step"]) for row in self.history if "val_cider" in row]
        return bool(scored) and len(scored) - 1 - scored.index(self.kept_step) >= patience


def start_training(
    data: CaptionerData, recipe: CaptionerRecipe, *, budget: Budget, device: torch.device
) -> TrainedCaptioner:
    """Return a fresh captioner and its optimiser, seeded (torch's global generator included)."""
    seed_everything(budget.seed)
    options: dict[str, Any] = {
        "vocabulary_size": data.vocabulary_size,
        "embedding_dim": recipe.embedding_dim,
        "units": recipe.units,
        "feature_dim": data.feature_dim,
        "encoder_dim": recipe.encoder_dim,
        "gate": recipe.gate,
        "dropout": recipe.dropout,
    }
    if recipe.standardise:
        positions = data.features(data.train.image_ids[:1]).shape[1]
        options |= {"standardise": True, "positions": positions}
    model = Captioner(**options).to(device)
    # Adam's epsilon of 1e-8 on the mean loss of words is Keras's 1e-7 on the tutorial's loss, which is about
    # 11 times as large.
    optimiser = build_optimiser(
        recipe.optimiser, model.parameters(), learning_rate=recipe.learning_rate, device=device
    )
    sums = torch.zeros(2, 4, dtype=torch.float64, device=device)
    return TrainedCaptioner(options, model, optimiser, resolve_precision(budget.precision, device), sums)

"""What a captioner's training holds, and what of it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganscribe.captioning.model import Captioner
from ganscribe.core.devices import resolve_precision
from ganscribe.core.seeds import seed_everything

Options = dict[str, Any]  # the arguments of `Captioner`: numbers and booleans


@dataclass
class TrainedCaptioner:
    """A captioner in training, with everything that a resumed training needs.

    A row of `history` has step, epoch, and since the row before: train_loss (a word) and tutorial_loss. Rows
    at an epoch's end also have epoch_train_loss, epoch_tutorial_loss, val_loss where there is a validation
    set, and val_cider where training may stop early. `kept`: the weights of the epoch with the best
    val_cider so far. `sums` (2, 4) run over the batches since the last row and since the epoch's start: loss,
    words, tutorial loss, batches.
    """

    options: Options
    model: Captioner
    optimiser: torch.optim.Adam
    precision: str
    sums: Tensor
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    kept: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """For `Checkpoint.save`."""
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
        self.optimiser.load_state_dict(state["optimiser"])
        self.sums.copy_(state["sums"])
        self.step, self.history, self.kept = state["step"], state["history"], state["kept"]

    def epochs(self) -> list[dict[str, float]]:
        """One row an epoch, for a table: step, epoch, train_loss, tutorial_loss, val_loss, val_cider."""
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

    def record(self, *, epoch: float, ends_epoch: bool) -> dict[str, float]:
        """The row of this step: the one place where the host waits for the device."""
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

    @property
    def kept_step(self) -> int:
        """The step of the weights that are kept: that of the first best val_cider, or the last."""
        scored = [row for row in self.history if "val_cider" in row]
        return int(max(scored, key=lambda row: row["val_cider"])["step"]) if scored else self.step

    def keep_best(self) -> None:
        """Keep a copy of the weights if the last row has the best val_cider so far."""
        if self.kept_step == self.step:
            self.kept = {name: weights.clone() for name, weights in self.model.state_dict().items()}

    def is_over(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better val_cider."""
        scored = [int(row["step"]) for row in self.history if "val_cider" in row]
        return bool(scored) and len(scored) - 1 - scored.index(self.kept_step) >= patience


def start_training(
    options: Options, *, learning_rate: float, seed: int, precision: str, device: torch.device
) -> TrainedCaptioner:
    """A fresh captioner and its optimiser, seeded (torch's global generator included)."""
    seed_everything(seed)
    model = Captioner(**options).to(device)
    # An epsilon of 1e-8 on a loss a word is Keras's 1e-7 on the tutorial's loss, about 11 times that.
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    sums = torch.zeros(2, 4, dtype=torch.float64, device=device)
    return TrainedCaptioner(options, model, optimiser, resolve_precision(precision, device), sums)

"""Classifier training: one loop for every convnet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ganscribe import convnets
from ganscribe.convnets.augmentation import draw_epoch, flip_images, shift_images
from ganscribe.convnets.evaluation import predict_scores
from ganscribe.core.devices import autocast, resolve_precision
from ganscribe.core.seeds import seed_everything
from ganscribe.datasets.pixels import scale_images
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.training import workers
from ganscribe.training.schedules import find_schedule


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained network (on the training device, evaluation mode), its loss table, and how it was trained."""

    model: nn.Module
    history: list[dict[str, float]] = field(repr=False)
    precision: str
    updates: int


def _build_optimiser(
    model: nn.Module,
    *,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float],
    momentum: float,
    weight_decay: float,
    decay: str,
) -> torch.optim.Optimizer:
    parameters: list[Any] = list(model.parameters())
    if decay == "weights":  # of norms and biases, all of one dimension, none
        vectors = [parameter for parameter in parameters if parameter.ndim == 1]
        others = [parameter for parameter in parameters if parameter.ndim > 1]
        parameters = [{"params": others}, {"params": vectors, "weight_decay": 0.0}]
    elif decay != "all":
        raise ValueError(f"decay {decay!r} is unknown: use all or weights")
    if optimiser == "adam":
        return torch.optim.Adam(parameters, learning_rate, betas=betas, weight_decay=weight_decay, fused=True)
    if optimiser == "sgd":
        return torch.optim.SGD(
            parameters,
            learning_rate,
            momentum=momentum,
            nesterov=momentum > 0,
            weight_decay=weight_decay,
            fused=True,
        )
    raise ValueError(f"optimiser {optimiser!r} is unknown: use adam or sgd")


def _check_data(images: torch.Tensor, labels: torch.Tensor, num_classes: int, split: str) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != len(labels) or not len(images):
        raise ValueError(
            f"{split} images must be uint8 (N, C, H, W), N > 0, one label each: "
            f"got {images.dtype} {tuple(images.shape)} with {len(labels)} labels"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"{split} labels must lie in [0, {num_classes}): found up to {int(labels.max())}")


@dataclass
class _Progress:
    """All that changes while a classifier is trained: what a checkpoint holds."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    device: torch.device
    loss_sum: torch.Tensor  # of the current epoch
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        rng = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "step": self.step,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss_sum": self.loss_sum,
            "rng": rng,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.history = state["step"], state["history"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.loss_sum = state["loss_sum"].to(self.device)
        torch.set_rng_state(state["rng"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng"]["cuda"], self.device)


def train_classifier(
    train_images: torch.Tensor,
    train_labels: torch.Tensor,
    val_images: torch.Tensor,
    val_labels: torch.Tensor,
    *,
    network: str,
    options: dict[str, Any],
    num_classes: int,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float],
    momentum: float,
    weight_decay: float,
    schedule: str,
    batch_size: int,
    epochs: float,
    shift: int,
    seed: int,
    precision: str,
    device: torch.device,
    flip: bool = False,
    decay: str = "all",
    max_updates: int | None = None,
    checkpoint: Checkpoint | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedClassifier:
    """Train the convnet `network` on uint8 images (N, C, H, W); one row of losses an epoch.

    Cross-entropy on fresh permutations (a last partial batch is dropped), images shifted at random by up to
    `shift` pixels and, with `flip`, mirrored by chance. Weight decay is on `decay`: all parameters, or the
    weights without norms and biases. `max_updates` shortens the training, the schedule with it, and so do
    `epochs` that are no whole number. Rows given to `log` say the seconds an epoch too. Raises ValueError for
    unknown names, data that do not fit, and a loss that is no longer finite.
    """
    _check_data(train_images, train_labels, num_classes, "training")
    _check_data(val_images, val_labels, num_classes, "validation")
    factor = find_schedule(schedule)
    seed_everything(seed)
    precision = resolve_precision(precision, device)
    shape = tuple(train_images.shape[1:])
    model = convnets.build(network, num_classes=num_classes, image_shape=shape, **options).to(device).train()
    workers.share_norms(model)
    head_weights = torch.tensor(convnets.CONVNETS[network].head_weights, device=device)
    stepper = _build_optimiser(
        model,
        optimiser=optimiser,
        learning_rate=learning_rate,
        betas=betas,
        momentum=momentum,
        weight_decay=weight_decay,
        decay=decay,
    )
    images, labels = train_images.to(device), train_labels.to(device, torch.int64)
    val_images, val_labels = val_images.to(device), val_labels.to(device, torch.int64)

    now = _Progress(model, stepper, device, loss_sum=torch.zeros((), device=device))
    if checkpoint and (state := checkpoint.load()):
        now.restore(state)
    workers.seed_own(seed, "classifier", now.step)
    if log:
        for row in now.history:
            log(int(row["step"]), row)

    batch_size = min(batch_size, len(images))
    workers.check_batch(batch_size)
    epoch_steps = len(images) // batch_size
    total = max(1, round(epochs * epoch_steps))
    total = min(total, max_updates or total)
    bar = progress(total, f"train {network}", "update", initial=now.step)
    drawn_epoch, began_at, began = -1, now.step, time.monotonic()
    while now.step < total:
        epoch, position = divmod(now.step, epoch_steps)
        if epoch != drawn_epoch:
            draws = draw_epoch(len(images), shift=shift, seed=seed, epoch=epoch, device=device)
            drawn_epoch = epoch
        part = slice(position * batch_size, (position + 1) * batch_size)
        mine = workers.share(draws.order[part])
        batch, targets = images[mine], labels[mine]
        if shift:
            batch = shift_images(batch, workers.share(draws.offsets[part]), shift)
        if flip:
            batch = flip_images(batch, workers.share(draws.flips[part]))

        rate = learning_rate * factor(now.step / total)
        for group in stepper.param_groups:
            group["lr"] = rate
        with autocast(precision, device):
            heads = model(scale_images(batch))
        heads = heads if isinstance(heads, tuple) else (heads,)
        loss = torch.stack([F.cross_entropy(scores.float(), targets) for scores in heads]) @ head_weights
        stepper.zero_grad()
        loss.backward()
        workers.mean_gradients(list(model.parameters()))
        stepper.step()
        now.loss_sum += workers.mean(loss.detach())
        now.step += 1
        bar.update()

        if position + 1 == epoch_steps or now.step == total:
            row = {"step": now.step, "epoch": epoch + 1, "learning_rate": rate}
            seconds = (time.monotonic() - began) * epoch_steps / (now.step - began_at)
            train_loss = now.loss_sum / (position + 1)
            row |= workers.from_first(
                partial(_epoch_scores, model, train_loss, val_images, val_labels, precision)
            )
            now.loss_sum.zero_()
            now.history.append(row)
            bar.set_postfix(val_accuracy=f"{row['val_accuracy']:.4f}")
            if log:
                log(now.step, row | {"seconds_an_epoch": seconds})  # of the updates; never in the table
            began_at, began = now.step, time.monotonic()
        if checkpoint and checkpoint.due(last=now.step == total):
            checkpoint.save(now.state())
    bar.close()
    return TrainedClassifier(model=model.eval(), history=now.history, precision=precision, updates=total)


def _epoch_scores(
    model: nn.Module,
    train_loss: torch.Tensor,
    val_images: torch.Tensor,
    val_labels: torch.Tensor,
    precision: str,
) -> dict[str, float]:
    if not torch.isfinite(train_loss):
        raise ValueError("the training loss is no longer finite: lower the learning rate")
    scores = predict_scores(model, val_images, precision=precision)
    return {
        "train_loss": train_loss.item(),
        "val_loss": F.cross_entropy(scores, val_labels).item(),
        "val_accuracy": (scores.argmax(1) == val_labels).float().mean().item(),
    }

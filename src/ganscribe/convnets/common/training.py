"""Classifier training: one loop for every convnet."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganscribe.convnets.common.augmentation import draw_epoch, flip_images, shift_images
from ganscribe.convnets.common.building import build, check_scores, head_weights
from ganscribe.convnets.common.evaluation import predict_scores
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.devices import autocast, resolve_precision
from ganscribe.core.seeds import seed_everything
from ganscribe.datasets.images import Images
from ganscribe.datasets.pixels import scale_images
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.training import workers
from ganscribe.training.budget import Budget
from ganscribe.training.optimisers import build_optimiser, restore_optimiser, set_learning_rate
from ganscribe.training.schedules import build_schedule
from ganscribe.training.state import Log, Row, random_states, replay, restore_random_states
from ganscribe.training.steps import Step, tensors_of


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained network (on the training device, evaluation mode), its loss table, and how it was trained.

    `recipe_updates`: how many `updates` there would have been without the budget's cap.
    """

    model: nn.Module
    history: list[Row] = field(repr=False)
    precision: str
    updates: int
    recipe_updates: int


def train_classifier(
    train: Images,
    val: Images,
    recipe: ClassifierRecipe,
    *,
    budget: Budget,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    log: Log | None = None,
) -> TrainedClassifier:
    """Train the convnet of `recipe` on `train`, as `budget` allows; one row of losses for each epoch.

    Cross-entropy on fresh permutations (a last partial batch is dropped). `budget.max_updates` shortens the
    training, the schedule with it, and so do `epochs` that are not a whole number. Rows given to `log` also
    have the seconds of an epoch. Raises ValueError for unknown names and options, data that do not fit, and a
    loss that is no longer finite.
    """
    num_classes = len(train.class_names)
    _check_data(train, num_classes, "training")
    _check_data(val, num_classes, "validation")
    seed_everything(budget.seed)
    length = _measure(len(train.images), recipe, budget)
    factor = build_schedule(recipe.schedule, length.recipe, recipe.schedule_options)
    now = _start(train, recipe, resolve_precision(budget.precision, device), device)
    if checkpoint and (state := checkpoint.load()):
        now.restore(state)
    replay(now.history, log)

    batches = _Batches(train, recipe, length, budget.seed, device)
    val_images, val_labels = val.images.to(device), val.labels.to(device, torch.int64)
    step = Step(
        lambda *draws: now.update(*batches.take(*draws)),
        device=device,
        changed=lambda: tensors_of(now.model, now.optimiser, now.loss_sum),
    )
    began_at, began = now.step, time.monotonic()
    with progress(length.total, f"train {recipe.network}", "update", initial=now.step) as bar:
        while now.step < length.total:
            epoch, position = divmod(now.step, length.epoch)
            rate = recipe.learning_rate * factor(now.step / length.total)
            set_learning_rate(rate, now.optimiser)
            # At every step: a checkpoint has the first worker's random state alone.
            workers.seed_own(budget.seed, "classifier", now.step)
            step(*batches.at(epoch, position))
            now.step += 1
            bar.update()
            if position + 1 == length.epoch or now.step == length.total:
                row = {"step": now.step, "epoch": epoch + 1, "learning_rate": rate}
                seconds = (time.monotonic() - began) * length.epoch / (now.step - began_at)
                row |= workers.from_first(partial(now.scores, position + 1, val_images, val_labels))
                now.loss_sum.zero_()
                now.history.append(row)
                bar.set_postfix(val_accuracy=f"{row['val_accuracy']:.4f}")
                if log:  # the seconds of the updates are never in the table
                    log(now.step, row | {"seconds_an_epoch": seconds})
                began_at, began = now.step, time.monotonic()
            if checkpoint and checkpoint.due(last=now.step == length.total):
                checkpoint.save(now.state())
    return TrainedClassifier(now.model.eval(), now.history, now.precision, length.total, length.recipe)


def _check_data(data: Images, num_classes: int, split: str) -> None:
    images, labels = data.images, data.labels
    if images.dtype != torch.uint8 or images.ndim != 4 or len(images) != len(labels) or not len(images):
        raise ValueError(
            f"{split} images must be uint8 (N, C, H, W), N > 0, one label each: "
            f"got {images.dtype} {tuple(images.shape)} with {len(labels)} labels"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        found = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"{split} labels must lie in [0, {num_classes}): found {found}")


@dataclass(frozen=True)
class _Length:
    """The images of an update, the updates of an epoch, of the recipe, and of this training in total."""

    batch: int
    epoch: int
    recipe: int
    total: int


def _measure(num_images: int, recipe: ClassifierRecipe, budget: Budget) -> _Length:
    batch = min(recipe.batch_size, num_images)
    workers.check_batch(batch)
    epoch = num_images // batch
    whole = max(1, round(recipe.epochs * epoch))
    return _Length(batch, epoch, whole, min(whole, budget.max_updates or whole))


def _group_parameters(model: nn.Module, decay: str) -> list[Any]:
    """Return all parameters of `model`, or two groups: those that decay, and the norms and biases."""
    parameters = list(model.parameters())
    if decay == "all":
        return parameters
    if decay != "weights":
        raise ValueError(f"decay {decay!r} is unknown: choose one of all, weights")
    vectors = [parameter for parameter in parameters if parameter.ndim == 1]
    others = [parameter for parameter in parameters if parameter.ndim > 1]
    return [{"params": others}, {"params": vectors, "weight_decay": 0.0}]


@dataclass
class _Training:
    """All that changes while a classifier is trained, which a checkpoint holds, and an update of it."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    head_weights: Tensor
    precision: str
    loss_sum: Tensor  # of the current epoch
    step: int = 0
    history: list[Row] = field(default_factory=list)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """Update once, on this worker's uint8 images (N, C, H, W) of a batch."""
        with autocast(self.precision, images.device):
            heads = self.model(scale_images(images))
        heads = heads if isinstance(heads, tuple) else (heads,)
        losses = torch.stack([F.cross_entropy(scores.float(), labels) for scores in heads])
        loss = losses @ self.head_weights
        self.optimiser.zero_grad()
        loss.backward()
        workers.mean_gradients(list(self.model.parameters()))
        self.optimiser.step()
        self.loss_sum += workers.mean(loss.detach())

    def scores(self, updates: int, images: Tensor, labels: Tensor) -> Row:
        """Return the mean loss of the last `updates`, and the scores on the validation images."""
        train_loss = self.loss_sum / updates
        if not torch.isfinite(train_loss):
            raise ValueError("the training loss is no longer finite: lower the learning rate")
        scores = predict_scores(self.model, images, precision=self.precision)
        return {
            "train_loss": train_loss.item(),
            "val_loss": F.cross_entropy(scores, labels).item(),
            "val_accuracy": (scores.argmax(1) == labels).float().mean().item(),
        }

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "history": self.history,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "loss_sum": self.loss_sum,
            "random": random_states(self.loss_sum.device),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.history = state["step"], state["history"]
        self.model.load_state_dict(state["model"])
        restore_optimiser(self.optimiser, state["optimiser"])
        self.loss_sum.copy_(state["loss_sum"])
        restore_random_states(state["random"], self.loss_sum.device)


def _start(data: Images, recipe: ClassifierRecipe, precision: str, device: torch.device) -> _Training:
    """Return the training before its first update: the network's weights are drawn here."""
    shape = tuple(data.images.shape[1:])
    model = build(recipe.network, num_classes=len(data.class_names), image_shape=shape, **recipe.options)
    check_scores(recipe.network, model, num_classes=len(data.class_names), image_shape=shape)
    model = model.to(device)
    workers.share_norms(model)
    optimiser = build_optimiser(
        recipe.optimiser,
        _group_parameters(model, recipe.decay),
        learning_rate=recipe.learning_rate,
        device=device,
        betas=recipe.betas,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    weights = torch.tensor(head_weights(recipe.network), device=device)
    return _Training(model, optimiser, weights, precision, loss_sum=torch.zeros((), device=device))


class _Batches:
    """This worker's rows of each batch: shuffled, shifted, mirrored, from the seed and the epoch alone."""

    def __init__(
        self, data: Images, recipe: ClassifierRecipe, length: _Length, seed: int, device: torch.device
    ) -> None:
        self.images, self.labels = data.images.to(device), data.labels.to(device, torch.int64)
        self.recipe, self.size, self.seed = recipe, length.batch, seed
        self.epoch = -1  # of the draws

    def at(self, epoch: int, position: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows (N,), offsets (N, 2) and flips (N,) of the update at `position` of `epoch`."""
        shift, device = self.recipe.shift, self.images.device
        if epoch != self.epoch:
            self.draws = draw_epoch(len(self.images), shift=shift, seed=self.seed, epoch=epoch, device=device)
            self.epoch = epoch
        part = slice(position * self.size, (position + 1) * self.size)
        draws = (self.draws.order[part], self.draws.offsets[part], self.draws.flips[part])
        rows, offsets, flips = (workers.share(each) for each in draws)
        return rows, offsets, flips

    def take(self, rows: Tensor, offsets: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images and labels of `rows`, shifted and mirrored."""
        batch = self.images[rows]
        if self.recipe.shift:
            batch = shift_images(batch, offsets, self.recipe.shift)
        if self.recipe.flip:
            batch = flip_images(batch, flips)
        return batch, self.labels[rows]

"""A step of the captioner's training: without pads, or padded to a few lengths and captured."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData
from ganscribe.captioning.loss import staged, token_loss
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.state import TrainedCaptioner
from ganscribe.training import workers
from ganscribe.training.steps import Step, tensors_of

LENGTH_STEP = 8  # padded captions have a multiple of so many tokens: each length is a graph of its own
SHARE_OF_MEMORY = 0.5  # of a card's free memory that features may take
STAGED_AT_ONCE = 4096  # images on their way to the card

# Take one step: image ids and tokens of a batch, and how much of scheduled sampling has been reached.
Update = Callable[[list[int], Tensor, float], None]


def choose_updates(
    trained: TrainedCaptioner, data: CaptionerData, recipe: CaptionerRecipe, device: torch.device
) -> Update:
    """Return how a step is taken: captured, with captions padded to a few lengths, or without pads."""
    if device.type == "cuda" and workers.count() == 1:
        return PaddedUpdates(trained, data, recipe, device)
    return TrimmedUpdates(trained, data, recipe, device)


def _update(
    trained: TrainedCaptioner,
    recipe: CaptionerRecipe,
    features: Tensor,
    tokens: Tensor,
    *,
    own_words: float | Tensor,
    words: int | None = None,
    positions: int,
) -> None:
    """Take one step of the optimiser, and add up the losses; without `words` the captions are padded.

    `features` and `tokens` are this worker's share, `words` and `positions` those of the whole batch.
    """
    loss = token_loss(
        trained.model,
        features,
        tokens,
        precision=trained.precision,
        label_smoothing=recipe.label_smoothing,
        doubly_stochastic=recipe.doubly_stochastic,
        own_words=recipe.scheduled_sampling * own_words if recipe.scheduled_sampling else None,
        is_padded=words is None,
    )
    counted = loss.words if words is None else words
    trained.optimiser.zero_grad()
    (loss.objective / counted).backward()
    workers.sum_gradients(trained.model.parameters())
    if recipe.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(trained.model.parameters(), recipe.clip_norm)
    trained.optimiser.step()
    trained.add(workers.total(loss.cross_entropy), words=counted, positions=positions)


class TrimmedUpdates:
    """Steps that compute nothing for pads: the fastest where the host need not wait for shapes."""

    def __init__(
        self, trained: TrainedCaptioner, data: CaptionerData, recipe: CaptionerRecipe, device: torch.device
    ) -> None:
        self.trained, self.recipe, self.longest = trained, recipe, data.longest
        self.read = staged(data.features, precision=trained.precision, device=device)

    def __call__(self, image_ids: list[int], tokens: Tensor, own_words: float) -> None:
        """Take one step."""
        _update(
            self.trained,
            self.recipe,
            self.read(workers.share(image_ids)),
            workers.share(tokens),
            own_words=own_words,
            words=int((tokens[:, 1:] != 0).sum()),
            positions=len(tokens) * self.longest,
        )


class PaddedUpdates:
    """Steps whose captions are padded to a few lengths, so that each length is one CUDA graph."""

    def __init__(
        self, trained: TrainedCaptioner, data: CaptionerData, recipe: CaptionerRecipe, device: torch.device
    ) -> None:
        self.trained, self.recipe, self.longest, self.device = trained, recipe, data.longest, device
        self.features = StagedFeatures(data, device)
        self.step = Step(
            self._update,
            device=device,
            changed=lambda: tensors_of(trained.model, trained.optimiser, trained.sums),
        )

    def _update(self, features: Tensor, tokens: Tensor, own_words: Tensor) -> None:
        positions = len(tokens) * self.longest
        features = self.features.take(features)
        _update(self.trained, self.recipe, features, tokens, own_words=own_words, positions=positions)

    def __call__(self, image_ids: list[int], tokens: Tensor, own_words: float) -> None:
        """Take one step."""
        spare = -tokens.shape[1] % LENGTH_STEP
        reached = torch.full((), own_words, device=self.device)
        self.step(self.features.find(image_ids), F.pad(tokens, (0, spare)), reached)


class StagedFeatures:
    """The features of the training images: on the device where all of them fit, else brought batch by batch."""

    def __init__(self, data: CaptionerData, device: torch.device) -> None:
        self.read, self.table = data.features, None
        ids = sorted(set(data.train.image_ids))
        first = data.features(ids[:1])
        if first.nbytes * len(ids) <= SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]:
            self.rows = {image_id: row for row, image_id in enumerate(ids)}
            self.table = first.new_empty(len(ids), *first.shape[1:], device=device)
            for start in range(0, len(ids), STAGED_AT_ONCE):
                part = data.features(ids[start : start + STAGED_AT_ONCE])
                self.table[start : start + len(part)] = part.to(device)

    def find(self, image_ids: list[int]) -> Tensor:
        """Return what a step is given: rows of the table (B,), or the features (B, 64, 2048) themselves."""
        if self.table is None:
            return self.read(image_ids).pin_memory()
        return torch.tensor([self.rows[image_id] for image_id in image_ids]).pin_memory()

    def take(self, found: Tensor) -> Tensor:
        """Return the features of what `find` gave, within the step."""
        return found if self.table is None else self.table[found]

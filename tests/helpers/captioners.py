"""Tiny captioners: captions that name their image, features that show it, trainings of a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData, CaptionSet, pad
from ganscribe.captioning.inference import SavedCaptioner, load_captioner, save_captioner
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.state import TrainedCaptioner
from ganscribe.captioning.training import train_captioner
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.training.budget import Budget
from ganscribe.training.state import Log

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "embedding_dim": 8, "units": 16, "encoder_dim": 8, "learning_rate": 1e-2, "batch_size": 5, "epochs": 3,
    "seed": 0, "precision": "fp32", "log_every": 2,
}  # fmt: skip
SIZES: dict[str, Any] = {
    "vocabulary_size": 11,
    "embedding_dim": 6,
    "units": 8,
    "feature_dim": 10,
    "encoder_dim": 7,
}
LENGTHS = [7, 6, 4, 2]
OPTIONS = SIZES | {"vocabulary_size": 9}
VOCABULARY = Vocabulary((PAD, UNK, "a", START, "dog", END, "red", "ball", "runs"))


def tiny_captions(count: int = 22) -> CaptionSet:
    """Captions that name their image: `<start> (2), 4 + image % 5 ..., <end> (3)`, of lengths 3 to 6."""
    rows = [[2, *[4 + image % 5] * (1 + image % 4), 3] for image in range(count)]
    return CaptionSet([100 + image for image in range(count)], pad(rows))


def tiny_features(image_ids: Sequence[int]) -> Tensor:
    """(B, 64, 12) float16 that show which of the five words an image's caption has."""
    images = torch.tensor([image_id - 100 for image_id in image_ids], dtype=torch.long)
    return F.one_hot(images % 5, 12).half()[:, None].expand(-1, 64, -1).contiguous()


def tiny_data(**changes: Any) -> CaptionerData:
    """What a tiny captioner is trained on, with `changes`."""
    facts: dict[str, Any] = {
        "train": tiny_captions(), "val": tiny_captions(7), "features": tiny_features, "vocabulary_size": 9,
        "feature_dim": 12, "longest": 6,
    }  # fmt: skip
    return CaptionerData(**(facts | changes))


def train(
    data: CaptionerData | None = None,
    *,
    device: torch.device = CPU,
    checkpoint: Checkpoint | None = None,
    log: Log | None = None,
    **changes: Any,
) -> TrainedCaptioner:
    """Train with `changes` to the recipe and the budget of `SETTINGS`."""
    settings = SETTINGS | changes
    names = {each.name for each in fields(Budget)} & set(settings)
    budget = Budget(**{name: settings.pop(name) for name in names})
    recipe = CaptionerRecipe(**settings)
    return train_captioner(
        data or tiny_data(), recipe, budget=budget, device=device, checkpoint=checkpoint, log=log
    )


def model_and_batch(dtype: torch.dtype = torch.float32) -> tuple[Captioner, Tensor, Tensor]:
    """A captioner with opinions, features (4, 9, 10), captions of `LENGTHS` tokens."""
    torch.manual_seed(0)
    model = Captioner(**SIZES, gate=True).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    tokens = pad([[2, *torch.randint(4, 11, (length - 2,)).tolist(), 3] for length in LENGTHS])
    return model, torch.rand(4, 9, 10, dtype=dtype), tokens


def features_of(image_ids: Sequence[int]) -> Tensor:
    """(B, 9, 10) float16, different at every position."""
    return torch.stack(
        [torch.rand(9, 10, generator=torch.Generator().manual_seed(image)).half() for image in image_ids]
    )


def saved_captioner(folder: Path) -> SavedCaptioner:
    """A captioner of `OPTIONS` and `VOCABULARY` in the file model.safetensors of `folder`."""
    torch.manual_seed(0)
    model = Captioner(**OPTIONS)
    with torch.no_grad():  # so that words differ, and sentences end now and then
        for parameter in model.parameters():
            parameter.mul_(3)
        model.output.bias[[0, 1, 3]] = 50.0  # what is forbidden would win
        model.output.bias[5] = 1.0
    save_captioner(
        folder / "model.safetensors",
        options=OPTIONS,
        vocabulary=VOCABULARY,
        features={"weights": "random-init"},
        state_dict=model.state_dict(),
    )
    return load_captioner(folder / "model.safetensors")


def images(count: int) -> Tensor:
    """Features (count, 64, 10) of images that differ."""
    return torch.rand(count, 64, 10, generator=torch.Generator().manual_seed(0))

"""The captioner's training from cached features: TensorFlow's tutorial beside `train_captioner`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionerData, CaptionSet
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.training import train_captioner
from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import open_shards
from ganscribe.training.budget import Budget
from samples import LONGEST, VOCABULARY, draw_captions, write_npy, write_shards
from timing import Row, Setting, Spans, Work
from tutorial import start_as_tutorial

NUM_IMAGES, NUM_CAPTIONS = 512, 6400
RECIPE = CaptionerRecipe(epochs=20)
# By row: what is trained on, the tokens of its shortest caption, and the steps.
CAPTIONS = {
    "captioner": ("captions of 8 to 49 tokens, the tutorial's padded", 8),
    "captioner_49": ("every caption 49 long", LONGEST),
}
CPU_SPANS = {
    "captioner": Spans(tutorial=(1, 4), ours=(2, 14)),
    "captioner_49": Spans(tutorial=(1, 3), ours=(1, 6)),
}
CARD_SPANS = Spans(tutorial=(2, 22), ours=(30, 530))


def tutorial_step(
    model: Captioner, features: Tensor, tokens: Tensor, optimiser: torch.optim.Optimizer
) -> None:
    """Step as TensorFlow's tutorial does: all of it in every time step, scores for pads too, in float32."""
    values = F.relu(model.encoder(features))
    hidden = torch.zeros(len(tokens), model.units, device=features.device)
    loss = torch.zeros((), device=features.device)
    for t in range(tokens.shape[1] - 1):
        query = model.attention_query(hidden)[:, None]
        scores = model.attention_score(torch.tanh(model.attention_key(values) + query))
        context = (scores.softmax(1) * values).sum(1)
        hidden = model.gru(torch.cat([context, model.embedding(tokens[:, t])], 1), hidden)
        words = model.output(model.hidden(hidden))
        losses = F.cross_entropy(words, tokens[:, t + 1], reduction="none")
        loss = loss + (losses * (tokens[:, t + 1] != 0)).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    loss.item()


def train_as_tutorial(steps: int, *, captions: CaptionSet, folder: Path, device: torch.device) -> int:
    """Take so many steps, each of captions padded to the longest of all, and of as many .npy files."""
    start_as_tutorial()
    model = Captioner(VOCABULARY).to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=RECIPE.learning_rate)
    tokens = F.pad(captions.tokens, (0, LONGEST - captions.longest))
    for rows in islice(torch.randperm(len(captions)).split(RECIPE.batch_size), steps):
        images = [np.load(folder / f"{captions.image_ids[row]}.npy") for row in rows.tolist()]
        features = torch.from_numpy(np.stack(images))
        tutorial_step(model, features.to(device), tokens[rows].to(device), optimiser)
    return steps


def train_as_here(
    steps: int, precision: str, *, captions: CaptionSet, folder: Path, device: torch.device
) -> int:
    """Train by the recipe, as far as so many steps, from the shards."""
    data = CaptionerData(
        train=captions,
        val=CaptionSet([], captions.tokens[:0]),
        features=open_shards(folder).gather_images,
        vocabulary_size=VOCABULARY,
        feature_dim=FEATURE_SHAPE[-1],
        longest=LONGEST,
    )
    budget = Budget(seed=0, precision=precision, max_updates=steps)
    return train_captioner(data, RECIPE, budget=budget, device=device).step


def measure(name: str, setting: Setting) -> Row:
    """The row of such captions."""
    kind, shortest = CAPTIONS[name]
    captions = draw_captions(NUM_CAPTIONS, range(NUM_IMAGES), shortest=shortest)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_shards(folder, NUM_IMAGES)
        write_npy(folder, NUM_IMAGES)
        given: dict[str, Any] = {"captions": captions, "folder": folder, "device": setting.device}
        work = Work(
            name=f"captioner step (batch {RECIPE.batch_size}), {kind}",
            tutorial=partial(train_as_tutorial, **given),
            ours=partial(train_as_here, **given),
            cpu=CPU_SPANS[name],
            card=CARD_SPANS,
        )
        return setting.measure(work)


ROWS: dict[str, Callable[[Setting], Row]] = {name: partial(measure, name) for name in CAPTIONS}

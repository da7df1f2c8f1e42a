"""A captioner step: the tutorial's way beside this project's, taking turns in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.loss import staged, token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.core.devices import choose_device, resolve_precision

BATCH_SIZE, VOCABULARY, PADDED = 64, 5002, 49
TURNS, OUR_STEPS_A_TURN = 3, 4


def coco_like_captions() -> Tensor:
    """Tokens (64, 18), longest first: COCO's captions have 10.5 words and two markers on average."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(BATCH_SIZE, generator=generator).mul(0.2).exp().mul(12.2).round().long()
    lengths = drawn.clamp(8, PADDED).sort(descending=True).values
    words = torch.randint(4, VOCABULARY, (BATCH_SIZE, int(lengths[0])), generator=generator)
    return words * (torch.arange(words.shape[1]) < lengths[:, None])


def tutorial_step(model: Captioner, features: Tensor, tokens: Tensor, optimiser: torch.optim.Adam) -> None:
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


def measure(work: str, tokens: Tensor) -> dict[str, Any]:
    """Time both ways on the same captions, ours as `train_captioner` does it, from float16 features on."""
    device = choose_device()
    precision = resolve_precision("auto", device)
    torch.manual_seed(0)
    models = [Captioner(VOCABULARY).to(device) for _ in range(2)]
    optimisers = [
        torch.optim.Adam(model.parameters(), lr=1e-3, fused=bool(i)) for i, model in enumerate(models)
    ]
    stored = torch.relu(torch.randn(BATCH_SIZE, 64, 2048)).half()
    wide = stored.float().to(device)
    padded = F.pad(tokens, (0, PADDED - tokens.shape[1])).to(device)
    read = staged(lambda _: stored, precision=precision, device=device)

    def tutorial() -> None:
        tutorial_step(models[0], wide, padded, optimisers[0])

    def ours() -> None:
        for _ in range(OUR_STEPS_A_TURN):
            loss = token_loss(models[1], read([]), tokens, precision=precision)
            optimisers[1].zero_grad()
            (loss.objective / loss.words).backward()
            optimisers[1].step()
        loss.cross_entropy.item()

    times = take_turns(tutorial, ours)
    medians = [statistics.median(times[0]), statistics.median(times[1]) / OUR_STEPS_A_TURN]
    ratio = statistics.median(a / b * OUR_STEPS_A_TURN for a, b in zip(*times, strict=True))
    return {
        "work": work,
        "tutorial": 1000 * medians[0],
        "ours": 1000 * medians[1],
        "ratio": ratio,
        "unit": "ms a step",
    }


def take_turns(*ways: Callable[[], None]) -> list[list[float]]:
    """Return the seconds of each way per turn, after one to warm up: neighbours share the machine's load."""
    times: list[list[float]] = [[] for _ in ways]
    for turn in range(TURNS + 1):
        for way, seconds in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            if turn:
                seconds.append(time.perf_counter() - start)
    return times


def rows() -> list[dict[str, Any]]:
    """Return the captioner step of the recipe, and one without a pad for either way to compute or save."""
    full = torch.randint(4, VOCABULARY, (BATCH_SIZE, PADDED), generator=torch.Generator().manual_seed(0))
    return [
        measure("captioner step, captions padded to 49 against trimmed", coco_like_captions()),
        measure("captioner step, every caption 49 long", full),
    ]

"""Searches for a word sequence over `step(words, state) -> (log_probs, state)`; they know nothing of a model.

`words` (N,) are the last words of N sequences, `log_probs` (N, V) those of the next. `state` is a dict of
tensors whose first dimension is N. `state["attention"]` (N, ...) is where the model looked for the words that
`log_probs` are of, and each word that is found keeps its own. N is batch size times beam width; the rows of
one image are neighbours. What is found is copied from the device once, at the end of a search, and is on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ganscribe.core.seeds import random_stream

State = dict[str, Tensor]
Step = Callable[[Tensor, State], tuple[Tensor, State]]

SMALLEST_TEMPERATURE = 1e-6  # far below it, log-probabilities divided by it overflow


@dataclass(frozen=True)
class Decoded:
    """One sequence found: its words without `<start>` and `<end>`, and the attention map of each.

    `log_prob` is summed over the words, and `<end>` where `is_finished` (False: `max_length` cut it).
    """

    tokens: list[int]
    attention: Tensor  # (len(tokens), ...)
    log_prob: float
    is_finished: bool

    def score(self, length_penalty: float) -> float:
        """Return log_prob / length ** `length_penalty`, `<end>` counted."""
        return self.log_prob / (len(self.tokens) + self.is_finished) ** length_penalty


def greedy(
    step: Step, state: State, *, batch_size: int, start: int, end: int, max_length: int
) -> list[Decoded]:
    """Take the most likely word each time, for at most `max_length` steps."""

    def choose(log_probs: Tensor, position: int) -> Tensor:
        return log_probs.argmax(1)

    return _follow(step, state, choose, batch_size=batch_size, start=start, end=end, max_length=max_length)


def sample(
    step: Step,
    state: State,
    *,
    start: int,
    end: int,
    max_length: int,
    uniforms: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
) -> list[Decoded]:
    """Draw each word from softmax(log_probs / temperature) over the `top_k` likeliest words (0: all).

    TensorFlow's tutorial "Image captioning with attention" draws its words so. One printing of it takes exp(logits)
    for the logits, which is a slip.

    `uniforms` (B, max_length) in [0, 1) decide, by inversion, so that a sequence does not depend on the batch
    that it is drawn in: see `image_uniforms`.
    """
    if not SMALLEST_TEMPERATURE <= temperature < math.inf:
        raise ValueError(
            f"temperature {temperature} is not a number from {SMALLEST_TEMPERATURE} up: use greedy decoding for the"
            " limit 0"
        )
    if top_k < 0:
        raise ValueError(f"top_k {top_k} is negative: 0 stands for all words")

    def choose(log_probs: Tensor, position: int) -> Tensor:
        scaled = log_probs.double() / temperature
        if 0 < top_k < scaled.shape[1]:
            scaled = scaled.masked_fill(scaled < scaled.topk(top_k, 1).values[:, -1:], -torch.inf)
        cumulative = scaled.softmax(1).cumsum(1)
        last = cumulative[:, -1:]  # 1 but for rounding; its product with a number below 1 stays below it
        threshold = uniforms[:, position : position + 1].to(cumulative.device) * last
        return torch.searchsorted(cumulative, threshold, right=True).squeeze(1)

    return _follow(
        step, state, choose, batch_size=uniforms.shape[0], start=start, end=end, max_length=max_length
    )


def image_uniforms(seed: int, image_ids: Sequence[int | str], max_length: int) -> Tensor:
    """Return random numbers (B, max_length) for `sample`, float64: each image's from a stream of its own."""
    rows = [
        torch.rand(max_length, dtype=torch.float64, generator=random_stream(seed, "decoding", image_id))
        for image_id in image_ids
    ]
    return torch.stack(rows)


def beam(
    step: Step,
    state: State,
    *,
    batch_size: int,
    start: int,
    end: int,
    max_length: int,
    width: int,
    length_penalty: float = 0.0,
) -> list[Decoded]:
    """Search as Show, Attend and Tell's code does: a sequence that ends gives up its place in the beam.

    Of an image's ended sequences, the one with the highest log_prob / length ** `length_penalty` (the length
    counts `<end>`) is returned; where none has ended after `max_length` steps, the likeliest open one. A beam
    may be wider than there are words, or sequences: the places left over stay empty.
    """
    if width < 1:
        raise ValueError(f"beam width {width} is below 1")
    if max_length < 1:
        raise ValueError(f"max_length {max_length} is below 1")
    device = state["attention"].device
    images = torch.arange(batch_size, device=device)[:, None]
    places = torch.full((batch_size, 1), width, device=device)  # of each beam, still open
    # All sequences of an image begin alike: only the first counts, so that none is found twice.
    totals = torch.full((batch_size, width), -torch.inf, dtype=torch.float64, device=device)
    totals[:, 0] = 0
    state = {name: tensor.repeat_interleave(width, 0) for name, tensor in state.items()}
    words = torch.full((batch_size, width), start, device=device)
    steps = []
    for _ in range(max_length):
        log_probs, state = step(words.flatten(), state)
        candidates = totals[..., None] + log_probs.view(batch_size, width, log_probs.shape[1])
        totals, index = candidates.flatten(1).topk(width)
        parents, words = index // log_probs.shape[1], index % log_probs.shape[1]
        state = {name: tensor[(images * width + parents).flatten()] for name, tensor in state.items()}
        is_open = (torch.arange(width, device=device) < places) & totals.isfinite()
        has_ended = is_open & (words == end)
        steps.append(
            (parents, words, totals, has_ended, state["attention"].unflatten(0, (batch_size, width)))
        )
        places = places - has_ended.sum(1, keepdim=True)
        totals = totals.masked_fill(~is_open | has_ended, -torch.inf)
        if not totals.isfinite().any():
            break
    trellis = _Trellis(*(torch.stack(part, 1).cpu() for part in zip(*steps, strict=True)))
    last = totals.argmax(1).tolist()
    found = []
    for image in range(batch_size):
        ended = trellis.has_ended[image].nonzero().tolist() or [[len(steps) - 1, last[image]]]
        sequences = [trellis.sequence(image, position, place, end) for position, place in ended]
        found.append(max(sequences, key=lambda one: one.score(length_penalty)))
    return found


class _Trellis(NamedTuple):
    """What a beam search has chosen: of each image, step and place (B, T, width) the place that it goes on from, the
    word, the log-probability up to it, whether it ends a sequence, and the attention map."""

    parents: Tensor
    words: Tensor
    totals: Tensor
    has_ended: Tensor
    attention: Tensor

    def sequence(self, image: int, position: int, place: int, end: int) -> Decoded:
        """Return the sequence whose word at step `position` is in `place`, by going back from there."""
        places = [place]
        for step in range(position, 0, -1):
            places.append(int(self.parents[image, step, places[-1]]))
        chosen = torch.arange(position + 1), torch.tensor(places[::-1])
        total = self.totals[image, position, place]
        return _decoded(self.words[image][chosen], self.attention[image][chosen], total, end)


def _follow(
    step: Step,
    state: State,
    choose: Callable[[Tensor, int], Tensor],
    *,
    batch_size: int,
    start: int,
    end: int,
    max_length: int,
) -> list[Decoded]:
    """Return one sequence per image, each word chosen by `choose(log_probs, position)`."""
    if max_length < 1:
        raise ValueError(f"max_length {max_length} is below 1")
    words = torch.full((batch_size,), start, device=state["attention"].device)
    totals = torch.zeros(batch_size, dtype=torch.float64, device=words.device)
    is_open = torch.ones_like(words, dtype=torch.bool)
    tokens, attention = [], []
    for position in range(max_length):
        log_probs, state = step(words, state)
        words = choose(log_probs, position)
        gained = log_probs.gather(1, words[:, None]).squeeze(1)
        totals += torch.where(is_open, gained, 0)
        is_open = is_open & (words != end)
        tokens.append(words)
        attention.append(state["attention"])
        if not is_open.any():
            break
    found = zip(torch.stack(tokens, 1).cpu(), torch.stack(attention, 1).cpu(), totals.cpu(), strict=True)
    return [_decoded(*one, end) for one in found]


def _decoded(tokens: Tensor, attention: Tensor, total: Tensor, end: int) -> Decoded:
    words = tokens.tolist()
    length = words.index(end) if end in words else len(words)
    return Decoded(words[:length], attention[:length].clone(), float(total), end in words)

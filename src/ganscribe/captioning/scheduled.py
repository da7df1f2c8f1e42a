"""Scheduled sampling (Bengio et al. 1506.03099): in training, the model goes on from words of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from ganscribe.captioning.model import Captioner, Memory, evaluating


@torch.no_grad()
def mix_in_own_words(
    model: Captioner,
    features: Tensor,
    tokens: Tensor,
    *,
    probability: float | Tensor,
    is_padded: bool = False,
) -> Tensor:
    """Return words (B, T) to feed: each but the first is, with `probability`, the model's likeliest.

    features (B, 64, 2048); tokens (B, T) of `<start> ... <end>` then zeros, longest first, as in `Captioner`.
    One coin falls per word (section 2.4), of torch's global generator on the CPU; where captions are padded
    (`is_padded`, see `Captioner`), on the device, and for pads too. The words are chosen step
    by step by the model in evaluation mode, as captions are; they are constants for the gradient, so that the
    loss on them takes the fast way of teacher forcing.
    """
    fed = tokens.to(features.device, copy=True)
    lengths = (tokens != 0).sum(1)
    hidden = model.gru.weight_hh.new_zeros(len(tokens), model.units)
    with evaluating(model):
        memory = model.encode(features)
        for position in range(1, tokens.shape[1] - 1):  # the last word is fed to nobody
            rows = len(tokens) if is_padded else int((lengths > position + 1).sum())
            here = Memory(memory.values[:rows], memory.keys[:rows])
            scores, hidden, _ = model.step(
                fed[:rows, position - 1], hidden[:rows].to(model.gru.weight_hh.dtype), here
            )
            coins = torch.rand(rows, device=features.device if is_padded else "cpu")
            is_own = (coins < probability).to(features.device)
            fed[:rows, position] = torch.where(is_own, scores.argmax(1), fed[:rows, position])
    return fed

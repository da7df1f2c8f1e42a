"""The captioner's loss on a batch and on a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.model import Captioner, evaluating
from ganscribe.captioning.scheduled import mix_in_own_words
from ganscribe.core.devices import autocast

_ROWS_A_BLOCK = 128


def staged(features: FeatureReader, *, precision: str, device: torch.device) -> FeatureReader:
    """Return a reader of `features` on `device`, in the type that the first product takes.

    What it gives is valid until the next call: on the CPU the conversions go through buffers that stay,
    because the pages of fresh ones cost more than the copies.
    """
    wide, narrow = torch.empty(0), torch.empty(0, dtype=torch.bfloat16)

    def read(image_ids: Sequence[int]) -> Tensor:
        nonlocal wide, narrow
        found = features(image_ids)
        if device.type != "cpu":
            return found.to(device, non_blocking=True)
        if len(wide) < len(found):
            wide = torch.empty(found.shape)
            narrow = torch.empty(found.shape if precision == "bf16" else 0, dtype=torch.bfloat16)
        result = wide[: len(found)].copy_(found)
        # float16 to bfloat16 in one go takes twice as long.
        return narrow[: len(found)].copy_(result) if precision == "bf16" else result

    return read


class _SummedCrossEntropy(torch.autograd.Function):
    """Cross-entropy summed over the rows of scores (M, V), with its gradient, a block of rows at a time.

    The target is 1 - `smoothing` on the word and the rest spread evenly over all V (1512.00567, section 7).
    Where captions are padded (`is_padded`), a word of 0 is a pad and counts for nothing. Returns that sum, and
    the one without smoothing, which has no gradient. The float32 copies that `F.cross_entropy` makes of all
    scores would take longer than the arithmetic.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, following: Tensor, smoothing: float = 0.0, is_padded: bool = False
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(scores) if ctx.needs_input_grad[0] else scores[:0]
        total, even = torch.zeros((), device=scores.device), torch.zeros((), device=scores.device)
        for start in range(0, len(scores), _ROWS_A_BLOCK):
            words = following[start : start + _ROWS_A_BLOCK, None]
            log_probs = scores[start : start + _ROWS_A_BLOCK].float().log_softmax(1)
            if is_padded:
                is_word = (words != 0).to(log_probs.dtype)
                log_probs = log_probs * is_word  # of a pad: 0, whatever the word
            total -= log_probs.gather(1, words).sum()
            if smoothing:
                even -= log_probs.mean(1).sum()
            if ctx.needs_input_grad[0]:  # softmax minus target
                on_word = torch.full_like(words, smoothing - 1, dtype=log_probs.dtype)
                slope = log_probs.exp_().scatter_add_(1, words, on_word)
                if smoothing:
                    slope -= smoothing / scores.shape[1]
                if is_padded:
                    slope *= is_word
                gradient[start : start + _ROWS_A_BLOCK] = slope
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(total)
        return (1 - smoothing) * total + smoothing * even, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None


class BatchLoss(NamedTuple):
    """Sums over the words of a batch, `<end>` counted, and their number."""

    objective: Tensor  # what is minimised
    cross_entropy: Tensor  # without smoothing and regularisation; has no gradient
    words: int | Tensor


def doubly_stochastic_penalty(attention: Tensor, tokens: Tensor) -> Tensor:
    """Return sum_i (1 - sum_t alpha_ti)^2, summed over the captions (1502.03044, equation 14).

    attention (M, P): the maps of the captions' real steps, as `Captioner` gives them for tokens (B, T).
    """
    lengths = (tokens != 0).sum(1) - 1
    rows_at = (lengths > torch.arange(tokens.shape[1] - 1, device=tokens.device)[:, None]).sum(1).tolist()
    seen = attention.new_zeros(len(tokens), attention.shape[1])
    for maps in attention.split([rows for rows in rows_at if rows]):
        seen = seen + F.pad(maps, (0, 0, 0, len(tokens) - len(maps)))
    return (1 - seen).square().sum()


def padded_penalty(attention: Tensor, tokens: Tensor) -> Tensor:
    """Return `doubly_stochastic_penalty` where attention ((T - 1) B, P) has the maps of pads too."""
    maps = attention.unflatten(0, (tokens.shape[1] - 1, len(tokens)))
    seen = (maps * (tokens.T[1:, :, None] != 0)).sum(0)
    return (1 - seen).square().sum()


def token_loss(
    model: Captioner,
    features: Tensor,
    tokens: Tensor,
    *,
    precision: str,
    label_smoothing: float = 0.0,
    doubly_stochastic: float = 0.0,
    own_words: float | Tensor | None = None,
    is_padded: bool = False,
) -> BatchLoss:
    """Return the cross-entropy of a batch, smoothed, plus `doubly_stochastic` times the penalty of equation 14.

    `own_words`: the probability that the model goes on from its own last word, not from the caption's. With
    `is_padded` no shape depends on the captions, and the number of words is a tensor.
    """
    if len(tokens) == 0:  # a worker without a share of a small batch
        nothing = torch.zeros((), device=features.device)
        return BatchLoss(nothing.clone().requires_grad_(), nothing, 0)
    with autocast(precision, features.device):
        fed = None
        if own_words is not None and (is_padded or own_words):
            fed = mix_in_own_words(model, features, tokens, probability=own_words, is_padded=is_padded)
        with_attention = doubly_stochastic > 0
        scores, following, attention = model(
            features, tokens, fed=fed, with_attention=with_attention, is_padded=is_padded
        )
    objective, cross_entropy = _SummedCrossEntropy.apply(scores, following, label_smoothing, is_padded)
    if doubly_stochastic:
        penalty = padded_penalty if is_padded else doubly_stochastic_penalty
        objective = objective + doubly_stochastic * penalty(attention, tokens)
    words = (following != 0).sum() if is_padded else len(following)
    return BatchLoss(objective, cross_entropy, words)


@torch.no_grad()
def mean_loss(
    model: Captioner,
    captions: CaptionSet,
    features: FeatureReader,
    *,
    batch_size: int,
    precision: str,
    device: torch.device,
) -> float:
    """Return the mean cross-entropy, in nats, of the words of `captions` by the model in evaluation mode."""
    if len(captions) == 0:
        raise ValueError("there are no captions to compute a loss of: is the split empty?")
    read = staged(features, precision=precision, device=device)
    total, words = torch.zeros((), dtype=torch.float64, device=device), 0
    with evaluating(model):
        for rows in torch.arange(len(captions)).split(batch_size):
            image_ids, tokens = captions.batch(rows)
            loss = token_loss(model, read(image_ids), tokens, precision=precision)
            total, words = total + loss.cross_entropy, words + int(loss.words)
    return float(total) / words

"""The captioner's loss on a batch and on a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.model import Captioner
from ganscribe.runtime import autocast

_ROWS_A_BLOCK = 128


def staged(features: FeatureReader, *, precision: str, device: torch.device) -> FeatureReader:
    """`features` on `device`, in the type that the first product takes; valid until the next call.

    On the CPU the conversions go through buffers that stay: pages of fresh ones cost more than the copies.
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

    The float32 copies that `F.cross_entropy` makes of all scores would take longer than the arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, following: Tensor) -> Tensor:
        gradient = torch.empty_like(scores) if ctx.needs_input_grad[0] else scores[:0]
        total = torch.zeros((), device=scores.device)
        for start in range(0, len(scores), _ROWS_A_BLOCK):
            words = following[start : start + _ROWS_A_BLOCK, None]
            log_probs = scores[start : start + _ROWS_A_BLOCK].float().log_softmax(1)
            total -= log_probs.gather(1, words).sum()
            if ctx.needs_input_grad[0]:  # softmax minus one-hot
                minus_one = torch.full_like(words, -1, dtype=log_probs.dtype)
                gradient[start : start + _ROWS_A_BLOCK] = log_probs.exp_().scatter_add_(1, words, minus_one)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None


def token_loss(model: Captioner, features: Tensor, tokens: Tensor, *, precision: str) -> tuple[Tensor, int]:
    """Cross-entropy summed over the words of a batch, `<end>` counted, and their number."""
    with autocast(precision, features.device):
        scores, following = model(features, tokens)
    return _SummedCrossEntropy.apply(scores, following), len(following)


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
    """Cross-entropy a word over all `captions`, in nats."""
    if len(captions) == 0:
        raise ValueError("there are no captions to compute a loss of: is the split empty?")
    read = staged(features, precision=precision, device=device)
    total, words = torch.zeros((), dtype=torch.float64, device=device), 0
    for rows in torch.arange(len(captions)).split(batch_size):
        image_ids, tokens = captions.batch(rows)
        loss, count = token_loss(model, read(image_ids), tokens, precision=precision)
        total, words = total + loss, words + count
    return float(total) / words

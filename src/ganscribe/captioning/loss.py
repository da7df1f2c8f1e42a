"""The captioner's loss on a batch and on a split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, FeatureReader
from ganscribe.captioning.model import Captioner
from ganscribe.runtime import autocast


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


def token_loss(model: Captioner, features: Tensor, tokens: Tensor, *, precision: str) -> tuple[Tensor, int]:
    """Cross-entropy summed over the words of a batch, `<end>` counted, and their number."""
    with autocast(precision, features.device):
        scores, following = model(features, tokens)
    return F.cross_entropy(scores.float(), following, reduction="sum"), len(following)


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

"""Random shifts and flips of training images (N, C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ganscribe.core.seeds import random_stream


@dataclass(frozen=True)
class EpochDraws:
    """What is random in one epoch: the images' order (N,), their offsets (N, 2), which are flipped (N,)."""

    order: torch.Tensor
    offsets: torch.Tensor
    flips: torch.Tensor


def draw_epoch(count: int, *, shift: int, seed: int, epoch: int, device: torch.device) -> EpochDraws:
    """Return the draws of `epoch`, which depend on the seed alone, so that no state need be kept."""
    order = torch.randperm(count, generator=random_stream(seed, "order", epoch))
    offsets = torch.randint(0, 2 * shift + 1, (count, 2), generator=random_stream(seed, "shift", epoch))
    flips = torch.randint(0, 2, (count,), generator=random_stream(seed, "flip", epoch)).bool()
    return EpochDraws(order.to(device), offsets.to(device), flips.to(device))


def shift_images(images: torch.Tensor, offsets: torch.Tensor, shift: int) -> torch.Tensor:
    """Move each image of (N, C, H, W) by its own offset - shift pixels; black comes in at the border.

    `offsets` (N, 2): rows, columns, integers in [0, 2 * shift].
    """
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, [shift] * 4)
    rows = (offsets[:, :1] + torch.arange(height, device=device))[:, None, :, None]
    columns = (offsets[:, 1:] + torch.arange(width, device=device))[:, None, None, :]
    image = torch.arange(count, device=device)[:, None, None, None]
    return padded[image, torch.arange(channels, device=device)[:, None, None], rows, columns]


def flip_images(images: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Mirror those of (N, C, H, W) left to right for which `flips` (N,) is true."""
    return torch.where(flips[:, None, None, None], images.flip(3), images)

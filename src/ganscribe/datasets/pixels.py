"""Pixels as bytes, 0 to 255, and as the networks take them, -1 to 1."""

from __future__ import annotations

import torch
from torch import Tensor


def to_signed(images: Tensor) -> Tensor:
    """Pixels uint8 0..255 to float32 in [-1, 1]."""
    return images.float().mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Pixels in [-1, 1] to uint8 0..255, rounded to the nearest (truncating would darken by half a level)."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def scale_images(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels -> float32 in [-1, 1], what every network of this project takes."""
    return images.float().div_(127.5).sub_(1)

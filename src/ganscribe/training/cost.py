"""What a network costs: parameters and floating-point operations."""

from __future__ import annotations

import torch
from torch import nn


def count_parameters(model: nn.Module) -> int:
    """The number of trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def count_flops(model: nn.Module, image_shape: tuple[int, ...]) -> int:
    """Floating-point operations (2 x multiply-adds) of one image (C, H, W) through `model`."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, *image_shape, device=next(model.parameters()).device))
    return int(counter.get_total_flops())

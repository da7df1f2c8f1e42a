"""The classifier zoo: images (N, C, 28, 28) or (N, C, 32, 32) in [-1, 1] -> class scores (N, num_classes).

Every network has `features(x)`, the input of its last linear layer, and that layer as `classifier`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ganscribe.convnets.lenet import LeNet5
from ganscribe.runtime import load_torch

CONVNETS: dict[str, Callable[..., nn.Module]] = {"lenet5": LeNet5}


def build(name: str, *, num_classes: int, image_shape: tuple[int, ...], **options: Any) -> nn.Module:
    """The network `name` for images of `image_shape` (C, H, W); `options` are the network's own.

    Raises ValueError for an unknown name, option or image shape.
    """
    if name not in CONVNETS:
        raise ValueError(f"convnet {name!r} is unknown: choose one of {', '.join(sorted(CONVNETS))}")
    if len(image_shape) != 3 or tuple(image_shape[1:]) not in ((28, 28), (32, 32)):
        raise ValueError(
            f"image shape {tuple(image_shape)} does not fit a convnet: use (C, 28, 28) or (C, 32, 32)"
        )
    try:
        return CONVNETS[name](num_classes=num_classes, image_shape=tuple(image_shape), **options)
    except TypeError as error:
        raise ValueError(f"convnet {name!r} does not take the options {options}: {error}") from error


def load_classifier(path: str | Path) -> nn.Module:
    """The classifier that stage train_classifier saved at `path` (model.pt), on the CPU, evaluation mode."""
    saved = load_torch(path)
    model = build(
        saved["network"],
        num_classes=saved["num_classes"],
        image_shape=tuple(saved["image_shape"]),
        **saved["options"],
    )
    model.load_state_dict(saved["state_dict"])
    return model.eval()

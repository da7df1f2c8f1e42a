"""Networks by name, and the classifiers that stage train_classifier saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
from ganscribe.core.registry import Registry
from ganscribe.core.weights import load_weights

CONVNETS = Registry("ganscribe.convnets.networks", "convnet")


def build(name: str, *, num_classes: int, image_shape: tuple[int, ...], **options: Any) -> nn.Module:
    """Return the network `name` for images of `image_shape` (C, H, W); `options` are the network's own.

    Raises ValueError for an unknown name, option or image shape.
    """
    import torch

    module, shape = CONVNETS.load(name), tuple(image_shape)
    if len(shape) != 3 or shape[1:] not in ((28, 28), (32, 32)):
        raise ValueError(f"image shape {shape} does not fit a convnet: use (C, 28, 28) or (C, 32, 32)")
    try:
        model: nn.Module = CONVNETS.call(
            name, "build", options=options, num_classes=num_classes, image_shape=shape
        )
    except TypeError as error:
        raise ValueError(f"convnet {name!r} does not take the options {options}: {error}") from error
    if getattr(module, "CHANNELS_LAST", True):
        return model.to(memory_format=torch.channels_last)
    return model


def head_weights(name: str) -> tuple[float, ...]:
    """Return how much the cross-entropy of each head of the network `name` counts in training."""
    weights: tuple[float, ...] = getattr(CONVNETS.load(name), "HEAD_WEIGHTS", (1.0,))
    return weights


def load_classifier(path: str | Path) -> nn.Module:
    """Return the classifier that stage train_classifier saved at `path`, on the CPU, in evaluation mode.

    Raises ValueError for any other file.
    """
    try:
        weights, saved = load_weights(path)
        model = build(
            saved["network"],
            num_classes=saved["num_classes"],
            image_shape=tuple(saved["image_shape"]),
            **saved["options"],
        )
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is not a saved classifier, or it is damaged") from error
    return model.eval()

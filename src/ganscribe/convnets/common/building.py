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
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"convnet {name!r}: build returned {model!r}: return a torch module")
    if getattr(module, "CHANNELS_LAST", True):
        return model.to(memory_format=torch.channels_last)
    return model


def check_scores(name: str, model: nn.Module, *, num_classes: int, image_shape: tuple[int, ...]) -> None:
    """Raise ValueError if the new network (on the CPU) does not return one score per class.

    It changes neither the network, which it leaves in training mode, nor torch's global generator.
    """
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        scores = model.eval()(torch.zeros(2, *image_shape))
    if scores.shape != (2, num_classes):
        raise ValueError(
            f"convnet {name!r} returns scores of shape {tuple(scores.shape)} for 2 images and {num_classes} classes:"
            " return (N, num_classes)"
        )
    model.train()


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

"""The classifier zoo: images (N, C, 28, 28) or (N, C, 32, 32) in [-1, 1] -> class scores (N, num_classes).

Every network has `features(x)`, the input of its last linear layer, and that layer as `classifier`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganscribe.convnets import googlenet
from ganscribe.convnets.alexnet import AlexNet
from ganscribe.convnets.cliquenet import CliqueNet
from ganscribe.convnets.densenet import DenseNetBC
from ganscribe.convnets.lenet import LeNet5
from ganscribe.convnets.resnet18 import ResNet18
from ganscribe.convnets.resnet20 import ResNet20
from ganscribe.convnets.vgg import build_vgg11, build_vgg16
from ganscribe.core.files import load_torch


@dataclass(frozen=True)
class Convnet:
    """How a network is made and trained.

    Where there are more `head_weights` than one, the network in training mode gives a tuple of class scores,
    the auxiliary heads' after its own; each head's cross-entropy counts by its weight.
    """

    make: Callable[..., nn.Module]
    head_weights: tuple[float, ...] = (1.0,)
    channels_last: bool = True  # filters in this layout, and with them all maps: 3 to 45% faster on a CPU


CONVNETS = {
    "lenet5": Convnet(LeNet5, channels_last=False),
    "alexnet": Convnet(AlexNet),
    "vgg11": Convnet(build_vgg11),
    "vgg16": Convnet(build_vgg16),
    "googlenet": Convnet(googlenet.GoogLeNet, head_weights=googlenet.HEAD_WEIGHTS),
    "resnet18": Convnet(ResNet18),
    "resnet20": Convnet(ResNet20),
    "densenet_bc": Convnet(DenseNetBC),
    "cliquenet": Convnet(CliqueNet),
}


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
        model = CONVNETS[name].make(num_classes=num_classes, image_shape=tuple(image_shape), **options)
    except TypeError as error:
        raise ValueError(f"convnet {name!r} does not take the options {options}: {error}") from error
    return model.to(memory_format=torch.channels_last) if CONVNETS[name].channels_last else model


def load_classifier(path: str | Path) -> nn.Module:
    """The classifier that stage train_classifier saved at `path` (model.pt), on the CPU, evaluation mode.

    Raises ValueError for any other file.
    """
    try:
        saved = dict(load_torch(path))
        model = build(
            saved["network"],
            num_classes=saved["num_classes"],
            image_shape=tuple(saved["image_shape"]),
            **saved["options"],
        )
        model.load_state_dict(saved["state_dict"])
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is no saved classifier, or a damaged one") from error
    return model.eval()

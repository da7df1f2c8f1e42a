"""Networks by name: what is refused, what is found, what is read back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganscribe import convnets
from ganscribe.convnets.common.building import CONVNETS, check_scores, head_weights
from ganscribe.core.registry import Registry
from ganscribe.core.weights import save_weights

ONE_LAYER = """
from torch import nn


def build(*, num_classes, image_shape, bias: bool = True):
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, num_classes, bias=bias))
"""


@pytest.mark.parametrize(
    ("name", "shape", "options", "message"),
    [
        (
            "made_up",
            (1, 28, 28),
            {},
            "^convnet 'made_up' is unknown: choose one of alexnet, .*lenet5, .*vgg16$",
        ),
        ("lenet5", (1, 30, 30), {}, "28, 28"),
        ("lenet5", (28, 28), {}, "28, 28"),
        (
            "lenet5",
            (1, 28, 28),
            {"made_up": 2},
            "^convnet 'lenet5' has no option 'made_up': it has no options$",
        ),
        ("vgg11", (1, 28, 28), {"column": "D"}, "^convnet 'vgg11' has no option 'column': it takes dropout$"),
        ("vgg11", (1, 28, 28), {"dropout": "half"}, "^convnet 'vgg11' does not take .*'half'"),
    ],
)
def test_bad_names_shapes_and_options(
    name: str, shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        convnets.build(name, num_classes=10, image_shape=shape, **options)


def test_a_file_more_is_a_network_more(add_file: Callable[[Registry, str, str], None]) -> None:
    before = CONVNETS.names()
    add_file(CONVNETS, "made_up", ONE_LAYER)
    assert CONVNETS.names() == sorted([*before, "made_up"])
    model = convnets.build("made_up", num_classes=3, image_shape=(1, 28, 28), bias=False)
    assert [tuple(weight.shape) for weight in model.parameters()] == [(3, 784)]
    assert head_weights("made_up") == (1.0,)
    with pytest.raises(ValueError, match=r"it takes bias$"):
        convnets.build("made_up", num_classes=3, image_shape=(1, 28, 28), dropout=0.5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "num_classes, bias=bias",
            "num_classes + 1, bias=bias",
            r" returns scores of shape \(2, 5\) for 2 images and 4",
        ),
        ("return nn", "nn", ": build returned None: return a torch module$"),
        ("def build", "def make", " has no function build: add it to its file$"),
        ("num_classes, image", "classes, image", ": build does not have the arguments that it should have: "),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused(
    add_file: Callable[[Registry, str, str], None], old: str, new: str, message: str
) -> None:
    add_file(CONVNETS, "made_up", ONE_LAYER.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^convnet 'made_up'{message}"):
        model = convnets.build("made_up", num_classes=4, image_shape=(1, 28, 28))
        check_scores("made_up", model, num_classes=4, image_shape=(1, 28, 28))


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet20"])  # dropout, heads, batch norm
def test_the_check_of_scores_changes_nothing(name: str) -> None:
    model = convnets.build(name, num_classes=4, image_shape=(1, 28, 28))
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    check_scores(name, model, num_classes=4, image_shape=(1, 28, 28))
    assert torch.equal(torch.get_rng_state(), random) and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_saved_classifier_is_read_back(tmp_path: Path) -> None:
    model = convnets.build("vgg11", num_classes=4, image_shape=(3, 32, 32), dropout=0.1).eval()
    saved = {
        "network": "vgg11",
        "options": {"dropout": 0.1},
        "num_classes": 4,
        "image_shape": [3, 32, 32],
    }
    save_weights(tmp_path / "model.safetensors", model.state_dict(), saved)
    again = convnets.load_classifier(tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again(images), model(images))
    for key, value in (("network", "made_up"), ("num_classes", 5), ("options", {"num_classes": 4})):
        save_weights(tmp_path / "other.safetensors", model.state_dict(), saved | {key: value})
        with pytest.raises(ValueError, match=r"other\.safetensors is not a saved classifier"):
            convnets.load_classifier(tmp_path / "other.safetensors")

"""Every network: shapes, gradients, the judge's interface, padding, layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganscribe import convnets
from ganscribe.convnets.common.building import CONVNETS, head_weights


def test_every_network_has_tests_of_its_own() -> None:
    own = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set(CONVNETS.names()) == own - {"every_network"}


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("name", CONVNETS.names())
def test_shapes_and_a_gradient_for_every_parameter(name: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    model = convnets.build(name, num_classes=10, image_shape=(channels, size, size)).train()
    images = torch.randn(4, channels, size, size)
    heads = model(images)
    heads = heads if isinstance(heads, tuple) else (heads,)
    assert [head.shape for head in heads] == [(4, 10)] * len(head_weights(name))
    assert all(head.isfinite().all() for head in heads)

    sum(head.square().sum() for head in heads).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", CONVNETS.names())
def test_features_are_what_the_last_linear_layer_gets(name: str) -> None:
    torch.manual_seed(0)
    model = convnets.build(name, num_classes=10, image_shape=(1, 28, 28)).eval()
    images = torch.randn(3, 1, 28, 28)
    with torch.no_grad():
        features, scores = model.features(images), model(images)
    assert features.shape == (3, model.classifier.in_features) and features.min() >= 0
    torch.testing.assert_close(model.classifier(features), scores)


@pytest.mark.parametrize("name", CONVNETS.names())
def test_28_pixels_are_zero_padded_to_32(name: str) -> None:
    small = convnets.build(name, num_classes=10, image_shape=(1, 28, 28)).eval()
    large = convnets.build(name, num_classes=10, image_shape=(1, 32, 32)).eval()
    large.load_state_dict(small.state_dict())
    images = torch.randn(2, 1, 28, 28)
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 2:30, 2:30] = images
    with torch.no_grad():
        torch.testing.assert_close(small(images), large(padded))


@pytest.mark.parametrize("name", CONVNETS.names())
def test_the_layout_changes_the_speed_only(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = convnets.build(name, num_classes=10, image_shape=(3, 32, 32)).eval()
    network = CONVNETS.load(name)
    other = not getattr(network, "CHANNELS_LAST", True)
    monkeypatch.setattr(network, "CHANNELS_LAST", other, raising=False)
    twin = convnets.build(name, num_classes=10, image_shape=(3, 32, 32)).eval()
    twin.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(twin(images), model(images), rtol=1e-4, atol=1e-4)

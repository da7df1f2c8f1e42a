"""The spectrally normalised critic: singular values against a float64 SVD, and what it leaves as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gans
from ganscribe.core.weights import load_weights
from ganscribe.gan.common.networks import mixes_batch
from ganscribe.gan.common.sampling import save_network
from ganscribe.gan.networks.dcgan_sn import InFloat32
from ganscribe.training.cost import count_parameters

# (inputs, outputs, kernel area) of every layer with weights and biases.
LAYERS = [(1, 32, 25), (32, 64, 25), (4 * 4 * 64, 1024, 1), (1024, 1, 1)]


def critic() -> nn.Module:
    return gans.build("dcgan_sn", "discriminator")


def layers(network: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """The layers with weights, for each of which `weight` is what it multiplies by."""
    return (layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d))


def as_matrix(weight: Tensor) -> Tensor:
    """A weight as the paper takes it, (out, all the rest), float64."""
    return weight.detach().double().flatten(1)


def original(layer: nn.Module) -> Tensor:
    """The weight that is trained."""
    found = layer.get_parameter("parametrizations.weight.original")
    assert isinstance(found, Tensor)
    return found


def test_parameter_counts_are_the_layer_list_s() -> None:
    assert count_parameters(critic()) == gans.layer_parameters(LAYERS, []) == 1102721
    assert count_parameters(gans.build("dcgan_sn", "generator")) == 6580801


def test_it_starts_as_the_dcgan_does() -> None:
    plain = list(layers(gans.build("dcgan", "discriminator")))
    for ours, theirs in zip(layers(critic()), plain, strict=True):
        assert (
            torch.equal(original(ours), theirs.weight) and ours.bias is not None and theirs.bias is not None
        )
        assert torch.equal(ours.bias, theirs.bias)
    generators = [list(gans.build(name, "generator").parameters()) for name in ("dcgan_sn", "dcgan")]
    assert gans.same(*generators)


@pytest.mark.parametrize("objective", ["hinge", "nonsaturating"])
def test_every_layer_s_largest_singular_value_is_one_after_some_updates(objective: str) -> None:
    """As a matrix, against a float64 SVD: what is left is what the power iteration lags behind the updates."""
    gan = gans.train(objective=objective, networks="dcgan_sn", learning_rate=2e-4, steps=20)
    found = list(layers(gan.discriminator.eval()))
    assert len(found) == len(LAYERS)
    for layer, before in zip(found, layers(critic()), strict=True):
        values = torch.linalg.svdvals(as_matrix(layer.weight))
        assert values[0].item() == pytest.approx(1, abs=0.02)
        largest = torch.linalg.svdvals(as_matrix(original(layer)))[0]
        assert torch.allclose(as_matrix(layer.weight), as_matrix(original(layer)) / largest, rtol=0.02)
        assert not torch.equal(original(layer), original(before)), "it is trained"


def test_a_forward_pass_in_training_takes_one_step_of_the_power_iteration() -> None:
    """Algorithm 1 of Miyato et al., in float64 from the same vectors; evaluation takes none."""
    network = critic().train()
    before = copy.deepcopy(network)
    images = torch.randn(2, *gans.MNIST)
    network(images)
    for layer, old in zip(layers(network), layers(before), strict=True):
        matrix = as_matrix(original(layer))
        (_, v), (new_u, new_v) = (
            [buffer.double() for name, buffer in each.named_buffers() if name.endswith(("._u", "._v"))]
            for each in (old, layer)
        )
        u = nn.functional.normalize(matrix @ v, dim=0)
        v = nn.functional.normalize(matrix.T @ u, dim=0)
        assert torch.allclose(new_u, u, atol=1e-5) and torch.allclose(new_v, v, atol=1e-5)
    after = [buffer.clone() for buffer in network.buffers()]
    network.eval()(images)
    assert gans.same(after, list(network.buffers()))


def test_bfloat16_normalises_in_float32() -> None:
    images, weights = torch.randn(4, *gans.MNIST), []
    for enabled in (False, True):
        network = critic().train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            network(images)
            weights.append([layer.weight.detach().clone() for layer in layers(network.eval())])
        assert all(buffer.dtype == torch.float32 for buffer in network.buffers())
    assert gans.same(*weights) and all(weight.dtype == torch.float32 for weight in weights[1])


def test_no_product_of_the_normalisation_is_cast() -> None:
    """The CPU's autocast leaves products with vectors alone anyway, CUDA's does not."""
    network, are_cast = critic().train(), []
    for module in network.modules():
        if isinstance(module, InFloat32):
            module.parametrisation.register_forward_pre_hook(
                lambda *_: are_cast.append(torch.is_autocast_enabled("cpu"))
            )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(torch.randn(2, *gans.MNIST))
    assert are_cast == [False] * len(LAYERS)


def test_a_saved_critic_is_the_same_after_safe_loading(tmp_path: Path) -> None:
    gan = gans.train(objective="hinge", networks="dcgan_sn", steps=2)
    network = gan.discriminator
    facts = {"networks": "dcgan_sn", "noise_dim": 8, "noise": "normal", "image_shape": gans.MNIST}
    save_network(tmp_path / "discriminator.safetensors", network.state_dict(), **facts)  # type: ignore[arg-type]
    weights, _ = load_weights(tmp_path / "discriminator.safetensors")
    torch.manual_seed(1)
    again = critic()
    again.load_state_dict(weights)
    assert gans.same(list(again.state_dict().values()), list(network.state_dict().values()))
    images = torch.randn(4, *gans.MNIST)
    torch.testing.assert_close(again.eval()(images), network.eval()(images))


def test_the_gradient_of_a_gradient_is_that_of_finite_differences() -> None:
    """R1's own derivative through the normalisation, in float64, singular vectors held still as in training."""
    network, images = critic().double().eval(), torch.randn(2, *gans.MNIST, dtype=torch.float64)
    last = list(layers(network))[-1]
    weight = original(last)

    def penalty() -> Tensor:
        seen = images.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(network(seen).sum(), seen, create_graph=True)
        return slope.square().sum()

    (gradient,) = torch.autograd.grad(penalty(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(sign * step * direction)
        values.append(float(penalty()))
        with torch.no_grad():
            weight.sub_(sign * step * direction)
    slope = (values[0] - values[1]) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_images_do_not_mix() -> None:
    assert not mixes_batch(critic())

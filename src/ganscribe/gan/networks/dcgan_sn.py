"""The pair `dcgan` with a spectrally normalised D: Miyato et al. 2018 (1802.05957)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from ganscribe.gan.common.layers import dcgan_discriminator, dcgan_generator
from ganscribe.gan.common.networks import ImageShape


class InFloat32(nn.Module):
    """Compute a parametrisation as it is without autocast, which would take its products in bfloat16."""

    def __init__(self, parametrisation: nn.Module) -> None:
        super().__init__()
        self.parametrisation = parametrisation

    def forward(self, weight: Tensor) -> Tensor:
        """Return what the parametrisation makes of `weight`, in the same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            result: Tensor = self.parametrisation(weight)
        return result


def normalise(critic: nn.Module) -> nn.Module:
    """Divide the weight of every layer of `critic` by its largest singular value, 1802.05957, eq. 8.

    A convolution's weight (out, in, height, width) is taken for a matrix (out, in height width), as the paper does.
    The two singular vectors are buffers; each forward pass in training brings them nearer by one step of the
    power iteration (algorithm 1), and evaluation leaves them alone.
    """
    for layer in list(critic.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            parametrisations = spectral_norm(layer).get_submodule("parametrizations.weight")
            assert isinstance(parametrisations, ParametrizationList)
            parametrisations[0] = InFloat32(parametrisations[0])
    return critic


def build_generator(noise_dim: int, image_shape: ImageShape) -> nn.Module:
    """Build G, that of `dcgan`: noise (N, noise_dim) to images (N, C, H, W) in [-1, 1]."""
    return dcgan_generator(noise_dim, image_shape, norms=True)


def build_discriminator(image_shape: ImageShape) -> nn.Module:
    """Build D, that of `dcgan`, each of its four layers normalised: images (N, C, H, W) to scores (N,)."""
    return normalise(dcgan_discriminator(image_shape))

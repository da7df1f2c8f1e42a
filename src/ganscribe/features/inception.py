"""Inception-v3 (Szegedy et al. 2015, 1512.00567) up to its last convolutional block.

The network is torchvision's, always built with `transform_input=True`: torchvision's constructor leaves that
off without its own weights, and weights in its layout are then silently fed the wrong input.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganscribe.core.files import file_sha256, load_torch
from ganscribe.core.seeds import random_stream
from ganscribe.core.weights import load_weights, save_weights

FEATURE_SHAPE = (64, 2048)  # 8 x 8 positions row by row, 2048 channels
NETWORK = "inception_v3 Mixed_7c"
SPREAD = 0.5  # taps: standard deviation of the window on the kernels of a random network's blocks
RANDOM_INIT = "random-init"
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class FeatureMaps(nn.Module):
    """torchvision's Inception-v3 without its classifier: (N, 3, 299, 299) uint8 to (N, 64, 2048)."""

    def __init__(self, inception: Any) -> None:
        super().__init__()
        self.inception = inception

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 images as the first convolution takes them, float32."""
        # Filled on the device: a CUDA graph can hold no copy from the host.
        mean, std = (
            torch.stack([torch.full((1, 1), value, device=images.device) for value in values])
            for values in (_MEAN, _STD)
        )
        normalised: torch.Tensor = self.inception._transform_input((images.float() / 255 - mean) / std)
        return normalised

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.inception.Conv2d_1a_3x3.conv.weight
        maps = self.normalise(images).to(weight.dtype, memory_format=torch.channels_last)
        for name, layer in self.inception.named_children():
            if name == "avgpool":
                break
            maps = layer(maps)
        return maps.flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Inception:
    """The network, whose weights it has (`label`: the file's name, or `random-init`), and their SHA-256."""

    network: FeatureMaps
    label: str
    sha256: str


def _build() -> FeatureMaps:
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False)
    network.fc = nn.Identity()
    return FeatureMaps(network).eval()


def load_inception(
    weights_path: str | Path | None, *, calibration_images: torch.Tensor | None = None, seed: int = 0
) -> Inception:
    """The network with the state dict at `weights_path` (torchvision's layout, float32 or float16).

    Without a file: Kaiming-initialised from `seed`, batch-norm shifts of 1 (see `_initialise`) and statistics
    from `calibration_images` (N, 3, 299, 299) uint8. Raises ValueError for a file of another layout or with
    infinite values.
    """
    network = _build()
    if weights_path is not None:
        path = Path(weights_path)
        network.inception.load_state_dict(_read_weights(path, network.inception.state_dict()))
        return Inception(network, path.name, file_sha256(path))
    if calibration_images is None:
        raise ValueError("a network without weights needs images to calibrate its batch norm on")
    _initialise(network, calibration_images, seed)
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return Inception(network, RANDOM_INIT, digest.hexdigest())


def _read_weights(path: Path, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The entries of `path` that `expected` has, as float32; the classifying heads are dropped."""
    try:
        state = load_torch(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `dvc repro -f download@inception`") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    # Old files lack batch norm's counters, which evaluation does not use.
    state = {key: expected[key] for key in expected if key.endswith("num_batches_tracked")} | state
    wrong = []
    for key, tensor in expected.items():
        found = state.get(key)
        if not isinstance(found, torch.Tensor):
            wrong.append(f"{key} is missing")
        elif found.shape != tensor.shape:
            wrong.append(f"{key} is {tuple(found.shape)}, not {tuple(tensor.shape)}")
        elif not torch.isfinite(found).all():
            wrong.append(f"{key} has values that are not finite")
    if wrong:
        raise ValueError(
            f"{path} is not in torchvision's Inception-v3 layout: {'; '.join(wrong[:3])}"
            + (f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else "")
        )
    return {key: state[key].to(tensor.dtype) for key, tensor in expected.items()}


@torch.no_grad()
def _initialise(network: FeatureMaps, images: torch.Tensor, seed: int) -> None:
    # With shifts of 0 each layer of a random network stretches small differences by 1.21 (Yang et al. 2019,
    # 1902.08129), and bfloat16's rounding becomes 42% of the features of photographs; with shifts of 1 it is
    # 1.06 a layer and 6%, and neighbours share more caption words.
    # With taps of one size every cell of the last block sees the whole picture: the kernels of the blocks (Mixed_5b
    # to 7c) are weighed towards their middle, so that a cell shows what is near it.
    stream = random_stream(seed, "inception", RANDOM_INIT)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=stream)
            if "Mixed" in name:
                _focus(module.weight)
    for norm in norms:
        nn.init.ones_(norm.bias)
        norm.momentum = None  # running statistics become the plain mean over the batches
        norm.train()
    for batch in images.split(32):
        network(batch)
    network.eval()


def _focus(weight: torch.Tensor) -> None:
    """Weigh the taps of kernels (O, I, H, W), in place, by a Gaussian about their middle; their mean square stays."""
    rows, columns = (
        torch.exp(-((torch.arange(size) - (size - 1) / 2) ** 2) / (2 * SPREAD**2))
        for size in weight.shape[2:]
    )
    window = rows[:, None] * columns
    weight.mul_(window / window.square().mean().sqrt())


def fold_batch_norm(network: FeatureMaps) -> FeatureMaps:
    """Fold every batch norm into its convolution, in place: the same function, a third fewer passes."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for module in network.modules():
        conv, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network


def prepare(inception: Inception, *, precision: str, device: torch.device) -> Inception:
    """The network for extraction: batch norm folded, channels last, bfloat16 throughout where `precision` is
    bf16 (faster than autocast, which casts the weights at every call). Changes the network in place."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network = fold_batch_norm(inception.network).requires_grad_(False)
    network.to(device, dtype).to(memory_format=torch.channels_last)
    return inception


def write_inception(path: str | Path, inception: Inception) -> None:
    """Keep a prepared network, so that a new image gets the features that the stored ones have."""
    facts = {"label": inception.label, "sha256": inception.sha256}
    save_weights(path, inception.network.state_dict(), facts)


def read_inception(path: str | Path, *, device: torch.device, precision: str | None = None) -> Inception:
    """Read what `write_inception` wrote, in the `precision` it was written in if none is given.

    Raises ValueError for another file.
    """
    try:
        weights, saved = load_weights(path)
        inception = Inception(_build(), saved["label"], saved["sha256"])
        is_bf16 = weights["inception.Conv2d_1a_3x3.conv.weight"].dtype == torch.bfloat16
        here = torch.device("cpu")
        prepare(inception, precision=precision or ("bf16" if is_bf16 else "fp32"), device=here)
        inception.network.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path} is damaged, or not a feature network that extract_features left") from error
    inception.network.to(device)  # no fault of the file, if the device has no room
    return inception


@torch.inference_mode()
def compute_features(inception: Inception, images: torch.Tensor) -> torch.Tensor:
    """(N, 3, 299, 299) uint8 to (N, 64, 2048) float16 on the CPU, on the network's device."""
    maps: torch.Tensor = inception.network(images)
    return maps.to("cpu", torch.float16).contiguous()

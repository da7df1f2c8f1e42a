"""Small data sets in their publishers' layouts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganscribe.sources.formats import write_idx, write_plain_pickle
from ganscribe.sources.images import CIFAR10_BATCHES, CIFAR10_FOLDER, MNIST_FOLDER

if TYPE_CHECKING:
    from torch import Tensor


def fid_weights(seed: int = 0) -> dict[str, Tensor]:
    """Random weights of FID's own network, for the published ones, which no test can download.

    Torch's initial convolutions shrink by sqrt(6) a layer (with a ReLU), and nothing would be left to compare.
    """
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as source

    module = sys.modules[source.__name__]
    torch.manual_seed(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda url, progress: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        state = module.FeatureExtractorInceptionV3("any", ["2048"]).state_dict()
    return {key: value * 6**0.5 if key.endswith("conv.weight") else value for key, value in state.items()}


def small_fid_weights(path: Path) -> dict[str, Tensor]:
    """Write weights of the network's shapes, all of them 0 but for one layer, in a file of half a megabyte."""
    import torch

    state, kept = fid_weights(), "Conv2d_4a_3x3.conv.weight"
    small = {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(small | {kept: state[kept]}, path)
    return small


def small_mnist(root: Path, num_train: int = 24, num_test: int = 6) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", num_train), ("t10k", num_test)):
        write_idx(
            root / MNIST_FOLDER / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8)
        )
        write_idx(root / MNIST_FOLDER / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count, np.uint8))
    return root


def small_cifar10(root: Path) -> Path:
    write_plain_pickle(root / CIFAR10_FOLDER / "batches.meta", {"label_names": [b"x"] * 10})
    for name in (*CIFAR10_BATCHES, "test_batch"):
        values = {"data": np.zeros((4, 3072), np.uint8), "labels": [1, 2, 3, 4]}
        write_plain_pickle(root / CIFAR10_FOLDER / name, values)
    return root


def small_coco(root: Path, num_images: int = 3) -> Path:
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(1, num_images + 1)]
    captions = [{"id": 9 + each["id"], "image_id": each["id"], "caption": "a thing"} for each in images]
    (root / "annotations").mkdir(parents=True)
    listing = {"images": images, "annotations": captions}
    (root / "annotations/captions_train2014.json").write_text(json.dumps(listing))
    (root / "train2014").mkdir()
    for each in images[:-1]:  # a part of the images is normal
        (root / "train2014" / str(each["file_name"])).write_bytes(b"jpeg")
    (root / "train2014" / "other.jpg").write_bytes(b"not listed")
    return root

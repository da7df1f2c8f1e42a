"""What is trained on and read: random, the same at every call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet
from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import ShardWriter

NUM_PICTURES, PICTURE_SHAPE, NUM_CLASSES = 20_000, (1, 28, 28), 10
IMAGES_A_SHARD = 512
VOCABULARY, LONGEST = 5002, 49


def draw_pictures() -> tuple[Tensor, Tensor]:
    """Return images of MNIST's shape (N, 1, 28, 28), uint8, and their labels (N,)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (NUM_PICTURES, *PICTURE_SHAPE), generator=generator, dtype=torch.uint8)
    return images, torch.arange(NUM_PICTURES) % NUM_CLASSES


def draw_captions(count: int, image_ids: Sequence[int], *, shortest: int = 8) -> CaptionSet:
    """Return captions of the images in turn, as long as COCO's: 10.5 words and two markers on average."""
    generator = torch.Generator().manual_seed(0)
    lengths = (
        torch.randn(count, generator=generator).mul(0.2).exp().mul(12.2).round().clamp(shortest, LONGEST)
    )
    words = torch.randint(4, VOCABULARY, (count, int(lengths.max())), generator=generator)
    ids = [image_ids[number % len(image_ids)] for number in range(count)]
    return CaptionSet(ids, words * (torch.arange(words.shape[1]) < lengths[:, None]))


def draw_features(count: int) -> Tensor:
    """Return feature maps (count, 64, 2048), float16."""
    return torch.rand(count, *FEATURE_SHAPE, generator=torch.Generator().manual_seed(0)).half()


def write_shards(folder: Path, num_images: int) -> None:
    """Write `num_images` images in shards of 512, all with the same 512 feature maps."""
    features = draw_features(min(num_images, IMAGES_A_SHARD))
    writer = ShardWriter(folder=folder, shape=FEATURE_SHAPE, metadata={})
    starts = range(0, num_images, IMAGES_A_SHARD)
    for shard, start in enumerate(starts):
        image_ids = range(start, min(start + IMAGES_A_SHARD, num_images))
        names = [f"{image_id}.jpg" for image_id in image_ids]
        writer.write(shard, image_ids=image_ids, file_names=names, features=features[: len(image_ids)])
    writer.write_index(len(starts))


def write_npy(folder: Path, num_images: int) -> None:
    """Write what `write_shards` writes as TensorFlow's tutorial does: a float32 .npy file for each image."""
    features = draw_features(min(num_images, IMAGES_A_SHARD)).float().numpy()
    for image_id in range(num_images):
        np.save(folder / f"{image_id}.npy", features[image_id % len(features)])

"""Captioner training from 20,000 images' features, 5.2 GB of shards, beside 512 images': speed and memory.

The shards go into a temporary folder (TMPDIR chooses the disk) and are removed at the end. Each training is
a process of its own, one epoch over 20,000 captions. (Memory rises over the first hundreds of steps whatever
the number of images: oneDNN keeps its kernels for the shapes of up to 1,024 products.)
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ganscribe.captioning.dataset import CaptionerData, CaptionSet
from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.captioning.training import train_captioner
from ganscribe.core.devices import choose_device
from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import ShardWriter, open_shards
from ganscribe.training.budget import Budget

FEW, MANY, IMAGES_A_SHARD, CAPTIONS = 512, 20_000, 512, 20_000
VOCABULARY, WARM_UP_STEPS = 5002, 4
SPARE_BYTES = 1 << 30


def write_shards(folder: Path, num_images: int) -> None:
    """Write `num_images` images in shards of 512, all with the same 512 feature maps."""
    features = torch.rand(IMAGES_A_SHARD, *FEATURE_SHAPE, generator=torch.Generator().manual_seed(0)).half()
    writer = ShardWriter(folder=folder, shape=FEATURE_SHAPE, metadata={})
    starts = range(0, num_images, IMAGES_A_SHARD)
    for shard, start in enumerate(starts):
        image_ids = range(start, min(start + IMAGES_A_SHARD, num_images))
        names = [f"{image_id}.jpg" for image_id in image_ids]
        writer.write(shard, image_ids=image_ids, file_names=names, features=features[: len(image_ids)])
    writer.write_index(len(starts))


def resident_megabytes(kind: str) -> float:
    """Return this process's own memory (`Anon`), or its mapped pages (`File`), which the kernel may take back."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"Rss{kind}:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def train(folder: Path) -> dict[str, float]:
    """Train for an epoch on the shards in `folder`; return captions per second, and the most memory seen."""
    shards, generator = open_shards(folder), torch.Generator().manual_seed(0)
    lengths = torch.randn(CAPTIONS, generator=generator).mul(0.2).exp().mul(12.2).round().clamp(8, 49)
    words = torch.randint(4, VOCABULARY, (CAPTIONS, int(lengths.max())), generator=generator)
    image_ids = [shards.image_ids[number % len(shards)] for number in range(CAPTIONS)]
    captions = CaptionSet(image_ids, words * (torch.arange(words.shape[1]) < lengths[:, None]))
    seen: dict[str, float] = {"own": 0.0, "mapped": 0.0}
    clock: dict[int, float] = {}

    def watch(step: int, row: dict[str, float]) -> None:
        clock[step] = time.perf_counter()
        seen["own"] = max(seen["own"], resident_megabytes("Anon"))
        seen["mapped"] = max(seen["mapped"], resident_megabytes("File"))

    data = CaptionerData(
        train=captions,
        val=CaptionSet([], words[:0]),
        features=shards.gather_images,
        vocabulary_size=VOCABULARY,
        feature_dim=FEATURE_SHAPE[-1],
        longest=49,
    )
    recipe = CaptionerRecipe(epochs=1)
    budget = Budget(seed=0, log_every=WARM_UP_STEPS)
    train_captioner(data, recipe, budget=budget, device=choose_device(), log=watch)
    first, last = min(clock), max(clock)
    return seen | {"speed": recipe.batch_size * (last - first) / (clock[last] - clock[first])}


def measure(num_images: int) -> dict[str, float]:
    """Run `train` in a process of its own, on shards that are removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), num_images)
        command = [sys.executable, __file__, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def rows() -> list[dict[str, Any]]:
    """Return captions per second and resident memory, from 512 images (left) and from 20,000."""
    needed = 2 * (FEW + MANY) * FEATURE_SHAPE[0] * FEATURE_SHAPE[1] + SPARE_BYTES
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        print(f"captioner training from 5 GB: {free / 1e9:.1f} GB are free, {needed / 1e9:.1f} are needed")
        return []
    few, many = measure(FEW), measure(MANY)
    what = f"captioner training from {MANY:,} images' shards (left: from {FEW})"
    return [
        {"work": work, "tutorial": few[key], "ours": many[key], "ratio": many[key] / few[key], "unit": unit}
        for key, work, unit in (
            ("speed", what, "captions a second"),
            ("own", f"{what}, own memory", "MB"),
            ("mapped", f"{what}, mapped pages, which the kernel may take back", "MB"),
        )
    ]


if __name__ == "__main__":
    print(json.dumps(train(Path(sys.argv[1]))))

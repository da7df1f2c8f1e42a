"""Reading cached features: one float32 .npy file an image beside batches out of memory-mapped shards."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import ShardWriter, open_shards

NUM_IMAGES = 512
BATCH_SIZE = 64
ROUNDS = 7


def write_both(folder: Path) -> None:
    """The same features as one shard and as .npy files."""
    features = torch.rand(NUM_IMAGES, *FEATURE_SHAPE, generator=torch.Generator().manual_seed(0)).half()
    writer = ShardWriter(folder=folder, shape=FEATURE_SHAPE, metadata={})
    names = [f"{row}.jpg" for row in range(NUM_IMAGES)]
    writer.write(0, image_ids=range(NUM_IMAGES), file_names=names, features=features)
    writer.write_index(1)
    for row in range(NUM_IMAGES):
        np.save(folder / f"{row}.npy", features[row].float().numpy())


def rows() -> list[dict[str, Any]]:
    """The benchmark's row: images a second in random order, all pages in memory."""
    speeds: dict[str, list[float]] = {"tutorial": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder)
        shards = open_shards(folder)
        batch = torch.empty(BATCH_SIZE, *FEATURE_SHAPE, dtype=torch.float16)
        for seed in range(1 + ROUNDS):
            order = torch.randperm(NUM_IMAGES, generator=torch.Generator().manual_seed(seed)).tolist()
            start = time.perf_counter()
            for row in order:
                np.load(folder / f"{row}.npy")
            speeds["tutorial"].append(NUM_IMAGES / (time.perf_counter() - start))
            start = time.perf_counter()
            for first in range(0, NUM_IMAGES, BATCH_SIZE):
                shards.gather(order[first : first + BATCH_SIZE], out=batch)
            speeds["ours"].append(NUM_IMAGES / (time.perf_counter() - start))
        del shards
    found = {name: statistics.median(values[1:]) for name, values in speeds.items()}
    return [
        {"work": "reading cached features"}
        | found
        | {"ratio": found["ours"] / found["tutorial"], "unit": "images a second"}
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)

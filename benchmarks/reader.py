"""Reading cached features: one float32 .npy file per image, beside batches from memory-mapped shards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ganscribe.features.inception import FEATURE_SHAPE
from ganscribe.features.shards import open_shards
from samples import write_npy, write_shards
from timing import Row, Setting, Spans, Work, per_second

NUM_IMAGES, BATCH_SIZE = 512, 64
SPANS = Spans(tutorial=(512, 4096), ours=(512, 20_992))


def draw_order(count: int) -> list[int]:
    """Return `count` images: all of them in random order, again and again."""
    generator = torch.Generator().manual_seed(0)
    epochs = -(-count // NUM_IMAGES)
    return torch.cat([torch.randperm(NUM_IMAGES, generator=generator) for _ in range(epochs)])[
        :count
    ].tolist()


def read_files(count: int, *, folder: Path) -> int:
    """Read so many images' features, file by file."""
    for image_id in draw_order(count):
        np.load(folder / f"{image_id}.npy")
    return count


def read_shards(count: int, precision: str, *, folder: Path) -> int:
    """Read so many images' features, batch by batch; they are float16 in either precision."""
    shards, order = open_shards(folder), draw_order(count)
    batch = torch.empty(BATCH_SIZE, *FEATURE_SHAPE, dtype=torch.float16)
    for first in range(0, count, BATCH_SIZE):
        rows = order[first : first + BATCH_SIZE]
        shards.gather(rows, out=batch[: len(rows)])
    return count


def measure(setting: Setting) -> Row:
    """The row: images a second, all pages in memory."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_shards(folder, NUM_IMAGES)
        write_npy(folder, NUM_IMAGES)
        work = Work(
            name="reading cached features",
            tutorial=lambda count: read_files(count, folder=folder),
            ours=lambda count, precision: read_shards(count, precision, folder=folder),
            cpu=SPANS,
            card=SPANS,
            unit="images/s",
            shown=per_second,
        )
        return replace(setting, precisions=setting.precisions[:1]).measure(work)


ROWS: dict[str, Callable[[Setting], Row]] = {"reading": measure}

"""Prepared image data sets, from Parquet to tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Images:
    """Labelled images: `images` (N, C, H, W) uint8, `labels` and `rows` (in the publisher's file) (N,) int64.

    `label` k means `class_names[k]`; a class filter leaves the numbers as they are.
    """

    images: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor
    class_names: list[str]
    dataset: str
    source: str


def read_images(path: str | Path, classes: Sequence[int] | None = None) -> Images:
    """Read what `write_images` wrote; `classes` keeps only the images with these labels.

    Raises ValueError if a class is not there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    try:
        table = pq.ParquetFile(path, memory_map=True).read()
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        shape = json.loads(metadata["shape"])
        column = table["image"].combine_chunks()
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(
            f"{path} is not a Parquet file of images ({error}): make it with prepare_images"
        ) from error
    num_bytes = int(np.prod(shape))
    flat = np.frombuffer(column.buffers()[1], np.uint8, len(column) * num_bytes, column.offset * num_bytes)
    # Not read_table and to_numpy, which import pandas.
    labels, rows = (np.from_dlpack(table[name].combine_chunks()) for name in ("label", "row"))
    images = flat.reshape(-1, *shape)
    if classes is not None:
        absent = sorted(set(classes) - set(labels.tolist()))
        if absent or not classes:
            known, names = sorted(set(labels.tolist())), json.loads(metadata["classes"])
            called = ", ".join(names[label] for label in known)
            raise ValueError(f"{path} has no image of class {absent}: choose from {known} ({called})")
        chosen = np.isin(labels, classes)
        images, labels, rows = images[chosen], labels[chosen], rows[chosen]
    return Images(
        images=torch.from_numpy(images.copy()),  # a copy: Arrow's memory must not be written to
        labels=torch.from_numpy(labels.astype(np.int64)),
        rows=torch.from_numpy(rows.astype(np.int64)),
        class_names=json.loads(metadata["classes"]),
        dataset=metadata["dataset"],
        source=metadata["source"],
    )

"""Image data sets from the publishers' files to Parquet, split into train, val and test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganscribe.core.files import write_parquet
from ganscribe.sources.formats import Bytes
from ganscribe.sources.images import READERS

SPLITS = ("train", "val", "test")
ROWS_PER_GROUP = 1024
MIN_SCORED = 4  # images: precision and recall look at three neighbours


def training_split(dataset: str, num_rows: int, *, source: str) -> dict[str, range]:
    """Which of the training file's rows are train and val.

    MNIST: 50,000 and 5,000 of 60,000 (the last 5,000 unused), of fewer rows in proportion; its sample, which
    is written in this order: the last ninth. CIFAR-10: the last tenth.
    """
    if dataset == "mnist" and source != "sample":
        num_train = num_rows * 5 // 6
        return {"train": range(num_train), "val": range(num_train, num_train + num_rows // 12)}
    num_val = num_rows // (9 if dataset == "mnist" else 10)
    return {"train": range(num_rows - num_val), "val": range(num_rows - num_val, num_rows)}


def write_images(
    path: str | Path,
    images: Bytes,
    labels: Bytes,
    rows: Sequence[int],
    *,
    dataset: str,
    classes: Sequence[str],
    source: str,
) -> None:
    """Write images (N, C, H, W) uint8 as Parquet: `image` fixed-size bytes, `label` uint8, `row` int32."""
    import pyarrow as pa

    num_bytes = int(np.prod(images.shape[1:]))
    buffer = pa.py_buffer(np.ascontiguousarray(images, dtype=np.uint8))
    table = pa.table(
        {
            "image": pa.FixedSizeBinaryArray.from_buffers(pa.binary(num_bytes), len(images), [None, buffer]),
            "label": pa.array(labels, pa.uint8()),
            "row": pa.array(np.asarray(rows), pa.int32()),
        },
        metadata={
            "shape": json.dumps(list(images.shape[1:])),
            "dtype": "uint8",
            "dataset": dataset,
            "classes": json.dumps(list(classes)),
            "source": source,
        },
    )
    write_parquet(
        path,
        table,
        row_group_size=ROWS_PER_GROUP,
        compression="none",
        use_dictionary=False,
        write_statistics=["label", "row"],
    )


def image_doubts(folder: str | Path) -> list[str]:
    """Say what the stages behind cannot do with the images in `folder`: nothing in the usual case."""
    import pyarrow.parquet as pq

    tables = {split: pq.read_table(Path(folder) / f"{split}.parquet", columns=["label"]) for split in SPLITS}
    present = {split: set(table["label"].to_pylist()) for split, table in tables.items()}
    names = json.loads(tables["test"].schema.metadata[b"classes"])
    absent = {
        split: ", ".join(name for label, name in enumerate(names) if label not in labels)
        for split, labels in present.items()
    }
    doubts = []
    if any(absent.values()):
        missing = "; ".join(f"{split} has none of {those}" for split, those in absent.items() if those)
        doubts.append(
            f"some of the {len(names)} classes have no images ({missing}). Classes that are not in test cannot be"
            " scored: a GAN then has no `modes` and no `kl`. To train and score GANs on the classes that are in all"
            f" three, set `classes: {sorted(set.intersection(*present.values()))}` in their runs"
        )
    if len(tables["test"]) < MIN_SCORED:
        doubts.append(
            f"there are only {len(tables['test'])} test images, and evaluate_gan needs {MIN_SCORED}: add some"
        )
    return doubts


def prepare_images(dataset: str, root: str | Path, folder: str | Path, *, source: str) -> dict[str, int]:
    """Write train, val and test.parquet of `dataset` (mnist, cifar10) to `folder`. Returns the row counts."""
    raw = READERS[dataset](root)
    splits = training_split(dataset, len(raw.train[1]), source=source)
    parts = {name: (*raw.train, rows) for name, rows in splits.items()}
    parts["test"] = (*raw.test, range(len(raw.test[1])))
    for name, (images, labels, rows) in parts.items():
        if not rows:
            raise ValueError(
                f"{dataset}: no rows are left for {name}: {len(raw.train[1])} training rows are too few"
            )
        write_images(
            Path(folder) / f"{name}.parquet",
            images[rows.start : rows.stop],
            labels[rows.start : rows.stop],
            rows,
            dataset=dataset,
            classes=raw.class_names,
            source=source,
        )
    return {name: len(rows) for name, (_, _, rows) in parts.items()}

"""Image data sets from the publishers' files to Parquet, split into train, val and test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganscribe.core.files import write_parquet
from ganscribe.sources.formats import Bytes
from ganscribe.sources.images import READERS

ROWS_PER_GROUP = 1024


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


def absent_classes(folder: str | Path) -> str | None:
    """Say which classes a split in `folder` has no image of, and what that means; None where it has all of them."""
    import pyarrow.parquet as pq

    absent, common, names = {}, set(range(256)), []
    for split in ("train", "val", "test"):
        table = pq.read_table(Path(folder) / f"{split}.parquet", columns=["label"])
        names, present = json.loads(table.schema.metadata[b"classes"]), set(table["label"].to_pylist())
        absent[split] = [name for label, name in enumerate(names) if label not in present]
        common &= present
    if not any(absent.values()):
        return None
    missing = "; ".join(f"{split} has none of {', '.join(each)}" for split, each in absent.items() if each)
    return (
        f"some of the {len(names)} classes have no images ({missing}). Classes that are not in test cannot be scored: a"
        " GAN then has no `modes` and no `kl`. To train and score GANs on the classes that are in all three, set"
        f" `classes: {sorted(common)}` in their runs"
    )


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

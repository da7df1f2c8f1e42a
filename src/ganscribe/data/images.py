"""Image data sets: from the publishers' files to Parquet, and from Parquet to tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganscribe.data.formats import Bytes, read_cifar_batch, read_cifar_classes, read_idx
from ganscribe.runtime import atomic_write

if TYPE_CHECKING:
    import torch

DIGITS = [str(digit) for digit in range(10)]
MNIST_FOLDER = "MNIST/raw"
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
ROWS_PER_GROUP = 1024


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


@dataclass(frozen=True)
class RawImages:
    """A publisher's training and test rows: images (N, C, H, W) and labels (N,), uint8."""

    train: tuple[Bytes, Bytes]
    test: tuple[Bytes, Bytes]
    class_names: list[str]


def find_idx(root: str | Path, name: str) -> Path:
    """MNIST's file `name`, plain or gzipped, under `root`/MNIST/raw."""
    plain = Path(root) / MNIST_FOLDER / name
    for path in (plain, plain.with_name(name + ".gz")):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{plain} (or .gz) is missing: `folder` must be the one that holds {MNIST_FOLDER}"
    )


def mnist_files(root: str | Path) -> list[Path]:
    """MNIST's four files."""
    return [
        find_idx(root, f"{part}-{kind}-ubyte")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]


def cifar10_files(root: str | Path) -> list[Path]:
    """CIFAR-10's files: the class names, five training batches, the test batch."""
    folder = Path(root) / CIFAR10_FOLDER
    paths = [folder / name for name in ("batches.meta", *CIFAR10_BATCHES, "test_batch")]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: `folder` must be the one that holds {CIFAR10_FOLDER}"
            )
    return paths


def read_mnist(root: str | Path) -> RawImages:
    """Read and check MNIST's four files under `root`."""
    train_images, train_labels, test_images, test_labels = mnist_files(root)
    return RawImages(
        train=_read_idx_pair(train_images, train_labels),
        test=_read_idx_pair(test_images, test_labels),
        class_names=DIGITS,
    )


def _read_idx_pair(images_path: Path, labels_path: Path) -> tuple[Bytes, Bytes]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path} holds the shape {images.shape}, not (N, 28, 28)")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{labels_path} has {labels.shape} labels for {len(images)} images")
    if len(labels) and labels.max() > 9:
        raise ValueError(f"{labels_path} has the label {labels.max()}: not a digit")
    return images[:, None], labels


def read_cifar10(root: str | Path) -> RawImages:
    """Read and check CIFAR-10's batches under `root`; fewer rows than the publisher's are no error."""
    meta, *training, test = cifar10_files(root)
    batches = [read_cifar_batch(path) for path in training]
    return RawImages(
        train=(np.concatenate([each[0] for each in batches]), np.concatenate([each[1] for each in batches])),
        test=read_cifar_batch(test),
        class_names=read_cifar_classes(meta),
    )


READERS = {"mnist": read_mnist, "cifar10": read_cifar10}


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
    import pyarrow.parquet as pq

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
    with atomic_write(path) as handle:
        pq.write_table(
            table,
            handle,
            row_group_size=ROWS_PER_GROUP,
            compression="none",
            use_dictionary=False,
            write_statistics=["label", "row"],
        )


def read_images(path: str | Path, classes: Sequence[int] | None = None) -> Images:
    """Read what `write_images` wrote; `classes` keeps only the images with these labels.

    Raises ValueError if a class is not there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    try:
        table = pq.read_table(path, memory_map=True)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        shape = json.loads(metadata["shape"])
        column = table["image"].combine_chunks()
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(
            f"{path} is no Parquet file of images ({error}): make it with prepare_images"
        ) from error
    num_bytes = int(np.prod(shape))
    flat = np.frombuffer(column.buffers()[1], np.uint8, len(column) * num_bytes, column.offset * num_bytes)
    images, labels, rows = flat.reshape(-1, *shape), table["label"].to_numpy(), table["row"].to_numpy()
    if classes is not None:
        absent = sorted(set(classes) - set(labels.tolist()))
        if absent or not classes:
            raise ValueError(
                f"{path} has no image of class {absent}: choose from {sorted(set(labels.tolist()))}"
            )
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

"""Prepared image data sets: their splits, what their rows are, the real data."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ganscribe.datasets.images import read_images
from ganscribe.datasets.prepare import image_doubts, prepare_images, training_split, write_images
from ganscribe.sources.formats import write_idx, write_plain_pickle
from ganscribe.sources.images import CIFAR10_FOLDER, MNIST_FOLDER, mnist_files, read_mnist
from publications import small_mnist


@pytest.mark.parametrize(
    ("dataset", "source", "rows", "train", "val"),
    [
        ("mnist", "download", 60_000, range(50_000), range(50_000, 55_000)),
        ("mnist", "local", 600, range(500), range(500, 550)),
        ("mnist", "sample", 4_500, range(4_000), range(4_000, 4_500)),
        ("cifar10", "download", 50_000, range(45_000), range(45_000, 50_000)),
        ("cifar10", "local", 9_500, range(8_550), range(8_550, 9_500)),
        ("cifar10", "sample", 900, range(810), range(810, 900)),
    ],
)
def test_splits_of_the_spec(dataset: str, source: str, rows: int, train: range, val: range) -> None:
    assert training_split(dataset, rows, source=source) == {"train": train, "val": val}


def test_prepare_mnist_plain_and_gzipped(tmp_path: Path) -> None:
    folder = small_mnist(tmp_path / "raw") / MNIST_FOLDER
    assert prepare_images("mnist", tmp_path / "raw", tmp_path / "plain", source="local") == {
        "train": 20,
        "val": 2,
        "test": 6,
    }
    for path in list(folder.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    prepare_images("mnist", tmp_path / "raw", tmp_path / "gz", source="local")
    for name in ("train", "val", "test"):
        assert (tmp_path / f"plain/{name}.parquet").read_bytes() == (
            tmp_path / f"gz/{name}.parquet"
        ).read_bytes()
    raw = read_mnist(tmp_path / "raw")
    back = read_images(tmp_path / "gz/val.parquet")
    assert back.rows.tolist() == [20, 21]
    np.testing.assert_array_equal(back.images.numpy(), raw.train[0][20:22])
    assert back.labels.tolist() == raw.train[1][20:22].tolist()


def test_too_few_rows(tmp_path: Path) -> None:
    small_mnist(tmp_path, num_train=3)
    with pytest.raises(ValueError, match="mnist: no rows are left for val"):
        prepare_images("mnist", tmp_path, tmp_path / "out", source="local")


def test_prepare_cifar10(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = [f"class {number}" for number in range(10)]
    folder = tmp_path / CIFAR10_FOLDER
    write_plain_pickle(folder / "batches.meta", {"label_names": names})
    rows = rng.integers(0, 256, (24, 3072), dtype=np.uint8)
    for number in range(6):
        name = f"data_batch_{number + 1}" if number < 5 else "test_batch"
        part = slice(4 * number, 4 * number + 4)
        write_plain_pickle(folder / name, {"data": rows[part], "labels": [number] * 4})
    assert prepare_images("cifar10", tmp_path, tmp_path / "out", source="local") == {
        "train": 18,
        "val": 2,
        "test": 4,
    }
    back = read_images(tmp_path / "out/train.parquet")
    # Row = 1,024 red, 1,024 green, 1,024 blue values, each in row-major order (the publisher's page).
    assert back.images[5, 1, 2, 3] == rows[5, 1024 + 2 * 32 + 3]
    assert back.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 2
    assert back.class_names == names
    assert read_images(tmp_path / "out/test.parquet").labels.tolist() == [5] * 4


def test_real_mnist(test_data: Path, tmp_path: Path) -> None:
    root = test_data / "mnist"
    inflated = gzip.decompress(mnist_files(root)[0].read_bytes())
    assert hashlib.md5(inflated).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    counts = prepare_images("mnist", root, tmp_path, source="local")
    assert counts == {"train": 50_000, "val": 5_000, "test": 10_000}
    val = read_images(tmp_path / "val.parquet")
    start = 16 + 50_000 * 784
    assert val.images.numpy().tobytes() == inflated[start : start + 5_000 * 784]
    assert val.rows[[0, -1]].tolist() == [50_000, 54_999]
    # Digits per class in the 10,000 test images, as published.
    test = read_images(tmp_path / "test.parquet")
    assert test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def idx_data_set(root: Path, train: list[int], test: list[int]) -> Path:
    """Pictures in MNIST's layout with these labels; a picture is as bright as its label says."""
    for part, labels in (("train", train), ("t10k", test)):
        values = np.array(labels, np.uint8)
        images = np.broadcast_to(values[:, None, None], (len(values), 28, 28))
        write_idx(root / MNIST_FOLDER / f"{part}-images-idx3-ubyte", images)
        write_idx(root / MNIST_FOLDER / f"{part}-labels-idx1-ubyte", values)
    return root


@pytest.mark.parametrize("labels", [range(3), range(10), range(1, 27), range(47), [3, 7, 200]])
def test_classes_in_mnist_s_layout_are_the_labels_that_occur(tmp_path: Path, labels: Sequence[int]) -> None:
    root = idx_data_set(tmp_path / "raw", [*labels] * 12, [*labels])
    prepare_images("mnist", root, tmp_path / "out", source="local")
    for split in ("train", "val", "test"):
        back = read_images(tmp_path / f"out/{split}.parquet")
        assert back.class_names == [str(label) for label in labels]
        named = [int(back.class_names[label]) for label in back.labels.tolist()]
        assert named == back.images[:, 0, 0, 0].tolist()
    said = image_doubts(tmp_path / "out")
    assert len(said) == (len(labels) < 4) and all("only 3 test images" in doubt for doubt in said)


def test_what_classes_are_absent_is_said_at_preparation(tmp_path: Path) -> None:
    root = idx_data_set(tmp_path / "raw", [0, 1, 2, 3] * 6, [0, 2, 2, 1])
    prepare_images("mnist", root, tmp_path / "out", source="local")
    (said,) = image_doubts(tmp_path / "out")
    val = read_images(tmp_path / "out/val.parquet").labels.tolist()
    assert "test has none of 3" in said and "val has none of 2, 3" in said and "train has" not in said
    assert set(val) == {0, 1} and said.endswith("set `classes: [0, 1]` in their runs")
    for split in ("train", "val", "test"):  # so that a run with these can be trained and scored
        read_images(tmp_path / f"out/{split}.parquet", [0, 1])


def test_images_lie_uncompressed_in_small_row_groups(tmp_path: Path) -> None:
    """So that they can be read from memory-mapped files, a part at a time."""
    import pyarrow.parquet as pq

    images, labels = np.zeros((1500, 1, 2, 2), np.uint8), np.zeros(1500, np.uint8)
    path = tmp_path / "images.parquet"
    write_images(path, images, labels, range(1500), dataset="mnist", classes="0", source="drawn")
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [1024, 476]
    columns = [metadata.row_group(0).column(index) for index in range(3)]
    assert {column.compression for column in columns} == {"UNCOMPRESSED"}
    assert [column.is_stats_set for column in columns] == [False, True, True]

"""Image data sets as Parquet: round trips, other readers, splits, the real data."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganscribe.datasets.images import read_images
from ganscribe.datasets.prepare import prepare_images, training_split, write_images
from ganscribe.sources.formats import write_idx, write_plain_pickle
from ganscribe.sources.images import CIFAR10_FOLDER, MNIST_FOLDER, mnist_files, read_cifar10, read_mnist

NAMES = ["cat", "dog", "Ünicode"]


def some(shape: tuple[int, ...] = (3, 5, 4), count: int = 2500) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "images": rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        "labels": rng.integers(0, 3, count, dtype=np.uint8),
        "rows": range(7, 7 + count),
    }


def write(path: Path, data: dict[str, Any]) -> None:
    write_images(path, **data, dataset="mnist", classes=NAMES, source="sample")


def test_round_trip(tmp_path: Path) -> None:
    data = some()
    write(tmp_path / "x.parquet", data)
    back = read_images(tmp_path / "x.parquet")
    np.testing.assert_array_equal(back.images.numpy(), data["images"])
    np.testing.assert_array_equal(back.labels.numpy(), data["labels"])
    assert back.rows.tolist() == list(data["rows"])
    assert (back.class_names, back.dataset, back.source) == (NAMES, "mnist", "sample")
    assert str(back.images.dtype) == "torch.uint8" and str(back.labels.dtype) == "torch.int64"
    back.images[:] = 0  # its own memory


def test_class_filter(tmp_path: Path) -> None:
    data = some()
    write(tmp_path / "x.parquet", data)
    back = read_images(tmp_path / "x.parquet", classes=[2, 0])
    keep = data["labels"] != 1
    np.testing.assert_array_equal(back.images.numpy(), data["images"][keep])
    assert back.labels.tolist() == data["labels"][keep].tolist()
    with pytest.raises(ValueError, match=r"no image of class \[9\]: choose from \[0, 1, 2\]"):
        read_images(tmp_path / "x.parquet", classes=[0, 9])


def test_same_bytes_each_time(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", some())
    write(tmp_path / "y.parquet", some())
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "y.parquet").read_bytes()


def test_other_readers(tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow.parquet as pq

    data = some()
    write(tmp_path / "x.parquet", data)
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert list(frame.columns) == ["image", "label", "row"]
    assert frame["image"][3] == data["images"][3].tobytes()
    assert frame["label"].tolist() == data["labels"].tolist()

    schema = pq.read_schema(tmp_path / "x.parquet")
    assert [str(schema.field(name).type) for name in schema.names] == [
        "fixed_size_binary[60]",
        "uint8",
        "int32",
    ]
    metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert json.loads(metadata["shape"]) == [3, 5, 4]
    assert json.loads(metadata["classes"]) == NAMES
    assert (metadata["dtype"], metadata["dataset"], metadata["source"]) == ("uint8", "mnist", "sample")


def test_not_our_file(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no Parquet file of images"):
        read_images(tmp_path / "x.parquet")


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


def mnist(root: Path, num_train: int = 24, num_test: int = 5) -> Path:
    rng = np.random.default_rng(2)
    folder = root / MNIST_FOLDER
    for part, count in (("train", num_train), ("t10k", num_test)):
        write_idx(folder / f"{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", rng.integers(0, 10, count, dtype=np.uint8))
    return folder


def test_prepare_mnist_plain_and_gzipped(tmp_path: Path) -> None:
    folder = mnist(tmp_path / "raw")
    assert prepare_images("mnist", tmp_path / "raw", tmp_path / "plain", source="local") == {
        "train": 20,
        "val": 2,
        "test": 5,
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


def test_bad_mnist(tmp_path: Path) -> None:
    folder = mnist(tmp_path)
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(4, np.uint8))
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte has \(4,\) labels for 5 images"):
        read_mnist(tmp_path)
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(5, 11, np.uint8))
    with pytest.raises(ValueError, match="the label 11: not a digit"):
        read_mnist(tmp_path)
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((5, 28, 27), np.uint8))
    with pytest.raises(ValueError, match=r"not \(N, 28, 28\)"):
        read_mnist(tmp_path)
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte \(or \.gz\) is missing"):
        read_mnist(tmp_path)


def test_too_few_rows(tmp_path: Path) -> None:
    mnist(tmp_path, num_train=3)
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


def test_real_cifar10(test_data: Path) -> None:
    raw = read_cifar10(test_data / "cifar10")
    assert raw.train[0].shape == (9_500, 3, 32, 32) and raw.test[0].shape == (1_000, 3, 32, 32)
    assert raw.class_names[7] == "horse"
    assert np.bincount(raw.train[1]).tolist() == [500] * 7 + [5_000] + [500] * 2

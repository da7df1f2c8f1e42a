"""Image data sets as Parquet: round trips, other readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganscribe.datasets.images import read_images
from ganscribe.datasets.prepare import write_images

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
    with pytest.raises(
        ValueError, match=r"no image of class \[9\]: choose from \[0, 1, 2\] \(cat, dog, Ünicode\)"
    ):
        read_images(tmp_path / "x.parquet", classes=[0, 9])
    with pytest.raises(ValueError, match=r"no image of class \[\]: choose from \[0, 1, 2\]"):
        read_images(tmp_path / "x.parquet", classes=[])


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
    with pytest.raises(ValueError, match="not a Parquet file of images"):
        read_images(tmp_path / "x.parquet")

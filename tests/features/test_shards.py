"""Shards read back by pandas and pyarrow, and the memory-mapped path against both."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ganscribe.features.shards import ShardWriter, open_shards, shard_metadata, shard_name

SHAPE = (4, 33)
METADATA = {
    "network": "n", "weights": "w", "weights_sha256": "0" * 64, "preprocessing": "p",
}  # fmt: skip


def write_shards(folder: Path, sizes: tuple[int, ...] = (150, 0, 64, 7)) -> torch.Tensor:
    features = torch.randn(sum(sizes), *SHAPE, generator=torch.Generator().manual_seed(0)).half()
    writer = ShardWriter(folder=folder, shape=SHAPE, metadata=METADATA)
    start = 0
    for shard, size in enumerate(sizes):
        rows = range(start, start + size)
        # Names of many lengths, so that the features begin at odd offsets too.
        names = [f"{'x' * (row % 7)}{row}.jpg" for row in rows]
        writer.write(
            shard, image_ids=[9 * r for r in rows], file_names=names, features=features[start:][:size]
        )
        start += size
    writer.write_index(len(sizes))
    return features


def test_memory_mapped_rows_equal_what_was_written(tmp_path: Path) -> None:
    features = write_shards(tmp_path)
    shards = open_shards(tmp_path)
    assert (len(shards), shards.shape, shards.metadata["network"]) == (221, SHAPE, "n")
    assert shards.image_ids == [9 * row for row in range(221)]
    assert all(torch.equal(shards[row], features[row]) for row in range(221))
    rows = torch.randperm(221, generator=torch.Generator().manual_seed(1)).tolist()
    assert torch.equal(shards.gather(rows), features[rows])
    out = torch.empty(221, *SHAPE, dtype=torch.float16)
    assert shards.gather_images([9 * row for row in rows], out) is out
    assert torch.equal(out, features[rows])
    files = [pq.read_metadata(tmp_path / shard_name(shard)) for shard in range(4)]
    sizes = [file.row_group(group).num_rows for file in files for group in range(file.num_row_groups)]
    assert [size for size in sizes if size] == [64, 64, 22, 64, 7]


def test_pandas_and_pyarrow_read_the_same(tmp_path: Path) -> None:
    features = write_shards(tmp_path)
    frame = pd.concat(pd.read_parquet(tmp_path / shard_name(shard)) for shard in range(4))
    values = np.stack([np.frombuffer(row, np.float16).reshape(SHAPE) for row in frame["features"]])
    assert np.array_equal(values, features.numpy())
    index = pd.read_parquet(tmp_path / "index.parquet")
    assert list(index["file_name"]) == list(frame["file_name"])
    for entry in index.iloc[[0, 149, 150, 213, 220]].itertuples():
        table = pq.read_table(tmp_path / shard_name(entry.shard))
        assert table["image_id"][entry.row].as_py() == entry.image_id
        assert table["features"][entry.row].as_py() == features[entry.image_id // 9].numpy().tobytes()
    assert shard_metadata(tmp_path / shard_name(0)) == METADATA | {"shape": "[4, 33]", "dtype": "float16"}


def map_of(view: np.ndarray) -> object:
    """What the bytes of a view belong to in the end."""
    owner: object = view
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner


def test_a_view_is_no_copy_and_never_changes_the_file(tmp_path: Path) -> None:
    features = write_shards(tmp_path)
    before = (tmp_path / shard_name(0)).read_bytes()
    shards = open_shards(tmp_path)
    assert shards[3].data_ptr() == shards[3].data_ptr() == shards.rows[3].ctypes.data
    maps = {id(map_of(row)): map_of(row) for row in shards.rows}
    assert len(maps) == 3 and all(
        isinstance(mapped, mmap.mmap) for mapped in maps.values()
    )  # a file with rows
    # Every tensor lies within the map of its file, at the very place that the bytes have in the file.
    for row in (0, 149, 150, 220):
        mapped = np.frombuffer(map_of(shards.rows[row]), np.uint8)
        assert np.shares_memory(mapped, shards[row].numpy())
        offset = shards[row].data_ptr() - mapped.ctypes.data
        path = tmp_path / shard_name(0 if row < 150 else 2 if row < 214 else 3)
        assert path.read_bytes()[offset:][: 2 * 4 * 33] == features[row].numpy().tobytes()
    shards[3].zero_()
    assert (tmp_path / shard_name(0)).read_bytes() == before
    assert torch.equal(open_shards(tmp_path)[3], features[3])


def test_same_bytes_twice_and_nothing_else_in_the_folder(tmp_path: Path) -> None:
    write_shards(tmp_path / "a")
    write_shards(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["index.parquet", *(shard_name(shard) for shard in range(4))]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def rewritten(tmp_path: Path, **options: object) -> None:
    table = pq.read_table(tmp_path / shard_name(0))
    pq.write_table(table, tmp_path / shard_name(0), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"compression": "none", "use_dictionary": True},
        {"compression": "none", "use_dictionary": False, "data_page_size": 100, "write_batch_size": 8},
    ],
)
def test_another_layout_is_refused_not_misread(tmp_path: Path, options: dict[str, object]) -> None:
    write_shards(tmp_path)
    rewritten(tmp_path, row_group_size=64, **options)
    with pytest.raises(ValueError, match="laid out"):
        open_shards(tmp_path)


def test_bad_folders_and_writes_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.parquet is missing"):
        open_shards(tmp_path)
    write_shards(tmp_path)
    with pytest.raises(ValueError, match="no features of image 5"):
        open_shards(tmp_path).gather_images([0, 5])
    writer = ShardWriter(folder=tmp_path, shape=SHAPE, metadata=METADATA | {"network": "other"})
    with pytest.raises(ValueError, match="not"):
        writer.write(3, image_ids=[1], file_names=["a"], features=torch.zeros(1, 4, 32).half())
    with pytest.raises(ValueError, match=r"torch\.float32, not .* torch\.float16"):
        writer.write(3, image_ids=[1], file_names=["a"], features=torch.zeros(1, *SHAPE))
    writer.write(3, image_ids=range(7), file_names=["a"] * 7, features=torch.zeros(7, *SHAPE).half())
    with pytest.raises(ValueError, match="different networks"):
        open_shards(tmp_path)
    wide = pq.read_table(tmp_path / shard_name(0))
    wide = wide.replace_schema_metadata(wide.schema.metadata | {b"dtype": b"float32"})
    for table in (wide, pa.table({"a": [1]})):
        pq.write_table(table, tmp_path / shard_name(0))
        with pytest.raises(ValueError, match="not a feature shard"):
            open_shards(tmp_path)

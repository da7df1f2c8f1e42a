"""The Parquet files between stages, as pandas, pyarrow, DuckDB and Hugging Face `datasets` read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.evaluation import write_decoded
from ganscribe.datasets.captions import SelectedCaption, write_captions
from ganscribe.datasets.prepare import write_images
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary, write_tokens
from ganscribe.features.shards import ShardWriter, shard_name

Rows = list[dict[str, Any]]
FEATURES = torch.randn(70, 64, 2048, generator=torch.Generator().manual_seed(0)).half()


def write_all(folder: Path) -> dict[str, Path]:
    """One file of each kind."""
    writer = ShardWriter(folder=folder, shape=(64, 2048), metadata={"network": "n"})
    names = [f"{number}.jpg" for number in range(70)]
    writer.write(0, image_ids=range(70), file_names=names, features=FEATURES)
    writer.write_index(1)
    caption = SelectedCaption(3, 31, "3.jpg", "http://a/3.jpg", "A dog, a café.", "train", True)
    write_captions(folder / "captions.parquet", [caption])
    write_tokens(
        folder / "tokens.parquet",
        image_ids=[1, 2],
        caption_ids=[5, 6],
        splits=["train", "val"],
        kept=[True, False],
        tokens=[[2, 4, 3], [2, 3]],
    )
    pixels = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    labels = np.array([1, 0], np.uint8)
    facts: dict[str, Any] = {"dataset": "cifar10", "classes": ["a", "b"], "source": "sample"}
    write_images(folder / "images.parquet", pixels, labels, [7, 9], **facts)
    found = [Decoded([4, 4], torch.rand(2, 64), -1.5, True), Decoded([], torch.rand(0, 64), -0.5, False)]
    write_decoded(
        folder / "greedy.parquet",
        found,
        image_ids=[1, 2],
        file_names=["1.jpg", "2.jpg"],
        vocabulary=Vocabulary((PAD, UNK, START, END, "dog")),
    )
    kinds = ("captions", "tokens", "images", "greedy", "index")
    return {"shard": folder / shard_name(0)} | {name: folder / f"{name}.parquet" for name in kinds}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_all(tmp_path_factory.mktemp("readers"))


def by_pandas(path: Path, scratch: Path) -> Rows:
    return pd.read_parquet(path).to_dict("records")


def by_duckdb(path: Path, scratch: Path) -> Rows:
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("select * from read_parquet(?)", [str(path)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def by_datasets(path: Path, scratch: Path) -> Rows:
    datasets = pytest.importorskip(
        "datasets", minversion="5.1", reason="datasets 5.0 reads no fixed-size binary"
    )
    return list(datasets.Dataset.from_parquet(str(path), cache_dir=str(scratch)))


def plain(value: Any) -> Any:
    """Arrays as lists, numbers as Python's own."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("read", [by_pandas, by_duckdb, by_datasets])
def test_every_reader_finds_the_same_rows(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for kind, path in files.items():
        expected = pq.read_table(path).to_pylist()
        found = [{name: plain(value) for name, value in row.items()} for row in read(path, tmp_path)]
        assert found == expected and len(found) > 0, kind


def test_the_rows_are_what_was_written(files: dict[str, Path]) -> None:
    rows = pq.read_table(files["shard"]).to_pylist()
    values = np.stack([np.frombuffer(row["features"], np.float16).reshape(64, 2048) for row in rows])
    assert np.array_equal(values, FEATURES.numpy())
    assert pq.read_table(files["tokens"])["tokens"].to_pylist() == [[2, 4, 3], [2, 3]]
    assert pq.read_table(files["captions"])["caption"].to_pylist() == ["A dog, a café."]


def test_duckdb_chooses_among_all_shards(files: dict[str, Path]) -> None:
    import duckdb

    pattern = str(files["shard"].parent / "shard-*.parquet")
    query = f"select file_name, features from '{pattern}' where image_id in (5, 66) order by image_id"
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    assert [name for name, _ in rows] == ["5.jpg", "66.jpg"]
    assert rows[1][1] == FEATURES[66].numpy().tobytes()

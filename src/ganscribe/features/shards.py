"""Feature shards: Parquet files that any reader opens, laid out so that ours maps them into memory.

One row per image: image_id, file_name, features (fixed-size binary). The features are stored plain and
uncompressed, in row groups of 64 rows with one page each, so that a row's bytes are contiguous in the file and
a batch is gathered by as many memory copies as it has rows. `open_shards` refuses any other layout.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganscribe.core.files import write_parquet

ROWS_PER_GROUP = 64
INDEX_FILE = "index.parquet"
KEYS = ("shape", "dtype", "network", "weights", "weights_sha256", "preprocessing", "decoder", "precision")


def shard_name(shard: int) -> str:
    """File name of shard number `shard`."""
    return f"shard-{shard:05d}.parquet"


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """Writes shards and their index into `folder`; `metadata` (strings, `KEYS`) goes into each of them.

    `shape` is of one row, such as (64, 2048); the values are float16.
    """

    folder: Path
    shape: tuple[int, ...]
    metadata: dict[str, str]

    def write(
        self,
        shard: int,
        *,
        image_ids: Sequence[int],
        file_names: Sequence[str],
        features: torch.Tensor,
        notes: dict[str, str] | None = None,
    ) -> Path:
        """Write one shard atomically; `features` is (N, *shape) float16, `notes` are further metadata."""
        import pyarrow as pa

        if features.dtype != torch.float16 or tuple(features.shape) != (len(image_ids), *self.shape):
            raise ValueError(
                f"features are {tuple(features.shape)} {features.dtype}, not"
                f" {(len(image_ids), *self.shape)} torch.float16"
            )
        row_bytes = 2 * math.prod(self.shape)
        facts = {"shape": json.dumps(list(self.shape)), "dtype": "float16"} | self.metadata | (notes or {})
        schema = pa.schema(
            [
                pa.field("image_id", pa.int64(), nullable=False),
                pa.field("file_name", pa.string(), nullable=False),
                # Not nullable: definition levels would lie between the page's header and the rows.
                pa.field("features", pa.binary(row_bytes), nullable=False),
            ],
            metadata=dict(sorted(facts.items())),
        )
        values = pa.py_buffer(features.contiguous().view(torch.uint8).numpy())
        rows = pa.FixedSizeBinaryArray.from_buffers(pa.binary(row_bytes), len(image_ids), [None, values])
        table = pa.table(
            [pa.array(image_ids, pa.int64()), pa.array(file_names, pa.string()), rows], schema=schema
        )
        path = self.folder / shard_name(shard)
        write_parquet(
            path,
            table,
            row_group_size=ROWS_PER_GROUP,
            compression="none",
            use_dictionary=False,
            write_statistics=["image_id"],  # a feature map's minimum would be a copy of one
        )
        return path

    def write_index(self, num_shards: int) -> None:
        """Write index.parquet over the shards: image_id, file_name, shard, row."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for shard in range(num_shards):
            names = pq.read_table(self.folder / shard_name(shard), columns=["image_id", "file_name"])
            places = {
                "shard": pa.array([shard] * len(names), pa.int32()),
                "row": pa.array(range(len(names)), pa.int32()),
            }
            columns = {name: names[name] for name in names.column_names} | places
            tables.append(pa.table(columns))
        write_parquet(self.folder / INDEX_FILE, pa.concat_tables(tables))


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Features over the memory map, opened by `open_shards`. Rows are numbered over all shards."""

    folder: Path
    shape: tuple[int, ...]
    metadata: dict[str, str]
    image_ids: list[int]
    file_names: list[str]
    rows: list[np.ndarray]  # a view on the mapped file each, uint8
    row_of: dict[int, int]  # by image id

    def __len__(self) -> int:
        return len(self.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the files itself."""
        return open_shards, (self.folder.resolve(),)

    def __getitem__(self, row: int) -> torch.Tensor:
        """Features of one row, `shape` float16, without a copy."""
        # The offset in the file may be odd; x86 and arm64 load from any address.
        return torch.frombuffer(self.rows[row].data, dtype=torch.float16).view(self.shape)

    def gather(self, rows: Sequence[int], out: torch.Tensor | None = None) -> torch.Tensor:
        """Features of `rows`, (N, *shape) float16, copied into `out` where it is given (fastest)."""
        if out is None:
            out = torch.empty((len(rows), *self.shape), dtype=torch.float16)
        target = out.view(len(rows), math.prod(self.shape)).view(torch.uint8).numpy()
        for index, row in enumerate(rows):
            target[index] = self.rows[row]
        return out

    def gather_images(self, image_ids: Sequence[int], out: torch.Tensor | None = None) -> torch.Tensor:
        """Features of the images `image_ids`, as `gather`. Raises ValueError for an image that has none."""
        missing = [image_id for image_id in image_ids if image_id not in self.row_of]
        if missing:
            raise ValueError(
                f"no features of image {missing[0]}: it was rejected, or run `dvc repro extract_features`"
            )
        return self.gather([self.row_of[image_id] for image_id in image_ids], out)


def _features_offset(column: Any, num_rows: int, row_bytes: int) -> int | None:
    """Where a row group's feature bytes begin, or None if they are not plain, contiguous rows."""
    header_bytes = column.total_compressed_size - num_rows * row_bytes
    is_plain = (
        column.compression == "UNCOMPRESSED"
        and not column.has_dictionary_page
        and set(column.encodings) <= {"PLAIN", "RLE"}  # RLE: of the levels, of which there are none
        and column.num_values == num_rows
        and 0 < header_bytes < 64  # one page: its header takes some 26 bytes
    )
    return int(column.data_page_offset) + header_bytes if is_plain else None


def _open_shard(path: Path, row_bytes: int) -> list[np.ndarray]:
    """Views on the rows of one shard."""
    facts = _parquet("read_metadata", path)
    mapped = np.memmap(path, np.uint8, "c")  # a write stays in this process, the file as it is
    views: list[np.ndarray] = []
    row_groups = [facts.row_group(group) for group in range(facts.num_row_groups)]
    row_groups = [row_group for row_group in row_groups if row_group.num_rows > 0]
    for row_group in row_groups:
        is_ours = row_group.num_columns == 3
        offset = _features_offset(row_group.column(2), row_group.num_rows, row_bytes) if is_ours else None
        if offset is None or not 0 <= offset <= len(mapped) - row_group.num_rows * row_bytes:
            raise ValueError(
                f"{path} is not laid out as a feature shard: run `dvc repro -f extract_features`"
            )
        end = offset + row_group.num_rows * row_bytes
        views += list(np.asarray(mapped[offset:end]).reshape(row_group.num_rows, row_bytes))
    return views


def _parquet(read: str, path: str | Path, **options: Any) -> Any:
    """What pyarrow.parquet's function `read` finds in `path`. Raises ValueError for a damaged file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return getattr(pq, read)(path, **options)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(f"{path} is damaged ({reason}): run `dvc repro -f extract_features`") from error


def shard_metadata(path: str | Path) -> dict[str, str]:
    """The strings in a shard's own metadata, `KEYS` among them."""
    try:
        metadata = (_parquet("read_schema", path).metadata or {}).items()
        found = {key.decode(): value.decode() for key, value in metadata if key != b"ARROW:schema"}
        sizes = json.loads(found["shape"])
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, RecursionError):
        sizes = None
    if (
        not (isinstance(sizes, list) and sizes and all(type(size) is int and size > 0 for size in sizes))
        or found.get("dtype") != "float16"
    ):
        raise ValueError(f"{path} is not a feature shard: run `dvc repro -f extract_features`")
    return found


def is_whole(path: Path) -> bool:
    """Whether the shard `path` is there and can be read; the features themselves have no checksum."""
    try:
        _open_shard(path, 2 * math.prod(json.loads(shard_metadata(path)["shape"])))
        _parquet("read_table", path, columns=["image_id", "file_name"])
    except (FileNotFoundError, ValueError):
        return False
    return True


def _read_index(path: Path) -> dict[str, list[Any]]:
    """The columns of the index. One row in it takes a row of a shard, which bounds how many are read."""
    problem = f"{path} is not an index of these feature shards: run `dvc repro -f extract_features`"
    shards = path.parent.glob("shard-*.parquet")
    if _parquet("read_metadata", path).num_rows > sum(shard.stat().st_size for shard in shards):
        raise ValueError(problem)
    try:
        index: dict[str, list[Any]] = _parquet("read_table", path).to_pydict()
    except UnicodeDecodeError as error:
        raise ValueError(problem) from error
    kinds = {"image_id": int, "file_name": str, "shard": int}
    if not all(type(value) is kind for key, kind in kinds.items() for value in index.get(key, [None])):
        raise ValueError(problem)
    return index


def open_shards(folder: str | Path) -> Shards:
    """Map the shards in `folder` into memory; a row is (64, 2048) float16.

    Raises FileNotFoundError without an index, ValueError for shards that differ or have another layout.
    """
    folder = Path(folder)
    if not (folder / INDEX_FILE).exists():
        raise FileNotFoundError(f"{folder / INDEX_FILE} is missing: run `dvc repro extract_features`")
    index = _read_index(folder / INDEX_FILE)
    num_shards = max(index["shard"], default=-1) + 1
    if num_shards <= 0:
        raise ValueError(f"{folder} holds no features: run `dvc repro -f extract_features`")
    every_metadata = [
        {key: value for key, value in shard_metadata(folder / shard_name(shard)).items() if key in KEYS}
        for shard in range(num_shards)
    ]
    if any(metadata != every_metadata[0] for metadata in every_metadata):
        raise ValueError(
            f"the shards in {folder} are of different networks: run `dvc repro -f extract_features`"
        )
    shape = tuple(json.loads(every_metadata[0]["shape"]))
    rows: list[np.ndarray] = []
    for shard in range(num_shards):
        rows += _open_shard(folder / shard_name(shard), 2 * math.prod(shape))
    if len(rows) != len(index["image_id"]):
        raise ValueError(f"{folder}: the index does not fit the shards: run `dvc repro -f extract_features`")
    return Shards(
        folder=folder,
        shape=shape,
        metadata=every_metadata[0],
        image_ids=index["image_id"],
        file_names=index["file_name"],
        rows=rows,
        row_of={image_id: row for row, image_id in enumerate(index["image_id"])},
    )

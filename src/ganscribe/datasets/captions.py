"""Captions chosen and split, as a Parquet table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ganscribe.core.files import write_parquet

SPLITS = ("train", "val", "test")


class SelectedCaption(NamedTuple):
    """A caption in a split. `kept`: one of the selected ones, else a further reference of its image."""

    image_id: int
    caption_id: int
    file_name: str
    url: str
    caption: str
    split: str
    kept: bool


def image_folder(source: str, folder: str | None, *, archive: bool = False) -> Path:
    """Where the images of a source (sample, download, local) lie after fetch_images."""
    if source == "local" and not archive:
        return Path(str(folder)) / "train2014"
    return Path("data/raw/coco/train2014") if source == "sample" else Path("data/coco/images")


def write_captions(path: str | Path, captions: Sequence[SelectedCaption]) -> None:
    """Write captions.parquet, one row per caption, in the order given."""
    import pyarrow as pa

    types = [pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.string(), pa.bool_()]
    columns = {
        name: pa.array([getattr(caption, name) for caption in captions], kind)
        for name, kind in zip(SelectedCaption._fields, types, strict=True)
    }
    write_parquet(path, pa.table(columns))


def read_captions(path: str | Path) -> list[SelectedCaption]:
    """Read what `write_captions` wrote."""
    import pyarrow.parquet as pq

    columns = pq.read_table(path, columns=list(SelectedCaption._fields)).to_pydict()
    return [SelectedCaption(*row) for row in zip(*columns.values(), strict=True)]

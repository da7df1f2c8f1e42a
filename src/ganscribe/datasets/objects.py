"""What is on the images, where it is known, as a Parquet table beside the captions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganscribe.core.files import write_parquet
from ganscribe.sources.objects import SceneObject

OBJECTS_FILE = "objects.parquet"


def write_objects(path: str | Path, objects: Sequence[SceneObject]) -> None:
    """Write the table, one row per object in the order given; its columns are the fields of `SceneObject`."""
    import pyarrow as pa

    types = [pa.int64(), pa.string(), pa.string(), *[pa.float64()] * 4, pa.int64(), pa.int64()]
    columns = {
        name: pa.array([getattr(one, name) for one in objects], kind)
        for name, kind in zip(SceneObject._fields, types, strict=True)
    }
    write_parquet(path, pa.table(columns))


def read_main_objects(path: str | Path) -> dict[int, SceneObject]:
    """Return the main object of each image by its id: the one with the largest box, the first of equals."""
    import pyarrow.parquet as pq

    columns = pq.read_table(path, columns=list(SceneObject._fields)).to_pydict()
    found: dict[int, SceneObject] = {}
    for row in zip(*columns.values(), strict=True):
        one = SceneObject(*row)
        known = found.get(one.image_id)
        if known is None or one.width * one.height > known.width * known.height:
            found[one.image_id] = one
    return found

"""The table of what is on the images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ganscribe.datasets.objects import OBJECTS_FILE, read_main_objects, write_objects
from ganscribe.sources.objects import SceneObject


def one(image_id: int, shape: str, width: float, height: float) -> SceneObject:
    return SceneObject(image_id, "red", shape, 1.0, 2.0, width, height, 320, 240)


def test_the_main_object_is_the_one_with_the_largest_box(tmp_path: Path) -> None:
    objects = [
        one(3, "star", 10, 10),
        one(3, "heart", 5, 30),
        one(1, "cross", 7, 7),
        one(3, "circle", 12, 12),
        one(2, "square", 4, 6),
        one(2, "ring", 6, 4),
    ]
    write_objects(tmp_path / OBJECTS_FILE, objects)
    assert read_main_objects(tmp_path / OBJECTS_FILE) == {1: objects[2], 2: objects[4], 3: objects[1]}


def test_other_readers_find_one_row_per_object(tmp_path: Path) -> None:
    objects = [one(3, "star", 10, 10), one(1, "cross", 7.5, 7)]
    write_objects(tmp_path / OBJECTS_FILE, objects)
    table = pd.read_parquet(tmp_path / OBJECTS_FILE)
    assert [tuple(row) for row in table.itertuples(index=False)] == objects
    assert list(table.columns) == list(SceneObject._fields)

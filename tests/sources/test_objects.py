"""The file of what is on drawn scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganscribe.sources.objects import OBJECTS, SceneObject, read_objects


def document() -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 320, "height": 240}],
        "categories": [{"id": 2, "name": "star"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "colour": "red", "bbox": [10, 20, 30, 40.5]}
        ],
    }


def written(folder: Path, content: Any) -> Path:
    path = folder / OBJECTS.name
    path.write_text(json.dumps(content))
    return path


def test_read_objects(tmp_path: Path) -> None:
    path = written(tmp_path, document())
    assert read_objects(path) == [SceneObject(7, "red", "star", 10, 20, 30, 40.5, 320, 240)]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("image_id", 8, "8"),
        ("category_id", 3, "3"),
        ("colour", "", "no word"),
        ("colour", 4, "no word"),
        ("bbox", [1, 2, 3], "unpack"),
        ("bbox", [1, 2, 0, 4], "has the box"),
        ("bbox", [1, float("nan"), 3, 4], "has the box"),
        ("bbox", [1, 2, 3, float("inf")], "has the box"),
        ("bbox", None, "iterable"),
    ],
)
def test_an_object_that_is_none_is_named(tmp_path: Path, key: str, value: Any, reason: str) -> None:
    content = document()
    content["annotations"][0][key] = value
    with pytest.raises(
        ValueError, match=rf"objects_train2014\.json is not a file of drawn objects .*{reason}"
    ):
        read_objects(written(tmp_path, content))


@pytest.mark.parametrize("content", [[], {}, {"images": [], "categories": []}, {"images": [{}]}])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match="is not a file of drawn objects"):
        read_objects(written(tmp_path, content))


def test_a_file_that_is_cut_off_or_missing_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, document())
    whole = path.read_text()
    path.write_bytes(whole.encode("utf-8-sig"))
    assert read_objects(path)
    path.write_text(whole[:-20])
    with pytest.raises(ValueError, match=r"is not valid JSON .* perhaps cut off"):
        read_objects(path)
    with pytest.raises(FileNotFoundError, match="download@coco"):
        read_objects(tmp_path / "other.json")

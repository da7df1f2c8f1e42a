"""MS-COCO's captions file: what is wrong with it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganscribe.sources.annotations import ANNOTATIONS, Caption, read_annotations


def document() -> dict[str, Any]:
    return {
        "images": [
            {"id": 1, "file_name": "a.jpg", "coco_url": "http://x/a.jpg"},
            {"id": 2, "file_name": "b.jpg"},
        ],
        "annotations": [
            {"id": 11, "image_id": 2, "caption": "two"},
            {"id": 10, "image_id": 1, "caption": "one\u2028line"},
        ],
    }


def written(folder: Path, content: object) -> Path:
    path = folder / "captions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read_annotations(tmp_path: Path) -> None:
    assert read_annotations(written(tmp_path, document())) == [
        Caption(1, 10, "a.jpg", "http://x/a.jpg", "one\u2028line"),
        Caption(2, 11, "b.jpg", "http://images.cocodataset.org/train2014/b.jpg", "two"),
    ]


@pytest.mark.parametrize(
    ("part", "entry", "message"),
    [
        ("annotations", {"id": 12, "image_id": 1, "caption": "  \n"}, r"12 of image 1 \(a\.jpg\) is empty"),
        ("annotations", {"id": 12, "image_id": 1, "caption": ""}, "is empty"),
        ("annotations", {"id": 12, "image_id": 1, "caption": None}, "is not text"),
        ("annotations", {"id": 12, "image_id": 1, "caption": "\ud800"}, "is not text"),
        ("annotations", {"id": 12, "image_id": 9, "caption": "x"}, "not listed: 9"),
        ("annotations", {"id": 10, "image_id": 1, "caption": "x"}, "caption id 10 occurs twice"),
        ("annotations", {"id": "12", "image_id": 1, "caption": "x"}, r"annotations\[2\] has no .*`id`: it is '12'"),
        ("annotations", {"id": 12.0, "image_id": 1, "caption": "x"}, "whole-number `id`: it is 12.0"),
        ("annotations", {"image_id": 1, "caption": "x"}, "whole-number `id`: it is missing"),
        ("annotations", 5, r"annotations\[2\].*: the entry is 5"),
        ("images", {"id": 1, "file_name": "c.jpg"}, "image id 1 occurs twice"),
        ("images", {"id": 3, "file_name": "b.jpg"}, "belongs to 2 images"),
        ("images", {"id": 3, "file_name": "../b.jpg"}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": "c:\\b.jpg"}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": ".."}, r"no plain `file_name`: it is '\.\.'"),
        ("images", {"id": 3}, "no plain `file_name`: it is missing"),
        ("images", {"id": True, "file_name": "c.jpg"}, "whole-number `id`: it is True"),
        ("images", {"id": 3, "file_name": "c" * 201}, "no plain `file_name`"),
        ("images", {"id": 3, "file_name": "c.jpg", "coco_url": "\ud800"}, "a `coco_url` that is none"),
        ("images", {"id": 3, "file_name": "c.jpg", "coco_url": 7}, "a `coco_url` that is none: 7"),
        ("images", {"id": float("nan"), "file_name": "c.jpg"}, "whole-number"),
        ("annotations", {"id": 12, "image_id": 1, "caption": "a " * 500_000}, "has 1,000,000 char"),
        ("annotations", {"id": 12, "image_id": 1, "caption": ["x"] * 1_000_000}, "is not text"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_named(tmp_path: Path, part: str, entry: object, message: str) -> None:
    content = document()
    content[part].append(entry)
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(written(tmp_path, content))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_a_windows_tool_saved(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, document())
    expected = read_annotations(path)
    path.write_bytes(path.read_text().encode(encoding))
    assert read_annotations(path) == expected


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    for content, message in [
        (json.dumps(document())[:-20], "not valid JSON"),
        ("[]", "not a COCO captions file"),
        ('{"images": [], "annotations": {}}', "not a COCO captions file"),
        ('{"images": [], "annotations": []}', "no captions"),
        ("[" * 100_000, "not valid JSON"),
        ('{"images": ' * 100_000, "not valid JSON"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "not valid JSON"),
    ]:
        with pytest.raises(ValueError, match=message):
            read_annotations(written(tmp_path, content))
    (tmp_path / "latin.json").write_bytes(json.dumps(document()).encode().replace(b"two", b"caf\xe9"))
    with pytest.raises(ValueError, match=r"latin\.json is not valid JSON"):
        read_annotations(tmp_path / "latin.json")
    with pytest.raises(FileNotFoundError, match="download@coco"):
        read_annotations(tmp_path / "none.json")


def test_real_annotations(test_data: Path) -> None:
    assert len(read_annotations(test_data / "coco" / ANNOTATIONS)) == 5690

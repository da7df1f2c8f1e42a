"""The table of chosen captions, and where their images lie."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ganscribe.datasets.captions import SelectedCaption, image_folder, read_captions, write_captions


def test_captions_file(tmp_path: Path) -> None:
    captions = [
        SelectedCaption(2, 20, "2.jpg", "http://x/2.jpg", "a café", "train", True),
        SelectedCaption(1, 10, "1.jpg", "http://x/1.jpg", "a dog", "val", False),
    ]
    write_captions(tmp_path / "captions.parquet", captions)
    assert read_captions(tmp_path / "captions.parquet") == captions
    frame = pd.read_parquet(tmp_path / "captions.parquet")
    assert list(frame.columns) == ["image_id", "caption_id", "file_name", "url", "caption", "split", "kept"]


def test_image_folder() -> None:
    assert image_folder("local", "/photos") == Path("/photos/train2014")
    assert image_folder("sample", None) == Path("data/raw/coco/train2014")
    assert image_folder("download", None) == image_folder("local", "/photos", archive=True)

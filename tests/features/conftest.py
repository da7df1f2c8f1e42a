"""What the tests of the extraction share: eleven pictures, and the list that fetch_images makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(11):
        pixels = rng.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def files(folder: Path) -> list[ImageFile]:
    return [
        ImageFile(10 * number, f"{number}.jpg", 1, file_sha256(folder / f"{number}.jpg"))
        for number in range(11)
    ]
